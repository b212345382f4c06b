"""The same gateway with the published CustomResourceDefinitions: defaults are filled in, writes are strict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import yaml

from console.k8s.types import (
    AI_GATEWAY_ROUTE,
    BACKEND_TRAFFIC_POLICY,
    CLIENT_TRAFFIC_POLICY,
    GATEWAY,
    HTTP_ROUTE,
    SECURITY_POLICY,
    Ref,
)
from tests.service.gateway.driving import Stack
from tests.unit.gateway.manifests import (
    SYSTEM,
    ai_objects,
    buffer_policy,
    condition,
    gateway,
    gateway_class,
    http_route,
    rule,
    security_policy,
    service,
    target,
    traffic_policy,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEFINITIONS = Path(__file__).parents[4] / "shared" / "crds"
KINDS = (
    "gatewayclasses",
    "gateways",
    "httproutes",
    "httproutefilters",
    "aigatewayroutes",
    "aiservicebackends",
    "backends.",
    "securitypolicies",
    "backendtrafficpolicies",
    "clienttrafficpolicies",
)


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def _definitions(stack: Stack) -> AsyncIterator[None]:
    if not DEFINITIONS.is_dir():
        pytest.skip(f"the published definitions are not in {DEFINITIONS}")

    def read() -> list[dict[str, object]]:
        paths = [path for path in sorted(DEFINITIONS.glob("*.yaml")) if path.name.startswith(KINDS)]
        return [yaml.load(path.read_bytes(), yaml.CSafeLoader) for path in paths]

    for definition in await asyncio.to_thread(read):
        await stack.server.install_crd(definition)
    yield


async def test_everything_is_accepted_with_its_defaults(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    authorizer, up, default = [await stack.upstream(name) for name in ("authz", "up", "default")]
    host = f"{place}.test"
    limits = [{"limit": {"requests": 5, "unit": "Minute"}}]
    await stack.put(
        gateway_class(),
        gateway(stack.port),
        *service(place, "authz", authorizer.port),
        *service(place, "d", default.port),
        buffer_policy(SYSTEM, "b", "1Mi"),
        security_policy(place, "s", target("HTTPRoute", "m")),
        traffic_policy(place, "t", target("HTTPRoute", "m"), rateLimit={"local": {"rules": limits}}),
        *ai_objects(place, "m", up.port, hostnames=[host], override="other", prefix="openai/v1"),
        http_route(place, "d", rule("/", "d"), hostnames=[host]),
    )
    answer = await client.post("/v1/x", json={"model": "m"}, headers={"host": host})
    assert answer.text == "up"
    assert answer.headers["x-ratelimit-limit"] == '5, 5;w=60;name="requests per minute for everybody"'
    assert (up.last.path, up.last.json) == ("/openai/v1/x", {"model": "other"})
    assert (await client.get("/", headers={"host": host})).text == "default"
    for kind, where, name in (
        (GATEWAY, SYSTEM, "gw"),
        (HTTP_ROUTE, place, "m"),
        (HTTP_ROUTE, place, "d"),
        (SECURITY_POLICY, place, "s"),
        (BACKEND_TRAFFIC_POLICY, place, "t"),
        (CLIENT_TRAFFIC_POLICY, SYSTEM, "b"),
        (AI_GATEWAY_ROUTE, place, "m"),
    ):
        status = await stack.status(kind, where, name)
        entries = status.get("parents") or status.get("ancestors") or [status]
        for entry in entries:
            assert condition(entry["conditions"], "Accepted")["status"] == "True", (kind, name, entry)


async def test_defaults_do_not_make_the_gateway_write_again(stack: Stack, place: str) -> None:
    up = await stack.upstream("up")
    await stack.put(*ai_objects(place, "m", up.port, hostnames=[f"{place}.test"]))
    before = stack.server.resource_version
    # A change elsewhere makes it look at everything.
    await stack.put(*service(place, "other", 1))
    route = await stack.cluster.get(Ref(HTTP_ROUTE, "m", place))
    assert route is not None
    assert int(route["metadata"]["resourceVersion"]) <= before
