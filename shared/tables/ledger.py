"""The ledger's tables: what was reported, what it comes to for each address, and what senders are still to be told."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Date,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    exists,
    or_,
    text,
)

from .metadata import UtcDateTime, metadata

address_version: Final = Sequence("address_version", metadata=metadata)
"""PostgreSQL only; SQLite counts in `projection.last_version`."""

raw: Final = Table(
    "raw",
    metadata,
    Column("raw_id", String(64), primary_key=True),
    Column("run_id", String(64), nullable=False, comment="the first that delivered it; empty: it came without a run"),
    Column("received_at", UtcDateTime, nullable=False, comment="the least ever delivered"),
    Column("kind", String(32), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("classifier_version", Integer, nullable=False),
    Column("judged_at", UtcDateTime, nullable=False),
    Column("list_id", String(64)),
    Column("account", String(255)),
    Column("publisher_id", String(255)),
    Column("campaign", String(255)),
    Column("reporting_mta", String(255)),
    Column("truncated", Boolean, nullable=False),
    # Of what publishers send nobody asks for the run, and they send most.
    Index(
        "ix_raw_of_run",
        "run_id",
        "raw_id",
        postgresql_where=text("run_id <> ''"),
        sqlite_where=text("run_id <> ''"),
    ),
    # Mails come about in this order, so PostgreSQL needs to keep no more than the range of each of its pages.
    Index(
        "ix_raw_unidentified",
        "received_at",
        "raw_id",
        postgresql_where=text("verdict = 'unidentified'"),
        sqlite_where=text("verdict = 'unidentified'"),
    ),
    Index("ix_raw_received_at", "received_at", postgresql_using="brin", postgresql_with={"pages_per_range": 32}),
    comment="what became of every mail that was judged, also when it was no bounce",
)

raw_run: Final = Table(
    "raw_run",
    metadata,
    Column("raw_id", String(64), primary_key=True),
    Column("run_id", String(64), primary_key=True, comment="empty: it came without a run"),
    Column("recorded_at", UtcDateTime, nullable=False),
    Index("ix_raw_run_of_run", "run_id", "raw_id"),
    comment="the further runs that delivered a mail again",
)

report: Final = Table(
    "report",
    metadata,
    Column("raw_id", String(64), primary_key=True),
    Column("recipient", String(320), primary_key=True, comment="normalised; empty when nobody can tell"),
    Column("event_id", String(64), nullable=False),
    Column("tier", SmallInteger, nullable=False),
    Column("severity", SmallInteger, nullable=False, comment="fold.Severity"),
    Column("verdict", String(16), nullable=False),
    Column("reason", String(64)),
    Column("fault", String(16)),
    Column("action", String(64)),
    Column("status", String(16)),
    Column("reply_code", String(3)),
    Column("diagnostic_code", Text),
    Column("final_recipient", String(1024)),
    Column("remote_mta", String(255)),
    Column("rule", String(255), nullable=False),
    Column("evidence", Text, nullable=False),
    Index("ix_report_recipient", "recipient"),
    comment="the facts: what one mail says of one recipient",
)

address: Final = Table(
    "address",
    metadata,
    Column("recipient", String(320), primary_key=True),
    Column("state", String(16), nullable=False, comment="policy.State"),
    Column("soft", Integer, nullable=False, comment="failed sends that count as soft"),
    Column("hard", Boolean, nullable=False),
    Column("reason", String(64)),
    Column("since", UtcDateTime),
    Column("event_id", String(64), comment="the failed send that decided"),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    # Room on each page for the next version of its rows: no index names a column that changes.
    postgresql_with={"fillfactor": 80},
    comment="the fold of an address's events by the policy",
)

mark: Final = Table(
    "mark",
    metadata,
    Column("recipient", String(320), primary_key=True),
    Column("made_at", UtcDateTime, primary_key=True),
    Column("state", String(16), nullable=False, comment="suppressed or released"),
    Column("why", Text, nullable=False),
    Column("who", String(255), nullable=False),
    comment="suppressed or released by hand; the latest wins",
)

hold: Final = Table(
    "hold",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False, comment="held, applying, applied or dropped"),
    Column("held_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    comment="runs that wait for a person, or did",
)

policy: Final = Table(
    "policy",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("soft_limit", Integer, nullable=False),
    Column("complaint_suppresses", Boolean, nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("recomputed_at", UtcDateTime, comment="when the last address stood by it"),
    Column("judged", BigInteger, comment="addresses that stand by it so far"),
    Column("to_judge", BigInteger, comment="addresses that there are to be judged by it"),
    comment="the greatest version is in force",
)

projection: Final = Table(
    "projection",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1"),
    Column("epoch", BigInteger, nullable=False, comment="of the Redis projection; a rebuild begins a new one"),
    Column("last_version", BigInteger, nullable=False, comment="SQLite's stand-in for the sequence"),
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("recipient", String(320), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("event", String(16), comment="suppressed or released, when senders must be told"),
    Column("made_at", UtcDateTime, nullable=False),
    comment="changes that Redis or the broker may not have yet",
)

archive: Final = Table(
    "archive",
    metadata,
    Column("raw_id", String(64), primary_key=True),
    Column("archived_at", UtcDateTime, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("body", LargeBinary, comment="zlib; empty once purged"),
    # What was purged needs no look any more.
    Index(
        "ix_archive_kept",
        "archived_at",
        postgresql_where=text("body IS NOT NULL"),
        sqlite_where=text("body IS NOT NULL"),
    ),
    comment="the mails themselves, kept for a set number of days",
)

dead_letter: Final = Table(
    "dead_letter",
    metadata,
    Column("letter_id", String(64), primary_key=True),
    Column("queue", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", String(16), nullable=False, comment="dead, replayed or discarded"),
    Column("attempts", Integer, nullable=False),
    Column("first_failed_at", UtcDateTime, nullable=False),
    Column("last_failed_at", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime, comment="when it was replayed or discarded"),
    Column("raw_id", String(64), comment="when the mail could be told"),
    Column("run_id", String(64)),
    Column("content_type", String(255), nullable=False),
    Column("type", String(255), nullable=False),
    Column("message_id", String(255)),
    Column("headers", Text, nullable=False, comment="JSON"),
    Column("sent_at", UtcDateTime, comment="the AMQP timestamp"),
    Column("body", LargeBinary, nullable=False),
    Index("ix_dead_letter_state_queue", "state", "queue"),
    Index("ix_dead_letter_state_last_failed_at", "state", "last_failed_at", "letter_id"),
    Index("ix_dead_letter_raw_id", "raw_id"),
    comment="what could not be handled",
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("made_at", UtcDateTime, nullable=False),
    Column("who", String(255), nullable=False),
    Column("what", String(64), nullable=False),
    Column("subject", String(320), nullable=False),
    Column("why", Text, nullable=False),
    Index("ix_audit_subject", "subject"),
    comment="who changed what by hand",
)

changed_day: Final = Table(
    "changed_day",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("day", Date, nullable=False, comment="in UTC"),
    comment="days of which mails were recorded or judged anew; their tallies are to be made anew",
)

tally: Final = Table(
    "tally",
    metadata,
    Column("day", Date, primary_key=True, comment="in UTC, of received_at"),
    Column("dimension", String(16), primary_key=True, comment="mail, reason, domain, campaign or list"),
    Column("value", String(320), primary_key=True, comment="the most frequent of a day"),
    Column("verdict", String(16), primary_key=True),
    Column("mails", Integer, nullable=False, comment="of reason and domain: reports"),
    comment="what came on each day, for whoever looks at it as a whole",
)

HELD: Final = "held"
APPLYING: Final = "applying"
"""Its mails count, and not every address they name was judged anew yet."""
APPLIED: Final = "applied"
DROPPED: Final = "dropped"
HOLD_STATES: Final = (HELD, APPLYING, APPLIED, DROPPED)
KEPT_OUT: Final = (HELD, DROPPED)
"""States of a hold whose mails count for nothing."""


def is_kept_out(run_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the run waits for a person, or was dropped by one."""
    return exists().where(and_(hold.c.run_id == run_id, hold.c.state.in_(KEPT_OUT)))


def is_delivered() -> ColumnElement[bool]:
    """Whether a row of `raw` counts: delivered by a publisher, or by a run that is neither held nor dropped."""
    again = exists().where(and_(raw_run.c.raw_id == raw.c.raw_id, ~is_kept_out(raw_run.c.run_id)))
    return or_(~is_kept_out(raw.c.run_id), again)
