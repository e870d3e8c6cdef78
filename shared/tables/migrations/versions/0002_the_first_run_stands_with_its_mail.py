"""The first run that delivered a mail stands with the mail; reports need no foreign keys, addresses no second index.

Their writer inserts the mail first, in the same transaction, and looks addresses up by nothing but their name.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. The foreign keys go first: SQLite makes a table anew to change it, which they would not let it."""
    with op.batch_alter_table(
        "raw_run", table_kwargs={"comment": "the further runs that delivered a mail again"}
    ) as batch:
        batch.drop_index("ix_raw_run_run_id")
        batch.drop_constraint("fk_raw_run_raw_id", type_="foreignkey")
    with op.batch_alter_table("report") as batch:
        batch.drop_constraint("fk_report_raw_id", type_="foreignkey")
    with op.batch_alter_table("raw") as batch:
        batch.add_column(
            sa.Column(
                "run_id",
                sa.String(length=64),
                nullable=False,
                server_default="",
                comment="the first that delivered it; empty: it came without a run",
            )
        )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET LOCAL statement_timeout = 0")
    op.execute(
        "UPDATE raw SET run_id = coalesce((SELECT min(run_id) FROM raw_run WHERE raw_run.raw_id = raw.raw_id), '')"
    )
    op.execute("DELETE FROM raw_run WHERE run_id = (SELECT run_id FROM raw WHERE raw.raw_id = raw_run.raw_id)")
    with op.batch_alter_table("raw") as batch:
        batch.alter_column("run_id", server_default=None)
    with op.batch_alter_table("address") as batch:
        batch.drop_index("ix_address_version")
    with op.batch_alter_table("policy") as batch:
        batch.add_column(
            sa.Column(
                "recomputed_at",
                sa.DateTime(timezone=True),
                nullable=True,
                comment="when the last address stood by it",
            )
        )
    op.execute("UPDATE policy SET recomputed_at = made_at")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE address SET (fillfactor = 80)")
        op.execute("COMMENT ON TABLE raw_run IS 'the further runs that delivered a mail again'")


def downgrade() -> None:
    """Take back."""
    op.execute(
        "INSERT INTO raw_run (raw_id, run_id, recorded_at)"
        " SELECT raw_id, run_id, received_at FROM raw WHERE true ON CONFLICT DO NOTHING"
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE address RESET (fillfactor)")
        op.execute("COMMENT ON TABLE raw_run IS 'the runs that delivered a mail'")
    with op.batch_alter_table("policy") as batch:
        batch.drop_column("recomputed_at")
    with op.batch_alter_table("address") as batch:
        batch.create_index("ix_address_version", ["version"], unique=False)
    with op.batch_alter_table("raw") as batch:
        batch.drop_column("run_id")
    with op.batch_alter_table("report") as batch:
        batch.create_foreign_key("fk_report_raw_id", "raw", ["raw_id"], ["raw_id"])
    with op.batch_alter_table("raw_run") as batch:
        batch.create_foreign_key("fk_raw_run_raw_id", "raw", ["raw_id"], ["raw_id"])
        batch.create_index("ix_raw_run_run_id", ["run_id"], unique=False)
