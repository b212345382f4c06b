"""Objects and the fields in them: which fields an object has, how two objects differ, what one becomes merged
with another or with fields taken out.

The rules are those of sigs.k8s.io/structured-merge-diff (typed/merge, compare, remove, tofieldset): maps are
granular, lists are atomic unless the schema makes them sets or map lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from console.local.kube.fieldset import FieldSet, Path
from console.local.kube.schema import Schema
from console.local.kube.status import as_json
from console.local.kube.validation import list_key, same

ABSENT: Final = object()


def element_of(schema: Schema, item: Any) -> str:
    """The path element of an element of a set or a map list."""
    if schema.relation([]) == "map" and isinstance(item, dict):
        return f"k:{list_key(schema, item)}"
    return f"v:{as_json(item)}"


def _is_leaf(schema: Schema, *values: Any) -> bool:
    """Whether these values of one place are compared and merged as a whole.

    Empty ones are, which keeps an empty map apart from a missing one.
    """
    present = [value for value in values if value is not ABSENT and value is not None]
    return (
        not any(present)
        or any(schema.relation(value) == "atomic" for value in present)
        or len({type(value) for value in present}) > 1
    )


# --- the fields of an object -----------------------------------------------------------------------------------


def fields_of(schema: Schema, value: Any) -> FieldSet:
    """What an apply configuration claims: its leaves, its map keys, the elements of its sets and map lists."""
    made = FieldSet()
    _collect(schema, value, (), made)
    return made


def _collect(schema: Schema, value: Any, path: Path, made: FieldSet) -> None:
    if schema.relation(value) == "atomic":
        made.insert(path)
    elif isinstance(value, dict):
        for key, below in value.items():
            here = (*path, f"f:{key}")
            _collect(schema.value_of(key), below, here, made)
            if below is None or below == {} or key not in schema.properties:
                made.insert(here)
    else:
        for item in value:
            here = (*path, element_of(schema, item))
            _collect(schema.element(), item, here, made)
            made.insert(here)


# --- the difference between two objects ------------------------------------------------------------------------


@dataclass(slots=True)
class Difference:
    """Which fields the new object has more, which have another value, and which are gone."""

    added: FieldSet = field(default_factory=FieldSet)
    modified: FieldSet = field(default_factory=FieldSet)
    removed: FieldSet = field(default_factory=FieldSet)

    def without(self, ignored: FieldSet) -> Difference:
        return Difference(self.added.without(ignored), self.modified.without(ignored), self.removed.without(ignored))


def compare(schema: Schema, old: Any, new: Any) -> Difference:
    made = Difference()
    _compare(schema, old, new, (), made)
    return made


def _compare(schema: Schema, old: Any, new: Any, path: Path, made: Difference) -> None:
    if old is ABSENT:
        made.added.insert(path)
    elif new is ABSENT:
        made.removed.insert(path)
    if _is_leaf(schema, old, new):
        if old is not ABSENT and new is not ABSENT and not same(old, new):
            made.modified.insert(path)
        return
    if isinstance(old, dict) or isinstance(new, dict):
        one, other = _members(old), _members(new)
        for key in one.keys() | other.keys():
            _compare(schema.value_of(key), one.get(key, ABSENT), other.get(key, ABSENT), (*path, f"f:{key}"), made)
        return
    before, after = _elements(schema, old), _elements(schema, new)
    for element in before.keys() | after.keys():
        one_list, other_list = before.get(element, []), after.get(element, [])
        here = (*path, element)
        if len(one_list) > 1 or len(other_list) > 1:  # only a plain update can leave duplicates: they are one field
            if not same(one_list, other_list):
                (made.modified if one_list and other_list else made.added if other_list else made.removed).insert(here)
            continue
        one_item = one_list[0] if one_list else ABSENT
        other_item = other_list[0] if other_list else ABSENT
        _compare(schema.element(), one_item, other_item, here, made)


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _elements(schema: Schema, value: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in value if isinstance(value, list) else ():
        found.setdefault(element_of(schema, item), []).append(item)
    return found


# --- merging ---------------------------------------------------------------------------------------------------


def merge(schema: Schema, live: Any, config: Any) -> Any:
    """The live object with an apply configuration laid over it; shares parts with both."""
    if config is ABSENT:
        return live
    if live is ABSENT or _is_leaf(schema, live, config):
        return config
    if isinstance(config, dict) or isinstance(live, dict):
        one, other = _members(live), _members(config)
        keys = [*one, *(key for key in other if key not in one)]
        return {key: merge(schema.value_of(key), one.get(key, ABSENT), other.get(key, ABSENT)) for key in keys}
    return _merge_lists(schema, live or [], config or [])


def _merge_lists(schema: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    """Elements that both have are merged and stand in the configuration's order; the live object's others keep
    their places among them."""
    wanted = {element_of(schema, item): item for item in config}
    current = [(element_of(schema, item), item) for item in live]
    by_element = dict(current)
    pending = list(wanted)
    shared = [element for element in wanted if element in by_element]
    merged: list[Any] = []
    for element, item in current:
        if element not in wanted:
            merged.append(item)
        elif shared and element == shared[0]:  # another shared element waits for its turn
            shared.pop(0)
            upto = pending.index(element) + 1
            merged += (merge(schema.element(), by_element.get(one, ABSENT), wanted[one]) for one in pending[:upto])
            del pending[:upto]
    merged += (merge(schema.element(), by_element.get(one, ABSENT), wanted[one]) for one in pending)
    return merged


# --- taking fields out -----------------------------------------------------------------------------------------


def remove(schema: Schema, value: Any, fields: FieldSet, *, wanted: FieldSet, itself: bool = False) -> Any:
    """The value without the members of a set and all below them; ABSENT where nothing is left.

    Nothing is taken out of what is atomic. What becomes empty stays, empty, where it is ``wanted`` as such
    (``itself`` says so of the value at hand).
    """
    if not value or schema.relation(value) == "atomic":
        return value
    if isinstance(value, dict):
        kept = {}
        for key, below in value.items():
            left = _left(schema.value_of(key), below, f"f:{key}", fields, wanted)
            if left is not ABSENT:
                kept[key] = left
        return kept if kept or itself else ABSENT
    items = [_left(schema.element(), item, element_of(schema, item), fields, wanted) for item in value]
    left_items = [item for item in items if item is not ABSENT]
    return left_items if left_items or itself else ABSENT


def _left(schema: Schema, value: Any, element: str, fields: FieldSet, wanted: FieldSet) -> Any:
    if element in fields.members:
        return ABSENT
    below = fields.below(element)
    if not below:
        return value
    return remove(schema, value, below, wanted=wanted.below(element), itself=element in wanted.members)
