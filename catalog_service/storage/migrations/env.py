"""Run by Alembic: upgrades the database that `upgrade` handed over."""

from alembic import context

from catalog_service.storage.job_table import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
