"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(sa.schema.CreateSequence(sa.Sequence("address_version")))
    op.create_table(
        "address",
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="policy.State"),
        sa.Column("soft", sa.Integer(), nullable=False, comment="failed sends that count as soft"),
        sa.Column("hard", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("event_id", sa.String(length=64), nullable=True, comment="the failed send that decided"),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("recipient", name=op.f("pk_address")),
        comment="the fold of an address's events by the policy",
    )
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.create_index("ix_address_version", ["version"], unique=False)

    op.create_table(
        "archive",
        sa.Column("raw_id", sa.String(length=64), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True, comment="zlib; empty once purged"),
        sa.PrimaryKeyConstraint("raw_id", name=op.f("pk_archive")),
        comment="the mails themselves, kept for a set number of days",
    )
    with op.batch_alter_table("archive", schema=None) as batch_op:
        batch_op.create_index("ix_archive_archived_at", ["archived_at"], unique=False)

    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.Column("what", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=320), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="who changed what by hand",
    )
    op.create_table(
        "dead_letter",
        sa.Column("letter_id", sa.String(length=64), nullable=False),
        sa.Column("queue", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="dead, replayed or discarded"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True, comment="when it was replayed or discarded"),
        sa.Column("raw_id", sa.String(length=64), nullable=True, comment="when the mail could be told"),
        sa.Column("run_id", sa.String(length=64), nullable=True),
        sa.Column("content_type", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("message_id", sa.String(length=255), nullable=True),
        sa.Column("headers", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True, comment="the AMQP timestamp"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("letter_id", name=op.f("pk_dead_letter")),
        comment="what could not be handled",
    )
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.create_index("ix_dead_letter_raw_id", ["raw_id"], unique=False)
        batch_op.create_index("ix_dead_letter_state_queue", ["state", "queue"], unique=False)

    op.create_table(
        "found",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("folder", sa.String(length=255), nullable=False),
        sa.Column("uidvalidity", sa.BigInteger(), nullable=False, comment="0 on POP3"),
        sa.Column("uid", sa.String(length=255), nullable=False, comment="UID, or UIDL and size as in 'abc/1234'"),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("raw_id", sa.String(length=64), nullable=True, comment="empty while it could not be fetched"),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="failed reads; at 3 it is left in place"),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("cleaned_at", sa.DateTime(timezone=True), nullable=True, comment="when it was deleted or moved"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_found")),
        sa.UniqueConstraint("account", "folder", "uidvalidity", "uid", name="uq_found_mail"),
        comment="the checkpoint: which mails of a mailbox are known",
    )
    with op.batch_alter_table("found", schema=None) as batch_op:
        batch_op.create_index("ix_found_raw_id", ["raw_id"], unique=False)
        batch_op.create_index("ix_found_run_id", ["run_id"], unique=False)

    op.create_table(
        "hold",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="held, applied or dropped"),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_hold")),
        comment="runs that wait for a person, or did",
    )
    op.create_table(
        "lease",
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_lease")),
        comment="which fetcher works a mailbox; for speed, not for correctness",
    )
    op.create_table(
        "mark",
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="suppressed or released"),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("who", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("recipient", "made_at", name=op.f("pk_mark")),
        comment="suppressed or released by hand; the latest wins",
    )
    op.create_table(
        "outbox",
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column(
            "event", sa.String(length=16), nullable=True, comment="suppressed or released, when senders must be told"
        ),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("recipient", "version", name=op.f("pk_outbox")),
        comment="changes that Redis or the broker may not have yet",
    )
    op.create_table(
        "policy",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("soft_limit", sa.Integer(), nullable=False),
        sa.Column("complaint_suppresses", sa.Boolean(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policy")),
        comment="the greatest version is in force",
    )
    op.create_table(
        "projection",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="always 1"),
        sa.Column(
            "epoch", sa.BigInteger(), nullable=False, comment="of the Redis projection; a rebuild begins a new one"
        ),
        sa.Column("last_version", sa.BigInteger(), nullable=False, comment="SQLite's stand-in for the sequence"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projection")),
    )
    op.create_table(
        "raw",
        sa.Column("raw_id", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False, comment="the least ever delivered"),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("classifier_version", sa.Integer(), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("list_id", sa.String(length=64), nullable=True),
        sa.Column("account", sa.String(length=255), nullable=True),
        sa.Column("publisher_id", sa.String(length=255), nullable=True),
        sa.Column("campaign", sa.String(length=255), nullable=True),
        sa.Column("reporting_mta", sa.String(length=255), nullable=True),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("raw_id", name=op.f("pk_raw")),
        comment="what became of every mail that was judged, also when it was no bounce",
    )
    op.create_table(
        "run",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True, comment="when its last slice was fetched"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True, comment="when its last cleaning ended"),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run")),
        comment="one pass over a mailbox, in slices",
    )
    op.create_table(
        "raw_run",
        sa.Column("raw_id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False, comment="empty: it came without a run"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["raw_id"], ["raw.raw_id"], name=op.f("fk_raw_run_raw_id")),
        sa.PrimaryKeyConstraint("raw_id", "run_id", name=op.f("pk_raw_run")),
        comment="the runs that delivered a mail",
    )
    with op.batch_alter_table("raw_run", schema=None) as batch_op:
        batch_op.create_index("ix_raw_run_run_id", ["run_id"], unique=False)

    op.create_table(
        "report",
        sa.Column("raw_id", sa.String(length=64), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=False, comment="normalised; empty when nobody can tell"),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("tier", sa.SmallInteger(), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False, comment="fold.Severity"),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("fault", sa.String(length=16), nullable=True),
        sa.Column("action", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("reply_code", sa.String(length=3), nullable=True),
        sa.Column("diagnostic_code", sa.Text(), nullable=True),
        sa.Column("final_recipient", sa.String(length=1024), nullable=True),
        sa.Column("remote_mta", sa.String(length=255), nullable=True),
        sa.Column("rule", sa.String(length=255), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["raw_id"], ["raw.raw_id"], name=op.f("fk_report_raw_id")),
        sa.PrimaryKeyConstraint("raw_id", "recipient", name=op.f("pk_report")),
        comment="the facts: what one mail says of one recipient",
    )
    with op.batch_alter_table("report", schema=None) as batch_op:
        batch_op.create_index("ix_report_recipient", ["recipient"], unique=False)

    op.execute("INSERT INTO projection (id, epoch, last_version) VALUES (1, 1, 0)")
    op.execute(
        "INSERT INTO policy (version, soft_limit, complaint_suppresses, made_at) VALUES (1, 5, false, CURRENT_TIMESTAMP)"
    )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("report", schema=None) as batch_op:
        batch_op.drop_index("ix_report_recipient")

    op.drop_table("report")
    with op.batch_alter_table("raw_run", schema=None) as batch_op:
        batch_op.drop_index("ix_raw_run_run_id")

    op.drop_table("raw_run")
    op.drop_table("run")
    op.drop_table("raw")
    op.drop_table("projection")
    op.drop_table("policy")
    op.drop_table("outbox")
    op.drop_table("mark")
    op.drop_table("lease")
    op.drop_table("hold")
    with op.batch_alter_table("found", schema=None) as batch_op:
        batch_op.drop_index("ix_found_run_id")
        batch_op.drop_index("ix_found_raw_id")

    op.drop_table("found")
    with op.batch_alter_table("dead_letter", schema=None) as batch_op:
        batch_op.drop_index("ix_dead_letter_state_queue")
        batch_op.drop_index("ix_dead_letter_raw_id")

    op.drop_table("dead_letter")
    op.drop_table("audit")
    with op.batch_alter_table("archive", schema=None) as batch_op:
        batch_op.drop_index("ix_archive_archived_at")

    op.drop_table("archive")
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.drop_index("ix_address_version")

    op.drop_table("address")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(sa.schema.DropSequence(sa.Sequence("address_version")))
