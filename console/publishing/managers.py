"""Who wrote which field of an object: ``metadata.managedFields`` (KEP-555), read for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from console.k8s.cluster import FIELD_MANAGER
from console.k8s.types import Object

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|\[(\d+)\]|([^.\[\]"]+)')
Token = str | int


@dataclass(frozen=True, slots=True)
class Writer:
    """A field manager, and when it last wrote (RFC 3339)."""

    name: str
    at: str


NOBODY = Writer("", "")


def tokens_of(path: str) -> list[Token]:
    """The steps of a path as console/publishing/diff.py writes it: ``spec.rules[0].name``."""
    found: list[Token] = []
    for match in _TOKEN.finditer(path):
        quoted, index, plain = match.groups()
        found.append(int(index) if index is not None else json.loads(f'"{quoted}"') if quoted is not None else plain)
    return found


def written_by(live: Object, path: str) -> Writer:
    """Who else wrote a field last; for one that is gone, who else wrote the object last. `NOBODY` where none did."""
    others = list(_others(live))
    owners = [writer for writer, fields in others if _owns(fields, tokens_of(path), live)]
    return max(owners or [writer for writer, _ in others], key=lambda one: one.at, default=NOBODY)


def added_by_others(live: Object, manifest: Object) -> Iterator[tuple[tuple[str, ...], Any, Writer]]:
    """The fields of the spec that somebody else set and we do not ask for: path, value, who."""
    for writer, fields in _others(live):
        yield from _added(fields.get("f:spec", {}), live.get("spec", {}), manifest.get("spec", {}), ("spec",), writer)


def _added(
    fields: Mapping[str, Any], live: Any, wanted: Any, path: tuple[str, ...], writer: Writer
) -> Iterator[tuple[tuple[str, ...], Any, Writer]]:
    # Where we ask for a list or a scalar the whole of it is ours, and its difference is found by comparing.
    if not (isinstance(live, Mapping) and isinstance(wanted, Mapping)):
        return
    for name, inner in fields.items():
        key = name.removeprefix("f:")
        if not name.startswith("f:") or key not in live:
            continue
        if key not in wanted:
            yield (*path, key), live[key], writer
        else:
            yield from _added(inner, live[key], wanted[key], (*path, key), writer)


def _others(live: Object) -> Iterator[tuple[Writer, Mapping[str, Any]]]:
    """Every other manager's fields but for those of a status."""
    for entry in live["metadata"].get("managedFields", ()):
        if entry.get("manager") != FIELD_MANAGER and not entry.get("subresource"):
            yield Writer(str(entry.get("manager", "")), str(entry.get("time", ""))), entry.get("fieldsV1", {})


def _owns(fields: Mapping[str, Any], path: list[Token], value: Any) -> bool:
    for token in path:
        if isinstance(token, int):
            value = value[token] if isinstance(value, list) and token < len(value) else None
            inner = next((one for name, one in fields.items() if _is_item(name, value)), None)
        else:
            value = value.get(token) if isinstance(value, Mapping) else None
            inner = fields.get(f"f:{token}")
        if inner is None:
            return False
        if not inner:
            return True
        fields = inner
    return True


def _is_item(name: str, item: Any) -> bool:
    """Whether an element of a list is the one that ``k:{"name":"a"}`` or ``v:"a"`` names."""
    sort, _, text = name.partition(":")
    try:
        named = json.loads(text)
    except ValueError:
        return False
    if sort == "k" and isinstance(named, dict) and isinstance(item, Mapping):
        return all(item.get(key) == value for key, value in named.items())
    return bool(sort == "v" and named == item)
