"""Whatever stands in a spec, translating it is no error: without CustomResourceDefinitions nobody checks it before."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.k8s.types import Object
from console.local.gateway.snapshot import Snapshot
from console.local.gateway.translate import Settings, generated_objects, translate
from tests.unit.gateway.manifests import (
    AI_GATEWAY,
    ENVOY_GATEWAY,
    GATEWAY_API,
    SYSTEM,
    ai_objects,
    buffer_policy,
    gateway,
    gateway_class,
    http_route,
    manifest,
    namespace,
    rule,
    security_policy,
    service,
    target,
    traffic_policy,
)
from tests.unit.gateway.worlds import CA, DIRECTORY, PORT, aged

HEADERS = {"set": [{"name": "x", "value": "y"}], "remove": ["z"]}
FILTERS = [
    {"type": "RequestHeaderModifier", "requestHeaderModifier": HEADERS},
    {
        "type": "URLRewrite",
        "urlRewrite": {"hostname": "h", "path": {"type": "ReplaceFullPath", "replaceFullPath": "/"}},
    },
]
LIMIT = {
    "clientSelectors": [{"headers": [{"name": "x", "type": "Distinct"}]}],
    "limit": {"requests": 1, "unit": "Hour"},
}
TLS = {
    "targetRefs": [{"group": ENVOY_GATEWAY, "kind": "Backend", "name": "m"}],
    "validation": {"wellKnownCACertificates": "System", "hostname": "h"},
}
CREDENTIAL = {
    "targetRefs": [{"group": AI_GATEWAY, "kind": "AIServiceBackend", "name": "m"}],
    "type": "APIKey",
    "apiKey": {"secretRef": {"name": "s"}},
}
GRANT = {
    "from": [{"group": GATEWAY_API, "kind": "HTTPRoute", "namespace": "ns"}],
    "to": [{"group": "", "kind": "Service", "name": "a"}],
}


def everything() -> list[Object]:
    """One of each kind, with most of what can be said in it."""
    objects = [
        gateway_class(),
        gateway(PORT, hostname="*.test"),
        namespace("ns"),
        *service("ns", "a", 1),
        *service("ns", "authz", 2),
        *ai_objects("ns", "m", 3, hostnames=["m.test"], prefix="x", override="y"),
        http_route("ns", "r", rule("/", "a", filters=FILTERS, timeouts={"request": "1s"}), hostnames=["r.test"]),
        security_policy("ns", "s", target("HTTPRoute", "r"), bodyToExtAuth={"maxRequestBytes": 1}, timeout="1s"),
        traffic_policy("ns", "t", target("HTTPRoute", "r"), rateLimit={"local": {"rules": [LIMIT]}}, retry={}),
        buffer_policy(SYSTEM, "b", "1Mi"),
        manifest(f"{GATEWAY_API}/v1", "BackendTLSPolicy", "ns", "p", TLS),
        manifest(f"{GATEWAY_API}/v1beta1", "ReferenceGrant", "ns", "g", GRANT),
        manifest(f"{AI_GATEWAY}/v1beta1", "BackendSecurityPolicy", "ns", "c", CREDENTIAL),
        manifest("v1", "Secret", "ns", "s") | {"data": {"apiKey": "c2stYWJj"}},
    ]
    objects = aged(objects)
    return [*objects, *aged([dict(one) for one in generated_objects(Snapshot(objects)).objects])]


EVERYTHING = everything()
PLACES = [
    (number, path)
    for number, one in enumerate(EVERYTHING)
    for part in ("spec", "endpoints", "ports", "data")
    for path in [(part,)]
    if part in one
]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**33),
    st.text(max_size=3),
    st.lists(st.one_of(st.integers(), st.text(max_size=2), st.just({})), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)


def paths_below(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for name, inner in value.items():
            found += paths_below(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += paths_below(inner, (*path, index))
    return found


ALL_PATHS = [(number, path) for number, (start,) in PLACES for path in paths_below(EVERYTHING[number][start], (start,))]


DAMAGE = st.lists(st.tuples(st.sampled_from(ALL_PATHS), JUNK), min_size=1, max_size=4)
Damage = list[tuple[tuple[int, tuple[Any, ...]], Any]]


def damaged(damage: Damage) -> Snapshot:
    """Everything, with junk in some places."""
    objects = copy.deepcopy(EVERYTHING)
    for (number, path), junk in damage:
        holder: Any = objects[number]
        try:
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = junk
        except (KeyError, IndexError, TypeError):
            continue  # another damage has taken the place away
    return Snapshot(objects)


@given(damage=DAMAGE)
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_no_spec_makes_the_translation_fail(damage: Damage) -> None:
    snapshot = damaged(damage)
    generated_objects(snapshot)
    made = translate(snapshot, Settings(directory=DIRECTORY, ca_file=CA))
    json.dumps([made.listeners, made.clusters, made.routes, list(made.statuses.values())])


def test_undamaged_it_is_all_accepted() -> None:
    """So that the test above damages something that works."""
    made = translate(Snapshot(copy.deepcopy(EVERYTHING)), Settings(directory=DIRECTORY, ca_file=CA))
    refused = [
        (key, one)
        for key, status in made.statuses.items()
        for entry in status.get("parents") or status.get("ancestors") or [status]
        for one in entry["conditions"]
        if one["status"] != "True"
    ]
    assert refused == []
    assert len(made.statuses) == 12
