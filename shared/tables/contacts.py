"""The contacts of the lists that are mailed."""

from typing import Final

from sqlalchemy import Column, ForeignKey, String, Table

from .metadata import UtcDateTime, metadata

contact: Final = Table(
    "contact",
    metadata,
    Column("list_id", String(64), ForeignKey("contact_list.list_id"), primary_key=True),
    Column("recipient", String(320), primary_key=True, comment="normalised"),
    Column("added_at", UtcDateTime, nullable=False),
    comment="who is on a list",
)
