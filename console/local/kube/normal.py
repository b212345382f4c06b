"""What an incoming object becomes before it is validated: unknown fields go, nulls go, defaults come.

The rules are those of "Structural schemas" in the CustomResourceDefinition documentation: pruning, then null
handling ("nulls for fields that are not nullable are pruned before defaulting"), then defaulting.
"""

from __future__ import annotations

import copy
from typing import Any

from console.local.kube.schema import Schema

_OF_EMBEDDED = ("apiVersion", "kind", "metadata")


def prune(schema: Schema, value: Any, path: str = "") -> list[str]:
    """Remove what the schema does not know, in place; the paths of what went (``spec.rules[0].nmae``)."""
    gone: list[str] = []
    _prune(schema, value, path, gone)
    return gone


def _prune(schema: Schema, value: Any, path: str, gone: list[str]) -> None:
    if isinstance(value, dict):
        for key in list(value):
            below = f"{path}.{key}" if path else key
            node = schema.property(key) or schema.additional
            if node is not None:
                _prune(node, value[key], below, gone)
            elif not schema.preserves and not (schema.embedded and key in _OF_EMBEDDED):
                del value[key]
                gone.append(below)
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            _prune(schema.items, item, f"{path}[{index}]", gone)


def drop_nulls(schema: Schema, value: Any) -> None:
    """Remove the nulls of declared fields that may not be null and have no default, in place."""
    if isinstance(value, dict):
        for key in list(value):
            raw = schema.properties.get(key)
            if value[key] is None and raw is not None and "default" not in raw and not _may_be_null(schema, key):
                del value[key]
            else:
                node = schema.property(key) or schema.additional
                if node is not None:
                    drop_nulls(node, value[key])
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            drop_nulls(schema.items, item)


def apply_defaults(schema: Schema, value: Any) -> None:
    """Fill in what is missing, in place, all the way down; a null that may not be counts as missing."""
    if isinstance(value, dict):
        for key, raw in schema.properties.items():
            if "default" in raw and (key not in value or (value[key] is None and not _may_be_null(schema, key))):
                value[key] = copy.deepcopy(raw["default"])
        for key, below in value.items():
            node = schema.property(key) or schema.additional
            if node is not None and isinstance(below, dict | list):
                apply_defaults(node, below)
    elif isinstance(value, list) and schema.items is not None:
        for item in value:
            if isinstance(item, dict | list):
                apply_defaults(schema.items, item)


def _may_be_null(schema: Schema, key: str) -> bool:
    node = schema.property(key)
    return node is not None and (node.nullable or (node.preserves and not node.type))
