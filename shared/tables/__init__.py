"""The one database: who owns which table, and how the schema came to be."""

from .schema import connect, require_current, upgrade

__all__ = ["connect", "require_current", "upgrade"]
