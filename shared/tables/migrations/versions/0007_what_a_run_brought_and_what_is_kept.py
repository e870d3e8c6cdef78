"""The mails of a run, and those that the archive still keeps, are found without reading all of it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BY_A_RUN = sa.text("run_id <> ''")
_KEPT = sa.text("body IS NOT NULL")


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_raw_run_id", "raw", ["run_id"], postgresql_where=_BY_A_RUN, sqlite_where=_BY_A_RUN)
    op.create_index("ix_raw_run_run_id", "raw_run", ["run_id"])
    op.drop_index("ix_archive_archived_at", table_name="archive")
    op.create_index("ix_archive_kept", "archive", ["archived_at"], postgresql_where=_KEPT, sqlite_where=_KEPT)
    _comment_on_states("held, applying, applied or dropped")


def downgrade() -> None:
    """Undo."""
    _comment_on_states("held, applied or dropped")
    op.drop_index("ix_archive_kept", table_name="archive")
    op.create_index("ix_archive_archived_at", "archive", ["archived_at"])
    op.drop_index("ix_raw_run_run_id", table_name="raw_run")
    op.drop_index("ix_raw_run_id", table_name="raw")


def _comment_on_states(comment: str) -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column("hold", "state", existing_type=sa.String(16), existing_nullable=False, comment=comment)
