"""console.k8s: kinds, references, and errors made of `Status` objects."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from console.k8s import types
from console.k8s.errors import Conflict, Expired, Forbidden, Invalid, KubeError, Missing, error_from
from console.k8s.types import AI_GATEWAY_ROUTE, HTTP_ROUTE, NAMESPACE, SECRET, Conflicting, Ref, kind_of, ref_of
from console.local.kube.builtin import BUILTIN
from console.outcome import Ending, TimedOut, Unavailable


def test_a_reference_reads_well() -> None:
    assert str(Ref(AI_GATEWAY_ROUTE, "llama", "acme")) == "AIGatewayRoute acme/llama"
    assert str(Ref(NAMESPACE, "acme")) == "Namespace acme"


def test_paths() -> None:
    assert HTTP_ROUTE.path("acme", "r") == "/apis/gateway.networking.k8s.io/v1/namespaces/acme/httproutes/r"
    assert HTTP_ROUTE.path() == "/apis/gateway.networking.k8s.io/v1/httproutes"
    assert SECRET.path("acme") == "/api/v1/namespaces/acme/secrets"
    assert NAMESPACE.path(None, "acme") == "/api/v1/namespaces/acme"


def test_the_kind_of_a_manifest_is_in_its_version() -> None:
    manifest = {
        "apiVersion": "aigateway.envoyproxy.io/v1alpha1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": "r", "namespace": "n"},
    }
    assert kind_of(manifest) == AI_GATEWAY_ROUTE.at("v1alpha1")
    assert ref_of(manifest) == Ref(AI_GATEWAY_ROUTE.at("v1alpha1"), "r", "n")
    for odd in ({}, {"apiVersion": "v1", "kind": "Pod"}, {"kind": "Secret"}):
        with pytest.raises(ValueError, match="not a kind"):
            kind_of(odd)


def test_the_local_server_knows_every_kind_that_we_use() -> None:
    served = {
        (one.group, version.name, one.plural, one.kind, one.namespaced) for one in BUILTIN for version in one.versions
    }
    for kind in types.KINDS:
        assert (kind.group, kind.version, kind.plural, kind.kind, kind.namespaced) in served, kind


def test_importing_the_types_is_cheap() -> None:
    heavy = ("kubernetes", "aiohttp", "starlette")
    code = f"import sys, console.k8s.types, console.k8s.cluster; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def status(code: int, message: str, *causes: dict[str, Any]) -> Any:
    body = {"kind": "Status", "code": code, "message": message, "details": {"causes": list(causes)}}
    return error_from(code, json.dumps(body).encode(), "apply HTTPRoute acme/r")


def test_causes_are_told_and_the_empty_one_is_not() -> None:
    problem = status(
        422,
        "HTTPRoute is invalid: […]",
        {"reason": "FieldValueRequired", "field": "spec.rules", "message": "Required value"},
        {
            "reason": "FieldValueInvalid",
            "field": "<nil>",
            "message": "Invalid value: null: some validation rules were not checked because …",
        },
    )
    assert isinstance(problem, Invalid)
    assert (
        str(problem) == "the cluster refused to apply HTTPRoute acme/r: spec.rules: Required value; nothing was changed"
    )
    assert [str(one) for one in problem.causes] == ["spec.rules: Required value"]
    assert problem.outcome().ending is Ending.REFUSED
    assert problem.status == 422


def test_a_rule_on_the_whole_object_is_told() -> None:
    problem = status(
        422, "…", {"reason": "FieldValueInvalid", "field": "<nil>", "message": "Invalid value: exactly one"}
    )
    assert "Invalid value: exactly one" in str(problem)
    assert "<nil>" not in str(problem)


def test_many_causes_are_cut() -> None:
    problem = status(422, "…", *({"field": f"f{number}", "message": "m"} for number in range(9)))
    assert "; and 5 more" in str(problem)
    assert len(problem.causes) == 9


def test_conflicts_name_managers_and_fields() -> None:
    cause = {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "kubectl-edit" using v1',
        "field": ".spec.rules",
    }
    problem = status(409, 'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .spec.rules', cause)
    assert isinstance(problem, Conflict)
    assert problem.conflicts == (Conflicting("kubectl-edit", ".spec.rules"),)
    assert "kubectl-edit" in str(problem)


def test_another_uid_is_a_conflict() -> None:
    problem = status(422, "…", {"field": "metadata.uid", "message": "field is immutable"})
    assert isinstance(problem, Conflict)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, Invalid),
        (401, Forbidden),
        (403, Forbidden),
        (404, Missing),
        (409, Conflict),
        (410, Expired),
        (413, Invalid),
        (415, Invalid),
        (429, Unavailable),
        (500, KubeError),
        (503, Unavailable),
        (504, TimedOut),
        (302, KubeError),
    ],
)
def test_every_code_has_its_error(code: int, kind: type) -> None:
    assert isinstance(status(code, "why"), kind)
    for body in (
        b"",
        b"<html>",
        b"[]",
        b'{"kind":"Status","details":[]}',
        b'{"kind":"Status","details":{"causes":{}}}',
    ):
        assert isinstance(error_from(code, body, "do"), kind)
