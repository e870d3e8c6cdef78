"""Runs, and the mails of a run, are read in their order, a page at a time."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_HAS_RUN = sa.text("run_id <> ''")


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_raw_of_run", "raw", ["run_id", "raw_id"], postgresql_where=_HAS_RUN, sqlite_where=_HAS_RUN)
    op.drop_index("ix_raw_run_id", table_name="raw")
    op.create_index("ix_raw_run_of_run", "raw_run", ["run_id", "raw_id"])
    op.drop_index("ix_raw_run_run_id", table_name="raw_run")
    op.create_index("ix_run_started_at", "run", ["started_at", "run_id"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_run_started_at", table_name="run")
    op.create_index("ix_raw_run_run_id", "raw_run", ["run_id"])
    op.drop_index("ix_raw_run_of_run", table_name="raw_run")
    op.create_index("ix_raw_run_id", "raw", ["run_id"], postgresql_where=_HAS_RUN, sqlite_where=_HAS_RUN)
    op.drop_index("ix_raw_of_run", table_name="raw")
