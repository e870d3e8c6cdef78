"""The console's tables: the people and the programs that use it, sessions, wrong guesses, answers to be repeated."""

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from .metadata import UtcDateTime, metadata

person: Final = Table(
    "person",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password_hash", String(255), nullable=False, comment="argon2id"),
    Column("role", String(16), nullable=False, comment="viewer, operator or administrator"),
    Column("is_active", Boolean, nullable=False, default=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_login_at", UtcDateTime),
    comment="who may use the console",
)

person_session: Final = Table(
    "person_session",
    metadata,
    Column("token_hash", String(64), primary_key=True, comment="SHA-256 of what the browser holds"),
    Column("name", String(64), ForeignKey("person.name", ondelete="CASCADE"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Index("ix_person_session_name", "name"),
    comment="who is logged in, and since when",
)

guess: Final = Table(
    "guess",
    metadata,
    Column("subject", String(64), primary_key=True, comment="hash of a name, or of the address of a client"),
    Column("failures", Integer, nullable=False),
    Column("failed_at", UtcDateTime, nullable=False),
    comment="wrong passwords in a row; they make the next guess wait",
)

api_token: Final = Table(
    "api_token",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True, comment="SHA-256 of what the program holds"),
    Column("scopes", String(255), nullable=False, comment="words, a space between"),
    Column("made_by", String(64), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime, comment="to the minute"),
    Column("revoked_at", UtcDateTime),
    comment="programs that may use the HTTP API",
)

api_reply: Final = Table(
    "api_reply",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("key", String(128), primary_key=True, comment="Idempotency-Key"),
    Column("request_hash", String(64), nullable=False),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("status", Integer, comment="null while the first of them is worked on"),
    Column("body", LargeBinary),
    Index("ix_api_reply_begun_at", "begun_at"),
    comment="answers of the HTTP API, for a program that repeats its request",
)
