"""Request bodies: JSON and YAML into plain values, strictly enough to say which field stands there twice."""

from __future__ import annotations

import json
import math
from typing import Any

from console.local.kube import status

DEEPEST = 150
"""Objects nested deeper than this are refused; the deepest published definition has about 60 levels."""
_MOST_NODES = 2_000_000


def parse_json(text: bytes) -> tuple[Any, list[str]]:
    """The value, and the paths of fields that stand twice (the last one counts). Raises `ApiError` 400."""
    doubled: list[tuple[dict[str, Any], str]] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            seen: set[str] = set()
            for key, _value in pairs:
                if key in seen:
                    doubled.append((made, key))
                seen.add(key)
        return made

    try:
        value = json.loads(text.decode(), object_pairs_hook=build, parse_constant=_no_constant, parse_int=_whole)
    except UnicodeDecodeError:
        raise status.bad_request("the body is not UTF-8") from None
    except (ValueError, RecursionError) as problem:
        raise status.bad_request(f"the body could not be parsed as JSON: {problem}") from None
    _measure(value)
    return value, [_path_to(value, owner, key) for owner, key in doubled]


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _whole(text: str) -> Any:
    """Integers that do not fit into 64 bits become floats, as in Go."""
    if len(text) > 20:
        return float(text)
    value = int(text)
    return value if -(2**63) <= value < 2**63 else float(text)


def parse_yaml(text: bytes) -> tuple[Any, list[str]]:
    """As `parse_json`, for the body of an apply. Raises `ApiError` 400."""
    if text.lstrip()[:1] == b"{":
        return parse_json(text)
    import yaml

    loader = _loader()(text)
    try:
        value = loader.get_single_data()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, UnicodeDecodeError) as problem:
        first = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise status.bad_request(f"error decoding YAML: {first}") from None
    finally:
        loader.dispose()
    _measure(value)
    return _plain(value), [str(key) for key in loader.doubled]


def _loader() -> Any:
    """A YAML loader that leaves times as text, as JSON has none, and notes keys that stand twice."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        def __init__(self, stream: bytes) -> None:
            super().__init__(stream)
            self.doubled: list[Any] = []

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: set[Any] = set()
            for key, _value in node.value:
                if key.value in seen:
                    self.doubled.append(key.value)
                seen.add(key.value if isinstance(key.value, str) else None)
            made: dict[Any, Any] = super().construct_mapping(node, deep)
            return made

    Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }
    return Loader


def _measure(value: Any) -> None:
    """Refuse what is nested too deeply, contains itself, or grows beyond all bounds by YAML aliases."""
    sizes: dict[int, int] = {}

    def size(node: Any, depth: int) -> int:
        if not isinstance(node, dict | list):
            return 1
        if depth > DEEPEST:
            raise status.bad_request(f"the body is nested deeper than {DEEPEST} levels")
        known = sizes.get(id(node))
        if known is None:
            below = node.values() if isinstance(node, dict) else node
            known = sizes[id(node)] = 1 + sum(size(one, depth + 1) for one in below)
        if known > _MOST_NODES:
            raise status.bad_request("the body has too many values")
        return known

    size(value, 0)


def _plain(value: Any) -> Any:
    """YAML's value as JSON's: keys are text, aliases are copies."""
    if isinstance(value, dict):
        return {_key(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise status.bad_request(f"error decoding YAML: {value!r} has no form in JSON")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    raise status.bad_request(f"error decoding YAML: {key!r} cannot be a key")


def _path_to(root: Any, owner: dict[str, Any], key: str) -> str:
    """The path of a doubled key, found from the object that has it."""
    pending: list[tuple[Any, str]] = [(root, "")]
    while pending:
        node, path = pending.pop()
        if node is owner:
            return f"{path}.{key}" if path else key
        if isinstance(node, dict):
            pending += ((below, f"{path}.{name}" if path else name) for name, below in node.items())
        elif isinstance(node, list):
            pending += ((below, f"{path}[{index}]") for index, below in enumerate(node))
    return key
