"""The tables of every service. Importing this package fills the one metadata."""

from console.store.tables import access, catalog, keys, operations, publishing, usage

__all__ = ["access", "catalog", "keys", "operations", "publishing", "usage"]
