"""Run by Alembic inside the transaction that `console.store.migrate` opened."""

from __future__ import annotations

from alembic import context

import console.store.tables  # noqa: F401 - fills the metadata
from console.store.metadata import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
