"""JSON merge patch, JSON patch and strategic merge patch."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.local.kube.jsonpatch import DoesNotFit, json_patch, merge_patch
from console.local.kube.status import ApiError
from console.local.kube.strategic import strategic_patch


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7386, Appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7386(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 6902, Appendix A
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "q"}], {"foo": ["bar", "q", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        ({"foo": [1, 2, 3, 4]}, [{"op": "move", "from": "/foo/1", "path": "/foo/3"}], {"foo": [1, 3, 4, 2]}),
        (
            {"baz": "qux", "foo": ["a", 2]},
            [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
            {"baz": "qux", "foo": ["a", 2]},
        ),
        ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"g": {}}}], {"foo": "bar", "child": {"g": {}}}),
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "q", "xyz": 123}], {"foo": "bar", "baz": "q"}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
        ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": 1, "b": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": 1}, [{"op": "add", "path": "/a", "value": None}], {"a": None}),
    ],
)
def test_the_examples_of_rfc_6902(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(target)
    assert json_patch(target, patch) == result
    assert target == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/baz", "value": "bar"},
        {"op": "test", "path": "/n", "value": True},
        {"op": "test", "path": "/~01", "value": "10"},
        {"op": "add", "path": "/nowhere/b", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/baz/x", "value": 1},
        {"op": "remove", "path": "/nothing"},
        {"op": "remove", "path": "/list/2"},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "replace", "path": "/list/-", "value": 1},
        {"op": "copy", "from": "/nothing", "path": "/a"},
        {"op": "move", "from": "/map", "path": "/map/a"},
    ],
)
def test_operations_that_do_not_fit(operation: dict[str, Any]) -> None:
    document = {"baz": "qux", "n": 1, "~1": 10, "list": [1, 2], "map": {"a": 1}}
    with pytest.raises(DoesNotFit):
        json_patch(document, [operation])


@pytest.mark.parametrize(
    "patch",
    [
        {},
        "x",
        [1],
        [{"op": "add"}],
        [{"op": "spam", "path": "/a"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "move", "path": "/a"}],
    ],
)
def test_malformed_patches_are_a_bad_request(patch: Any) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({"a": 1}, patch)
    assert caught.value.code == 400


def test_a_patch_may_not_be_endless() -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({}, [{"op": "test", "path": "", "value": {}}] * 10_001)
    assert caught.value.code == 413


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, JSON)
def test_merge_patches_are_idempotent_and_leave_the_target_alone(target: Any, patch: Any) -> None:
    before = copy.deepcopy(target)
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert target == before


@given(JSON, JSON)
def test_adding_and_removing_ends_where_it_began(target: Any, value: Any) -> None:
    document = {"k": target}
    patch = [{"op": "add", "path": "/new", "value": value}, {"op": "test", "path": "/new", "value": value}]
    assert json_patch(document, [*patch, {"op": "remove", "path": "/new"}]) == document


@given(
    JSON,
    st.lists(
        st.dictionaries(
            st.sampled_from(("op", "path", "from", "value")), JSON | st.sampled_from(("add", "move", "/a", "/", ""))
        )
    ),
)
def test_no_json_patch_fails_in_another_way(target: Any, operations: list[Any]) -> None:
    with contextlib.suppress(DoesNotFit, ApiError):
        json_patch(target, operations)


SERVICE = {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 443, "name": "b"}], "selector": {"x": "1"}}}


@pytest.mark.parametrize(
    ("patch", "spec"),
    [
        (
            {"ports": [{"port": 80, "name": "c"}]},
            {"ports": [{"port": 80, "name": "c"}, {"port": 443, "name": "b"}], "selector": {"x": "1"}},
        ),
        (
            {"ports": [{"port": 81}]},
            {"ports": [{"port": 80, "name": "a"}, {"port": 443, "name": "b"}, {"port": 81}], "selector": {"x": "1"}},
        ),
        (
            {"ports": [{"$patch": "delete", "port": 80}]},
            {"ports": [{"port": 443, "name": "b"}], "selector": {"x": "1"}},
        ),
        ({"ports": [{"$patch": "replace"}, {"port": 1}]}, {"ports": [{"port": 1}], "selector": {"x": "1"}}),
        (
            {"$setElementOrder/ports": [{"port": 443}, {"port": 80}], "ports": []},
            {"ports": [{"port": 443, "name": "b"}, {"port": 80, "name": "a"}], "selector": {"x": "1"}},
        ),
        ({"selector": None}, {"ports": SERVICE["spec"]["ports"]}),
        ({"selector": {"y": "2"}}, {"ports": SERVICE["spec"]["ports"], "selector": {"x": "1", "y": "2"}}),
        ({"selector": {"$patch": "replace", "y": "2"}}, {"ports": SERVICE["spec"]["ports"], "selector": {"y": "2"}}),
        ({"selector": {"$patch": "delete"}}, {"ports": SERVICE["spec"]["ports"], "selector": {}}),
        ({"$retainKeys": ["selector"], "type": "X"}, {"selector": {"x": "1"}, "type": "X"}),
    ],
)
def test_strategic_merge_patches(patch: Any, spec: Any) -> None:
    assert strategic_patch(SERVICE, {"spec": patch})["spec"] == spec


def test_finalizers_are_a_set() -> None:
    target = {"metadata": {"finalizers": ["a/b", "c/d"]}}
    made = strategic_patch(target, {"metadata": {"finalizers": ["a/b", "e/f"]}})
    assert made["metadata"]["finalizers"] == ["a/b", "c/d", "e/f"]
    made = strategic_patch(target, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}})
    assert made["metadata"]["finalizers"] == ["c/d"]


@pytest.mark.parametrize(
    "patch",
    [
        "x",
        {"spec": {"$patch": "spam"}},
        {"spec": {"ports": [{"name": "keyless"}]}},
        {"spec": {"ports": ["x"]}},
        {"spec": {"$retainKeys": 1}},
    ],
)
def test_malformed_strategic_patches(patch: Any) -> None:
    with pytest.raises(ApiError) as caught:
        strategic_patch(SERVICE, patch)
    assert caught.value.code == 400
