"""The fetcher's tables: what a mailbox held, which run found it, and the accounts that are read."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

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
    Index("ix_run_account_started_at", "account", "started_at"),
    Index("ix_run_started_at", "started_at", "run_id"),
    Index("ix_run_account_finished_at", "account", "finished_at"),
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

bounce_account: Final = Table(
    "bounce_account",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("protocol", String(8), nullable=False, comment="pop3 or imap"),
    Column("host", String(253), nullable=False),
    Column("port", Integer, nullable=False),
    Column("tls", String(16), nullable=False, comment="implicit, starttls or none; never guessed again"),
    Column("user_name", String(320), nullable=False),
    Column("login", String(16), nullable=False, default="password", comment="how it proves who it is"),
    Column("secret", Text, comment="the password, sealed by shared.secrets; empty where the login has none"),
    Column("ca_pem", Text, comment="a certificate authority of its own; empty: those of the machine"),
    Column("folder", String(255), nullable=False, default="", comment="empty on POP3"),
    Column("empty", String(300), nullable=False, default="bounces", comment="bounces, all, nothing or move:FOLDER"),
    Column("interval_s", Integer, nullable=False, default=900, comment="between two passes; 0: only when asked"),
    Column("is_active", Boolean, nullable=False, default=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("protocol", "host", "port", "user_name", "folder", name="uq_bounce_account_mailbox"),
    comment="the mailboxes that bounces come to; one however many lists share it",
)

contact_list: Final = Table(
    "contact_list",
    metadata,
    Column("list_id", String(64), primary_key=True),
    Column("title", String(255), nullable=False, default=""),
    Column("bounce_email", String(320), nullable=False, comment="List Bounce Email: where its bounces go to"),
    Column("account", String(255), ForeignKey("bounce_account.name"), comment="empty: no account yet"),
    Column("contacts", BigInteger, nullable=False, default=0, server_default="0", comment="how many there are"),
    Index("ix_contact_list_account", "account"),
    comment="the lists that are mailed, as far as bounces need to know them",
)

login_token: Final = Table(
    "login_token",
    metadata,
    Column("account", String(255), ForeignKey("bounce_account.name", ondelete="CASCADE"), primary_key=True),
    Column(
        "purpose", Text, nullable=False, comment="what the three are sealed for: the account, its user and its server"
    ),
    Column("sealed_grant", Text, nullable=False, comment="how tokens are asked for, and as whom"),
    Column("sealed_refresh_token", Text),
    Column("sealed_access_token", Text, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False, comment="when that token was obtained"),
    Column("holder", String(64), comment="who asks the token endpoint now; empty: nobody"),
    Column("quiet_until", UtcDateTime, comment="before this nobody else asks the token endpoint"),
    Column("refusal", Text, comment="what the token endpoint said when it gave no token"),
    comment="OAuth2 logins: what was granted, and the tokens that are good now, all sealed",
)

schedule: Final = Table(
    "schedule",
    metadata,
    Column("account", String(255), primary_key=True),
    Column("interval_s", Integer, nullable=False, comment="the one that it was planned with"),
    Column("since", UtcDateTime, nullable=False, comment="when it was first planned, or again after a pause"),
    Column("planned_at", UtcDateTime, nullable=False, comment="when next_at was decided"),
    Column("next_at", UtcDateTime, nullable=False, comment="when it is asked for next"),
    Column("requested_at", UtcDateTime, comment="when it was last asked for"),
    Column("run_id", String(64), comment="of the last request"),
    Column("puts", Integer, nullable=False, comment="how often it was asked for since a run of it began"),
    Column("is_told", Boolean, nullable=False, comment="a person was told that it is not well"),
    comment="when each active account with an interval is asked for; the scheduler's",
)
