"""Structural schemas: pruning, defaulting, validation."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.local.kube.normal import apply_defaults, drop_nulls, prune
from console.local.kube.schema import Schema, without_descriptions
from console.local.kube.validation import list_errors, same, validate


def errors(raw: dict[str, Any], value: Any, old: Any = None) -> list[str]:
    return [str(one) for one in validate(Schema(raw), value, old, "spec")]


@pytest.mark.parametrize(
    ("raw", "value", "message"),
    [
        ({"type": "string"}, 1, 'spec: Invalid value: "integer": spec in body must be of type string: "integer"'),
        ({"type": "integer"}, "1", 'spec: Invalid value: "string": spec in body must be of type integer: "string"'),
        ({"type": "integer"}, 1.5, 'spec: Invalid value: "number": spec in body must be of type integer: "number"'),
        ({"type": "boolean"}, 1, 'spec: Invalid value: "integer": spec in body must be of type boolean: "integer"'),
        ({"type": "integer"}, True, 'spec: Invalid value: "boolean": spec in body must be of type integer: "boolean"'),
        ({"type": "object"}, [], 'spec: Invalid value: "array": spec in body must be of type object: "array"'),
        ({"type": "array"}, None, 'spec: Invalid value: "null": spec in body must be of type array: "null"'),
        (
            {"x-kubernetes-int-or-string": True},
            1.5,
            'spec: Invalid value: "number": spec in body must be of type integer,string: "number"',
        ),
        ({"type": "object", "required": ["a"]}, {}, "spec.a: Required value"),
        ({"enum": ["a", "b"]}, "c", 'spec: Unsupported value: "c": supported values: "a", "b"'),
        ({"pattern": "^a+$"}, "b", "spec: Invalid value: \"b\": spec in body should match '^a+$'"),
        ({"maxLength": 2}, "abc", "spec: Too long: may not be more than 2 bytes"),
        ({"minLength": 2}, "a", 'spec: Invalid value: "a": spec in body should be at least 2 chars long'),
        ({"maxItems": 1}, [1, 2], "spec: Too many: 2: must have at most 1 item"),
        ({"minItems": 1}, [], "spec: Invalid value: 0: spec in body should have at least 1 items"),
        ({"maxProperties": 1}, {"a": 1, "b": 2}, "spec: Too many: 2: must have at most 1 item"),
        ({"minProperties": 1}, {}, "spec: Invalid value: 0: spec in body should have at least 1 properties"),
        ({"maximum": 5}, 6, "spec: Invalid value: 6: spec in body should be less than or equal to 5"),
        ({"maximum": 5, "exclusiveMaximum": True}, 5, "spec: Invalid value: 5: spec in body should be less than 5"),
        ({"minimum": 1}, 0, "spec: Invalid value: 0: spec in body should be greater than or equal to 1"),
        ({"minimum": 1, "exclusiveMinimum": True}, 1, "spec: Invalid value: 1: spec in body should be greater than 1"),
        ({"multipleOf": 2}, 3, "spec: Invalid value: 3: spec in body should be a multiple of 2"),
        (
            {"format": "int32"},
            1 << 31,
            f"spec: Invalid value: {1 << 31}: spec in body must be of type int32: {1 << 31}",
        ),
        (
            {"format": "date-time"},
            "yesterday",
            'spec: Invalid value: "yesterday": spec in body must be of type date-time: "yesterday"',
        ),
        ({"format": "ipv4"}, "::1", 'spec: Invalid value: "::1": spec in body must be of type ipv4: "::1"'),
        ({"format": "byte"}, "*", 'spec: Invalid value: "*": spec in body must be of type byte: "*"'),
        ({"x-kubernetes-list-type": "set"}, ["a", "a"], 'spec[1]: Duplicate value: "a"'),
        (
            {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]},
            [{"n": 1, "v": 1}, {"n": 1, "v": 2}],
            'spec[1]: Duplicate value: {"n":1}',
        ),
        (
            {"properties": {"a": {"items": {"type": "string"}}}},
            {"a": ["x", 1]},
            'spec.a[1]: Invalid value: "integer": spec.a[1] in body must be of type string: "integer"',
        ),
        (
            {"additionalProperties": {"type": "string"}},
            {"k": 1},
            'spec.k: Invalid value: "integer": spec.k in body must be of type string: "integer"',
        ),
        (
            {"not": {"required": ["a"]}},
            {"a": 1},
            'spec: Invalid value: "": spec in body must not validate the schema (not)',
        ),
    ],
)
def test_what_does_not_fit(raw: dict[str, Any], value: Any, message: str) -> None:
    assert errors(raw, value) == [message]


def test_alternatives() -> None:
    either = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert errors(either, 1) == errors(either, "a") == []
    assert errors(either, True)[-1].endswith("must validate at least one schema (anyOf)")
    one = {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert errors(one, {"a": 1}) == []
    assert errors(one, {"a": 1, "b": 1})[-1].endswith("must validate one and only one schema (oneOf)")
    both = {"allOf": [{"maxLength": 3}, {"pattern": "^a"}]}
    assert errors(both, "ab") == []
    assert len(errors(both, "bbbb")) == 3


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ({"type": "number"}, 1),
        ({"type": "integer"}, 1.0),
        ({"type": "string", "nullable": True}, None),
        ({"x-kubernetes-int-or-string": True}, "80"),
        ({"format": "date-time"}, "2026-01-01T00:00:00.123+02:00"),
        ({"format": "unknown"}, "x"),
        ({"maxLength": 3}, "äöü"),
        ({"enum": [1]}, 1.0),
        ({"pattern": "b"}, "abc"),
    ],
)
def test_what_fits(raw: dict[str, Any], value: Any) -> None:
    assert errors(raw, value) == []


def test_what_was_wrong_before_may_stay() -> None:
    raw = {
        "properties": {
            "a": {"maxLength": 1},
            "l": {
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n"],
                "items": {"properties": {"v": {"maximum": 1}}},
            },
        }
    }
    old = {"a": "long", "l": [{"n": 1, "v": 9}, {"n": 2, "v": 1}]}
    assert errors(raw, {**old, "b": 1}, old) == []
    changed = {"a": "long", "l": [{"n": 2, "v": 5}, {"n": 1, "v": 9}]}
    assert errors(raw, changed, old) == [
        "spec.l[0].v: Invalid value: 5: spec.l[0].v in body should be less than or equal to 1"
    ]
    assert len(errors(raw, {**old, "a": "longer"}, old)) == 1


def test_true_is_not_one() -> None:
    assert not same(True, 1)
    assert not same([{"a": False}], [{"a": 0}])
    assert same({"a": [1.0]}, {"a": [1]})


PRUNED = {
    "properties": {
        "a": {},
        "open": {"x-kubernetes-preserve-unknown-fields": True, "properties": {"in": {"properties": {"x": {}}}}},
        "list": {"items": {"properties": {"x": {}}}},
        "map": {"additionalProperties": {"properties": {"x": {}}}},
        "embedded": {"x-kubernetes-embedded-resource": True, "properties": {"spec": {}}},
    }
}


def test_unknown_fields_are_pruned_and_named() -> None:
    value = {
        "a": 1,
        "b": 2,
        "open": {"any": 1, "in": {"x": 1, "y": 2}},
        "list": [{"x": 1}, {"y": 2}],
        "map": {"k": {"x": 1, "y": 2}},
        "embedded": {"kind": "K", "metadata": {}, "spec": 1, "other": 1},
    }
    gone = prune(Schema(PRUNED), value)
    assert gone == ["b", "open.in.y", "list[1].y", "map.k.y", "embedded.other"]
    assert value == {
        "a": 1,
        "open": {"any": 1, "in": {"x": 1}},
        "list": [{"x": 1}, {}],
        "map": {"k": {"x": 1}},
        "embedded": {"kind": "K", "metadata": {}, "spec": 1},
    }


def test_defaults_are_filled_in_all_the_way_down() -> None:
    raw = {
        "properties": {
            "a": {"default": {"b": 1}, "properties": {"c": {"default": [2]}}},
            "l": {"items": {"properties": {"d": {"default": "x"}}}},
            "n": {"default": 3},
            "nn": {"default": 4, "nullable": True},
        }
    }
    schema = Schema(raw)
    value: dict[str, Any] = {"l": [{}, {"d": "y"}], "n": None, "nn": None}
    apply_defaults(schema, value)
    assert value == {"l": [{"d": "x"}, {"d": "y"}], "n": 3, "nn": None, "a": {"b": 1, "c": [2]}}
    value["a"]["c"].append(5)
    other: dict[str, Any] = {}
    apply_defaults(schema, other)
    assert other["a"] == {"b": 1, "c": [2]}


def test_nulls_of_fields_that_may_not_be_null_go() -> None:
    schema = Schema(
        {"properties": {"a": {"type": "string"}, "b": {"type": "string", "nullable": True}, "c": {"default": 1}}}
    )
    value = {"a": None, "b": None, "c": None, "unknown": None}
    drop_nulls(schema, value)
    assert value == {"b": None, "c": None, "unknown": None}


def test_an_apply_must_tell_list_elements_apart() -> None:
    schema = Schema(
        {
            "properties": {
                "m": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]},
                "s": {"x-kubernetes-list-type": "set"},
            }
        }
    )
    found = [str(one) for one in list_errors(schema, {"m": [{}, "x", {"n": 1}, {"n": 1}], "s": [{}, None, "a"]})]
    assert any(text.startswith("m[0]: Required") for text in found)
    assert any(text.startswith("m[1]: Required") for text in found)
    assert any(text.startswith("m[3]: Duplicate") for text in found)
    assert any(text.startswith("s[0]:") for text in found)
    assert any(text.startswith("s[1]:") for text in found)


def test_descriptions_go_but_a_field_of_that_name_stays() -> None:
    raw = {
        "description": "x",
        "properties": {"description": {"type": "string", "description": "y"}},
        "default": {"description": "z"},
    }
    assert without_descriptions(raw) == {
        "properties": {"description": {"type": "string"}},
        "default": {"description": "z"},
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("a", "open", "list", "map", "m", "s", "n")), inner, max_size=4)
    ),
    max_leaves=12,
)
STRICT = {
    **PRUNED,
    "type": "object",
    "properties": {
        **PRUNED["properties"],
        "m": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["n"],
            "maxItems": 2,
            "items": {"type": "object", "required": ["n"]},
        },
        "s": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string", "minLength": 1}},
        "n": {"type": "integer", "default": 1, "minimum": 0, "format": "int32"},
    },
}


@given(JSON, JSON)
def test_no_value_makes_validation_fail_in_another_way(value: Any, old: Any) -> None:
    schema = Schema(STRICT)
    before = copy.deepcopy(value)
    assert validate(schema, value, old) is not None
    assert validate(schema, value, value) == [] or value is None
    assert same(value, before)
    prune(schema, value)
    drop_nulls(schema, value)
    apply_defaults(schema, value)
    assert prune(schema, value) == []
    list(list_errors(schema, value))
