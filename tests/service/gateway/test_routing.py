"""HTTPRoutes over the wire: which rule answers, and what it makes of a request."""

from __future__ import annotations

import collections
from typing import Any

import httpx
import pytest

from console.k8s.types import GATEWAY, HTTP_ROUTE, SERVICE
from tests.service.gateway.driving import Stack
from tests.unit.gateway.manifests import (
    GATEWAY_API,
    SYSTEM,
    ai_objects,
    condition,
    gateway,
    http_route,
    manifest,
    rule,
    service,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_route_is_served_and_says_so(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    a = await stack.upstream("a")
    await stack.put(*service(place, "a", a.port), http_route(place, "r", rule("/", "a"), hostnames=[f"{place}.test"]))
    answer = await client.get("/x", headers={"host": f"{place}.test"})
    assert (answer.status_code, answer.text) == (200, "a")
    parents = (await stack.status(HTTP_ROUTE, place, "r"))["parents"]
    assert condition(parents[0]["conditions"], "Accepted")["status"] == "True"
    of_gateway = await stack.status(GATEWAY, SYSTEM, "gw")
    assert condition(of_gateway["conditions"], "Programmed")["status"] == "True"
    assert of_gateway["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]
    assert of_gateway["listeners"][0]["attachedRoutes"] >= 1


async def test_the_more_specific_rule_answers(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    names = ["exact", "regex", "long", "short", "method", "headers", "query"]
    made = [await stack.upstream(name) for name in names]
    header = {"headers": [{"name": "X-A", "value": "1"}]}
    rules = [
        rule("/", "short"),
        rule("/v1", "long"),
        rule("/v1/models/x", "exact", kind="Exact"),
        rule("/v1/r[0-9]+", "regex", kind="RegularExpression"),
        {"matches": [{"path": {"value": "/v1"}, "method": "DELETE"}], "backendRefs": [{"name": "method", "port": 80}]},
        {"matches": [{"path": {"value": "/v1"}, **header}], "backendRefs": [{"name": "headers", "port": 80}]},
        {
            "matches": [{"path": {"value": "/v1"}, "queryParams": [{"name": "q", "value": "1"}]}],
            "backendRefs": [{"name": "query", "port": 80}],
        },
    ]
    services = [one for name, up in zip(names, made, strict=True) for one in service(place, name, up.port)]
    await stack.put(*services, http_route(place, "r", *rules, hostnames=[f"{place}.test"]))
    table: list[tuple[str, str, dict[str, str], str]] = [
        ("GET", "/", {}, "short"),
        ("GET", "/v1x", {}, "short"),
        ("GET", "/v1", {}, "long"),
        ("GET", "/v1/x", {}, "long"),
        ("GET", "/v1/models/x", {}, "exact"),
        ("GET", "/v1/models/x:predict", {}, "long"),
        ("DELETE", "/v1/models/x", {"x-a": "1"}, "exact"),
        ("GET", "/v1/r12", {}, "regex"),
        ("GET", "/v1/r12x", {}, "long"),
        ("DELETE", "/v1/y", {"x-a": "1"}, "method"),
        ("GET", "/v1/y?q=1", {"x-a": "1"}, "headers"),
        ("GET", "/v1/y?q=1", {"x-a": "2"}, "query"),
        ("GET", "/v1/y?q=2", {}, "long"),
        ("GET", "/v1//./y/..", {}, "long"),
    ]
    for method, path, headers, expected in table:
        answer = await client.request(method, path, headers=headers | {"host": f"{place}.test"})
        assert answer.text == expected, (method, path, headers)


async def test_the_default_route_stands_behind_every_model_and_before_their_404(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    model, default = await stack.upstream("model"), await stack.upstream("default")
    host = f"{place}.test"
    await stack.put(*ai_objects(place, "m", model.port, hostnames=[host]))
    body = {"model": "unknown"}
    answer = await client.post("/v1/chat/completions", json=body, headers={"host": host})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert answer.headers["content-type"] == "application/json"
    # It is younger than the AIGatewayRoute, whose 404 would win by Gateway API's rule on ties.
    await stack.put(*service(place, "d", default.port), http_route(place, "d", rule("/", "d"), hostnames=[host]))
    answer = await client.post("/v1/chat/completions", json=body, headers={"host": host})
    assert answer.text == "default"
    answer = await client.post("/v1/chat/completions", json={"model": "m"}, headers={"host": host})
    assert answer.text == "model"


async def test_hostnames_are_matched_from_the_most_specific(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    wild, exact = await stack.upstream("wild"), await stack.upstream("exact")
    await stack.put(
        *service(place, "wild", wild.port),
        *service(place, "exact", exact.port),
        http_route(place, "wild", rule("/", "wild"), hostnames=[f"*.{place}.test"]),
        http_route(place, "exact", rule("/only", "exact"), hostnames=[f"a.{place}.test"]),
    )
    assert (await client.get("/", headers={"host": f"b.c.{place}.test"})).text == "wild"
    assert (await client.get("/only", headers={"host": f"a.{place}.test:8080"})).text == "exact"
    assert (await client.get("/", headers={"host": f"a.{place}.test"})).status_code == 404
    answer = await client.get("/", headers={"host": f"{place}.test"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")


REWRITES: list[tuple[str, dict[str, str], str, str]] = [
    ("/v1", {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2"}, "/v1/x?q=1", "/v2/x?q=1"),
    ("/v1", {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v2/"}, "/v1", "/v2"),
    ("/v1/", {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}, "/v1/x", "/x"),
    ("/v1", {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}, "/v1", "/"),
    ("/", {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/up"}, "/x/y", "/up/x/y"),
    ("/a.b", {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/c"}, "/a.b/d", "/c/d"),
    ("/v1", {"type": "ReplaceFullPath", "replaceFullPath": "/all/of/it"}, "/v1/x?q=1", "/all/of/it?q=1"),
    ("/v1", {"type": "ReplaceFullPath", "replaceFullPath": "/v1/models/a:predict"}, "/v1/x", "/v1/models/a:predict"),
]


async def test_paths_and_hosts_are_rewritten(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    up = await stack.upstream("up")
    await stack.apply(*service(place, "up", up.port))
    routes = []
    for index, (prefix, path, _, _) in enumerate(REWRITES):
        rewriting = {"type": "URLRewrite", "urlRewrite": {"path": path, "hostname": "other.example"}}
        hostnames = [f"r{index}.{place}.test"]
        routes.append(http_route(place, f"r{index}", rule(prefix, "up", filters=[rewriting]), hostnames=hostnames))
    await stack.put(*routes)
    for index, (_, _, asked, expected) in enumerate(REWRITES):
        await client.get(asked, headers={"host": f"r{index}.{place}.test"})
        assert up.last.path == expected
        assert up.last.headers["host"] == "other.example"


async def test_headers_are_changed_on_both_ways(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    up = await stack.upstream("up")
    change = {
        "set": [{"name": "X-Set", "value": "50% {}"}],
        "add": [{"name": "x-add", "value": "b"}],
        "remove": ["x-no"],
    }
    filters = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": change},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-r", "value": "%REQ(x)%"}]}},
    ]
    await stack.put(
        *service(place, "up", up.port),
        http_route(place, "r", rule("/", "up", filters=filters), hostnames=[f"{place}.test"]),
    )
    sent = {"host": f"{place}.test", "x-set": "old", "x-add": "a", "x-no": "1"}
    answer = await client.get("/", headers=sent)
    assert up.last.headers["x-set"] == "50% {}"
    assert up.last.headers["x-add"] in ("a,b", "b")  # ASGI keeps the last of two lines in a dict
    assert "x-no" not in up.last.headers
    assert answer.headers["x-r"] == "%REQ(x)%"


async def test_redirects_lead_where_they_say(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    redirects: list[tuple[dict[str, Any], int, str]] = [
        ({"hostname": "b.test", "port": 8443, "scheme": "https"}, 302, "https://b.test:8443/old/x"),
        ({"hostname": "b.test", "scheme": "https", "statusCode": 301}, 301, "https://b.test/old/x"),
        (
            {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}, "statusCode": 308},
            308,
            f"http://{{host}}:{stack.port}/new/x",
        ),
    ]
    routes = []
    for index, (redirect, _, _) in enumerate(redirects):
        filters = [{"type": "RequestRedirect", "requestRedirect": redirect}]
        routes.append(
            http_route(place, f"r{index}", rule("/old", filters=filters), hostnames=[f"r{index}.{place}.test"])
        )
    await stack.put(*routes)
    for index, (_, status, location) in enumerate(redirects):
        host = f"r{index}.{place}.test"
        answer = await client.get("/old/x", headers={"host": host})
        assert (answer.status_code, answer.headers["location"]) == (status, location.format(host=host))


async def test_weights_share_and_a_missing_backend_answers_its_share_with_500(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    a, b = await stack.upstream("a"), await stack.upstream("b")
    refs = rule("/", ("a", 3), ("b", 1), ("gone", 0))
    half = rule("/half", ("a", 1), ("gone", 1))
    await stack.put(
        *service(place, "a", a.port),
        *service(place, "b", b.port),
        http_route(place, "r", refs, half, hostnames=[f"{place}.test"]),
    )
    answers = [await client.get("/", headers={"host": f"{place}.test"}) for _ in range(60)]
    shares = collections.Counter(answer.text for answer in answers)
    assert set(shares) == {"a", "b"}
    assert shares["a"] > shares["b"]
    halves = collections.Counter(
        [(await client.get("/half", headers={"host": f"{place}.test"})).status_code for _ in range(30)]
    )
    assert set(halves) == {200, 500}
    conditions = (await stack.status(HTTP_ROUTE, place, "r"))["parents"][0]["conditions"]
    assert condition(conditions, "ResolvedRefs")["reason"] == "BackendNotFound"
    assert "gone not found" in condition(conditions, "ResolvedRefs")["message"]
    assert condition(conditions, "Accepted")["status"] == "True"


async def test_a_slow_upstream_is_given_up_in_time(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    up = await stack.upstream("up")
    await stack.put(
        *service(place, "up", up.port),
        http_route(place, "r", rule("/", "up", timeouts={"request": "50ms"}), hostnames=[f"{place}.test"]),
    )
    answer = await client.get("/wait", headers={"host": f"{place}.test"})
    up.release.set()
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "upstream_timeout"


async def test_a_service_without_endpoints_answers_503_and_with_new_ones_again(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    host = {"host": f"{place}.test"}
    await stack.put(*service(place, "up"), http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"]))
    answer = await client.get("/", headers=host)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
    conditions = (await stack.status(HTTP_ROUTE, place, "r"))["parents"][0]["conditions"]
    assert condition(conditions, "BackendsAvailable")["reason"] == "EndpointsNotFound"
    assert condition(conditions, "ResolvedRefs")["status"] == "True"
    up = await stack.upstream("up")
    await stack.put(*service(place, "up", up.port))
    assert (await client.get("/", headers=host)).text == "up"
    conditions = (await stack.status(HTTP_ROUTE, place, "r"))["parents"][0]["conditions"]
    assert "BackendsAvailable" not in [one["type"] for one in conditions]


async def test_a_namespace_must_permit_that_others_call_its_services(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = await stack.upstream("up")
    there = f"{place}-there"
    to = rule("/", "up")
    to["backendRefs"][0]["namespace"] = there
    await stack.put(
        manifest("v1", "Namespace", None, there),
        *service(there, "up", up.port),
        http_route(place, "r", to, hostnames=[f"{place}.test"]),
    )
    assert (await client.get("/", headers={"host": f"{place}.test"})).status_code == 500
    conditions = (await stack.status(HTTP_ROUTE, place, "r"))["parents"][0]["conditions"]
    assert condition(conditions, "ResolvedRefs")["reason"] == "RefNotPermitted"
    spec = {
        "from": [{"group": GATEWAY_API, "kind": "HTTPRoute", "namespace": place}],
        "to": [{"group": "", "kind": "Service", "name": "up"}],
    }
    await stack.put(manifest(f"{GATEWAY_API}/v1beta1", "ReferenceGrant", there, "g", spec))
    assert (await client.get("/", headers={"host": f"{place}.test"})).text == "up"


async def test_a_listener_below_1024_is_opened_higher_up(stack: Stack, place: str) -> None:
    """As Envoy Gateway does on a host; the port stays the one that routes see."""
    up = await stack.upstream("up")
    route = http_route(place, "r", rule("/", "up"))
    route["spec"]["parentRefs"] = [{"name": "low", "port": 81}]
    await stack.put(*service(place, "up", up.port), gateway(81, "low", place), route)
    async with httpx.AsyncClient(base_url="http://127.0.0.1:10081", trust_env=False) as low:
        assert (await low.get("/")).text == "up"
    await stack.delete(GATEWAY, place, "low")
    await stack.delete(SERVICE, place, "up")
    await stack.settle()
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(base_url="http://127.0.0.1:10081", trust_env=False) as low:
            await low.get("/")
