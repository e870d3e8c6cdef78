"""The audit of one address is found without reading all of it."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_audit_subject", "audit", ["subject"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_audit_subject", table_name="audit")
