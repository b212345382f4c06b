"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902)."""

from __future__ import annotations

import copy
from typing import Any

from console.local.kube import status
from console.local.kube.validation import same

TYPE = "application/json-patch+json"
MERGE_TYPE = "application/merge-patch+json"
MOST_OPERATIONS = 10_000


class DoesNotFit(Exception):
    """An operation of a JSON patch cannot be carried out on this object, or a test failed."""


def merge_patch(target: Any, patch: Any) -> Any:
    """The patched value; shares no part with ``target``."""
    return _merged(copy.deepcopy(target), patch)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    made = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value)
    return made


def json_patch(target: Any, operations: Any) -> Any:
    """The patched value; raises `ApiError` 400 or 413 for a malformed patch and `DoesNotFit`."""
    if not isinstance(operations, list):
        raise status.bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > MOST_OPERATIONS:
        limit = f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}"
        raise status.too_large(limit)
    document = copy.deepcopy(target)
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise status.bad_request("error decoding patch: an operation needs op and path")
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    path = _pointer(operation["path"])
    match operation.get("op"):
        case "add":
            return _add(document, path, _value(operation))
        case "remove":
            return _remove(document, path)
        case "replace":
            _get(document, path)
            return _value(operation) if not path else _put(document, path, _value(operation))
        case "move":
            source = _pointer(operation.get("from"))
            if source == path[: len(source)] and source != path:
                raise DoesNotFit("a value cannot be moved into itself")
            moved = _get(document, source)
            return _add(_remove(document, source), path, moved)
        case "copy":
            return _add(document, path, copy.deepcopy(_get(document, _pointer(operation.get("from")))))
        case "test":
            if not same(_get(document, path), operation.get("value")):
                raise DoesNotFit(f"testing value {operation['path']} failed")
            return document
        case unknown:
            raise status.bad_request(f"error decoding patch: unexpected operation {unknown!r}")


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise status.bad_request(f"error decoding patch: {operation['op']} needs a value")
    return copy.deepcopy(operation["value"])


def _pointer(text: Any) -> list[str]:
    """RFC 6901."""
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise status.bad_request("error decoding patch: a path begins with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, len(document) - 1)]
        else:
            raise DoesNotFit(f"there is no {part!r}")
    return document


def _index(part: str, highest: int) -> int:
    if not part.isdecimal() or not part.isascii() or len(part) > 9 or (part[0] == "0" and part != "0"):
        raise DoesNotFit(f"{part!r} is not an index")
    if int(part) > highest:
        raise DoesNotFit(f"index {part} is out of bounds")
    return int(part)


def _put(document: Any, path: list[str], value: Any) -> Any:
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent[_index(last, len(parent) - 1)] = value
    else:
        parent[last] = value
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise DoesNotFit(f"{'/'.join(path[:-1])} has no members")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    _get(document, path)
    if not path:
        return None
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(last, len(parent) - 1)]
    else:
        del parent[last]
    return document
