"""Label and field selectors, as they stand in a query string.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from console.local.kube import status

Labels = Mapping[str, str]
_LABEL_KEY = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")

_LONGEST_KEY = 253 + 1 + 63


def is_label_key(key: str) -> bool:
    """An optional DNS prefix and a name (a "qualified name")."""
    return len(key) <= _LONGEST_KEY and len(key.rpartition("/")[0]) <= 253 and _LABEL_KEY.fullmatch(key) is not None


_TOKEN = re.compile(r"\s*(?:(==|!=|=|!|,|\(|\)|>|<)|([^\s=!,()<>]+))")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. ``values`` are the accepted or refused ones."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Labels) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        bound = next(iter(self.values))
        if value is None or not _is_integer(value):
            return False
        return int(value) > int(bound) if self.operator == ">" else int(value) < int(bound)


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"-?\d{1,18}", text) is not None


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All of some requirements; without any it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Labels) -> bool:
        return all(one.matches(labels) for one in self.requirements)


def parse_labels(text: str) -> LabelSelector:
    """``a=b,c!=d,e in (f,g),h notin (i),j,!k``; raises `ApiError` 400."""
    return LabelSelector(tuple(_Parser(text).requirements()))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._at = 0

    def _split(self) -> list[str]:
        tokens, position, text = [], 0, self._text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:  # cannot be: every character is in one class or the other
                raise self._unparsable("unexpected character")
            tokens.append(found[1] or found[2])
            position = found.end()
        return tokens

    def _unparsable(self, why: str) -> status.ApiError:
        return status.bad_request(f'unable to parse requirement: {why} in label selector "{self._text}"')

    def _next(self, *, expected: str) -> str:
        if self._at >= len(self._tokens):
            raise self._unparsable(f"expected {expected}, found the end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self._peek():
            found.append(self._requirement())
            if self._peek():
                if self._next(expected=",") != ",":
                    raise self._unparsable(f"found '{self._tokens[self._at - 1]}', expected ','")
                if not self._peek():
                    raise self._unparsable("a requirement is missing after ','")
        return found

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._next(expected="!")
            return Requirement(self._key(), "!")
        key = self._key()
        operator = self._peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self._next(expected="an operator")
        match operator:
            case "=" | "==":
                return Requirement(key, "in", frozenset({self._value()}))
            case "!=":
                return Requirement(key, "notin", frozenset({self._value()}))
            case "in" | "notin":
                return Requirement(key, operator, self._values())
            case ">" | "<":
                value = self._value()
                if not _is_integer(value):
                    raise self._unparsable(f"{operator} needs an integer")
                return Requirement(key, operator, frozenset({value}))
            case _:
                raise self._unparsable(f"found '{operator}', expected one of: in, notin, =, ==, !=, >, <")

    def _key(self) -> str:
        key = self._next(expected="a label name")
        if not is_label_key(key):
            raise self._unparsable(f"'{key}' is not a label name")
        return key

    def _value(self) -> str:
        if self._peek() in ("", ","):
            return ""
        return self._checked(self._next(expected="a label value"))

    def _values(self) -> frozenset[str]:
        if self._next(expected="(") != "(":
            raise self._unparsable("expected '('")
        values = set()
        while True:
            if self._peek() in (",", ")"):
                values.add("")
            else:
                values.add(self._checked(self._next(expected="a label value")))
            following = self._next(expected=", or )")
            if following == ")":
                return frozenset(values)
            if following != ",":
                raise self._unparsable(f"found '{following}', expected ',' or ')'")

    def _checked(self, value: str) -> str:
        if not LABEL_VALUE.fullmatch(value):
            raise self._unparsable(f"'{value}' is not a label value")
        return value


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All of some conditions on fields: path, wanted value, whether it has to be equal."""

    terms: tuple[tuple[str, str, bool], ...] = ()

    def matches(self, field_of: Callable[[str], str]) -> bool:
        return all((field_of(path) == value) is equal for path, value, equal in self.terms)


def parse_fields(text: str, supported: frozenset[str]) -> FieldSelector:
    """``metadata.name=a,metadata.namespace!=b``; raises `ApiError` 400, also for a field that cannot be selected."""
    terms = []
    for part in text.split(",") if text.strip() else ():
        found = re.fullmatch(r"\s*([A-Za-z0-9_.\-\[\]/]+)\s*(==|=|!=)\s*(.*?)\s*", part)
        if found is None:
            raise status.bad_request(f"invalid field selector {part!r}; can't understand it")
        path, operator, value = found.groups()
        if path not in supported:
            raise status.bad_request(f"field label not supported: {path}")
        terms.append((path, value, operator != "!="))
    return FieldSelector(tuple(terms))
