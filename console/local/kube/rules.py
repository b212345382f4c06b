"""``x-kubernetes-validations``: the rules in CEL that a schema attaches to its nodes.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from console.local.kube import status
from console.local.kube.cel import Program, Unsupported, compile_expression
from console.local.kube.cel_functions import CelError, duration, timestamp
from console.local.kube.schema import Schema
from console.local.kube.status import OMIT, FieldError
from console.local.kube.validation import correlated, same


def violations(schema: Schema, value: Any, old: Any = None, path: str = "") -> Iterator[FieldError]:
    """The rules that a value breaks; ``old`` is the stored value of the same place, None where there is none.

    A rule that names ``oldSelf`` is asked only where there is an old value. Any other is not asked about a value
    that did not change (ratcheting). A rule that cannot be compiled is broken by every value.
    """
    if value is None:
        return
    if schema.rules:
        yield from _of_node(schema, value, old, path)
    for node in schema.alternatives.get("allOf", ()):
        yield from violations(node, value, old, path)
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for key, below in value.items():
            node_below = schema.property(key)
            if node_below is not None:
                yield from violations(node_below, below, before.get(key), f"{path}.{key}" if path else key)
            elif schema.additional is not None:
                yield from violations(schema.additional, below, before.get(key), f"{path}[{key}]")
    elif isinstance(value, list) and schema.items is not None:
        olds = correlated(schema, old)
        for index, item in enumerate(value):
            yield from violations(schema.items, item, olds(item), f"{path}[{index}]")


def _of_node(schema: Schema, value: Any, old: Any, path: str) -> Iterator[FieldError]:
    unchanged = old is not None and same(value, old)
    variables: dict[str, Any] | None = None
    for rule in schema.rules:
        try:
            program = compiled(rule)
        except Unsupported as problem:
            yield status.invalid_value(
                path or "<nil>", schema.type, f"rule compile error: {problem}: {rule.get('rule')}"
            )
            continue
        transition = "oldSelf" in program.names
        if (transition and old is None) or (unchanged and not transition):
            continue
        if variables is None:
            variables = {"self": _typed(schema, value), "oldSelf": _typed(schema, old)}
        broken = _broken(rule, program, variables, schema, value, path)
        if broken is not None:
            yield broken


def _broken(
    rule: Mapping[str, Any], program: Program, variables: dict[str, Any], schema: Schema, value: Any, path: str
) -> FieldError | None:
    where = (path + str(rule.get("fieldPath", ""))).removeprefix(".") or "<nil>"
    try:
        if program.evaluate(variables) is True:
            return None
    except CelError as problem:
        text = rule.get("message") or rule["rule"]
        return status.invalid_value(where, schema.type, f"{problem} evaluating rule: {text}")
    reason = rule.get("reason", "FieldValueInvalid")
    shown = OMIT if isinstance(value, dict | list) else value
    return FieldError(reason, where, shown, _message(rule, variables))


def _message(rule: Mapping[str, Any], variables: dict[str, Any]) -> str:
    if rule.get("messageExpression"):
        try:
            text = compile_expression(rule["messageExpression"]).evaluate(variables)
        except (CelError, Unsupported):
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text.strip()
    return str(rule.get("message") or f"failed rule: {rule['rule']}").strip()


def compiled(rule: Mapping[str, Any]) -> Program:
    """The program of a rule; raises `Unsupported`."""
    if rule.get("optionalOldSelf"):
        raise Unsupported("optionalOldSelf is not supported")
    program = compile_expression(rule["rule"])
    unknown = program.names - {"self", "oldSelf"}
    if unknown:
        raise Unsupported(f"undeclared reference to {', '.join(sorted(unknown))}")
    if rule.get("messageExpression"):
        compile_expression(rule["messageExpression"])
    return program


def unsupported(raw: Any, path: str = "") -> Iterator[str]:
    """Every rule of a schema (as JSON) that this evaluator cannot evaluate, with its place and why."""
    if isinstance(raw, list):
        for one in raw:
            yield from unsupported(one, path)
        return
    if not isinstance(raw, Mapping):
        return
    for rule in raw.get("x-kubernetes-validations") or ():
        try:
            compiled(rule)
        except (Unsupported, KeyError, TypeError) as problem:
            yield f"{path or '<root>'}: {problem}"
    for name, one in (raw.get("properties") or {}).items():
        yield from unsupported(one, f"{path}.{name}" if path else name)
    for key, suffix in (("items", "[]"), ("additionalProperties", "{}"), ("allOf", "")):
        yield from unsupported(raw.get(key), path + suffix)


_CONVERSIONS: Mapping[str, Callable[[str], Any]] = {
    "date-time": timestamp,
    "duration": duration,
    "byte": base64.b64decode,
}


def _typed(schema: Schema, value: Any) -> Any:
    """The value as CEL sees it: text whose format is a time, a duration or bytes is of that type."""
    return _converted(schema.raw, value) if value is not None and schema.has_typed_text else value


def _converted(raw: Any, value: Any) -> Any:
    if not isinstance(raw, Mapping):
        return value
    if isinstance(value, str) and raw.get("format") in _CONVERSIONS:
        try:
            return _CONVERSIONS[raw["format"]](value)
        except (CelError, ValueError):
            return value
    if isinstance(value, list):
        return [_converted(raw.get("items"), one) for one in value]
    if isinstance(value, dict):
        properties = raw.get("properties") or {}
        rest = raw.get("additionalProperties")
        return {key: _converted(properties.get(key, rest), one) for key, one in value.items()}
    return value
