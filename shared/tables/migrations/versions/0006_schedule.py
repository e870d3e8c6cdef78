"""When each account is asked for, and its last passes without reading all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "schedule",
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("interval_s", sa.Integer(), nullable=False, comment="the one that it was planned with"),
        sa.Column(
            "since",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it was first planned, or again after a pause",
        ),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False, comment="when next_at was decided"),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False, comment="when it is asked for next"),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True, comment="when it was last asked for"),
        sa.Column("run_id", sa.String(length=64), nullable=True, comment="of the last request"),
        sa.Column("puts", sa.Integer(), nullable=False, comment="how often it was asked for since a run of it began"),
        sa.Column("is_told", sa.Boolean(), nullable=False, comment="a person was told that it is not well"),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_schedule")),
        comment="when each active account with an interval is asked for; the scheduler's",
    )
    op.create_index("ix_run_account_started_at", "run", ["account", "started_at"], unique=False)
    op.create_index("ix_run_account_finished_at", "run", ["account", "finished_at"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_run_account_finished_at", table_name="run")
    op.drop_index("ix_run_account_started_at", table_name="run")
    op.drop_table("schedule")
