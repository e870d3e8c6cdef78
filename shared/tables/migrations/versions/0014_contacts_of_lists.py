"""The contacts of lists, and how many each has."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "contact",
        sa.Column("list_id", sa.String(64), sa.ForeignKey("contact_list.list_id"), primary_key=True),
        sa.Column("recipient", sa.String(320), primary_key=True, comment="normalised"),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        comment="who is on a list",
    )
    count = sa.Column("contacts", sa.BigInteger, nullable=False, server_default="0", comment="how many there are")
    op.add_column("contact_list", count)


def downgrade() -> None:
    """Undo."""
    op.drop_column("contact_list", "contacts")
    op.drop_table("contact")
