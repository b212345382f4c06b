"""Backends that stand in for one another: each with its own credential, path and name for the model."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from console.k8s.types import AI_GATEWAY_ROUTE, HTTP_ROUTE, Object
from console.local.ports import LOOPBACK, free_ports
from tests.service.gateway.driving import Seen, Stack, Upstream
from tests.support.waiting import until
from tests.unit.gateway.manifests import (
    AI_GATEWAY,
    ENVOY_GATEWAY,
    ai_objects,
    condition,
    http_route,
    manifest,
    target,
    traffic_policy,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
CHAT = "/v1/chat/completions"
FALLS_OVER: dict[str, Any] = {
    "retry": {
        "numRetries": 2,
        "numAttemptsPerPriority": 1,
        "retryOn": {"triggers": ["connect-failure", "refused-stream", "reset-before-request", "gateway-error"]},
    },
    "healthCheck": {
        "passive": {
            "consecutive5XxErrors": 0,
            "consecutiveGatewayErrors": 3,
            "interval": "200ms",
            "baseEjectionTime": "1s",
            "maxEjectionPercent": 100,
        }
    },
}


def with_credential(place: str, name: str, key: str) -> list[Object]:
    secret = manifest("v1", "Secret", place, name, None)
    secret["data"] = {"apiKey": base64.b64encode(key.encode()).decode()}
    on = {"group": AI_GATEWAY, "kind": "AIServiceBackend", "name": name}
    spec = {"targetRefs": [on], "type": "APIKey", "apiKey": {"secretRef": {"name": name}}}
    return [secret, manifest(f"{AI_GATEWAY}/v1beta1", "BackendSecurityPolicy", place, name, spec)]


def model(place: str, host: str, ports: list[int]) -> list[Object]:
    """A model that ``one`` serves; ``two`` stands in, and behind it ``three``, which has no credential."""
    first, second, third = (
        ai_objects(place, "m", ports[0], name="one", prefix="v1/openai", override='first "m"', hostnames=[host]),
        ai_objects(place, "m", ports[1], name="two", prefix="openai/v1", override="second/m"),
        ai_objects(place, "m", ports[2], name="three"),
    )
    for rank, name in enumerate(("two", "three"), start=1):
        ref = {"name": name, "priority": rank} | ({"modelNameOverride": "second/m"} if rank == 1 else {})
        first[2]["spec"]["rules"][0]["backendRefs"].append(ref)
    return [
        *first,
        *second[:2],
        *third[:2],
        *with_credential(place, "one", "sk-one"),
        *with_credential(place, "two", "sk-two"),
        traffic_policy(place, "one", target("HTTPRoute", "one"), **FALLS_OVER),
    ]


async def ask(client: httpx.AsyncClient, host: str, **more: Any) -> httpx.Response:
    body = {"model": "m", "messages": [], "x": "ü" * 10} | more
    headers = {"host": host, "authorization": "Bearer a-client's", "x-envoy-original-path": "/elsewhere"}
    return await client.post(f"{CHAT}?a=b", json=body, headers=headers)


def arrived(upstream: Upstream) -> tuple[str, str, str]:
    """Path, authorization and model of the last request; its body is whole and of the length that is said."""
    last = upstream.last
    assert int(last.headers["content-length"]) == len(last.body)
    assert not [name for name in last.headers if name.startswith(("x-modeldeck-backend", "x-modeldeck-credential"))]
    assert last.json["x"] == "ü" * 10
    return last.path, last.headers.get("authorization", ""), last.json["model"]


async def test_the_next_stands_in_with_what_is_its_own_and_the_first_comes_back(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    one, two, three = [await stack.upstream(name) for name in ("one", "two", "three")]
    host = f"{place}.test"
    await stack.put(*model(place, host, [one.port, two.port, three.port]))
    status = await stack.status(HTTP_ROUTE, place, "one")
    assert condition(status["parents"][0]["conditions"], "Accepted")["status"] == "True"
    assert [(await ask(client, host)).text for _ in range(3)] == ["one"] * 3
    assert arrived(one) == ("/v1/openai/chat/completions?a=b", "Bearer sk-one", 'first "m"')
    assert one.last.headers["host"] == f"{LOOPBACK}:{one.port}"
    one.fails = 503
    assert (await ask(client, host)).text == "two"
    assert arrived(two) == ("/openai/v1/chat/completions?a=b", "Bearer sk-two", "second/m")
    assert two.last.headers["host"] == f"{LOOPBACK}:{two.port}"
    two.fails = 502
    assert (await ask(client, host)).text == "three"
    # Neither a credential of the others nor the client's own.
    assert arrived(three) == (f"{CHAT}?a=b", "", "m")
    asked = len(one.seen)
    for _ in range(6):
        assert (await ask(client, host)).text == "three"
    assert len(one.seen) < asked + 6, "one that fails again and again is put aside"
    two.next_event.set()
    one.fails = two.fails = 0
    await until(lambda: _is(ask(client, host), "one"), within=10)
    assert arrived(one)[1:] == ("Bearer sk-one", 'first "m"')


async def _is(asked: Any, text: str) -> bool:
    return bool((await asked).text == text)


async def test_a_server_that_is_gone_costs_nobody_a_request(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    two, three = await stack.upstream("two"), await stack.upstream("three")
    host, nobody = f"{place}.test", free_ports(1)[0]
    await stack.put(*model(place, host, [nobody, two.port, three.port]))
    answers = await asyncio.gather(*(ask(client, host) for _ in range(20)))
    assert {answer.text for answer in answers} == {"two"}
    # A streamed answer too, once it has begun.
    two.next_event.set()
    async with client.stream(
        "POST", CHAT, content=json.dumps({"model": "m", "stream": True}), headers={"host": host}
    ) as answer:
        async for _ in answer.aiter_lines():
            two.next_event.set()
    assert answer.status_code == 200
    assert two.last.json == {"model": "second/m", "stream": True}


class Slow(Upstream):
    """Answers once it is released."""

    async def answer(self, seen: Seen, send: Any) -> None:
        await self.release.wait()
        await super().answer(seen, send)


async def test_as_many_as_come_at_once_are_asked_of_another(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    two, three = Slow("two"), await stack.upstream("three")
    await two.start()
    stack.closing.append(two)
    host, nobody = f"{place}.test", free_ports(1)[0]
    await stack.put(*model(place, host, [nobody, two.port, three.port]))
    asked = [asyncio.create_task(ask(client, host)) for _ in range(20)]
    await until(lambda: len(two.seen) == 20, within=10, what="all of them are asked of the second")
    two.release.set()
    assert {answer.text for answer in await asyncio.gather(*asked)} == {"two"}


async def test_a_wrong_request_is_not_asked_of_another(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    one, two, three = [await stack.upstream(name) for name in ("one", "two", "three")]
    host = f"{place}.test"
    await stack.put(*model(place, host, [one.port, two.port, three.port]))
    for status in (400, 429, 500):
        one.fails = status
        assert (await ask(client, host)).status_code == status
    assert two.seen == []


async def test_a_backend_that_is_a_fallback_stands_in_on_any_route(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    main, spare = await stack.upstream("main"), await stack.upstream("spare")
    version = f"{ENVOY_GATEWAY}/v1alpha1"

    def backend(name: str, port: int, **more: Any) -> Object:
        return manifest(
            version, "Backend", place, name, {"endpoints": [{"ip": {"address": LOOPBACK, "port": port}}]} | more
        )

    refs = [{"group": ENVOY_GATEWAY, "kind": "Backend", "name": name} for name in ("spare", "main")]
    route = http_route(place, "r", {"backendRefs": refs}, hostnames=[f"{place}.test"])
    await stack.put(
        backend("main", main.port),
        backend("spare", spare.port, fallback=True),
        route,
        traffic_policy(place, "r", target("HTTPRoute", "r"), **FALLS_OVER),
    )
    headers = {"host": f"{place}.test"}
    assert [(await client.get("/", headers=headers)).text for _ in range(4)] == ["main"] * 4
    main.fails = 503
    assert (await client.get("/", headers=headers)).text == "spare"
    # And where the first leads nowhere at all.
    await stack.put(
        http_route(place, "r", {"backendRefs": [refs[0], refs[1] | {"name": "no"}]}, hostnames=[f"{place}.test"])
    )
    assert [(await client.get("/", headers=headers)).text for _ in range(4)] == ["spare"] * 4
    status = await stack.status(HTTP_ROUTE, place, "r")
    assert condition(status["parents"][0]["conditions"], "ResolvedRefs")["reason"] == "BackendNotFound"


async def test_headers_of_one_among_several_priorities_are_refused_by_name(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    objects = model(place, f"{place}.test", free_ports(3))
    objects[2]["spec"]["rules"][0]["backendRefs"][1]["headerMutation"] = {"set": [{"name": "a", "value": "b"}]}
    await stack.put(*objects)
    assert await stack.status(AI_GATEWAY_ROUTE, place, "one")
    said = condition((await stack.status(HTTP_ROUTE, place, "one"))["parents"][0]["conditions"], "PartiallyInvalid")
    assert "changes of headers for one of several priorities" in said["message"]
    assert (await ask(client, f"{place}.test")).status_code == 500
