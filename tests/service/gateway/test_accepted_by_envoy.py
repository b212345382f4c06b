"""Whatever the translation accepts, the real Envoy takes; and the model scanner agrees with Python's parser."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from console.k8s.types import Object
from console.local.envoy import Envoy, envoy_binary
from console.local.gateway.snapshot import Snapshot
from console.local.gateway.translate import Settings, Translation, generated_objects, translate
from console.local.gateway.translate.extraction import extract_filter
from console.local.gateway.translate.limits import limits_filter
from console.local.gateway.translate.settings import LIMITS_FILE
from console.local.layout import write_private
from console.local.ports import LOOPBACK, free_ports
from tests.service.gateway.conftest import needs_envoy
from tests.support.examples import examples
from tests.unit.gateway.manifests import (
    ENVOY_GATEWAY,
    SYSTEM,
    ai_objects,
    buffer_policy,
    gateway,
    gateway_class,
    manifest,
    parent,
    security_policy,
    service,
    target,
    traffic_policy,
)
from tests.unit.gateway.test_vandalised import DAMAGE, Damage, damaged

NAMES = st.sampled_from(["a", "b", "gone"])
TOKENS = st.text("abcXYZ09-_.", min_size=1, max_size=8)
SEGMENTS = st.text("abz09-._~!$&'()*+,;=:@%", min_size=1, max_size=8)
PATHS = st.lists(SEGMENTS, max_size=3).map(lambda parts: "/" + "/".join(parts))
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=300, exclude_characters="\x7f"), max_size=12)
REGEXES = st.one_of(st.from_regex(r"\A[a-z]{1,4}[.*+?|()\[\]{}^$\\]{0,3}[a-z]{0,3}\Z"), st.just("v[0-9]+(a|b)*"))
DURATIONS = st.sampled_from(["0s", "10ms", "5s", "1m30s", "1h", "x", "99999h"])


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


MATCHERS = st.fixed_dictionaries(
    {"name": TOKENS, "value": st.one_of(VALUES, REGEXES)},
    optional={"type": st.sampled_from(["Exact", "RegularExpression"])},
)
MATCHES = optional(
    path=st.one_of(
        st.fixed_dictionaries({"type": st.sampled_from(["Exact", "PathPrefix"]), "value": PATHS}),
        st.fixed_dictionaries({"type": st.just("RegularExpression"), "value": REGEXES}),
    ),
    headers=st.lists(MATCHERS, max_size=3),
    queryParams=st.lists(MATCHERS, max_size=2),
    method=st.sampled_from(["GET", "POST", "FETCH"]),
)
HEADERS = st.lists(st.fixed_dictionaries({"name": TOKENS, "value": VALUES}), max_size=2)
CHANGES = optional(set=HEADERS, add=HEADERS, remove=st.lists(TOKENS, max_size=2))
PATH_CHANGES = st.one_of(
    st.fixed_dictionaries({"type": st.just("ReplaceFullPath"), "replaceFullPath": PATHS}),
    st.fixed_dictionaries({"type": st.just("ReplacePrefixMatch"), "replacePrefixMatch": PATHS}),
)
FILTERS = st.one_of(
    CHANGES.map(lambda one: {"type": "RequestHeaderModifier", "requestHeaderModifier": one}),
    CHANGES.map(lambda one: {"type": "ResponseHeaderModifier", "responseHeaderModifier": one}),
    optional(hostname=st.just("x.example"), path=PATH_CHANGES).map(
        lambda one: {"type": "URLRewrite", "urlRewrite": one}
    ),
    optional(
        scheme=st.sampled_from(["http", "https", "ftp"]),
        hostname=st.just("y.example"),
        port=st.integers(0, 70_000),
        path=PATH_CHANGES,
        statusCode=st.sampled_from([301, 302, 307, 200]),
    ).map(lambda one: {"type": "RequestRedirect", "requestRedirect": one}),
    st.just({"type": "RequestMirror", "requestMirror": {}}),
)
WEIGHTS = st.integers(0, 1_000_000)
BACKENDS = st.one_of(
    st.fixed_dictionaries(
        {"name": NAMES, "port": st.sampled_from([80, 81])},
        optional={
            "weight": WEIGHTS,
            "filters": st.lists(
                CHANGES.map(lambda one: {"type": "RequestHeaderModifier", "requestHeaderModifier": one}), max_size=1
            ),
        },
    ),
    st.fixed_dictionaries(
        {
            "group": st.just(ENVOY_GATEWAY),
            "kind": st.just("Backend"),
            "name": st.sampled_from(["spare", "elsewhere"]),
        },
        optional={"weight": WEIGHTS},
    ),
)
RULES = st.fixed_dictionaries(
    {"backendRefs": st.lists(BACKENDS, max_size=3)},
    optional={
        "name": st.sampled_from(["one", "two"]),
        "matches": st.lists(MATCHES, max_size=3),
        "filters": st.lists(FILTERS, max_size=3),
        "timeouts": optional(request=DURATIONS, backendRequest=DURATIONS),
    },
)
HOSTNAMES = st.lists(st.sampled_from(["a.test", "*.test", "b.a.test", "*.a.test"]), max_size=3)
LIMITS = st.lists(
    st.fixed_dictionaries(
        {
            "limit": st.fixed_dictionaries(
                {"requests": st.integers(0, 2**32 - 1), "unit": st.sampled_from(["Second", "Year"])}
            )
        },
        optional={
            "clientSelectors": st.lists(
                st.fixed_dictionaries(
                    {
                        "headers": st.lists(
                            st.fixed_dictionaries(
                                {"name": TOKENS},
                                optional={
                                    "type": st.sampled_from(["Exact", "Distinct", "RegularExpression"]),
                                    "value": st.one_of(VALUES, REGEXES),
                                    "invert": st.booleans(),
                                },
                            ),
                            min_size=1,
                            max_size=3,
                        )
                    }
                ),
                max_size=2,
            )
        },
    ),
    min_size=1,
    max_size=3,
)
TRAFFIC = optional(
    rateLimit=LIMITS.map(lambda rules: {"local": {"rules": rules}}),
    timeout=optional(
        tcp=optional(connectTimeout=DURATIONS),
        http=optional(
            requestTimeout=DURATIONS,
            connectionIdleTimeout=DURATIONS,
            maxConnectionDuration=DURATIONS,
            maxStreamDuration=DURATIONS,
            streamIdleTimeout=DURATIONS,
        ),
    ),
    retry=optional(
        numRetries=st.integers(0, 3),
        numAttemptsPerPriority=st.integers(-1, 3),
        retryOn=optional(
            triggers=st.lists(st.sampled_from(["5xx", "disconnect-reset", "nonsense"]), max_size=2),
            httpStatusCodes=st.lists(st.integers(99, 600), max_size=2),
        ),
        perRetry=optional(timeout=DURATIONS, backOff=optional(baseInterval=DURATIONS, maxInterval=DURATIONS)),
    ),
    healthCheck=optional(
        passive=optional(
            consecutive5XxErrors=st.integers(-1, 9),
            consecutiveGatewayErrors=st.integers(0, 9),
            interval=DURATIONS,
            baseEjectionTime=DURATIONS,
            maxEjectionPercent=st.integers(0, 101),
        )
    ),
    circuitBreaker=optional(
        maxConnections=st.integers(0, 2**32 - 1),
        maxParallelRetries=st.integers(0, 10),
        maxRequestsPerConnection=st.integers(0, 10),
        perEndpoint=optional(maxConnections=st.integers(0, 10)),
    ),
)
SECURITY = optional(
    headersToExtAuth=st.lists(TOKENS, max_size=3),
    failOpen=st.booleans(),
    recomputeRoute=st.booleans(),
    timeout=DURATIONS,
    statusOnError=st.integers(300, 600),
    bodyToExtAuth=st.fixed_dictionaries({"maxRequestBytes": st.integers(0, 1000)}),
)
ROUTES = st.lists(st.tuples(HOSTNAMES, st.lists(RULES, min_size=1, max_size=3)), min_size=1, max_size=4)


def world(
    routes: list[tuple[list[str], list[dict[str, Any]]]], traffic: dict[str, Any], security: dict[str, Any], port: int
) -> Snapshot:
    """Some routes, with a traffic policy on the first and a security policy on the second."""
    objects = [
        gateway_class(),
        gateway(port),
        buffer_policy(SYSTEM, "b", "1Mi"),
        *service("ns", "a", 1001, 1002),
        *service("ns", "b"),
        *service("ns", "authz", 1003),
        traffic_policy("ns", "t", target("HTTPRoute", "r0"), **traffic),
        security_policy("ns", "s", target("HTTPRoute", "r1"), **security),
        *ai_objects("ns", "m/1", 1004, name="m1", prefix="openai/v1", override='"quoted" ünd \\ more'),
        *stand_ins("ns"),
    ]
    for index, (hostnames, rules) in enumerate(routes):
        spec = {"parentRefs": [parent()], "hostnames": hostnames, "rules": rules}
        objects.append(manifest("gateway.networking.k8s.io/v1", "HTTPRoute", "ns", f"r{index}", spec))
    objects += generated_objects(Snapshot(objects)).objects
    for number, one in enumerate(objects):
        one["metadata"] |= {"generation": 1, "creationTimestamp": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"}
    return Snapshot(objects)


def stand_ins(place: str) -> list[Object]:
    """Two Backends that stand in for others, and a model with one that stands in for another."""
    version = f"{ENVOY_GATEWAY}/v1alpha1"
    named = {"endpoints": [{"fqdn": {"hostname": "x.example", "port": 443}}], "fallback": True}
    addressed = {"endpoints": [{"ip": {"address": "127.0.0.1", "port": 1005}}], "fallback": True}
    first = ai_objects(place, "m2", 1006, prefix="openai/v1", override='"\n]] \\ ünd')
    second = ai_objects(place, "m3", 1007)
    first[2]["spec"]["rules"][0]["backendRefs"].append({"name": "m3", "priority": 3, "weight": 7})
    return [
        manifest(version, "Backend", place, "spare", addressed),
        manifest(version, "Backend", place, "elsewhere", named),
        *first,
        *second,
    ]


def static(made: Translation, directory: Path) -> dict[str, Any]:
    """A bootstrap that holds everything at once, so that one validation is one start of Envoy."""
    for name, credential in made.credentials.items():
        secret = {"version_info": "1", "resources": [credential.secret()]}
        write_private(directory / f"sds-{name}.json", json.dumps(secret))
    listeners = json.loads(json.dumps(list(made.listeners.values())))
    for one in listeners:
        manager = one["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"] = dict(made.routes[manager.pop("rds")["route_config_name"]])
        manager["route_config"].pop("@type")
        manager["route_config"]["validate_clusters"] = False  # as it is for routes that come by RDS
        for each in manager["http_filters"]:
            if each.pop("config_discovery", None):
                each["typed_config"] = limits_filter(made.tiers)["typed_config"]
        one.pop("@type")
    clusters = [{name: value for name, value in one.items() if name != "@type"} for one in made.clusters.values()]
    return {
        "node": {"id": "a", "cluster": "b"},
        "static_resources": {"listeners": listeners, "clusters": clusters},
        "admin": {"address": {"pipe": {"path": str(directory / "admin.sock")}}},
    }


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_envoy()
    return tmp_path_factory.mktemp("validate")


@given(batch=st.lists(st.tuples(ROUTES, TRAFFIC, SECURITY), min_size=6, max_size=6))
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes minutes, and Envoy says what it refuses
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_envoy_takes_every_translation(directory: Path, batch: list[Any]) -> None:
    """Several worlds at once, each on a port of its own: it is Envoy's start that takes the time."""
    whole: dict[str, Any] = {}
    for number, (routes, traffic, security) in enumerate(batch):
        snapshot = world(routes, traffic, security, 20_000 + number)
        made = translate(snapshot, Settings(directory=directory))
        assert made == translate(snapshot, Settings(directory=directory))
        document = static(made, directory)
        if whole:
            whole["static_resources"]["listeners"] += document["static_resources"]["listeners"]
            known = {one["name"] for one in whole["static_resources"]["clusters"]}
            fresh = [one for one in document["static_resources"]["clusters"] if one["name"] not in known]
            whole["static_resources"]["clusters"] += fresh
        else:
            whole = document
    validate(directory, whole)


def validate(directory: Path, document: dict[str, Any]) -> None:
    path = directory / "bootstrap.json"
    path.write_text(json.dumps(document), "utf-8")
    validated = subprocess.run(
        [envoy_binary(), "--mode", "validate", "-c", path, "--reject-unknown-dynamic-fields", "-l", "warning"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert validated.returncode == 0, validated.stderr.splitlines()[-1][-900:]


_REMOVED = ("spec", "rules", 0, "filters", 0, "requestHeaderModifier", "remove", 0)


@given(damage=DAMAGE)
@example(damage=[((10, _REMOVED), "")])
@settings(
    max_examples=examples(40),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_envoy_takes_what_is_left_of_damaged_objects(directory: Path, damage: Damage) -> None:
    made = translate(damaged(damage), Settings(directory=directory))
    validate(directory, static(made, directory))


# --- the scanner -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scanning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, httpx.AsyncClient]]:
    """An Envoy that answers with what the extraction found, and a loop to call it from."""
    needs_envoy()
    port = free_ports(1)[0]
    with asyncio.Runner() as runner:
        envoy = Envoy(tmp_path_factory.mktemp("scan"), workers=1)
        envoy.configuration.mkdir(parents=True)
        _lay_out_scanner(envoy.configuration, port)
        runner.run(envoy.start())

        async def make() -> httpx.AsyncClient:
            return httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False)

        client = runner.run(make())
        yield runner, client
        runner.run(client.aclose())
        runner.run(envoy.stop())


def _lay_out_scanner(directory: Path, port: int) -> None:
    made = translate(Snapshot([gateway_class(), gateway(port), buffer_policy(SYSTEM, "b", "1Mi")]), Settings(directory))
    listener = json.loads(json.dumps(next(iter(made.listeners.values()))))
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager.pop("rds")
    told = [
        {"header": {"key": f"found-{name}", "value": f"%REQ({name})%"}}
        for name in ("x-modeldeck-body", "x-ai-eg-model")
    ]
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": told}
    manager["route_config"] = {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]}
    router = next(one for one in manager["http_filters"] if one["name"] == "router")
    manager["http_filters"] = [extract_filter(), router]
    assert LIMITS_FILE not in json.dumps(manager)
    write_private(directory / "lds.json", json.dumps({"version_info": "1", "resources": [listener]}))


class _Pairs(list[tuple[str, Any]]):
    """An object's members, repetitions and all."""


def expected(body: bytes) -> tuple[str, str | None]:
    """What Python's own parser makes of a body, held to RFC 8259 and to what a header can carry."""
    if not body:
        return "none", None

    def refuse(_: str) -> None:
        raise ValueError

    try:
        text = body.decode("utf-8", "surrogateescape")
        if text[:1] not in '{["-0123456789tfn \t\r\n':
            raise ValueError
        document = json.loads(text, object_pairs_hook=_Pairs, parse_constant=refuse)
    except (ValueError, RecursionError):
        return "malformed", None
    if not isinstance(document, _Pairs):
        return "no-model", None
    models = [(name, value) for name, value in document if name.lower() == "model"]
    if len(models) > 1:
        return "duplicate-model", None
    if not models or models[0][0] != "model" or not isinstance(models[0][1], str) or not models[0][1]:
        return "no-model", None
    model = models[0][1]
    try:
        encoded = model.encode()
    except UnicodeEncodeError:  # half of a pair, or bytes that were no UTF-8
        return "malformed", None
    if len(encoded) > 1024 or model != model.strip(" ") or any(ord(one) < 32 or ord(one) == 127 for one in model):
        return "malformed", None
    return "ok", model


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.lists(
    st.tuples(st.sampled_from(["model", "Model", "messages", "m"]), st.one_of(JSON, st.text(max_size=12))), max_size=4
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """JSON texts: whole ones, with repetitions, in several spellings, and some with a byte changed."""
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, 1]))
    members = [
        json.dumps(name, ensure_ascii=ascii_only) + ":" + json.dumps(value, ensure_ascii=ascii_only, indent=indent)
        for name, value in draw(MEMBERS)
    ]
    text = "{" + ", ".join(members) + "}"
    if draw(st.booleans()):
        text = text.replace('"model"', '"mod\\u0065l"', 1)
    body = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=2)) + body[at + draw(st.integers(0, 2)) :]
    return body


@given(batch=st.lists(bodies(), min_size=40, max_size=40))
@example(batch=[b'{"model":"\x80"}', b'{"model":"\xed\xa0\x80"}', b'{"model":"\xc0\xaf"}', b'{"x":"\xff","model":"a"}'])
@example(
    batch=[b'{"model":"a\\/b"}', b'{"model":"\\ud83d\\ude00"}', b'{"a":[[],{}],"model":"x"}', b"[1,]", b"[,1]", b"{]}"]
)
@example(
    batch=[b"-", b"-0", b"01", b"1.", b"1.e1", b"1e", b"1e+", b"1E-5", b".5", b"+1", b"tru", b"nullx", b'"', b'"\\']
)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_scanner_agrees_with_a_real_parser(
    scanning: tuple[asyncio.Runner, httpx.AsyncClient], batch: list[bytes]
) -> None:
    runner, client = scanning

    async def ask() -> list[tuple[str, str | None]]:
        answers = []
        for body in batch:
            answer = await client.post("/", content=body)
            raw = dict(answer.headers.raw)
            model = raw.get(b"found-x-ai-eg-model")
            answers.append((answer.headers["found-x-modeldeck-body"], model.decode() if model is not None else None))
        return answers

    for body, answer in zip(batch, runner.run(ask()), strict=True):
        assert answer == expected(body), body
