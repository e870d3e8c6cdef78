"""OAuth2 logins: what was granted, and the tokens that are good now."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "login_token",
        sa.Column("account", sa.String(255), nullable=False),
        sa.Column(
            "purpose",
            sa.Text(),
            nullable=False,
            comment="what the three are sealed for: the account, its user and its server",
        ),
        sa.Column("sealed_grant", sa.Text(), nullable=False, comment="how tokens are asked for, and as whom"),
        sa.Column("sealed_refresh_token", sa.Text(), nullable=True),
        sa.Column("sealed_access_token", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="when that token was obtained"),
        sa.Column("holder", sa.String(64), comment="who asks the token endpoint now; empty: nobody"),
        sa.Column("quiet_until", sa.DateTime(timezone=True), comment="before this nobody else asks the token endpoint"),
        sa.Column("refusal", sa.Text(), comment="what the token endpoint said when it gave no token"),
        sa.ForeignKeyConstraint(
            ["account"], ["bounce_account.name"], name=op.f("fk_login_token_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_login_token")),
        comment="OAuth2 logins: what was granted, and the tokens that are good now, all sealed",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("login_token")
