"""How large a request may be is the Gateway's own, and the plan says how it is."""

from __future__ import annotations

from typing import Any, cast

import pytest

from console.config import GatewayLink
from console.k8s.cluster import Cluster
from console.k8s.errors import Forbidden
from console.publishing.buffers import check
from console.publishing.types import Endpoint, Origin, Publication, PublicationKind

LINK = GatewayLink(name="gw", namespace="system")


def a_publication(kind: PublicationKind = PublicationKind.OPENAI) -> Publication:
    return Publication("id", "m", "acme", kind, Origin("catalog", "p/m", "m", Endpoint("h.example", 443, tls=True)))


def policy(limit: str | None, name: str = "sizes", **target: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"targetRefs": [{"kind": "Gateway", "name": "gw"} | target]}
    if limit is not None:
        spec["connection"] = {"bufferLimit": limit}
    return {"metadata": {"name": name}, "spec": spec}


def holding(*policies: dict[str, Any]) -> Cluster:
    class Holding:
        async def list(self, kind: Any, *, namespace: str) -> tuple[list[dict[str, Any]], str]:
            assert namespace == "system"
            return list(policies), "1"

    return cast(Cluster, Holding())


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ([], "a request of more than 32 KiB is answered 413: Gateway system/gw has no ClientTrafficPolicy"),
        ([policy("8Mi", name="other", kind="HTTPRoute")], "more than 32 KiB"),
        ([policy(None)], "more than 32 KiB is answered 413: that is the connection.bufferLimit of"),
        ([policy("64Ki")], "more than 64 KiB is answered 413: that is the connection.bufferLimit of"),
        ([policy("100k")], "more than 97 KiB"),
        ([policy("8Mi"), policy("65536", sectionName="http")], "more than 64 KiB"),
    ],
)
async def test_less_than_a_long_prompt_is_told(policies: list[dict[str, Any]], said: str) -> None:
    (told,) = await check(holding(*policies), a_publication(), LINK)
    assert said in told


@pytest.mark.parametrize("limit", ["50Mi", "1Mi", "1G", "1048576", "1.5Mi"])
async def test_enough_is_not_worth_a_word(limit: str) -> None:
    assert await check(holding(policy(limit)), a_publication(), LINK) == ()


async def test_another_listeners_and_a_predict_request_are_no_concern() -> None:
    here = GatewayLink(name="gw", namespace="system", section="https")
    assert await check(holding(policy("8Mi"), policy("1Ki", sectionName="http")), a_publication(), here) == ()
    assert await check(holding(), a_publication(PublicationKind.TRADITIONAL), LINK) == ()


async def test_what_may_not_be_read_is_not_known() -> None:
    class Closed:
        async def list(self, kind: Any, *, namespace: str) -> Any:
            raise Forbidden("no")

    (told,) = await check(cast(Cluster, Closed()), a_publication(), LINK)
    assert "is not known" in told
