"""Tenants and keys over HTTP under their own paths: by role and tenant, on a real cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.access.types import RESTRICTIONS_KEY
from console.api.app import create_app
from console.config import KubernetesLink
from console.guard import system_permit
from console.k8s.types import LABEL_TENANT
from console.keys.quotas import MAX_KEYS
from console.local.kube import ADMIN as EVERYTHING
from console.local.kube import KubeServer, write_kubeconfig
from console.local.valkey import Valkey
from console.services import Services
from console.serving import Serving
from tests.service.api.test_api import WIDE, Api
from tests.support.profiles import profile_for

GOOD = (200, 202)


@pytest.fixture
async def api(tmp_path: Path, valkey: Valkey) -> AsyncIterator[Api]:
    """With two tenants, and a token of every sort."""
    server = KubeServer(tmp_path / "objects.db", tokens={"token": EVERYTHING})
    await server.start()
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, server=server.url, token="token", user="admin")
    profile = profile_for(tmp_path, valkey, kubernetes=KubernetesLink(kubeconfig=kubeconfig))
    async with Services(profile) as services:
        for name in ("acme", "globex"):
            metadata = {"name": name, "labels": {LABEL_TENANT: name}, "annotations": {MAX_KEYS: "2"}}
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
            await (await services.cluster()).apply(system_permit("set up a test"), namespace)
        serving = Serving(create_app(services, WIDE))
        await serving.start()
        made = Api(services, serving.url, tmp_path, {})
        await made.token("viewer", "viewer", tenant=["acme"])
        await made.token("publisher", "publisher", tenant=["acme"])
        await made.token("acme-admin", "admin", tenant=["acme"])
        await made.token("other-admin", "admin", tenant=["globex"])
        yield made
        await serving.stop()
    await server.stop()


async def test_a_token_sees_its_tenants_with_what_they_have(api: Api) -> None:
    made = await api.ask("POST", "/api/keys", {"name": "chat", "tenant": "acme"})
    assert made.status_code in GOOD
    for token, seen in (("viewer", {"acme"}), ("other-admin", {"globex"}), ("admin", {"acme", "globex"})):
        body = (await api.ask("GET", "/api/tenants", token=api.tokens.get(token) or await api.token(token))).json()
        assert {row["name"] for row in body["tenants"]} == seen
        assert body["total"] == len(seen)
    (acme,) = [row for row in body["tenants"] if row["name"] == "acme"]
    assert (acme["keys_used"], acme["published"]) == ("1/2", 0)


@pytest.mark.parametrize("verb", ["suspend", "resume"])
async def test_a_tenant_is_suspended_by_an_admin_of_its_own(api: Api, verb: str) -> None:
    path, redis = f"/api/tenants/acme/{verb}", await api.services.redis()
    for token in ("viewer", "publisher", "other-admin"):
        refused = await api.ask("POST", path, token=api.tokens[token])
        assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN"), token
        assert refused.headers["content-type"] == "application/problem+json"
    assert await redis.get(RESTRICTIONS_KEY) is None, "nothing was changed"
    answer = await api.ask("POST", path, token=api.tokens["acme-admin"])
    assert answer.status_code in GOOD, answer.text
    rows = (await api.ask("POST", "/api/actions/audit", {"limit": 50})).json()["data"]
    tried = [(row["action"], row["outcome"]) for row in rows if row["action"] == f"tenants.{verb}"]
    assert len(tried) == 4
    assert sum(outcome == "refused" for _, outcome in tried) == 3
    if verb == "suspend":
        assert b"acme" in await redis.get(RESTRICTIONS_KEY)
        again = await api.ask("POST", path, token=api.tokens["acme-admin"])
        assert again.json()["outcome"] == "unchanged"
    assert (await api.ask("POST", "/api/tenants/acme/rename", token=api.tokens["acme-admin"])).status_code == 422


async def test_the_life_of_a_key_under_its_own_paths(api: Api) -> None:
    body = {"name": "chat", "tenant": "acme", "form": "mdk", "label": ["team=search"], "allow_tenant": ["acme"]}
    publisher, viewer = api.tokens["publisher"], api.tokens["viewer"]
    assert (await api.ask("POST", "/api/keys", body, token=viewer)).status_code == 403
    made = await api.ask("POST", "/api/keys", body, token=publisher)
    text, key = made.json()["key"], made.json()["data"]["id"]
    assert text.startswith("mdk_client_")
    assert made.headers["cache-control"] == "no-store"
    place = f"/api/keys/{key}"
    for label, total in (("team=search", 1), ("team", 1), ("team=tools", 0)):
        listed = (await api.ask("GET", f"/api/keys?label={label}", token=viewer)).json()
        assert listed["total"] == total
    assert listed["keys"] == []
    elsewhere = await api.ask("PATCH", place, {"allow_tenant": ["globex"]}, token=publisher)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "TENANT_FORBIDDEN")
    assert (await api.ask("PATCH", place, {"label": ["team=tools"]}, token=publisher)).status_code in GOOD
    shown = (await api.ask("GET", place, token=viewer)).json()["data"]
    assert (shown["labels"], shown["allowed_tenants"]) == ({"team": "tools"}, ["acme"])
    planned = await api.ask("POST", f"{place}/rotate", {"plan": True}, token=publisher)
    assert "key" not in planned.json()
    assert any("at rest" in one for one in planned.json()["data"]["warnings"])
    assert "key" in (await api.ask("POST", f"{place}/rotate", {"grace": "5m"}, token=publisher)).json()
    for verb in ("finish", "suspend", "resume"):
        assert (await api.ask("POST", f"{place}/{verb}", token=publisher)).status_code in GOOD
    other = api.tokens["other-admin"]
    change = {"owner": "x"}
    for method, path, body in (("GET", place, {}), ("PATCH", place, change), ("DELETE", place, {})):
        assert (await api.ask(method, path, body, token=other)).status_code == 403
    assert (await api.ask("POST", f"{place}/suspend", token=other)).status_code == 403
    assert (await api.ask("DELETE", place, token=publisher)).status_code in GOOD
    assert (await api.ask("GET", "/api/keys", token=viewer)).json()["total"] == 0
    assert (await api.ask("GET", "/api/keys?revoked=true", token=viewer)).json()["total"] == 1


async def test_a_quota_holds_over_http(api: Api) -> None:
    for number, status in ((1, GOOD), (2, GOOD), (3, (409,))):
        answer = await api.ask("POST", "/api/keys", {"name": f"k{number}", "tenant": "acme"})
        assert answer.status_code in status, answer.text
    assert answer.json()["code"] == "QUOTA_EXCEEDED"


async def test_what_reads_a_terminal_is_refused_over_http(api: Api) -> None:
    answer = await api.ask("POST", "/api/actions/access.explain", {"key": "-"})
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER")
