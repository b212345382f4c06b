"""What `kubectl get` shows: tables, JSON paths, ages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.local.kube.builtin import BUILTIN
from console.local.kube.kinds import Column, Resource, Version, preference
from console.local.kube.schema import UNTYPED
from console.local.kube.state import Target
from console.local.kube.tables import age, table

STATUS = {
    "conditions": [{"type": "A", "status": "False"}, {"type": "Ready", "status": "True", "reason": "Good"}],
    "n": 3,
    "on": True,
}


def cells(path: str, kind: str = "string", **content: Any) -> Any:
    version = Version("v1", UNTYPED, (Column("C", path, kind),))
    target = Target(Resource("g", "things", "Thing", True, (version,)), version)
    return table(target, [{"metadata": {"name": "x"}, **content}], {})["rows"][0]["cells"][1]


@pytest.mark.parametrize(
    ("path", "kind", "cell"),
    [
        (".status.conditions[-1:].type", "string", "Ready"),
        ('.status.conditions[?(@.type=="Ready")].reason', "string", "Good"),
        (".status.conditions[?(@.type=='Ready')].status", "string", "True"),
        (".status.conditions[?(@.type=='No')].status", "string", None),
        (".status.conditions[*].type", "string", "A,Ready"),
        (".status.conditions[0].type", "string", "A"),
        (".status.conditions[9].type", "string", None),
        (".status.n", "integer", 3),
        (".status.on", "boolean", True),
        (".status.n", "string", "3"),
        (".status.missing.deeper", "string", None),
        (".status['n']", "integer", 3),
        (".status.conditions[?(@.reason)].type", "string", "Ready"),
        ("no path at all ((", "string", None),
        (".spec.hosts", "string", '["a","b"]'),
    ],
)
def test_json_paths(path: str, kind: str, cell: Any) -> None:
    assert cells(path, kind, status=STATUS, spec={"hosts": ["a", "b"]}) == cell


@pytest.mark.parametrize(
    ("passed", "shown"),
    [
        (timedelta(seconds=5), "5s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(minutes=3, seconds=10), "3m10s"),
        (timedelta(minutes=45), "45m"),
        (timedelta(hours=3), "3h"),
        (timedelta(hours=5, minutes=20), "5h20m"),
        (timedelta(hours=20), "20h"),
        (timedelta(days=4), "4d"),
        (timedelta(days=800), "2y70d"),
        (timedelta(seconds=-5), "<invalid>"),
    ],
)
def test_ages(passed: timedelta, shown: str) -> None:
    assert age((datetime.now(UTC) - passed).isoformat()) == shown


def test_an_unknown_age() -> None:
    assert age(None) == age("x") == "<unknown>"


def test_every_builtin_kind_has_a_table() -> None:
    for resource in BUILTIN:
        for version in resource.versions:
            one = {"metadata": {"name": "x"}}
            made = table(Target(resource, version), [one], {"resourceVersion": "1"})
            assert len(made["rows"][0]["cells"]) == len(made["columnDefinitions"])
            assert made["columnDefinitions"][0]["name"] in ("Name",)


def test_versions_are_preferred_as_kubernetes_does() -> None:
    names = ["v1alpha1", "v2", "foo", "v1", "v1beta2", "v10", "v1beta1"]
    assert sorted(names, key=preference) == ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]
