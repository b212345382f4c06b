"""Server-side apply: merging, ownership, conflicts; against a simple model of what it means."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.local.kube import ownership
from console.local.kube.fieldset import FieldSet, shown
from console.local.kube.merging import compare, fields_of, merge
from console.local.kube.ownership import Conflicts, Manager, Writer
from console.local.kube.schema import UNTYPED, Schema

Object = dict[str, Any]

SCHEMA = Schema.of_object(
    {
        "properties": {
            "spec": {
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {
                    "m": {"type": "object", "additionalProperties": {"type": "string"}},
                    "listeners": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "properties": {"name": {}, "port": {}}},
                    },
                    "ports": {
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port", "protocol"],
                        "items": {"properties": {"port": {}, "protocol": {"default": "TCP"}}},
                    },
                    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "atom": {"type": "object", "x-kubernetes-map-type": "atomic"},
                },
            },
        },
    }
)


def manifest(**spec: Any) -> Object:
    return {"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "spec": spec}


def applied(live: Object | None, config: Object, manager: str, *, force: bool = False, version: str = "g/v1") -> Object:
    writer = Writer(manager, version, "2026-01-01T00:00:00Z")
    made = ownership.apply(SCHEMA, live, copy.deepcopy(config), writer, force=force)
    made["metadata"]["uid"] = "u"
    return made


def updated(live: Object | None, new: Object, manager: str) -> Object:
    made = copy.deepcopy(new)
    ownership.record_update(SCHEMA, live, made, Writer(manager, "g/v1", "2026-01-02T00:00:00Z"))
    return made


def owned(content: Object) -> dict[str, set[str]]:
    return {
        f"{manager.name}/{manager.operation}": {shown(path) for path in one.fields.paths()}
        for manager, one in ownership.decode(content["metadata"].get("managedFields")).items()
    }


def test_an_apply_owns_what_it_names() -> None:
    made = applied(None, manifest(a=1, m={"k": "v"}, listeners=[{"name": "x", "port": 1}], set=["s"], l=[1]), "me")
    assert owned(made) == {
        "me/Apply": {
            ".spec.a",
            ".spec.m.k",
            '.spec.listeners[name="x"]',
            '.spec.listeners[name="x"].name',
            '.spec.listeners[name="x"].port',
            '.spec.set[="s"]',
            ".spec.l",
        }
    }


def test_the_recorded_form_is_fields_v1() -> None:
    made = applied(None, manifest(listeners=[{"name": "x", "port": 1}], m={}), "me")
    (entry,) = made["metadata"]["managedFields"]
    assert entry == {
        "manager": "me",
        "operation": "Apply",
        "apiVersion": "g/v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:spec": {
                "f:listeners": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:port": {}}},
                "f:m": {},
            }
        },
    }
    assert FieldSet.from_json(entry["fieldsV1"]).to_json() == entry["fieldsV1"]


def test_what_is_no_longer_applied_is_removed() -> None:
    first = applied(None, manifest(a=1, m={"k": "v", "l": "w"}, listeners=[{"name": "x"}, {"name": "y"}]), "me")
    second = applied(first, manifest(m={"k": "v"}, listeners=[{"name": "y"}]), "me")
    assert second["spec"] == {"m": {"k": "v"}, "listeners": [{"name": "y"}]}


def test_a_map_whose_last_key_goes_goes_too() -> None:
    first = applied(None, manifest(a=1, m={"k": "v"}), "me")
    assert applied(first, manifest(a=1), "me")["spec"] == {"a": 1}


def test_what_others_own_stays() -> None:
    live = applied(None, manifest(a=1, m={"k": "v"}), "one")
    live = applied(live, manifest(m={"k": "v", "l": "w"}), "two")
    live = applied(live, manifest(a=1), "one")
    assert live["spec"] == {"a": 1, "m": {"k": "v", "l": "w"}}
    assert owned(live) == {"one/Apply": {".spec.a"}, "two/Apply": {".spec.m.k", ".spec.m.l"}}


def test_an_element_of_a_map_list_is_shared_field_by_field() -> None:
    live = applied(None, manifest(listeners=[{"name": "x", "port": 1}]), "one")
    live = applied(live, manifest(listeners=[{"name": "x", "mode": "m"}]), "two")
    assert live["spec"]["listeners"] == [{"name": "x", "port": 1, "mode": "m"}]
    live = applied(live, manifest(a=1), "one")
    assert live["spec"]["listeners"] == [{"name": "x", "mode": "m"}]
    live = applied(live, manifest(b=1), "two")
    assert live["spec"] == {"a": 1, "b": 1}


def test_two_managers_may_agree() -> None:
    live = applied(None, manifest(a=1), "one")
    live = applied(live, manifest(a=1), "two")
    assert owned(live) == {"one/Apply": {".spec.a"}, "two/Apply": {".spec.a"}}
    live = applied(live, manifest(b=1), "one")
    assert live["spec"]["a"] == 1


def test_a_conflict_names_the_manager_and_the_field() -> None:
    live = applied(None, manifest(a=1, listeners=[{"name": "x", "port": 1}]), "one")
    with pytest.raises(Conflicts) as caught:
        applied(live, manifest(a=2), "two")
    problem = caught.value.as_error()
    assert problem.code == 409
    assert problem.message == 'Apply failed with 1 conflict: conflict with "one": .spec.a'
    assert problem.details == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.a"}]
    }
    with pytest.raises(Conflicts) as caught:
        applied(live, manifest(a=2, listeners=[{"name": "x", "port": 2}]), "two")
    assert caught.value.as_error().message == (
        'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.a\n- .spec.listeners[name="x"].port'
    )


def test_a_conflict_with_an_updater_names_the_version() -> None:
    live = updated(None, manifest(a=1), "kubectl-edit")
    live["metadata"]["uid"] = "u"
    with pytest.raises(Conflicts) as caught:
        applied(live, manifest(a=2), "me")
    assert caught.value.as_error().message.endswith('conflict with "kubectl-edit" using g/v1: .spec.a')


def test_force_takes_fields_over() -> None:
    live = applied(None, manifest(a=1, b=1), "one")
    live = applied(live, manifest(a=2), "two", force=True)
    assert live["spec"] == {"a": 2, "b": 1}
    assert owned(live) == {"one/Apply": {".spec.b"}, "two/Apply": {".spec.a"}}


def test_atomic_values_are_replaced_as_a_whole() -> None:
    live = applied(None, manifest(l=[{"a": 1}], atom={"x": 1}), "one")
    with pytest.raises(Conflicts) as caught:
        applied(live, manifest(l=[{"a": 1}, {"b": 1}], atom={"x": 1, "y": 2}), "two")
    assert [shown(path) for _manager, path in caught.value.found] == [".spec.atom", ".spec.l"]
    live = applied(live, manifest(l=[{"b": 1}], atom={"y": 2}), "one")
    assert live["spec"] == {"l": [{"b": 1}], "atom": {"y": 2}}


def test_keys_of_elements_may_have_defaults() -> None:
    live = applied(None, manifest(ports=[{"port": 80}]), "one")
    live = applied(
        live, manifest(ports=[{"port": 80, "protocol": "TCP", "name": "http"}, {"port": 80, "protocol": "UDP"}]), "two"
    )
    assert len(live["spec"]["ports"]) == 2
    assert '.spec.ports[port=80,protocol="TCP"]' in owned(live)["one/Apply"]


def test_what_an_apply_does_not_mention_keeps_its_order() -> None:
    live = [{"name": name} for name in "abcd"]
    config = [{"name": "x"}, {"name": "c", "port": 1}, {"name": "a"}]
    schema = SCHEMA.value_of("spec").value_of("listeners")
    assert [one["name"] for one in merge(schema, live, config)] == ["b", "x", "c", "d", "a"]


def test_an_update_takes_over_what_it_changes() -> None:
    live = applied(None, manifest(a=1, b=1), "one")
    live = updated(live, {**live, "spec": {"a": 2, "c": 3}}, "editor")
    assert owned(live) == {"editor/Update": {".spec.a", ".spec.c"}}


def test_an_update_that_changes_nothing_owns_nothing() -> None:
    live = applied(None, manifest(a=1), "one")
    assert owned(updated(live, copy.deepcopy(live), "editor")) == {"one/Apply": {".spec.a"}}


def test_a_creation_owns_containers_too() -> None:
    made = updated(None, manifest(m={"k": "v"}), "creator")
    assert owned(made) == {"creator/Update": {".spec", ".spec.m", ".spec.m.k"}}


def test_managed_fields_can_be_cleared_and_come_back_with_the_next_apply() -> None:
    live = applied(None, manifest(a=1, b=1), "one")
    live = updated(live, {**live, "metadata": {**live["metadata"], "managedFields": [{}]}}, "editor")
    assert "managedFields" not in live["metadata"]
    with pytest.raises(Conflicts) as caught:
        applied(live, manifest(a=2), "two")
    assert "before-first-apply" in caught.value.as_error().message


def test_at_most_ten_updaters_are_told_apart() -> None:
    live: Object = updated(None, manifest(), "creator")
    for number in range(15):
        live = updated(live, {**live, "spec": {**live["spec"], f"f{number}": 1}}, f"editor-{number}")
    updaters = [manager for manager in owned(live) if manager.endswith("/Update")]
    assert len(updaters) == 10
    assert ".spec.f0" in owned(live)["ancient-changes/Update"]


def test_kubectl_may_change_from_client_side_to_server_side_apply() -> None:
    old = manifest(a=1)
    live = updated(None, old, "kubectl-client-side-apply")
    live["metadata"]["uid"] = "u"
    live["metadata"]["annotations"] = {ownership.LAST_APPLIED: json.dumps(old)}
    made = applied(live, manifest(a=2), "kubectl")
    assert made["spec"] == {"a": 2}
    assert json.loads(made["metadata"]["annotations"][ownership.LAST_APPLIED])["spec"] == {"a": 2}
    with pytest.raises(Conflicts):
        applied(live, manifest(a=2), "another")


def test_malformed_entries_are_refused() -> None:
    for entries in ([{"operation": "Other"}], ["text"], [{"operation": "Apply", "fieldsV1": {"x:": {}}}], [{}]):
        with pytest.raises(ValueError):
            ownership.decode(entries)


def test_a_second_equal_apply_changes_nothing() -> None:
    first = applied(None, manifest(a=1, listeners=[{"name": "x"}]), "me")
    writer = Writer("me", "g/v1", "2027-01-01T00:00:00Z")
    assert ownership.apply(SCHEMA, first, manifest(a=1, listeners=[{"name": "x"}]), writer, force=False) == first


# --- against a model -------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "a": st.integers(0, 2),
        "b": st.integers(0, 2),
        "m": st.dictionaries(st.sampled_from(NAMES), st.sampled_from("xy"), min_size=1),
        "set": st.lists(st.sampled_from(NAMES), unique=True, min_size=1),
        "listeners": st.dictionaries(st.sampled_from(NAMES), st.none() | st.integers(1, 2), min_size=1),
    },
)
STEPS = st.lists(st.tuples(st.sampled_from(("one", "two", "three")), CONFIGS, st.booleans()), max_size=8)


def leaves(config: Object) -> dict[str, Any]:
    """A configuration as the paths that it claims, each with its value."""
    found: dict[str, Any] = {f".{key}": config[key] for key in ("a", "b") if key in config}
    found |= {f".m.{key}": value for key, value in config.get("m", {}).items()}
    found |= {f".set[{one}]": True for one in config.get("set", ())}
    for name, port in config.get("listeners", {}).items():
        found[f".listeners[{name}]"] = True
        if port is not None:
            found[f".listeners[{name}].port"] = port
    return found


def as_spec(config: Object) -> Object:
    spec = dict(config)
    if "listeners" in config:
        spec["listeners"] = [
            {"name": name} if port is None else {"name": name, "port": port}
            for name, port in config["listeners"].items()
        ]
    return spec


def as_leaves(spec: Object) -> dict[str, Any]:
    back = dict(spec)
    if "listeners" in spec:
        back["listeners"] = {one["name"]: one.get("port") for one in spec["listeners"]}
    return leaves(back)


class Model:
    """Ownership said simply: values, and who claims which of them."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.claims: dict[str, set[str]] = {}

    def apply(self, manager: str, wanted: dict[str, Any], *, force: bool) -> bool:
        others = {name: claims for name, claims in self.claims.items() if name != manager}
        disputed = {
            path
            for path, value in wanted.items()
            for claims in others.values()
            if path in claims and self.values[path] != value
        }
        if disputed and not force:
            return False
        for claims in others.values():
            claims -= disputed
        self.values |= wanted
        dropped = self.claims.get(manager, set()) - wanted.keys()
        for path in dropped:
            if not any(path in claims for claims in others.values()):
                del self.values[path]
        self.claims[manager] = set(wanted)
        return True


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_random_applies_end_as_in_the_model(steps: list[tuple[str, Object, bool]]) -> None:
    model = Model()
    live = applied(None, {**manifest(), "spec": {"base": 1}}, "base")
    for manager, config, force in steps:
        allowed = model.apply(manager, leaves(config), force=force)
        try:
            live = applied(live, manifest(**as_spec(config)), manager, force=force)
        except Conflicts:
            assert not allowed
        else:
            assert allowed
        assert as_leaves(live["spec"]) == model.values
        entries = ownership.decode(live["metadata"]["managedFields"])
        for name, claims in model.claims.items():
            entry = entries.get(Manager(name, "Apply"))
            ignored = ("f:name", "f:spec")  # the key inside an element; the empty spec of an empty configuration
            count = sum(path[-1] not in ignored for path in entry.fields.paths()) if entry else 0
            assert count == len(claims)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from("xy"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("name", "m", "set", "l")), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(("m", "set", "listeners", "atom", "x")), VALUES, max_size=4)


@settings(max_examples=200, deadline=None)
@given(OBJECTS, OBJECTS)
def test_whatever_is_applied_the_arithmetic_holds(one: Object, other: Object) -> None:
    """Junk in typed places included: merging and comparing never fail, and agree with each other."""
    for schema in (SCHEMA.value_of("spec"), UNTYPED):
        difference = compare(schema, one, one)
        assert not difference.added
        assert not difference.modified
        assert not difference.removed
        assert not compare(schema, merge(schema, one, {}), one).modified
        again = FieldSet.from_json(fields_of(schema, other).to_json())
        assert again == fields_of(schema, other)


PATHS = st.lists(st.lists(st.sampled_from(("f:a", "f:b", 'k:{"n":1}')), min_size=1, max_size=3).map(tuple), max_size=6)


@given(PATHS, PATHS)
def test_sets_of_fields_are_sets_of_paths(one: list[tuple[str, ...]], other: list[tuple[str, ...]]) -> None:
    left, right = FieldSet.of(*one), FieldSet.of(*other)
    assert set(left.union(right).paths()) == set(one) | set(other)
    assert set(left.difference(right).paths()) == set(one) - set(other)
    assert set(left.intersection(right).paths()) == set(one) & set(other)
    prefixes = {path[:length] for path in other for length in range(1, len(path) + 1) if path[:length] in set(other)}
    below = {path for path in one if any(path[: len(prefix)] == prefix for prefix in prefixes)}
    assert set(left.without(right).paths()) == set(one) - below
    assert bool(left) is bool(one)
