"""What is kept of secrets that are too long to be guessed: a dump of the database lets nobody in. Pure."""

import hashlib


def hash_secret(purpose: str, secret: str) -> str:
    """SHA-256 in hexadecimal; what is hashed for one purpose is not found for another."""
    return hashlib.sha256(f"{purpose}\n{secret}".encode(errors="replace")).hexdigest()
