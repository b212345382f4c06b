"""The Table form (meta.k8s.io/v1) in which `kubectl get` asks for objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from console.local.kube.kinds import Column
from console.local.kube.metadata import Object
from console.local.kube.state import Target

_NAME = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace.",
    "priority": 0,
}
_AGE = Column("Age", ".metadata.creationTimestamp", "date")


def table(
    target: Target, objects: Iterable[Object], metadata: Mapping[str, Any], *, with_columns: bool = True
) -> Object:
    """Objects as rows; in a watch only the first table carries the columns."""
    columns = _CORE.get(target.kind) if target.resource.origin == "core" else None
    shown = columns or tuple((column, _cell_of(column)) for column in target.version.columns or (_AGE,))
    definitions = [_NAME, *(_definition(column) for column, _cell in shown)]
    rows = [
        {
            "cells": [_name(one), *(cell(one) for _column, cell in shown)],
            "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": one["metadata"]},
        }
        for one in objects
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata),
        "columnDefinitions": definitions if with_columns else [],
        "rows": rows,
    }


def _name(one: Object) -> str:
    return str(one["metadata"]["name"])


def _definition(column: Column) -> Object:
    kind = "string" if column.type == "date" else column.type
    text = column.description or f"JSONPath: {column.path}"
    return {
        "name": column.name,
        "type": kind,
        "format": column.format,
        "description": text,
        "priority": column.priority,
    }


def _cell_of(column: Column) -> Callable[[Object], Any]:
    steps = _parse(column.path)

    def cell(one: Object) -> Any:
        values = _find([one], steps)
        if not values:
            return None
        if column.type == "date":
            return age(values[0])
        if column.type in ("integer", "number", "boolean") and len(values) == 1:
            return values[0]
        # As a real server prints it: a list of one path with several hits is joined, a list value is JSON.
        return ",".join(one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in values)

    return cell


# --- JSON paths ------------------------------------------------------------------------------------------------

Step = tuple[str, Any]
_STEP = re.compile(
    r"""\.(?P<field>(?:[^.\[\]\\]|\\.)+)
      | \[\?\(\s*@\.(?P<key>[\w.\-/]+)\s*(?:==\s*(?P<value>"[^"]*"|'[^']*'|[\w.\-]+)\s*)?\)\]
      | \[(?P<index>-?\d+)\]
      | \[(?P<slice>-?\d*:-?\d*)\]
      | (?P<all>\[\*\])
      | \[['"](?P<quoted>[^'"]+)['"]\]""",
    re.VERBOSE,
)


def _parse(path: str) -> list[Step]:
    """The JSON paths of printer columns: fields, indexes, ``[-1:]``, ``[*]`` and ``[?(@.type=="Ready")]``.

    Anything else finds nothing.
    """
    steps: list[Step] = []
    text = path if path.startswith((".", "[")) else f".{path}"
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None:
            return [("nothing", None)]
        position = found.end()
        parts = found.groupdict()
        if parts["field"] or parts["quoted"]:
            steps.append(("field", (parts["field"] or parts["quoted"]).replace("\\.", ".")))
        elif parts["key"]:
            steps.append(("filter", (parts["key"], parts["value"])))
        elif parts["index"]:
            steps.append(("index", int(parts["index"])))
        elif parts["slice"]:
            start, _, end = parts["slice"].partition(":")
            steps.append(("slice", slice(int(start) if start else None, int(end) if end else None)))
        else:
            steps.append(("all", None))
    return steps


def _find(values: list[Any], steps: list[Step]) -> list[Any]:
    for kind, argument in steps:
        values = [below for value in values for below in _step(value, kind, argument)]
    return [value for value in values if value is not None]


def _step(value: Any, kind: str, argument: Any) -> list[Any]:
    if kind == "field":
        return [value[argument]] if isinstance(value, dict) and argument in value else []
    if isinstance(value, dict) and kind == "all":
        return list(value.values())
    if not isinstance(value, list):
        return []
    match kind:
        case "all":
            return value
        case "index":
            return [value[argument]] if -len(value) <= argument < len(value) else []
        case "slice":
            return list(value[argument])
        case "filter":
            path, wanted = argument
            return [one for one in value if _fits(plain_path(one, path), wanted)]
        case _:
            return []


def _fits(value: Any, wanted: str | None) -> bool:
    if wanted is None:
        return value is not None
    if wanted[0] in "\"'":
        return bool(value == wanted[1:-1])
    return json.dumps(value) == wanted


def plain_path(value: Any, path: str) -> Any:
    """The value under a dotted path of plain fields, or None."""
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


# --- cells -----------------------------------------------------------------------------------------------------


def age(timestamp: Any) -> str:
    """How long ago, as kubectl writes it: ``5s``, ``3m10s``, ``2h``, ``4d``."""
    try:
        passed = int((datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds())
    except (TypeError, ValueError):
        return "<unknown>"
    if passed < 0:
        return "<invalid>"
    if passed < 120:
        return f"{passed}s"
    minutes, hours, days = passed // 60, passed // 3600, passed // 86400
    if minutes < 10:
        return f"{minutes}m{passed % 60}s" if passed % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    return f"{days}d" if days < 730 else f"{days // 365}y{days % 365}d"


def _created(one: Object) -> str:
    return age(one["metadata"].get("creationTimestamp"))


def _text(*path: str, missing: str = "") -> Callable[[Object], Any]:
    def cell(one: Object) -> Any:
        value = plain_path(one, ".".join(path))
        return missing if value in (None, "") else value

    return cell


def _count(*names: str) -> Callable[[Object], Any]:
    return lambda one: sum(len(one.get(name) or {}) for name in names)


def _service_ports(one: Object) -> str:
    ports = (one.get("spec") or {}).get("ports") or []
    return ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in ports) or "<none>"


def _slice_ports(one: Object) -> str:
    return ",".join(str(port.get("port")) for port in one.get("ports") or []) or "<unset>"


def _slice_addresses(one: Object) -> str:
    return ",".join(address for end in one.get("endpoints") or [] for address in end["addresses"]) or "<unset>"


def _event_object(one: Object) -> str:
    about = one.get("involvedObject") or one.get("regarding") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


_ColumnCells = tuple[tuple[Column, Callable[[Object], Any]], ...]
_CORE: Mapping[str, _ColumnCells] = {
    "Namespace": ((Column("Status", ".status.phase"), _text("status", "phase")), (_AGE, _created)),
    "Secret": (
        (Column("Type", ".type"), _text("type")),
        (Column("Data", ".data", "integer"), _count("data")),
        (_AGE, _created),
    ),
    "ConfigMap": ((Column("Data", ".data", "integer"), _count("data", "binaryData")), (_AGE, _created)),
    "Service": (
        (Column("Type", ".spec.type"), _text("spec", "type")),
        (Column("Cluster-IP", ".spec.clusterIP"), _text("spec", "clusterIP", missing="<none>")),
        (Column("External-IP", ".spec.externalName"), _text("spec", "externalName", missing="<none>")),
        (Column("Port(s)", ".spec.ports"), _service_ports),
        (_AGE, _created),
    ),
    "EndpointSlice": (
        (Column("AddressType", ".addressType"), _text("addressType")),
        (Column("Ports", ".ports"), _slice_ports),
        (Column("Endpoints", ".endpoints"), _slice_addresses),
        (_AGE, _created),
    ),
    "Event": (
        (Column("Last Seen", ".lastTimestamp"), lambda one: age(one.get("lastTimestamp") or one.get("eventTime"))),
        (Column("Type", ".type"), _text("type")),
        (Column("Reason", ".reason"), _text("reason")),
        (Column("Object", ".involvedObject"), _event_object),
        (Column("Message", ".message"), _text("message")),
    ),
    "CustomResourceDefinition": (
        (Column("Created At", ".metadata.creationTimestamp", "date"), _text("metadata", "creationTimestamp")),
    ),
}
