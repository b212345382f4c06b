"""Generated publications against the published CustomResourceDefinitions: schema, defaults and CEL rules.

Whatever our own checks let through, a real API server takes.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from console.config import GatewayLink
from console.k8s.types import kind_of
from console.local import bootstrap
from console.local.kube import KubeServer
from console.outcome import Refusal
from console.publishing import backends, gateway_buffer, limits, listeners
from console.publishing.manifests import grant_for_authorizer, manifests
from console.publishing.plan import check_name
from console.publishing.types import Backend, Endpoint, Limits, Origin, Publication, PublicationKind
from tests.service.kube.driving import DEFINITIONS, TOKENS, Http, namespace, published
from tests.support.examples import examples

pytestmark = pytest.mark.asyncio(loop_scope="module")

_KINDS = (
    "aigatewayroutes",
    "aiservicebackends",
    "backend",
    "httproutes.",
    "securitypolicies",
    "referencegrants",
    "clienttraffic",
    "gateway",
)
_tried: Counter[str] = Counter()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Http]:
    if not DEFINITIONS.is_dir():
        pytest.skip("the published definitions are not here")
    server = KubeServer(tmp_path_factory.mktemp("defined") / "objects.db", tokens=TOKENS)
    await server.start()
    for pattern in _KINDS:
        for definition in published(f"{pattern}*"):
            await server.install_crd(definition)
    async with Http(server.url, "admin-token") as client:
        for name in ("acme", "modeldeck-system"):
            await client.post("/api/v1/namespaces", namespace(name))
        yield client
    await server.stop()


_HOSTS = st.sampled_from(["api.example.com", "x-predictor.acme.svc.cluster.local", "localhost", "a" * 63 + ".example"])
_ENDPOINTS = st.one_of(
    st.builds(
        Endpoint,
        _HOSTS,
        st.sampled_from([1, 80, 443, 65_535]),
        tls=st.booleans(),
        prefix=st.sampled_from(["/v1", "/openai/v1", "/v1beta/openai", ""]),
    ),
    st.builds(Endpoint, st.sampled_from(["10.1.2.3", "2001:db8::1", "127.0.0.1"]), st.just(80), tls=st.just(False)),
)
_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}", fullmatch=True)
_PATH_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True)
_SOURCES = st.sampled_from(["catalog", "inferenceservice", "llminferenceservice"])
_ORIGINS = st.builds(Origin, _SOURCES, _NAMES, _NAMES, _ENDPOINTS, st.sampled_from([None, "p"]))


def _maybe(least: int, most: int) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(least, most))


_LIMITS = st.builds(
    Limits,
    requests_per_minute=_maybe(10, 99),
    timeout_seconds=st.integers(1, 86_400),
    requests_per_hour=_maybe(1_000, 9_999),
    requests_per_day=_maybe(10_000, 2**32 - 1),
    tokens_per_hour=_maybe(1, 99),
    tokens_per_day=_maybe(100, 2**32 - 1),
    burst=_maybe(1, 9),
    tenant_requests_per_minute=_maybe(100, 999),
    model_requests_per_minute=_maybe(1_000, 2**32 - 1),
    retries=_maybe(0, 10),
    retry_on=st.lists(st.sampled_from(["503", "429", *limits._TRIGGERS]), max_size=3, unique=True).map(tuple),
    max_connections=_maybe(1, 2**32 - 1),
    max_pending=_maybe(1, 2**32 - 1),
    max_parallel=_maybe(1, 2**32 - 1),
    connect_timeout_seconds=_maybe(1, 86_400),
    idle_timeout_seconds=_maybe(1, 86_400),
)
_HOSTNAMES = st.sampled_from(["llm.example.com", "*.example.com", "x.y", "a" * 63 + ".test", "1.2.3"])
_ODD: dict[str, list[object]] = {
    "name": ["a..", "A/../b", "with space", "", "x" * 201, "a//b", "route-not-found"],
    "hostnames": ["Upper.test", "a_b.test", "1.2.3.4", "*", "", "a..b", "-a.test", "h." * 130],
    "host": ["my_host.example.com", "-a.example", "a..b", "", "H.example"],
    "requests_per_minute": [-1, 0, 2**32, 1],
    "timeout_seconds": [0, 86_401, 10**9],
    "retries": [-1, 0, 11],
    "retry_on": [("200",), ("bad luck",)],
    "max_connections": [-1, 0, 2**32],
}
"""What is no name, hostname, host or limit, or hardly one."""


@st.composite
def publications(draw: st.DrawFn) -> Publication:
    """One that is all right, and in half of the cases one thing about it that may not be."""
    kind = draw(st.sampled_from(PublicationKind))
    names = _PATH_NAMES if kind is PublicationKind.TRADITIONAL else _NAMES
    origin, limits, hostnames = draw(_ORIGINS), draw(_LIMITS), draw(st.lists(_HOSTNAMES, max_size=2, unique=True))
    name = draw(names)
    others: tuple[Backend, ...] = ()
    if kind is PublicationKind.TRADITIONAL:
        service = Endpoint("iris-predictor", 80, tls=False, prefix="")
        origin = Origin("inferenceservice", "acme/iris", "iris", service)
        limits = dataclasses.replace(limits, tokens_per_hour=None, tokens_per_day=None)
    else:
        priorities = sorted(draw(st.lists(st.integers(0, 2), max_size=3)))
        others = tuple(
            Backend(draw(_ORIGINS), draw(st.integers(0, 1_000_000)), priority, f"{number:08x}")
            for number, priority in enumerate(priorities)
        )
    if not limits.retries:
        limits = dataclasses.replace(limits, retry_on=())
    weight, suffix = draw(st.integers(0, 1_000_000)), draw(st.sampled_from(["", "96678397"]))
    odd = draw(st.one_of(st.none(), st.sampled_from(sorted(_ODD))))
    value: Any = draw(st.sampled_from(_ODD[odd])) if odd else None
    match odd:
        case None:
            pass
        case "name":
            name = value
        case "hostnames":
            hostnames = [value]
        case "host":
            origin = dataclasses.replace(origin, endpoint=dataclasses.replace(origin.endpoint, host=value))
        case _:
            limits = dataclasses.replace(limits, **{odd: value})
    return Publication("0c9d", name, "acme", kind, origin, limits, weight, suffix, others, tuple(hostnames))


_GATEWAYS = st.builds(
    GatewayLink,
    section=st.sampled_from([None, "http"]),
    authorizer_reads=st.sampled_from(["header", "body"]),
    global_limiter=st.booleans(),
)


@settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(publications(), _GATEWAYS, st.sampled_from(["x-modeldeck", "x-tensorzero"]))
async def test_what_is_not_refused_first_is_taken(
    http: Http, publication: Publication, gateway: GatewayLink, prefix: str
) -> None:
    try:
        check_name(publication.name, publication.kind)
        backends.check(publication)
        limits.check(publication, gateway)
        listeners.check_hostnames(publication.hostnames)
    except Refusal:
        event("refused")
        _tried["refused"] += 1
        return
    event("taken")
    _tried[publication.kind] += 1
    for manifest in [
        grant_for_authorizer(publication.tenant, gateway),
        *manifests(publication, gateway, header_prefix=prefix),
    ]:
        path = kind_of(manifest).path(manifest["metadata"]["namespace"])
        answer = await http.post(path, manifest, dryRun="All", fieldValidation="Strict")
        assert answer.status_code == 201, (answer.text, manifest)


async def test_what_the_local_stack_begins_with_and_a_limit_of_the_gateway_are_taken_too(http: Http) -> None:
    """Its own objects, as far as their kinds are of the gateway's."""
    objects = bootstrap.manifests(gateway_port=8080, authorizer_port=1, upstreams=Counter())
    objects.append(gateway_buffer._manifest(None, "modeldeck", "modeldeck-system", "8Mi"))
    tried = 0
    for one in objects:
        if one["apiVersion"].partition("/")[0].endswith(("gateway.networking.k8s.io", "envoyproxy.io")):
            kind = kind_of(one)
            path = kind.path(one["metadata"].get("namespace"))
            answer = await http.post(path, one, dryRun="All", fieldValidation="Strict")
            assert answer.status_code == 201, (answer.text, one)
            tried += 1
    assert tried >= 6


async def test_both_were_tried(http: Http) -> None:
    if _tried:
        assert min(_tried[one] for one in ("refused", *PublicationKind)) > 0, _tried
