"""What came on each day, counted once and not by every look at it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "changed_day",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="in UTC"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changed_day")),
        comment="days of which mails were recorded or judged anew; their tallies are to be made anew",
    )
    op.create_table(
        "tally",
        sa.Column("day", sa.Date(), nullable=False, comment="in UTC, of received_at"),
        sa.Column("dimension", sa.String(16), nullable=False, comment="mail, reason, domain, campaign or list"),
        sa.Column("value", sa.String(320), nullable=False, comment="the most frequent of a day"),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("mails", sa.Integer(), nullable=False, comment="of reason and domain: reports"),
        sa.PrimaryKeyConstraint("day", "dimension", "value", "verdict", name=op.f("pk_tally")),
        comment="what came on each day, for whoever looks at it as a whole",
    )
    op.create_index(
        "ix_raw_received_at",
        "raw",
        ["received_at"],
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32},
    )
    op.execute("INSERT INTO changed_day (day) SELECT DISTINCT date(received_at) FROM raw")


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_raw_received_at", table_name="raw")
    op.drop_table("tally")
    op.drop_table("changed_day")
