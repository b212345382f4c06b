"""The functions of CEL's standard library and of Kubernetes' extensions that the published rules call, and some
of their nearest kin. https://github.com/google/cel-spec/blob/master/doc/langdef.md#standard-definitions

Values are plain Python: str, int, float, bool, None, list, dict, bytes, timedelta (durations) and datetime.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from console.local.kube.validation import pattern

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


class CelError(Exception):
    """An expression that has no value: a missing key, an index out of bounds, operands that do not go together."""


def _whole(value: int) -> int:
    if not _INT_MIN <= value <= _INT_MAX:
        raise CelError("integer overflow")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(one: Any, other: Any) -> bool:
    """CEL's heterogeneous equality: 1 == 1.0, but true != 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    return bool(one == other)


def add(one: Any, other: Any) -> Any:
    if _is_number(one) and _is_number(other):
        total = one + other
        return _whole(total) if isinstance(total, int) else total
    if type(one) is type(other) and isinstance(one, str | bytes | list):
        return one + other
    if isinstance(one, timedelta | datetime) and isinstance(other, timedelta):
        return one + other
    raise CelError("no such overload")


def multiply(one: Any, other: Any) -> Any:
    if not (_is_number(one) and _is_number(other)):
        raise CelError("no such overload")
    product = one * other
    return _whole(product) if isinstance(product, int) else product


def divide(one: Any, other: Any) -> Any:
    if not (_is_number(one) and _is_number(other)):
        raise CelError("no such overload")
    if isinstance(one, int) and isinstance(other, int):
        if other == 0:
            raise CelError("division by zero")
        quotient = abs(one) // abs(other)
        return _whole(quotient if (one < 0) == (other < 0) else -quotient)
    return one / other if other else float("inf") * one if one else float("nan")


def remainder(one: Any, other: Any) -> Any:
    if not (isinstance(one, int) and isinstance(other, int)) or isinstance(one, bool) or isinstance(other, bool):
        raise CelError("no such overload")
    if other == 0:
        raise CelError("modulus by zero")
    return abs(one) % abs(other) * (-1 if one < 0 else 1)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|us|µs|ns|m|s)")


def duration(text: Any) -> timedelta:
    """Go's duration syntax: ``1h30m``, ``-0.5s``, ``0``."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str):
        raise CelError("no such overload")
    body = text.removeprefix("-").removeprefix("+")
    if body == "0":
        return timedelta()
    position = 0
    seconds = 0.0
    while found := _PART.match(body, position):
        seconds += float(found[1]) * _UNITS[found[2]]
        position = found.end()
    if position != len(body) or not body:
        raise CelError(f"invalid duration {text!r}")
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


def timestamp(text: Any) -> datetime:
    """RFC 3339."""
    try:
        value = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise CelError(f"invalid timestamp {text!r}") from None
    if value.tzinfo is None:
        raise CelError(f"invalid timestamp {text!r}")
    return value


def _size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise CelError("no such overload")


def _to_int(value: Any) -> int:
    if isinstance(value, timedelta) or not isinstance(value, str | int | float | datetime):
        raise CelError("no such overload")
    if isinstance(value, datetime):
        return int(value.timestamp())
    try:
        return _whole(int(value))
    except (ValueError, OverflowError):
        raise CelError(f"cannot convert {value!r} to int") from None


def _to_double(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise CelError(f"cannot convert {value!r} to double") from None


def _to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    raise CelError("no such overload")


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise CelError(f"cannot convert {value!r} to bool")


def _of_text(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method of strings, whose arguments are strings or integers."""

    def call(target: Any, *arguments: Any) -> Any:
        if not isinstance(target, str) or any(not isinstance(one, str | int) for one in arguments):
            raise CelError("no such overload")
        return function(target, *arguments)

    return call


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= end <= len(text):
        raise CelError("index out of range")
    return text[start:end]


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise CelError("index out of range")
    return text[index : index + 1]


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator == "":
        return list(text) if limit < 0 else [*text[: limit - 1], text[limit - 1 :]]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str) and isinstance(wanted, str):
        return value.find(wanted)
    if isinstance(value, list):
        return next((index for index, one in enumerate(value) if equal(one, wanted)), -1)
    raise CelError("no such overload")


def _last_index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str) and isinstance(wanted, str):
        return value.rfind(wanted)
    if isinstance(value, list):
        return max((index for index, one in enumerate(value) if equal(one, wanted)), default=-1)
    raise CelError("no such overload")


def _matches(text: Any, expression: Any) -> bool:
    if not isinstance(text, str) or not isinstance(expression, str):
        raise CelError("no such overload")
    import re2

    try:
        return pattern(expression).search(text) is not None
    except re2.error as problem:
        raise CelError(f"invalid regular expression: {problem}") from None


def _joined(parts: Any, separator: str = "") -> str:
    if not isinstance(parts, list) or any(not isinstance(one, str) for one in parts):
        raise CelError("no such overload")
    return separator.join(parts)


def _is_sorted(values: list[Any]) -> bool:
    return all(one <= other for one, other in itertools.pairwise(values))


def _lower_ascii(text: str) -> str:
    return "".join(chr(ord(one) + 32) if "A" <= one <= "Z" else one for one in text)


def _upper_ascii(text: str) -> str:
    return "".join(chr(ord(one) - 32) if "a" <= one <= "z" else one for one in text)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": _size,
    "duration": duration,
    "timestamp": timestamp,
    "int": _to_int,
    "uint": _to_int,
    "double": _to_double,
    "string": _to_string,
    "bool": _to_bool,
    "dyn": lambda value: value,
    "matches": _matches,
}

METHODS: dict[str, Callable[..., Any]] = {
    "size": _size,
    "matches": _matches,
    "contains": _of_text(lambda text, part: part in text),
    "startsWith": _of_text(str.startswith),
    "endsWith": _of_text(str.endswith),
    "split": _of_text(_split),
    "lowerAscii": _of_text(_lower_ascii),
    "upperAscii": _of_text(_upper_ascii),
    "trim": _of_text(str.strip),
    "replace": _of_text(lambda text, old, new, limit=-1: text.replace(old, new, limit)),
    "substring": _of_text(_substring),
    "charAt": _of_text(_char_at),
    "join": _joined,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "isSorted": _is_sorted,
    "sum": sum,
    "min": min,
    "max": max,
}
