"""Contact lists and their bounce accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "bounce_account",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("protocol", sa.String(length=8), nullable=False, comment="pop3 or imap"),
        sa.Column("host", sa.String(length=253), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column(
            "tls", sa.String(length=16), nullable=False, comment="implicit, starttls or none; never guessed again"
        ),
        sa.Column("user_name", sa.String(length=320), nullable=False),
        sa.Column("login", sa.String(length=16), nullable=False, comment="how it proves who it is"),
        sa.Column(
            "secret",
            sa.Text(),
            nullable=True,
            comment="the password, sealed by shared.secrets; empty where the login has none",
        ),
        sa.Column(
            "ca_pem",
            sa.Text(),
            nullable=True,
            comment="a certificate authority of its own; empty: those of the machine",
        ),
        sa.Column("folder", sa.String(length=255), nullable=False, comment="empty on POP3"),
        sa.Column("empty", sa.String(length=300), nullable=False, comment="bounces, all, nothing or move:FOLDER"),
        sa.Column("interval_s", sa.Integer(), nullable=False, comment="between two passes; 0: only when asked"),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bounce_account")),
        sa.UniqueConstraint("protocol", "host", "port", "user_name", "folder", name="uq_bounce_account_mailbox"),
        comment="the mailboxes that bounces come to; one however many lists share it",
    )
    op.create_table(
        "contact_list",
        sa.Column("list_id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=255), nullable=False),
        sa.Column(
            "bounce_email",
            sa.String(length=320),
            nullable=False,
            comment="List Bounce Email: where its bounces go to",
        ),
        sa.Column("account", sa.String(length=255), nullable=True, comment="empty: no account yet"),
        sa.ForeignKeyConstraint(["account"], ["bounce_account.name"], name=op.f("fk_contact_list_account")),
        sa.PrimaryKeyConstraint("list_id", name=op.f("pk_contact_list")),
        comment="the lists that are mailed, as far as bounces need to know them",
    )
    op.create_index("ix_contact_list_account", "contact_list", ["account"], unique=False)


def downgrade() -> None:
    """Take back; the lists and the accounts are lost, what was fetched from them stays."""
    op.drop_index("ix_contact_list_account", table_name="contact_list")
    op.drop_table("contact_list")
    op.drop_table("bounce_account")
