"""The action registry: everything that an operator can do."""

from console.actions import access, catalog, keys, operations, publications, publishing, status, sync, tokens, usage
from console.actions.registry import Action, Registry

REGISTRY = Registry(
    status.ACTIONS,
    catalog.ACTIONS,
    sync.ACTIONS,
    publishing.ACTIONS,
    publications.ACTIONS,
    keys.ACTIONS,
    access.ACTIONS,
    usage.ACTIONS,
    tokens.ACTIONS,
    operations.ACTIONS,
)

__all__ = ["REGISTRY", "Action"]
