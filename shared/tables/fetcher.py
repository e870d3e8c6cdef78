"""The fetcher's tables: what a mailbox held, and which run found it."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, UniqueConstraint

from .metadata import UtcDateTime, metadata

run: Final = Table(
    "run",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("account", String(255), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("fetched_at", UtcDateTime, comment="when its last slice was fetched"),
    Column("finished_at", UtcDateTime, comment="when its last cleaning ended"),
    Column("last_error", Text),
    comment="one pass over a mailbox, in slices",
)

found: Final = Table(
    "found",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account", String(255), nullable=False),
    Column("folder", String(255), nullable=False),
    Column("uidvalidity", BigInteger, nullable=False, comment="0 on POP3"),
    Column("uid", String(255), nullable=False, comment="UID, or UIDL and size as in 'abc/1234'"),
    Column("run_id", String(64), nullable=False),
    Column("raw_id", String(64), comment="empty while it could not be fetched"),
    Column("found_at", UtcDateTime, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False, comment="failed reads; at 3 it is left in place"),
    Column("last_error", Text),
    Column("cleaned_at", UtcDateTime, comment="when it was deleted or moved"),
    UniqueConstraint("account", "folder", "uidvalidity", "uid", name="uq_found_mail"),
    Index("ix_found_run_id", "run_id"),
    Index("ix_found_raw_id", "raw_id"),
    comment="the checkpoint: which mails of a mailbox are known",
)

lease: Final = Table(
    "lease",
    metadata,
    Column("account", String(255), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("until", UtcDateTime, nullable=False),
    comment="which fetcher works a mailbox; for speed, not for correctness",
)
