"""Local rate limits, credentials for upstreams, retries: what policies do to requests."""

from __future__ import annotations

import base64
import json
import time

import httpx
import pytest

from console.k8s.types import (
    AI_GATEWAY_ROUTE,
    AI_SERVICE_BACKEND,
    BACKEND_SECURITY_POLICY,
    BACKEND_TRAFFIC_POLICY,
    HTTP_ROUTE,
    SECRET,
    Object,
)
from tests.service.gateway.driving import Stack, Upstream
from tests.unit.gateway.manifests import (
    AI_GATEWAY,
    ai_objects,
    condition,
    http_route,
    manifest,
    rule,
    security_policy,
    service,
    target,
    traffic_policy,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def limit(requests: int, unit: str = "Hour", **selector: str) -> dict[str, object]:
    made: dict[str, object] = {"limit": {"requests": requests, "unit": unit}}
    return made | ({"clientSelectors": [{"headers": [selector]}]} if selector else {})


async def limited(stack: Stack, place: str, *rules: dict[str, object]) -> dict[str, str]:
    up = await stack.upstream("up")
    policy = traffic_policy(place, "limits", target("HTTPRoute", "r"), rateLimit={"local": {"rules": list(rules)}})
    await stack.put(
        *service(place, "up", up.port), policy, http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    )
    return {"host": f"{place}.test"}


async def test_the_request_over_the_limit_is_told_when_to_come_again(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    host = await limited(stack, place, limit(2, "Minute"))
    first, second, third = [await client.get("/", headers=host) for _ in range(3)]
    assert (first.status_code, second.status_code, third.status_code) == (200, 200, 429)
    assert first.headers["x-ratelimit-limit"] == '2, 2;w=60;name="requests per minute for everybody"'
    assert first.headers["x-ratelimit-remaining"] == "1"
    assert "retry-after" not in first.headers
    assert 1 <= int(third.headers["retry-after"]) <= 30
    assert third.headers["x-ratelimit-remaining"] == "0"
    assert third.headers["x-modeldeck-limit"] == "2 requests per minute for everybody"
    assert "x-modeldeck-limit" not in second.headers
    assert third.json()["error"]["code"] == "rate_limit_exceeded"


async def test_each_value_of_a_header_has_its_own_count(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    host = await limited(stack, place, limit(1, name="x-key", type="Distinct"))
    statuses = [(await client.get("/", headers=host | {"x-key": key})).status_code for key in "aabb"]
    assert statuses == [200, 429, 200, 429]
    assert [(await client.get("/", headers=host)).status_code for _ in range(3)] == [200, 200, 200]


async def test_a_limit_without_selectors_counts_what_no_other_limit_counts(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    host = await limited(stack, place, limit(1), limit(3, name="x-tier", value="gold"))
    gold = [(await client.get("/", headers=host | {"x-tier": "gold"})).status_code for _ in range(4)]
    assert gold == [200, 200, 200, 429]
    other = [(await client.get("/", headers=host | {"x-tier": "tin"})).status_code for _ in range(2)]
    assert other == [200, 429]


async def test_counters_survive_other_routes_and_policies(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    host = await limited(stack, place, limit(1))
    assert (await client.get("/", headers=host)).status_code == 200
    same_tier = traffic_policy(place, "o", target("HTTPRoute", "o"), rateLimit={"local": {"rules": [limit(1)]}})
    await stack.put(same_tier, http_route(place, "o", rule("/", "up"), hostnames=[f"o.{place}.test"]))
    assert (await client.get("/", headers=host)).status_code == 429
    assert (await client.get("/", headers={"host": f"o.{place}.test"})).status_code == 200
    await stack.delete(HTTP_ROUTE, place, "o")
    await stack.settle()
    assert (await client.get("/", headers=host)).status_code == 429


@pytest.mark.parametrize("number", [1, 3, 7])
async def test_any_number_is_held_exactly(stack: Stack, client: httpx.AsyncClient, place: str, number: int) -> None:
    host = await limited(stack, place, limit(number, "Minute"))
    began = time.monotonic()
    answers = [await client.get("/", headers=host) for _ in range(number)]
    refused = [one for one in answers if one.status_code == 429]
    assert not refused
    # What Envoy has let in beyond the number, it has refilled meanwhile.
    more = int((time.monotonic() - began) * number / 60) + 1
    assert [(await client.get("/", headers=host)).status_code for _ in range(more)][-1] == 429
    assert int(answers[0].headers["x-ratelimit-remaining"]) == number - 1


async def test_nothing_that_is_published_edited_or_unpublished_gives_a_fresh_minute(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    host = await limited(stack, place, limit(5, "Minute"))
    began = time.monotonic()

    async def left(number: int = 5) -> tuple[int, int]:
        """What is left, and how much of it Envoy may have filled up since the beginning."""
        answer = await client.get("/", headers=host)
        return int(answer.headers["x-ratelimit-remaining"]), int((time.monotonic() - began) * number / 60) + 1

    assert [(await left())[0] for _ in range(3)] == [4, 3, 2]
    # A number that nobody has had before comes, and goes.
    other = traffic_policy(
        place, "o", target("HTTPRoute", "o"), rateLimit={"local": {"rules": [limit(7919, "Minute")]}}
    )
    await stack.put(other, http_route(place, "o", rule("/", "up"), hostnames=[f"o.{place}.test"]))
    told = (await client.get("/", headers={"host": f"o.{place}.test"})).headers["x-ratelimit-limit"]
    assert told.startswith("7919, ")
    await stack.delete(HTTP_ROUTE, place, "o")
    await stack.delete(BACKEND_TRAFFIC_POLICY, place, "o")
    await stack.settle()
    now, filled = await left()
    assert 1 <= now <= 1 + filled

    async def edited(number: int) -> None:
        rules = [limit(number, "Minute")]
        await stack.put(
            traffic_policy(place, "limits", target("HTTPRoute", "r"), rateLimit={"local": {"rules": rules}})
        )

    await edited(50)  # four fifths are used of it, whatever it becomes
    now, filled = await left(50)
    assert 9 <= now <= 14 + filled
    await edited(5)
    now, filled = await left()
    assert now <= filled
    assert [(await client.get("/", headers=host)).status_code for _ in range(now + filled + 1)][-1] == 429


async def test_a_minute_is_counted_for_each_key_beside_everybodys_second(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    authorizer = await stack.authorizer()
    by_key = limit(2, "Minute", name="x-modeldeck-key-id", type="Distinct")
    host = await limited(stack, place, by_key, limit(1000, "Second"))
    await stack.put(*service(place, "authz", authorizer.port), security_policy(place, "s", target("HTTPRoute", "r")))
    bearer = host | {"authorization": "Bearer good", "x-modeldeck-key-id": "key-of-my-choice"}
    answers = [await client.get("/", headers=bearer) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit"] == '2, 2;w=60;name="requests per minute for this key"'
    assert answers[2].headers["x-modeldeck-limit"] == "2 requests per minute for this key"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30


async def test_a_global_limit_is_refused_and_closes_its_route(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = await stack.upstream("up")
    policy = traffic_policy(place, "g", target("HTTPRoute", "r"), rateLimit={"global": {"rules": [limit(1)]}})
    await stack.put(
        *service(place, "up", up.port), policy, http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    )
    ancestors = (await stack.status(BACKEND_TRAFFIC_POLICY, place, "g"))["ancestors"]
    said = condition(ancestors[0]["conditions"], "Accepted")
    assert (said["status"], said["reason"]) == ("False", "Invalid")
    assert "no global rate limiter is configured" in said["message"]
    assert (await client.get("/", headers={"host": f"{place}.test"})).status_code == 500


async def test_a_failing_upstream_is_tried_again(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    up = await stack.upstream("up")
    retry = {"numRetries": 2, "retryOn": {"httpStatusCodes": [503]}}
    await stack.put(
        *service(place, "up", up.port),
        traffic_policy(place, "retry", target("HTTPRoute", "r"), retry=retry),
        http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"]),
    )
    assert (await client.get("/status/503", headers={"host": f"{place}.test"})).status_code == 503
    assert len(up.seen) == 3


# --- credentials ---------------------------------------------------------------------------------------------------


def secret(place: str, key: str) -> Object:
    made = manifest("v1", "Secret", place, "provider")
    return made | {"type": "Opaque", "data": {"apiKey": base64.b64encode(key.encode()).decode()}}


def credential_policy(place: str) -> Object:
    spec = {
        "targetRefs": [{"group": AI_GATEWAY, "kind": "AIServiceBackend", "name": "m"}],
        "type": "APIKey",
        "apiKey": {"secretRef": {"name": "provider"}},
    }
    return manifest(f"{AI_GATEWAY}/v1beta1", "BackendSecurityPolicy", place, "m", spec)


async def call(client: httpx.AsyncClient, place: str, up: Upstream) -> tuple[int, str | None]:
    headers = {"host": f"{place}.test", "authorization": "Bearer of-the-client"}
    before = len(up.seen)
    answer = await client.post("/v1/chat/completions", json={"model": "m"}, headers=headers)
    return answer.status_code, up.last.headers.get("authorization") if len(up.seen) > before else None


async def test_the_gateways_own_credential_takes_the_place_of_the_clients(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = await stack.upstream("up")
    objects = ai_objects(place, "m", up.port, hostnames=[f"{place}.test"])
    await stack.put(secret(place, "sk-first"), credential_policy(place), *objects)
    assert await call(client, place, up) == (200, "Bearer sk-first")
    conditions = (await stack.status(BACKEND_SECURITY_POLICY, place, "m"))["conditions"]
    assert [(one["type"], one["status"]) for one in conditions] == [("Accepted", "True")]
    await stack.put(secret(place, "sk-second"))
    assert await call(client, place, up) == (200, "Bearer sk-second")
    holding = [
        path for path in stack.envoy.directory.rglob("*") if path.is_file() and b"sk-second" in path.read_bytes()
    ]
    assert [path.name for path in holding] == [f"sds-{place}.provider.json"]
    assert holding[0].stat().st_mode & 0o777 == 0o600


async def test_without_its_secret_a_backend_is_not_called(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    up = await stack.upstream("up")
    await stack.put(credential_policy(place), *ai_objects(place, "m", up.port, hostnames=[f"{place}.test"]))
    for kind in (BACKEND_SECURITY_POLICY, AI_SERVICE_BACKEND, AI_GATEWAY_ROUTE):
        conditions = (await stack.status(kind, place, "m"))["conditions"]
        assert [(one["type"], one["status"]) for one in conditions] == [("NotAccepted", "False")]
        assert f"Secret {place}/provider not found" in conditions[0]["message"]
    assert (await call(client, place, up))[1] is None
    await stack.put(secret(place, "sk-late"))
    assert await call(client, place, up) == (200, "Bearer sk-late")
    await stack.delete(SECRET, place, "provider")
    await stack.settle()
    status, sent = await call(client, place, up)
    assert (status, sent) == (500, None)


async def test_a_backend_of_another_schema_is_not_accepted(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    up = await stack.upstream("up")
    backend, service_backend, route = ai_objects(place, "m", up.port, hostnames=[f"{place}.test"])
    service_backend["spec"]["schema"] = {"name": "Anthropic"}
    await stack.put(backend, service_backend, route)
    conditions = (await stack.status(AI_SERVICE_BACKEND, place, "m"))["conditions"]
    assert conditions[0]["type"] == "NotAccepted"
    assert "spec.schema.name 'Anthropic' is not supported" in conditions[0]["message"]
    assert (await call(client, place, up))[1] is None
    assert json.dumps(await stack.status(AI_GATEWAY_ROUTE, place, "m")).count("NotAccepted") == 1
