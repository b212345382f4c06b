"""Whether a Gateway would take a route, read from its spec before the route is written."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.config import GatewayLink
from console.k8s.cluster import Cluster
from console.k8s.errors import Forbidden
from console.k8s.types import Object, Ref
from console.outcome import Refusal
from console.publishing import listeners
from console.publishing.types import Endpoint, Origin, Publication, PublicationKind
from tests.support.examples import examples

LINK = GatewayLink(name="gw", namespace="system")
ALL = {"namespaces": {"from": "All"}}
TLS = {"certificateRefs": [{"name": "cert"}]}
HTTP = {"name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": ALL}
HTTPS = {"name": "https", "protocol": "HTTPS", "port": 443, "allowedRoutes": ALL, "tls": TLS}


class _Cluster:
    """Objects by their reference; an exception in the place of one is raised."""

    def __init__(self, **objects: Any) -> None:
        self._objects = objects

    async def get(self, ref: Ref) -> Object | None:
        found = self._objects.get(ref.name)
        if isinstance(found, Exception):
            raise found
        return cast("Object | None", found)


async def checked(
    *given: dict[str, Any], hostnames: tuple[str, ...] = (), link: GatewayLink = LINK, **objects: Any
) -> tuple[str, ...]:
    origin = Origin("catalog", "p/m", "m", Endpoint("api.example.com", 443, tls=True))
    publication = Publication("id", "m", "acme", PublicationKind.OPENAI, origin, hostnames=hostnames)
    acme = {"metadata": {"labels": {"team": "a"}}}
    there = {"gw": {"spec": {"listeners": list(given)}}, "acme": acme} | objects
    return await listeners.check(cast("Cluster", _Cluster(**there)), publication, link)


def certificate(**change: Any) -> dict[str, Any]:
    return {"type": "kubernetes.io/tls", "data": {"tls.crt": "eA==", "tls.key": "eA=="}} | change


async def test_a_listener_that_takes_it_is_enough() -> None:
    assert await checked({**HTTP, "hostname": "other.test"}, HTTP, hostnames=("a.test",)) == ()
    assert await checked({**HTTP, "hostname": "*.test"}, hostnames=("a.test", "b.a.test")) == ()
    selector = {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}
    assert await checked({**HTTP, "allowedRoutes": {"namespaces": selector}}) == ()
    assert await checked(HTTPS, cert=certificate()) == ()


async def test_a_certificate_that_may_not_be_read_is_a_warning() -> None:
    (said,) = await checked(HTTPS, cert=Forbidden("no"))
    assert "may not be read" in said


@pytest.mark.parametrize(
    ("given", "more", "sentence"),
    [
        ([HTTP], {"gw": None}, "there is no Gateway system/gw"),
        ([HTTP], {"link": LINK.model_copy(update={"section": "tls"})}, "has no listener tls"),
        ([{**HTTP, "protocol": "TCP"}], {}, "no listener for HTTP"),
        ([{**HTTP, "allowedRoutes": {}}], {}, "takes routes of namespace acme"),
        (
            [
                {
                    **HTTP,
                    "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}},
                }
            ],
            {},
            "takes routes of namespace acme",
        ),
        ([{**HTTP, "allowedRoutes": {**ALL, "kinds": [{"kind": "GRPCRoute"}]}}], {}, "takes routes of namespace"),
        ([{**HTTP, "hostname": "*.test"}], {"hostnames": ("a.test", "a.example")}, "listens at a.example"),
        ([{**HTTP, "hostname": "*.test"}], {"hostnames": ("test",)}, "listens at test"),
        ([{**HTTPS, "tls": {}}], {}, "names no certificate"),
        ([HTTPS], {}, "there is no Secret system/cert"),
        ([HTTPS], {"cert": certificate(type="Opaque")}, "not of type"),
        ([HTTP], {"hostnames": ("Upper.test",)}, "is not a hostname"),
        ([HTTP], {"hostnames": ("10.0.0.1",)}, "is not a hostname"),
        ([HTTP], {"hostnames": ("a.test", "a.test")}, "different ones"),
        ([HTTP], {"hostnames": tuple(f"h{number}.test" for number in range(17))}, "16 different"),
    ],
)
async def test_what_no_listener_would_take_is_refused(
    given: list[dict[str, Any]], more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Refusal, match=sentence):
        await checked(*given, **more)


_LABELS = st.lists(st.sampled_from(["a", "b", "test"]), min_size=1, max_size=3).map(".".join)
_NAMES = st.one_of(_LABELS, _LABELS.map(lambda name: f"*.{name}"))


@settings(max_examples=examples(60))
@given(_NAMES, _NAMES)
def test_two_hostnames_intersect_where_some_name_is_meant_by_both(one: str, other: str) -> None:
    def means(pattern: str, name: str) -> bool:
        return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern

    candidates = {text.replace("*", "x") for text in (one, other)}
    assert listeners.intersects(one, other) is any(means(one, name) and means(other, name) for name in candidates)
    assert listeners.intersects("*", one)
