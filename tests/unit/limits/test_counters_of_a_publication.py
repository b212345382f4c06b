"""The counters that ``limits show`` reads are those that the gateway asks about, in every part of a route."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.config import GatewayLink, Profile
from console.keys.types import Key, KeyKind
from console.limits.descriptors import UNIT_SECONDS, counter_key, read_limit
from console.local import bootstrap
from console.local.gateway.snapshot import Snapshot
from console.local.gateway.translate import Settings, Translation, generated_objects, translate
from console.local.gateway.translate.global_limits import DOMAIN, FILTER_NAME
from console.local.gateway.translate.settings import GlobalLimiter
from console.publishing.manifests import manifests
from console.publishing.types import Access, Endpoint, Limits, Origin, Publication, PublicationKind
from console.usage.limits import Counter, limits_of
from tests.unit.gateway.manifests import service

SHORT = "modeldeck.short_limits"
LIMITS = {"burst": 1, "requests_per_minute": 2, "requests_per_hour": 3, "requests_per_day": 4}
LIMITS |= {"tenant_requests_per_minute": 5, "model_requests_per_minute": 6}
TOKENS = {"tokens_per_hour": 7, "tokens_per_day": 8}
KEY = Key("k7f3aa", "demo", "globex", "", KeyKind.CLIENT, (), datetime.now(UTC))
HEADERS = {"x-modeldeck-key-id": KEY.id, "x-modeldeck-tenant": KEY.tenant}


GATEWAY = GatewayLink(
    name=bootstrap.GATEWAY,
    namespace=bootstrap.SYSTEM,
    authorizer=f"{bootstrap.SYSTEM}/{bootstrap.AUTHORIZER}:80",
    authorizer_reads="header",
    global_limiter=True,
    native_access=True,
)


def translated(*publications: Publication) -> Translation:
    """The local gateway's configuration with these published."""
    upstreams = {bootstrap.DEFAULT_UPSTREAM: 1, **{one[1]: 1 for one in bootstrap.INFERENCE_SERVICES}}
    objects = [*bootstrap.manifests(gateway_port=8080, authorizer_port=9001, upstreams=upstreams)]
    objects += [one for publication in publications for one in manifests(publication, GATEWAY)]
    objects += service(bootstrap.SYSTEM, "up", 80)
    for number, one in enumerate(objects):
        one["metadata"]["uid"] = f"uid-{number}"
    objects += generated_objects(Snapshot(objects)).objects
    settings = Settings(directory=Path("/nowhere"), limiter=GlobalLimiter((("127.0.0.1", 1),)), alone=True)
    return translate(Snapshot(objects), settings)


def asked_by_the_gateway(publication: Publication) -> tuple[set[str], int]:
    """The counters' names, from the configuration of Envoy, for the headers of the key's request; and how many limits
    Envoy counts itself."""
    headers = HEADERS | {"x-modeldeck-model": publication.name}
    names = set()
    slots: set[str] = set()
    (configuration,) = translated(publication).routes.values()
    for route in (route for host in configuration["virtual_hosts"] for route in host["routes"]):
        slots |= set(route.get("metadata", {}).get("filter_metadata", {}).get(SHORT, ()))
        for one in route.get("typed_per_filter_config", {}).get(FILTER_NAME, {}).get("rate_limits", ()):
            if "direct_response" in route:
                continue  # what names no model of this route: nobody is served there
            entries = tuple(_entry(action, headers) for action in one["actions"])
            limit = read_limit(entries[0][1])
            assert limit is not None
            names.add(counter_key(DOMAIN, entries, limit.unit))
    return names, len(slots)


def _entry(action: dict[str, Any], headers: dict[str, str]) -> tuple[str, str]:
    if "generic_key" in action:
        return action["generic_key"]["descriptor_key"], action["generic_key"]["descriptor_value"]
    return action["request_headers"]["descriptor_key"], headers[action["request_headers"]["header_name"]]


def published(kind: PublicationKind, limits: Limits, name: str = "llama", **more: Any) -> Publication:
    host = "up" if kind is PublicationKind.TRADITIONAL else "127.0.0.1"
    origin = Origin("catalog", "sample/llama", "llama", Endpoint(host, 80, tls=False))
    return Publication(f"e-{name}", name, bootstrap.SYSTEM, kind, origin, limits, **more)


@pytest.mark.parametrize("kind", [PublicationKind.OPENAI, PublicationKind.TRADITIONAL])
def test_they_have_the_same_names(kind: PublicationKind) -> None:
    profile = Profile(gateway=GATEWAY, stack=Path("/nowhere"))
    traditional = kind is PublicationKind.TRADITIONAL
    publication = published(kind, Limits(**LIMITS, **({} if traditional else TOKENS)))

    counted = list(limits_of(publication, profile, KEY))
    read = {one.asked.key for one in counted if one.asked is not None}
    by_envoy = [one for one in counted if one.counter is Counter.ENVOY]
    assert (read, len({one.sentence for one in by_envoy})) == asked_by_the_gateway(publication)
    assert len(read) == (4 * 2 if traditional else 2 + len(TOKENS))
    assert len(by_envoy) == len(counted) - len(read) == (4 * 4 if traditional else 4)
    assert {one.limit.unit for one in counted} <= set(UNIT_SECONDS)
    assert {one.part for one in counted} == ({"predict", "explain", "status", "v2"} if traditional else {""})
    anybody = list(limits_of(publication, profile, None))
    assert {one.whose for one in anybody} == {"each key", "each tenant", "everybody"}
    assert not any(one.asked for one in anybody)


def test_whatever_is_published_the_listener_stays_the_same() -> None:
    """A new one would begin anew what Envoy has counted."""
    openai, traditional = PublicationKind.OPENAI, PublicationKind.TRADITIONAL
    everything = translated(
        published(openai, Limits(requests_per_minute=7919, retries=2, max_parallel=3)),
        published(openai, Limits(tokens_per_day=5), "native", access=Access.NATIVE, hostnames=("a.test",)),
        published(traditional, Limits(burst=1, requests_per_hour=2, requests_per_day=3), "iris"),
    )
    assert everything.listeners == translated().listeners
    assert not everything.tiers
