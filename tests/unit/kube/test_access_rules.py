"""Identities and what they may do; kubeconfigs."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from console.local.kube import ADMIN, CONTROLLER, PUBLISHER, VIEWER, Identity, Rule, publisher, write_kubeconfig
from console.local.kube.access import Tokens
from console.local.kube.status import ApiError

AI = "aigateway.envoyproxy.io"


@pytest.mark.parametrize(
    ("identity", "verb", "group", "resource", "namespace", "allowed"),
    [
        (ADMIN, "delete", "", "namespaces", "", True),
        (ADMIN, "update", AI, "aigatewayroutes/status", "acme", True),
        (VIEWER, "list", AI, "aigatewayroutes", "", True),
        (VIEWER, "get", "", "secrets", "acme", False),
        (VIEWER, "list", "", "secrets", "", False),
        (VIEWER, "create", AI, "aigatewayroutes", "acme", False),
        (PUBLISHER, "list", AI, "aigatewayroutes", "", True),
        (PUBLISHER, "patch", AI, "aigatewayroutes", "acme", True),
        (PUBLISHER, "patch", AI, "aigatewayroutes/status", "acme", False),
        (PUBLISHER, "patch", AI, "aigatewayroutes", "envoy-gateway-system", False),
        (PUBLISHER, "patch", AI, "aigatewayroutes", "", False),
        (PUBLISHER, "get", "", "secrets", "acme", True),
        (PUBLISHER, "get", "", "secrets", "kube-system", False),
        (PUBLISHER, "get", "", "secrets", "modeldeck", False),
        (PUBLISHER, "list", "", "secrets", "", False),
        (PUBLISHER, "create", "gateway.networking.k8s.io", "gateways", "acme", False),
        (PUBLISHER, "create", "", "namespaces", "acme", False),
        (PUBLISHER, "create", "apiextensions.k8s.io", "customresourcedefinitions", "", False),
        (publisher("acme"), "patch", AI, "aigatewayroutes", "other", False),
        (publisher("acme"), "get", "", "secrets", "other", False),
        (CONTROLLER, "patch", AI, "aigatewayroutes/status", "acme", True),
        (CONTROLLER, "create", "gateway.networking.k8s.io", "httproutes", "acme", True),
        (CONTROLLER, "delete", "", "secrets", "acme", False),
        (CONTROLLER, "get", "", "secrets", "acme", True),
    ],
)
def test_the_ready_made_identities(
    identity: Identity, verb: str, group: str, resource: str, namespace: str, allowed: bool
) -> None:
    assert identity.may(verb, group, resource, namespace) is allowed


def test_a_star_covers_no_subresource() -> None:
    assert not Rule(("*",), ("*",), ("*",)).covers("g", "things/status")
    assert Rule(("*",), ("*",), ("*/status",)).covers("g", "things/status")


def test_tokens_are_known_by_their_digest_only() -> None:
    tokens = Tokens({"very-secret": ADMIN})
    assert tokens.identity({"authorization": "Bearer very-secret"}) is ADMIN
    assert tokens.identity({"authorization": "bearer  very-secret"}) is ADMIN
    assert tokens.identity({"impersonate-extra-modeldeck-token": "very-secret"}) is ADMIN
    assert tokens.identity({}) is None
    assert "very-secret" not in repr(tokens) + repr(vars(tokens))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic very-secret"},
        {"authorization": "very-secret"},
        {"authorization": "Bearer"},
        {"impersonate-extra-modeldeck-token": "wrong"},
        {"authorization": "Bearer wrong", "impersonate-extra-modeldeck-token": "very-secret"},
    ],
)
def test_a_wrong_credential_is_not_none(headers: dict[str, str]) -> None:
    with pytest.raises(ApiError) as caught:
        Tokens({"very-secret": ADMIN}).identity(headers)
    assert caught.value.code == 401


@pytest.mark.parametrize("extra", [{}, {"impersonate-extra-modeldeck-user": "admin"}])
def test_nobody_becomes_somebody_else(extra: dict[str, str]) -> None:
    headers = {"authorization": "Bearer very-secret", "impersonate-user": "viewer", **extra}
    with pytest.raises(ApiError, match="impersonation is not supported") as caught:
        Tokens({"very-secret": ADMIN}).identity(headers)
    assert caught.value.code == 403


def test_a_kubeconfig_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config"
    for token in ("first", "second"):
        write_kubeconfig(path, server="http://127.0.0.1:1", token=token, user="viewer", namespace="acme")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = json.loads(path.read_text())
    assert content["users"][0]["user"]["token"] == "second"
    assert content["contexts"][0]["context"] == {"cluster": "modeldeck", "user": "viewer", "namespace": "acme"}
    assert [one.name for one in path.parent.iterdir()] == ["config"]
