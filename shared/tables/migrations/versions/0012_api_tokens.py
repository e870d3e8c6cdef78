"""Programs that may use the HTTP API, and the answers that they were given."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "api_token",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column(
            "token_hash", sa.String(64), nullable=False, unique=True, comment="SHA-256 of what the program holds"
        ),
        sa.Column("scopes", sa.String(255), nullable=False, comment="words, a space between"),
        sa.Column("made_by", sa.String(64), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("used_at", moment, comment="to the minute"),
        sa.Column("revoked_at", moment),
        comment="programs that may use the HTTP API",
    )
    op.create_table(
        "api_reply",
        sa.Column("token", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(128), primary_key=True, comment="Idempotency-Key"),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("begun_at", moment, nullable=False),
        sa.Column("status", sa.Integer, comment="null while the first of them is worked on"),
        sa.Column("body", sa.LargeBinary),
        comment="answers of the HTTP API, for a program that repeats its request",
    )
    op.create_index("ix_api_reply_begun_at", "api_reply", ["begun_at"])


def downgrade() -> None:
    """Undo."""
    op.drop_table("api_reply")
    op.drop_table("api_token")
