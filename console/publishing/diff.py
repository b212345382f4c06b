"""The difference between an object as it is and as it would be, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from console.publishing.manifests import ANNOTATION_OPERATION
from console.publishing.types import FieldChange

HIDDEN = "•••"
_OF_THE_SERVER = (
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "selfLink",
    "ownerReferences",
    "finalizers",
)
_LONGEST = 200


def cleaned(manifest: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An object without what only the server writes: status, managed fields, versions, our operation mark."""
    if manifest is None:
        return None
    kept = {name: value for name, value in manifest.items() if name != "status"}
    metadata = {name: value for name, value in kept.get("metadata", {}).items() if name not in _OF_THE_SERVER}
    annotations = {
        name: value for name, value in metadata.get("annotations", {}).items() if name != ANNOTATION_OPERATION
    }
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    kept["metadata"] = metadata
    return kept


def field_changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> tuple[FieldChange, ...]:
    """Every leaf that differs, by dotted path, in the order of the new object and then the old one.

    The values of a Secret are compared and never shown.
    """
    kind = (after or before or {}).get("kind")
    old, new = dict(leaves(cleaned(before) or {})), dict(leaves(cleaned(after) or {}))
    changes = []
    for path in [*new, *(path for path in old if path not in new)]:
        if old.get(path) == new.get(path):
            continue
        changes.append(FieldChange(path, _shown(kind, path, old.get(path)), _shown(kind, path, new.get(path))))
    return tuple(changes)


def spec_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is another in a publication's spec, as one reads it: ``limits.requests_per_minute 60 → 600``."""
    old, new = dict(leaves(before)), dict(leaves(after))
    paths = [*new, *(path for path in old if path not in new)]
    return [
        f"{path} {_said(old.get(path))} → {_said(new.get(path))}" for path in paths if old.get(path) != new.get(path)
    ]


def _said(text: str | None) -> str:
    return "none" if text in (None, "null", "[]") else text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of a JSON value: its dotted path, and its JSON text."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            step = name if name.replace("_", "").replace("-", "").isalnum() else json.dumps(name)
            yield from leaves(inner, f"{path}.{step}" if path else step)
    elif isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        for position, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{position}]")
    elif path:
        yield path, json.dumps(value, ensure_ascii=False)


def _shown(kind: Any, path: str, text: str | None) -> str | None:
    if text is None:
        return None
    if kind == "Secret" and path.startswith(("data", "stringData")):
        return HIDDEN
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
