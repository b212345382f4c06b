"""Paths, methods, media types, identities, discovery; and requests that mean no good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.local.kube import KubeServer
from console.tls import trusted
from tests.service.kube.driving import (
    APPLY,
    JSON_PATCH,
    MERGE,
    ROUTES,
    SECRETS,
    STRATEGIC,
    TOKENS,
    Http,
    namespace,
    route,
    secret,
)

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("GET", "/apis/none.example.com", 404),
        ("GET", "/apis/gateway.networking.k8s.io/v9", 404),
        ("GET", "/api/v1/pods", 404),
        ("GET", "/api/v2/secrets", 404),
        ("GET", f"{ROUTES}/r/scale", 404),
        ("GET", f"{SECRETS}/s/status", 404),
        ("GET", f"{ROUTES}/r/status/more", 404),
        ("GET", f"{ROUTES}//r", 404),
        ("GET", "/api/v1/namespaces/acme/namespaces", 404),
        ("GET", "/openapi/v2", 404),
        ("GET", "/openapi/v3/apis/none/v1", 404),
        ("POST", f"{ROUTES}/r", 405),
        ("PUT", ROUTES, 405),
        ("PATCH", ROUTES, 405),
        ("DELETE", f"{ROUTES}/r/status", 405),
        ("POST", "/apis/gateway.networking.k8s.io/v1/httproutes", 405),
        ("DELETE", "/api/v1/secrets", 405),
        ("OPTIONS", f"{ROUTES}/r", 405),
        ("HEAD", f"{ROUTES}/r", 405),
        ("POST", "/version", 405),
        ("GET", REVIEWS, 405),
        ("DELETE", f"{REVIEWS}/x", 405),
    ],
)
async def test_what_is_not_there(http: Http, method: str, path: str, code: int) -> None:
    answer = await http.client.request(method, path)
    assert answer.status_code == code
    if method != "HEAD":
        assert answer.json()["kind"] == "Status"
        assert answer.json()["code"] == code


async def test_health_and_version_are_for_everybody(http_as: Callable[[str], Http]) -> None:
    async with http_as("") as nobody:
        for path in ("/livez", "/readyz", "/healthz", "/livez/ping"):
            assert (await nobody.get(path)).text == "ok"
        assert (await nobody.get("/version")).json()["major"] == "1"
        for path in ("/api", "/apis", "/openapi/v3", ROUTES, "/healthzz"):
            refused = await nobody.get(path)
            assert refused.status_code == 401
            assert refused.json()["reason"] == "Unauthorized"
    async with http_as("wrong") as stranger:
        assert (await stranger.get("/livez")).status_code == 401


@pytest.mark.parametrize(
    ("user", "method", "path", "subject", "what", "where"),
    [
        (
            "viewer",
            "GET",
            f"{SECRETS}/s",
            'secrets "s"',
            'get resource "secrets" in API group ""',
            'in the namespace "acme"',
        ),
        (
            "viewer",
            "POST",
            ROUTES,
            "httproutes.gateway.networking.k8s.io",
            'create resource "httproutes" in API group "gateway.networking.k8s.io"',
            'in the namespace "acme"',
        ),
        (
            "publisher",
            "PUT",
            f"{ROUTES}/r/status",
            'httproutes.gateway.networking.k8s.io "r"',
            'update resource "httproutes/status" in API group "gateway.networking.k8s.io"',
            'in the namespace "acme"',
        ),
        (
            "publisher",
            "DELETE",
            "/api/v1/namespaces/acme",
            'namespaces "acme"',
            'delete resource "namespaces" in API group ""',
            'in the namespace "acme"',
        ),
        (
            "viewer",
            "GET",
            "/api/v1/secrets",
            "secrets",
            'list resource "secrets" in API group ""',
            "at the cluster scope",
        ),
    ],
)
async def test_a_missing_right_is_told_as_a_real_server_does(
    http_as: Callable[[str], Http], user: str, method: str, path: str, subject: str, what: str, where: str
) -> None:
    async with http_as(user) as client:
        answer = await client.client.request(method, path, json={})
    message = f'{subject} is forbidden: User "{user}" cannot {what} {where}'
    assert (answer.status_code, answer.json()["reason"], answer.json()["message"]) == (403, "Forbidden", message)


async def test_a_dry_run_needs_the_right_to_write(http_as: Callable[[str], Http]) -> None:
    async with http_as("viewer") as viewer:
        assert (await viewer.post(ROUTES, route(), dryRun="All")).status_code == 403


async def test_reviews(http_as: Callable[[str], Http]) -> None:
    async def may(client: Http, **attributes: str) -> bool:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = await client.post(REVIEWS, body)
        assert answer.status_code == 201
        allowed: bool = answer.json()["status"]["allowed"]
        return allowed

    async with http_as("viewer") as viewer:
        assert await may(viewer, verb="get", group="gateway.networking.k8s.io", resource="httproutes", namespace="acme")
        assert not await may(viewer, verb="get", resource="secrets", namespace="acme")
        assert not await may(
            viewer, verb="patch", group="gateway.networking.k8s.io", resource="httproutes", subresource="status"
        )
        path = {"spec": {"nonResourceAttributes": {"path": "/livez", "verb": "get"}}}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        assert (await viewer.post(REVIEWS, {**body, **path})).json()["status"]["allowed"]
        assert (await viewer.post(REVIEWS, body)).status_code == 422
        who = await viewer.post(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
        assert who.json()["status"]["userInfo"]["username"] == "viewer"


# --- discovery -------------------------------------------------------------------------------------------------


async def test_discovery_in_both_forms_says_the_same(http: Http) -> None:
    groups = (await http.get("/apis")).json()["groups"]
    ai = next(one for one in groups if one["name"] == "aigateway.envoyproxy.io")
    assert ai["preferredVersion"]["version"] == "v1beta1"
    assert [one["version"] for one in ai["versions"]] == ["v1beta1", "v1alpha1"]
    assert (await http.get("/apis/aigateway.envoyproxy.io")).json()["versions"] == ai["versions"]
    plain = set()
    for group in groups:
        for version in group["versions"]:
            listed = (await http.get(f"/apis/{version['groupVersion']}")).json()
            plain |= {
                (version["groupVersion"], one["name"], one["kind"], one["namespaced"]) for one in listed["resources"]
            }
    headers = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    found = (await http.client.get("/apis", headers=headers)).json()
    together = set()
    for group in found["items"]:
        for version in group["versions"]:
            name = f"{group['metadata']['name']}/{version['version']}"
            for one in version["resources"]:
                scope = one["scope"] == "Namespaced"
                together.add((name, one["resource"], one["responseKind"]["kind"], scope))
                for sub in one.get("subresources", ()):
                    together.add((name, f"{one['resource']}/{sub['subresource']}", sub["responseKind"]["kind"], scope))
    assert together == plain
    core = (await http.client.get("/api", headers=headers)).json()
    assert [group["metadata"].get("name") for group in core["items"]] == [None]
    assert (await http.get("/api")).json()["versions"] == ["v1"]


async def test_open_api_says_what_a_patch_takes(http: Http) -> None:
    paths = (await http.get("/openapi/v3")).json()["paths"]
    url = paths["apis/gateway.networking.k8s.io/v1"]["serverRelativeURL"]
    document = (await http.get(url)).json()
    patch = document["paths"][ROUTES.replace("acme", "{namespace}") + "/{name}"]["patch"]
    assert "fieldValidation" in [one["name"] for one in patch["parameters"]]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "HTTPRoute"


# --- bodies ----------------------------------------------------------------------------------------------------


async def test_bodies_are_bounded(http: Http) -> None:
    body = b'{"a":"' + b"x" * (3 * 1024 * 1024) + b'"}'
    answer = await http.client.post(SECRETS, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")

    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 100_000

    answer = await http.client.post(SECRETS, content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b'{"a":1}', "text/plain", 415),
        (b'{"a":1}', "application/cbor", 415),
        (b"a: [", "application/yaml", 400),
        (b"nonsense", "application/vnd.kubernetes.protobuf", 400),
        (b"[" * 100_000, "application/json", 400),
    ],
)
async def test_bodies_that_are_refused(http: Http, content: bytes, kind: str, code: int) -> None:
    answer = await http.client.post(SECRETS, content=content, headers={"Content-Type": kind})
    assert answer.status_code == code


async def test_what_a_client_must_accept(http: Http) -> None:
    async def code(accept: str) -> int:
        return (await http.client.get(ROUTES, headers={"Accept": accept})).status_code

    assert await code("application/xml") == 406
    assert await code("application/vnd.kubernetes.protobuf") == 406
    for accept in ("*/*", "application/*", "application/json;charset=utf-8", "text/html, application/json;q=0.5", ""):
        assert await code(accept) == 200


# --- requests that mean no good --------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("apiVersion", "kind", "metadata", "spec", "status", "data", "stringData", "type")
METADATA = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "generateName",
    "deletionTimestamp",
    "generation",
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """An object that was right, with some of its parts exchanged for anything."""
    body: Any = draw(st.sampled_from([route(), secret(data={"a": "YQ=="}), namespace("x"), service(), gateway()]))
    body = json.loads(json.dumps(body))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(["top", "metadata", "spec"]))
        target = body if place == "top" else body.get(place)
        if isinstance(target, dict):
            names = {"top": FIELDS, "metadata": METADATA}.get(place, ("ports", "listeners", "rules", "x", "finalizers"))
            target[draw(st.sampled_from(names))] = draw(JSON)
    return draw(st.sampled_from([body, body, body, [body], draw(JSON)]))


def service() -> Any:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "r"}, "spec": {"ports": [{"port": 1}]}}


def gateway() -> Any:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "r"},
        "spec": {"listeners": [{"name": "a"}]},
    }


PATHS = [
    ROUTES,
    SECRETS,
    SECRETS.replace("secrets", "services"),
    ROUTES.replace("httproutes", "gateways"),
    "/api/v1/namespaces",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
]
METHODS = [
    ("POST", "application/json"),
    ("PUT", "application/json"),
    *(("PATCH", kind) for kind in (MERGE, JSON_PATCH, APPLY, STRATEGIC)),
    ("DELETE", "application/json"),
]
QUERIES = st.dictionaries(
    st.sampled_from(
        [
            "dryRun",
            "fieldValidation",
            "force",
            "fieldManager",
            "limit",
            "continue",
            "labelSelector",
            "resourceVersion",
            "watch",
            "propagationPolicy",
        ]
    ),
    st.sampled_from(["All", "Strict", "true", "1", "x", "", "\x00", "a in (", "-1", "9" * 30, "Ignore"]),
    max_size=2,
)


async def test_no_request_makes_the_server_fail(server: KubeServer) -> None:
    """Whatever is sent: an answer, never a 5xx (but 504 for a version to come), and a server that still works."""
    requests: list[tuple[str, str, str, Any, dict[str, str]]] = []

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(METHODS), st.sampled_from(PATHS), st.booleans(), mutated(), QUERIES)
    def collect(method: tuple[str, str], path: str, named: bool, body: Any, query: dict[str, str]) -> None:
        query = {**query, **({"fieldManager": "m"} if method[1] == APPLY and "fieldManager" not in query else {})}
        requests.append((method[0], method[1], path + ("/r" if named else ""), body, query))

    collect()
    async with Http(server.url, "admin-token") as http:
        for path, body in (
            (ROUTES, route()),
            (SECRETS, secret("r", data={"a": "YQ=="})),
            (PATHS[2], service()),
            (PATHS[3], gateway()),
        ):
            await http.post(path, body)
        for method, kind, path, body, query in requests:
            answer = await http.client.request(
                method, path, content=json.dumps(body), headers={"Content-Type": kind}, params=query
            )
            assert answer.status_code < 500 or answer.status_code == 504, (method, kind, path, body, query, answer.text)
            assert answer.json()["kind"]
        for path in PATHS[:4]:
            assert (await http.get(path)).status_code == 200


async def test_lists_take_any_query(http: Http) -> None:
    codes = set()

    @settings(max_examples=100, deadline=None, database=None)
    @given(QUERIES)
    def collect(query: dict[str, str]) -> None:
        queries.append({key: value for key, value in query.items() if key != "watch"})

    queries: list[dict[str, str]] = []
    collect()
    for query in queries:
        codes.add((await http.get(ROUTES, **query)).status_code)
    assert codes <= {200, 400, 422, 504}


async def test_a_client_that_hangs_up_does_no_harm(server: KubeServer, http: Http) -> None:
    body = json.dumps(secret("cut")).encode()
    head = (
        f"POST {SECRETS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\nContent-Type: application/json\r\n"
    )
    for sent in (
        head.encode(),
        head.encode() + b"Content-Length: 500\r\n\r\n" + body[:20],
        b"SPAM\r\n\r\n",
        b"\x00\xff" * 50,
    ):
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(sent)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        reader.feed_eof()
    assert (await http.get(SECRETS)).json()["items"] == []


async def test_tokens_do_not_show(server: KubeServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=trusted()) as client:
        answer = await client.get(ROUTES, headers={"Authorization": "Bearer something-secret"})
    assert "something-secret" not in answer.text
    assert not any(token in repr(vars(server)) for token in TOKENS)
