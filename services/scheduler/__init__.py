"""Asks for the bounce accounts that are due, and notices the ones that are silent."""
