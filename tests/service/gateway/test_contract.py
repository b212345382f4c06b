"""What an authorizer and an upstream see of a request, and what a client gets: over the wire, through a real Envoy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from console.k8s.types import SECURITY_POLICY
from console.local.ports import LOOPBACK
from tests.service.gateway.driving import Authorizer, Stack, Upstream
from tests.unit.gateway.manifests import (
    SYSTEM,
    ai_objects,
    buffer_policy,
    http_route,
    namespace,
    rule,
    security_policy,
    service,
    target,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = {"authorization": "Bearer good"}
CHAT = "/v1/chat/completions"


@dataclass
class Site:
    """Two models behind an authorizer, and a default for everything else."""

    stack: Stack
    authorizer: Authorizer
    alpha: Upstream
    beta: Upstream
    default: Upstream


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(stack: Stack) -> AsyncIterator[Site]:
    authorizer = await stack.authorizer()
    alpha, beta, default = [await stack.upstream(name) for name in ("alpha", "beta", "default")]
    await stack.put(
        namespace("acme"),
        *service(SYSTEM, "authz", authorizer.port),
        *service(SYSTEM, "default", default.port),
        security_policy(SYSTEM, "everything", target("Gateway", "gw")),
        buffer_policy(SYSTEM, "buffers", "64Ki"),
        http_route(SYSTEM, "default", rule("/", "default")),
        *ai_objects("acme", "alpha", alpha.port),
        *ai_objects("acme", "org/beta", beta.port, name="beta", prefix="openai/v1", override="real-beta"),
    )
    yield Site(stack, authorizer, alpha, beta, default)


def chat(model: str = "alpha", **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **more}).encode()


async def test_the_authorizer_is_told_what_the_gateway_found_out(site: Site, client: httpx.AsyncClient) -> None:
    answer = await client.post(
        f"{CHAT}?a=b", content=chat(), headers=GOOD | {"content-type": "application/json", "cookie": "c=1"}
    )
    assert (answer.status_code, answer.text) == (200, "alpha")
    seen = site.authorizer.last
    assert (seen.method, seen.path) == ("POST", f"/authz{CHAT}?a=b")
    assert seen.headers["authorization"] == "Bearer good"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-ai-eg-model"] == "alpha"
    assert seen.headers["x-modeldeck-body"] == "ok"
    assert seen.headers["x-forwarded-for"] == LOOPBACK
    assert seen.headers["x-request-id"]
    assert seen.headers["content-length"] == "0"
    assert "cookie" not in seen.headers
    assert seen.body == b""


async def test_the_upstream_gets_what_the_policy_lists_and_the_body_as_it_was(
    site: Site, client: httpx.AsyncClient
) -> None:
    body = b' {"messages": [], "n": 1.0, "seed": 9007199254740993,\n "model" : "alpha"} '
    await client.post(CHAT, content=body, headers=GOOD)
    seen = site.alpha.last
    assert (seen.path, seen.body) == (CHAT, body)
    assert seen.headers["x-modeldeck-model"] == "alpha"
    assert seen.headers["x-modeldeck-key-id"] == "key-1"
    assert seen.headers["x-modeldeck-tenant"] == "acme"
    assert seen.headers["content-type"] == "application/json"
    for hidden in ("x-not-listed", "x-modeldeck-body", "x-envoy-expected-rq-timeout-ms"):
        assert hidden not in seen.headers


async def test_what_a_client_claims_about_itself_is_removed(site: Site, client: httpx.AsyncClient) -> None:
    spoofed = {
        "x-ai-eg-model": "org/beta",
        "x-modeldeck-tenant": "globex",
        "X-Modeldeck-Body": "ok",
        "x-tensorzero-endpoint-id": "1",
        "x-envoy-retry-on": "5xx",
        "x-forwarded-for": "8.8.8.8",
        "x-forwarded-host": "evil",
        "x-real-ip": "8.8.8.8",
    }
    answer = await client.post(CHAT, content=chat("alpha"), headers=GOOD | spoofed)
    assert answer.text == "alpha"
    assert site.authorizer.last.headers["x-forwarded-for"] == LOOPBACK
    headers = site.alpha.last.headers
    assert headers["x-modeldeck-tenant"] == "acme"
    assert headers["x-ai-eg-model"] == "alpha"
    assert headers["x-forwarded-for"] == LOOPBACK
    for gone in ("x-tensorzero-endpoint-id", "x-envoy-retry-on", "x-forwarded-host", "x-real-ip"):
        assert gone not in headers
    await client.get("/plain", headers=GOOD | {"x-ai-eg-model": "alpha"})
    assert "x-ai-eg-model" not in site.authorizer.last.headers


BODIES = [
    (chat(), "application/json", "ok", "alpha"),
    (chat(), None, "ok", "alpha"),
    (chat(), "application/x-www-form-urlencoded", "ok", "alpha"),
    (chat(), "Application/JSON; charset=utf-8", "ok", "alpha"),
    (chat(), "application/vnd.api+json", "ok", "alpha"),
    (b'{"mod\\u0065l": "\\u0061lpha"}', None, "ok", "alpha"),
    ('{"model": "modèle-\\ud83d\\ude00"}'.encode(), None, "ok", "modèle-😀"),
    (b"{}", None, "no-model", None),
    (b'[{"model": "alpha"}]', None, "no-model", None),
    (b'{"nested": {"model": "alpha"}}', None, "no-model", None),
    (b'{"model": 5}', None, "no-model", None),
    (b'{"model": ""}', None, "no-model", None),
    (b'{"MODEL": "alpha"}', None, "no-model", None),
    (b'{"model": "alpha", "model": "beta"}', None, "duplicate-model", None),
    (b'{"model": "alpha", "mod\\u0065l": "beta"}', None, "duplicate-model", None),
    (b'{"model": "alpha", "Model": "beta"}', None, "duplicate-model", None),
    (b'{"model": "alpha"', None, "malformed", None),
    (b'{"model": "alpha"} x', None, "malformed", None),
    (b"{'model': 'alpha'}", None, "malformed", None),
    (b'{"model": "alpha", }', None, "malformed", None),
    (b'{"model": "alpha", "n": 01}', None, "malformed", None),
    (b'{"model": "al\npha"}', None, "malformed", None),
    (b'{"model": "al\\u000dpha"}', None, "malformed", None),
    (b'{"model": " alpha"}', None, "malformed", None),
    (b'{"model": "\\ud800"}', None, "malformed", None),
    (b"\xef\xbb\xbf" + chat(), None, "malformed", None),
    ('{"model": "alpha"}'.encode("utf-16"), None, "malformed", None),
    (b"a=b&model=alpha", "application/x-www-form-urlencoded", "malformed", None),
    (b"[" * 600 + b"]" * 600, None, "malformed", None),
    (chat(), "text/plain", "not-json", None),
    (chat(), "multipart/form-data; boundary=x", "not-json", None),
    (b"", None, "none", None),
]


@pytest.mark.parametrize(("body", "content_type", "found", "model"), BODIES)
async def test_a_body_is_told_for_what_it_is(
    site: Site, client: httpx.AsyncClient, body: bytes, content_type: str | None, found: str, model: str | None
) -> None:
    headers = GOOD | ({"content-type": content_type} if content_type else {})
    await client.post(CHAT, content=body, headers=headers)
    seen = site.authorizer.last.headers
    assert seen["x-modeldeck-body"] == found
    assert seen.get("x-ai-eg-model") == model


async def test_a_chunked_body_is_read_as_any_other(site: Site, client: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"mod'
        yield b'el": "org/beta", "x": "'
        yield b'y"}'

    answer = await client.post(CHAT, content=parts(), headers=GOOD)
    assert answer.text == "beta"
    assert site.beta.last.json == {"model": "real-beta", "x": "y"}


async def test_a_body_over_the_limit_is_refused_in_openais_form(site: Site, client: httpx.AsyncClient) -> None:
    before = len(site.authorizer.seen)
    answer = await client.post(CHAT, content=chat(padding="x" * 70_000), headers=GOOD)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    assert len(site.authorizer.seen) == before
    assert (await client.post(CHAT, content=chat(padding="x" * 60_000), headers=GOOD)).status_code == 200


async def test_a_refusal_reaches_the_client_unchanged(site: Site, client: httpx.AsyncClient) -> None:
    site.authorizer.denial = (429, {"retry-after": "17", "x-ratelimit-limit": "5"})
    answer = await client.post(CHAT, content=chat(), headers={"authorization": "Bearer bad"})
    site.authorizer.denial = (401, {})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "17"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"error": {"message": "no", "type": "t", "param": None, "code": "c"}}


async def test_an_unknown_model_goes_to_the_default_and_a_missing_key_nowhere(
    site: Site, client: httpx.AsyncClient
) -> None:
    assert (await client.post(CHAT, content=chat("nobody"), headers=GOOD)).text == "default"
    before = len(site.default.seen)
    assert (await client.post(CHAT, content=chat("nobody"))).status_code == 401
    assert len(site.default.seen) == before


async def test_the_list_of_models_is_asked_for_too(site: Site, client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models", headers=GOOD)
    assert answer.text == "default"
    assert (site.authorizer.last.method, site.authorizer.last.path) == ("GET", "/authz/v1/models")
    assert site.authorizer.last.headers["x-modeldeck-body"] == "none"
    assert (await client.get("/v1/models")).status_code == 401


async def test_a_backend_has_its_own_name_for_a_model_and_its_own_place_of_the_api(
    site: Site, client: httpx.AsyncClient
) -> None:
    body = b'{"n": 1.50, "model" :"org/beta" , "seed": 12345678901234567890, "u": "\\u00e9"}'
    answer = await client.post(f"{CHAT}?x=1", content=body, headers=GOOD)
    assert answer.text == "beta"
    seen = site.beta.last
    assert seen.path == "/openai/v1/chat/completions?x=1"
    assert seen.body == b'{"n": 1.50, "model" :"real-beta" , "seed": 12345678901234567890, "u": "\\u00e9"}'
    assert seen.headers["content-length"] == str(len(seen.body))
    assert seen.headers["host"] == f"{LOOPBACK}:{site.beta.port}"


async def test_events_are_passed_on_as_they_come(site: Site, client: httpx.AsyncClient) -> None:
    async with client.stream("POST", CHAT, content=chat(stream=True), headers=GOOD) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        received = []
        async for line in answer.aiter_lines():
            if line:
                received.append(line)
                site.alpha.next_event.set()  # the next one is only sent when this one has arrived
    assert received == ["data: 0", "data: 1", "data: 2", "data: [DONE]"]


async def test_an_authorizer_that_does_not_answer_lets_nothing_pass(stack: Stack, site: Site) -> None:
    dead = service(SYSTEM, "dead", 9)
    closed = security_policy(
        SYSTEM, "closed", target("HTTPRoute", "closed"), "dead", timeout="500ms", statusOnError=403
    )
    says_503 = security_policy(SYSTEM, "says-503", target("HTTPRoute", "says-503"), "dead", statusOnError=503)
    opened = security_policy(SYSTEM, "opened", target("HTTPRoute", "opened"), "dead", failOpen=True)
    routes = [
        http_route(SYSTEM, name, rule("/", "default"), hostnames=[f"{name}.test"])
        for name in ("closed", "says-503", "opened")
    ]
    await stack.put(*dead, closed, says_503, opened, *routes)
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as client:
        answer = await client.get("/", headers={"host": "closed.test"})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "access_unknown"
        assert (await client.get("/", headers={"host": "says-503.test"})).status_code == 503
        assert (await client.get("/", headers={"host": "opened.test"})).text == "default"


async def test_a_body_is_sent_along_where_the_policy_asks_for_it(
    stack: Stack, site: Site, client: httpx.AsyncClient
) -> None:
    policy = security_policy(SYSTEM, "body", target("HTTPRoute", "body"), bodyToExtAuth={"maxRequestBytes": 1000})
    await stack.put(policy, http_route(SYSTEM, "body", rule("/", "default"), hostnames=["body.test"]))
    headers = GOOD | {"host": "body.test"}
    assert (await client.post("/x", content=chat(), headers=headers)).text == "default"
    assert site.authorizer.last.body == chat()
    assert (await client.post("/x", content=chat(pad="x" * 2000), headers=headers)).status_code == 413


async def test_a_route_may_name_the_model_that_it_stands_for(
    stack: Stack, site: Site, client: httpx.AsyncClient
) -> None:
    policy = security_policy(SYSTEM, "named", target("HTTPRoute", "named"))
    policy["spec"]["extAuth"]["http"]["path"] = "/authz/model/Qwen%2FQwen3"
    await stack.put(policy, http_route(SYSTEM, "named", rule("/", "default"), hostnames=["named.test"]))
    await client.post("/v1/models/x:predict", content=b'{"instances": []}', headers=GOOD | {"host": "named.test"})
    assert site.authorizer.last.path == "/authz/model/Qwen%2FQwen3/v1/models/x:predict"
    assert site.authorizer.last.headers["x-modeldeck-body"] == "no-model"


async def test_an_authorizer_may_take_the_key_away_from_the_upstream(site: Site, client: httpx.AsyncClient) -> None:
    site.authorizer.extra = {"x-envoy-auth-headers-to-remove": "authorization"}
    await client.post(CHAT, content=chat(), headers=GOOD)
    site.authorizer.extra = {}
    assert "authorization" not in site.alpha.last.headers


async def test_a_policy_whose_authorizer_does_not_exist_closes_its_route(
    stack: Stack, site: Site, client: httpx.AsyncClient
) -> None:
    await stack.put(
        security_policy(SYSTEM, "nowhere", target("HTTPRoute", "nowhere"), "missing"),
        http_route(SYSTEM, "nowhere", rule("/", "default"), hostnames=["nowhere.test"]),
    )
    answer = await client.get("/", headers=GOOD | {"host": "nowhere.test"})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    ancestors = (await stack.status(SECURITY_POLICY, SYSTEM, "nowhere"))["ancestors"]
    assert ancestors[0]["conditions"][0]["status"] == "False"
    assert "service gateway-system/missing not found" in ancestors[0]["conditions"][0]["message"]


async def test_a_keep_alive_connection_sees_a_new_kind_of_authorization_at_once(
    stack: Stack, site: Site, client: httpx.AsyncClient
) -> None:
    """The listener gets a filter more; on a connection to the old one the route is closed, and so is the connection."""
    await stack.put(http_route(SYSTEM, "late", rule("/", "default"), hostnames=["late.test"]))
    headers = {"host": "late.test"}
    assert (await client.get("/", headers=headers)).status_code == 401
    policy = security_policy(SYSTEM, "late", target("HTTPRoute", "late"), headersToExtAuth=["x-new-one"])
    await stack.put(policy)
    assert (await client.get("/", headers=headers)).status_code in (401, 503)
    assert (await client.get("/", headers=headers | {"x-new-one": "1"})).status_code == 401
    assert site.authorizer.last.headers["x-new-one"] == "1"
    await stack.delete(SECURITY_POLICY, SYSTEM, "late")
    await stack.settle()
    assert (await client.get("/", headers=headers)).status_code == 401
    assert "x-new-one" not in site.authorizer.last.headers
