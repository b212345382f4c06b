"""The action registry: everything that an operator can do."""

from console.actions import catalog, keys, operations, publishing, status
from console.actions.registry import Action, Registry

REGISTRY = Registry(status.ACTIONS, catalog.ACTIONS, publishing.ACTIONS, keys.ACTIONS, operations.ACTIONS)

__all__ = ["REGISTRY", "Action"]
