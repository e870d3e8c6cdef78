"""How many addresses stand by a new policy so far."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("policy", sa.Column("judged", sa.BigInteger, comment="addresses that stand by it so far"))
    op.add_column("policy", sa.Column("to_judge", sa.BigInteger, comment="addresses that there are to be judged by it"))


def downgrade() -> None:
    """Undo."""
    op.drop_column("policy", "to_judge")
    op.drop_column("policy", "judged")
