"""Strategic merge patch, for the core kinds only (custom resources answer 415).

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md:
maps merge; lists of a core kind merge by their merge key where they have one; ``$patch``, ``$retainKeys``,
``$setElementOrder/…`` and ``$deleteFromPrimitiveList/…`` are directives.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from console.local.kube import status

# The merge keys (patchMergeKey) of the lists in the core kinds that are served. An empty key is a set of scalars.
# For Service ports the key is the port alone, which is not the key of server-side apply.
_MERGE_KEYS: Mapping[str, str] = {
    "metadata.ownerReferences": "uid",
    "metadata.finalizers": "",
    "spec.ports": "port",
    "status.conditions": "type",
}
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_patch(target: Any, patch: Any) -> Any:
    """The patched object; shares no part with ``target``. Raises `ApiError` 400 for a malformed patch."""
    if not isinstance(patch, dict):
        raise status.bad_request("error decoding patch: a strategic merge patch is an object")
    return _merge(copy.deepcopy(target), patch, "")


def _merge(target: Any, patch: dict[str, Any], path: str) -> Any:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if not key.startswith("$")}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise status.bad_request(f"unknown $patch directive {directive!r}")
    made: dict[str, Any] = target if isinstance(target, dict) else {}
    retained = patch.get("$retainKeys")
    if retained is not None:
        made = {key: value for key, value in made.items() if key in _list(retained, "$retainKeys")}
    for key, value in patch.items():
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            gone = _list(value, key)
            made[name] = [one for one in _list(made.get(name) or [], name) if one not in gone]
        elif key.startswith("$"):
            continue
        elif value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), value, f"{path}.{key}" if path else key)
    for key, value in patch.items():
        name = key.removeprefix(_ORDER)
        if key.startswith(_ORDER) and isinstance(made.get(name), list):
            made[name] = _ordered(made[name], _list(value, key), f"{path}.{name}" if path else name)
    return made


def _merged(current: Any, value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return _merge(current, value, path)
    if not isinstance(value, list) or path not in _MERGE_KEYS:
        return copy.deepcopy(value)
    key = _MERGE_KEYS[path]
    items: list[Any] = list(current) if isinstance(current, list) else []
    if not key:
        return items + [one for one in value if one not in items]
    if any(isinstance(one, dict) and one.get("$patch") == "replace" for one in value):
        return [copy.deepcopy(one) for one in value if "$patch" not in one]
    for one in value:
        if not isinstance(one, dict) or key not in one:
            raise status.bad_request(f"map: {one!r} does not contain declared merge key: {key}")
        places = [index for index, item in enumerate(items) if isinstance(item, dict) and item.get(key) == one[key]]
        if one.get("$patch") == "delete":
            items = [item for index, item in enumerate(items) if index not in places]
        elif places:
            items[places[0]] = _merge(items[places[0]], one, path)
        else:
            items.append(_merge({}, one, path))
    return items


def _ordered(items: list[Any], order: list[Any], path: str) -> list[Any]:
    key = _MERGE_KEYS.get(path, "")

    def named(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    ranks = [named(one) for one in order]
    listed = [item for item in items if named(item) in ranks]
    others = [item for item in items if named(item) not in ranks]
    return sorted(listed, key=lambda item: ranks.index(named(item))) + others


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise status.bad_request(f"{name} is not a list")
    return value
