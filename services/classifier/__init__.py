"""Judges raw messages: bytes in, verdict out, with the rule and the words that decided."""
