"""Unidentified mails and dead letters are read newest first, a page at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_UNIDENTIFIED = sa.text("verdict = 'unidentified'")


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "ix_raw_unidentified",
        "raw",
        ["received_at", "raw_id"],
        postgresql_where=_UNIDENTIFIED,
        sqlite_where=_UNIDENTIFIED,
    )
    op.create_index("ix_dead_letter_state_last_failed_at", "dead_letter", ["state", "last_failed_at", "letter_id"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_dead_letter_state_last_failed_at", table_name="dead_letter")
    op.drop_index("ix_raw_unidentified", table_name="raw")
