"""How Alembic runs our revisions: always over a connection that the caller opened."""

from alembic import context

from shared.tables import console, contacts, fetcher, ledger  # noqa: F401 (they fill the metadata)
from shared.tables.metadata import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
