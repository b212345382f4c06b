"""The tables of every service. Importing this package fills the one metadata."""

from console.store.tables import catalog, keys, operations, publishing

__all__ = ["catalog", "keys", "operations", "publishing"]
