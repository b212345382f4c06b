"""Validation of an object against its structural schema, with the messages of a real server.

`validate` checks one object; with the stored object beside it, a value that is as it was is let through even
where the schema has become stricter (KEP-4008, "CRD validation ratcheting"). Rules in CEL are in `cel`.
"""

from __future__ import annotations

import base64
import binascii
import functools
import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from console.local.kube import status
from console.local.kube.schema import Schema
from console.local.kube.status import FieldError

BLOCKING = {
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
}
"""After an error of these kinds the rules in CEL are not evaluated."""

UNCHECKED = status.invalid_value(
    "<nil>",
    None,
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)


def validate(schema: Schema, value: Any, old: Any = None, path: str = "") -> list[FieldError]:
    """Every way in which a value does not fit, in the order of the document.

    ``old`` is the stored value of the same place, None where there is none.
    """
    return list(_validate(schema, value, old, path))


def _validate(schema: Schema, value: Any, old: Any, path: str) -> Iterator[FieldError]:
    if old is not None and same(value, old):
        return
    if value is None and schema.nullable:
        return
    wrong = _type_error(schema, value, path)
    if wrong is not None:
        yield wrong
        return
    yield from _bounds(schema, value, path)
    yield from _alternatives(schema, value, path)
    if isinstance(value, dict):
        yield from _members(schema, value, old, path)
    elif isinstance(value, list) and schema.items is not None:
        olds = correlated(schema, old)
        for index, item in enumerate(value):
            yield from _validate(schema.items, item, olds(item), f"{path}[{index}]")


def _members(schema: Schema, value: dict[str, Any], old: Any, path: str) -> Iterator[FieldError]:
    for name in schema.raw.get("required") or ():
        if name not in value:
            yield status.required(f"{path}.{name}" if path else name)
    before = old if isinstance(old, dict) else {}
    for key, below in value.items():
        node = schema.property(key) or schema.additional
        if node is not None:
            yield from _validate(node, below, before.get(key), f"{path}.{key}" if path else key)


def correlated(schema: Schema, old: Any) -> Callable[[Any], Any]:
    """A function that finds the stored element which an element of a list continues (None: none does).

    Only the elements of a map list can be told apart from one write to the next.
    """
    if not isinstance(old, list) or schema.relation(old) != "map":
        return lambda _item: None
    index = {list_key(schema, item): item for item in old if isinstance(item, dict)}
    return lambda item: index.get(list_key(schema, item)) if isinstance(item, dict) else None


def list_key(schema: Schema, item: dict[str, Any]) -> str:
    """What tells an element of a map list from its siblings."""
    fields = {}
    for key in schema.list_keys:
        if key in item:
            fields[key] = item[key]
        elif key in schema.key_defaults:
            fields[key] = schema.key_defaults[key]
    return status.as_json(dict(sorted(fields.items())))


# --- types -----------------------------------------------------------------------------------------------------

_NAMES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    type(None): "null",
}


def _type_error(schema: Schema, value: Any, path: str) -> FieldError | None:
    actual = _NAMES[type(value)]
    if schema.int_or_string:
        fits, wanted = actual in ("integer", "string"), "integer,string"
    else:
        wanted = schema.type
        fits = (
            not wanted
            or actual == wanted
            or (wanted == "number" and actual == "integer")
            or (wanted == "integer" and isinstance(value, float) and value.is_integer())
        )
    where = path or "<nil>"
    if not fits:
        return status.type_invalid(where, actual, f'{where} in body must be of type {wanted}: "{actual}"')
    form = schema.raw.get("format", "")
    check = _FORMATS.get(form)
    if check is not None and not check(value):
        return status.type_invalid(where, value, f"{where} in body must be of type {form}: {status.as_json(value)}")
    return None


def _fits_bits(bits: int) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, int) or -(1 << (bits - 1)) <= value < (1 << (bits - 1))


def _is_base64(value: Any) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return False
    return True


_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _is_date_time(value: Any) -> bool:
    """RFC 3339, with whatever fraction of a second."""
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value[:19].upper().replace(" ", "T"))
    except ValueError:
        return False
    return True


def _is_address(version: int) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        try:
            return ipaddress.ip_address(value).version == version
        except ValueError:
            return False

    return check


# Other formats are accepted as they are, as a real server does with those that it does not know.
_FORMATS: dict[str, Callable[[Any], bool]] = {
    "int32": _fits_bits(32),
    "int64": _fits_bits(64),
    "byte": _is_base64,
    "date-time": _is_date_time,
    "ipv4": _is_address(4),
    "ipv6": _is_address(6),
}


# --- bounds ----------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def pattern(text: str) -> Any:
    """A compiled RE2 expression (what Go's regexp is), searched for, not matched from the start."""
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(text, options)


def _bounds(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    raw = schema.raw
    where = path or "<nil>"
    allowed = raw.get("enum")
    if allowed is not None and not any(same(value, one) for one in allowed):
        yield status.not_supported(where, value, allowed)
    if isinstance(value, str):
        if "maxLength" in raw and len(value) > raw["maxLength"]:
            yield status.too_long(where, raw["maxLength"])
        if "minLength" in raw and len(value) < raw["minLength"]:
            yield _not(where, value, f"should be at least {raw['minLength']} chars long")
        if "pattern" in raw and not pattern(raw["pattern"]).search(value):
            yield _not(where, value, f"should match '{raw['pattern']}'")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _range(raw, value, where)
    elif isinstance(value, list):
        if "maxItems" in raw and len(value) > raw["maxItems"]:
            yield status.too_many(where, len(value), raw["maxItems"])
        if "minItems" in raw and len(value) < raw["minItems"]:
            yield _not(where, len(value), f"should have at least {raw['minItems']} items")
        yield from _uniqueness(schema, value, where)
    elif isinstance(value, dict):
        if "maxProperties" in raw and len(value) > raw["maxProperties"]:
            yield status.too_many(where, len(value), raw["maxProperties"])
        if "minProperties" in raw and len(value) < raw["minProperties"]:
            yield _not(where, len(value), f"should have at least {raw['minProperties']} properties")


def _range(raw: Any, value: float, where: str) -> Iterator[FieldError]:
    if "maximum" in raw:
        strict = raw.get("exclusiveMaximum", False)
        if value > raw["maximum"] or (strict and value == raw["maximum"]):
            yield _not(where, value, f"should be less than {'' if strict else 'or equal to '}{raw['maximum']}")
    if "minimum" in raw:
        strict = raw.get("exclusiveMinimum", False)
        if value < raw["minimum"] or (strict and value == raw["minimum"]):
            yield _not(where, value, f"should be greater than {'' if strict else 'or equal to '}{raw['minimum']}")
    if "multipleOf" in raw and value % raw["multipleOf"]:
        yield _not(where, value, f"should be a multiple of {raw['multipleOf']}")


def _uniqueness(schema: Schema, value: list[Any], where: str) -> Iterator[FieldError]:
    """The elements of a set differ, those of a map list differ in their keys."""
    relation = schema.relation(value)
    if relation not in ("set", "map"):
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        if relation == "map":
            if not isinstance(item, dict):
                continue
            key = list_key(schema, item)
            shown: Any = {name: item[name] for name in schema.list_keys if name in item}
        else:
            key, shown = status.as_json(item), item
        if key in seen:
            yield status.duplicate(f"{where}[{index}]", shown)
        seen.add(key)


def list_errors(schema: Schema, value: Any, path: str = "") -> Iterator[FieldError]:
    """What keeps the elements of sets and map lists from being told apart, which server-side apply has to do."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from list_errors(schema.value_of(key), below, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        relation = schema.relation(value)
        yield from _uniqueness(schema, value, path)
        for index, item in enumerate(value):
            place = f"{path}[{index}]"
            if relation == "set" and (item is None or isinstance(item, dict | list)):
                yield status.type_invalid(place, status.OMIT, "an element of a set is a scalar")
            elif relation == "map" and (not isinstance(item, dict) or list_key(schema, item) == "{}"):
                yield status.required(place, f"an element needs {', '.join(schema.list_keys)}")
            yield from list_errors(schema.element(), item, place)


def _alternatives(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    where = path or "<nil>"
    for way, nodes in schema.alternatives.items():
        found = [list(_validate(node, value, None, path)) for node in nodes]
        fitting = sum(not errors for errors in found)
        if way == "allOf" and fitting < len(nodes):
            yield from (error for errors in found for error in errors)
            yield _not(where, _shown(value), "must validate all the schemas (allOf)")
        elif way == "anyOf" and not fitting:
            yield from found[0]
            yield _not(where, _shown(value), "must validate at least one schema (anyOf)")
        elif way == "oneOf" and fitting != 1:
            yield from () if fitting else found[0]
            yield _not(where, _shown(value), "must validate one and only one schema (oneOf)")
        elif way == "not" and fitting:
            yield _not(where, _shown(value), "must not validate the schema (not)")


def _shown(value: Any) -> Any:
    return "" if isinstance(value, dict | list) else value


def _not(where: str, value: Any, what: str) -> FieldError:
    return status.invalid_value(where, value, f"{where} in body {what}")


def same(one: Any, other: Any) -> bool:
    """JSON equality: as in Python, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(below, other[key]) for key, below in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)
