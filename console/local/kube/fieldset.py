"""Sets of fields, as managedFields records them (FieldsV1; KEP-555, sigs.k8s.io/structured-merge-diff).

A path is a tuple of elements, each in its serialised form: ``f:spec`` (a field), ``k:{"name":"http"}`` (an element
of a map list), ``v:"a"`` (an element of a set).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from console.local.kube.schema import Schema
from console.local.kube.status import as_json

Path = tuple[str, ...]


class FieldSet:
    """A set of paths. That a path is a member says nothing of the paths above or below it.

    Sets are values: no method changes one but `insert`, which only their makers use.
    """

    __slots__ = ("children", "members")

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.children: dict[str, FieldSet] = {}

    @classmethod
    def of(cls, *paths: Path) -> FieldSet:
        made = cls()
        for path in paths:
            made.insert(path)
        return made

    def insert(self, path: Path) -> None:
        """Add a path; the empty one, which is the whole object, is not tracked."""
        node = self
        for element in path[:-1]:
            node = node.children.setdefault(element, FieldSet())
        if path:
            node.members.add(path[-1])

    def __bool__(self) -> bool:
        return bool(self.members) or any(self.children.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and set(self.paths()) == set(other.paths())

    def __hash__(self) -> int:
        return hash(frozenset(self.paths()))

    def paths(self) -> Iterator[Path]:
        """All members, in a stable order."""
        for element in sorted(self.members | self.children.keys()):
            if element in self.members:
                yield (element,)
            if element in self.children:
                for below in self.children[element].paths():
                    yield (element, *below)

    def below(self, element: str) -> FieldSet:
        return self.children.get(element, _EMPTY)

    def union(self, other: FieldSet) -> FieldSet:
        made = FieldSet()
        made.members = self.members | other.members
        for element in self.children.keys() | other.children.keys():
            made.children[element] = self.below(element).union(other.below(element))
        return made

    def difference(self, other: FieldSet) -> FieldSet:
        """What is in this set only; a parent and its children are told apart."""
        made = FieldSet()
        made.members = self.members - other.members
        for element, below in self.children.items():
            rest = below.difference(other.below(element))
            if rest:
                made.children[element] = rest
        return made

    def without(self, other: FieldSet) -> FieldSet:
        """The difference, with everything below the other's members gone too."""
        made = FieldSet()
        made.members = self.members - other.members
        for element, below in self.children.items():
            if element not in other.members:
                rest = below.without(other.below(element))
                if rest:
                    made.children[element] = rest
        return made

    def intersection(self, other: FieldSet) -> FieldSet:
        made = FieldSet()
        made.members = self.members & other.members
        for element in self.children.keys() & other.children.keys():
            shared = self.children[element].intersection(other.children[element])
            if shared:
                made.children[element] = shared
        return made

    def with_named_fields(self, schema: Schema) -> FieldSet:
        """The set with every declared field that leads to a member as a member: ``spec`` with ``spec.rules``.

        The keys of maps and the elements of lists are not declared: they belong to somebody only by themselves.
        """
        made = FieldSet()
        made.members = set(self.members)
        for element, below in self.children.items():
            if element.startswith("f:"):
                if element[2:] in schema.properties:
                    made.members.add(element)
                node = schema.value_of(element[2:])
            else:
                node = schema.element()
            made.children[element] = below.with_named_fields(node)
        return made

    def to_json(self) -> dict[str, Any]:
        """The FieldsV1 form."""
        made: dict[str, Any] = {}
        for element in sorted(self.members | self.children.keys()):
            below = self.below(element)
            inner = below.to_json() if below else {}
            made[element] = {".": {}, **inner} if element in self.members and inner else inner
        return made

    @classmethod
    def from_json(cls, raw: Any) -> FieldSet:
        """Raises ValueError where it is not the FieldsV1 form."""
        made = cls()
        if not isinstance(raw, Mapping):
            raise ValueError("fieldsV1 is not an object")
        for text, inner in raw.items():
            if text == ".":
                continue
            element = _canonical(text)
            below = cls.from_json(inner)
            if below:
                made.children[element] = below
            if "." in inner or not below:
                made.members.add(element)
        return made


_EMPTY = FieldSet()


def _canonical(text: str) -> str:
    kind, content = text[:2], text[2:]
    if kind in ("f:", "i:"):
        return text
    if kind == "v:":
        return f"v:{as_json(json.loads(content))}"
    if kind == "k:":
        return f"k:{as_json(dict(sorted(json.loads(content).items())))}"
    raise ValueError(f"{text!r} is not a path element")


def shown(path: Path) -> str:
    """A path as messages name it: ``.spec.listeners[name="http"].port``."""
    parts = []
    for element in path:
        kind, content = element[:2], element[2:]
        if kind == "f:":
            parts.append(f".{content}")
        elif kind == "k:":
            keys = json.loads(content)
            parts.append("[" + ",".join(f"{name}={as_json(value)}" for name, value in sorted(keys.items())) + "]")
        elif kind == "v:":
            parts.append(f"[={content}]")
        else:
            parts.append(f"[{content}]")
    return "".join(parts)
