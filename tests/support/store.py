"""A database at the present schema, for tests."""

from __future__ import annotations

from pathlib import Path

from console.store.engine import Store
from console.store.migrate import upgrade


async def store_in(directory: Path) -> Store:
    store = Store(f"sqlite:///{directory / 'modeldeck.db'}")
    await upgrade(store)
    return store
