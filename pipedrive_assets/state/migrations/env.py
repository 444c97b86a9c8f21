"""What Alembic runs: the migrations, on the connection and in the transaction that the store has opened."""

from __future__ import annotations

from alembic import context

from pipedrive_assets.state.migrate import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
