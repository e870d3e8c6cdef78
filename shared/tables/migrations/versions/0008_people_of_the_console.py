"""The people who use the console, their sessions, and wrong guesses."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "person",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False, comment="argon2id"),
        sa.Column("role", sa.String(16), nullable=False, comment="viewer, operator or administrator"),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("last_login_at", moment),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_person")),
        comment="who may use the console",
    )
    op.create_table(
        "person_session",
        sa.Column("token_hash", sa.String(64), nullable=False, comment="SHA-256 of what the browser holds"),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("seen_at", moment, nullable=False),
        sa.ForeignKeyConstraint(["name"], ["person.name"], name=op.f("fk_person_session_name"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_person_session")),
        comment="who is logged in, and since when",
    )
    op.create_index("ix_person_session_name", "person_session", ["name"])
    op.create_table(
        "guess",
        sa.Column("subject", sa.String(64), nullable=False, comment="hash of a name, or of the address of a client"),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failed_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_guess")),
        comment="wrong passwords in a row; they make the next guess wait",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("guess")
    op.drop_index("ix_person_session_name", table_name="person_session")
    op.drop_table("person_session")
    op.drop_table("person")
