"""How much a tenant may have, by its namespace's annotations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console.actions import REGISTRY
from console.actions.perform import perform
from console.call import Call
from console.config import KubernetesLink
from console.guard import Principal, Role, system_permit
from console.k8s.types import LABEL_TENANT, NAMESPACE, Ref
from console.keys.quotas import MAX_KEYS, MAX_PUBLICATIONS, MAX_RPM
from console.local.kube import ADMIN as EVERYTHING
from console.local.kube import KubeServer, write_kubeconfig
from console.local.valkey import Valkey
from console.outcome import Outcome, Refusal
from console.publishing import book
from console.publishing.tenants import check_quota
from console.publishing.types import Endpoint, Origin, Publication, PublicationKind
from console.services import Services
from tests.support.profiles import profile_for

ADMIN = Principal("op", Role.ADMIN)
SETUP = system_permit("set up a test")


@pytest.fixture
async def services(tmp_path: Path, valkey: Valkey) -> AsyncIterator[Services]:
    """With a cluster that has one tenant, acme."""
    server = KubeServer(tmp_path / "objects.db", tokens={"token": EVERYTHING})
    await server.start()
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, server=server.url, token="token", user="admin")
    profile = profile_for(tmp_path, valkey, kubernetes=KubernetesLink(kubeconfig=kubeconfig))
    async with Services(profile) as opened:
        await annotate(opened, {})
        yield opened
    await server.stop()


async def annotate(services: Services, annotations: dict[str, str]) -> None:
    metadata = {"name": "acme", "labels": {LABEL_TENANT: "acme"}, "annotations": annotations}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    await (await services.cluster()).apply(SETUP, manifest, force=True)


async def create(services: Services, name: str) -> Outcome:
    return await perform(services, REGISTRY["keys.create"], {"name": name, "tenant": "acme"}, ADMIN)


async def listed(services: Services) -> dict[str, Any]:
    (row,) = (await perform(services, REGISTRY["tenants.list"], {}, ADMIN)).data
    return dict(row)


async def publish(services: Services, name: str) -> None:
    origin = Origin("catalog", f"deepinfra/{name}", name, Endpoint("h", 443, tls=True))
    publication = Publication(f"pub-{name}", name, "acme", PublicationKind.OPENAI, origin)
    await book.reserve(await services.store(), publication, [], "op")


async def test_keys_end_at_the_quota_and_a_revoked_one_makes_room(services: Services) -> None:
    await annotate(services, {MAX_KEYS: "2"})
    for name in ("a", "b"):
        assert (await create(services, name)).revealed is not None
    refused = await create(services, "c")
    assert (refused.code, refused.status) == ("QUOTA_EXCEEDED", 409)
    assert "has 2 keys and may have 2; nothing was changed" in refused.summary
    assert (await listed(services))["keys_used"] == "2/2"
    await perform(services, REGISTRY["keys.revoke"], {"key": "a"}, ADMIN, confirmed="yes")
    assert (await create(services, "c")).revealed is not None


@pytest.mark.parametrize("text", ["", "many", "-1", "1.5", "٣", "9" * 12])
async def test_a_quota_that_is_no_number_is_refused_rather_than_none(services: Services, text: str) -> None:
    await annotate(services, {MAX_KEYS: text})
    refused = await create(services, "a")
    assert refused.code == "BAD_QUOTA", refused
    assert MAX_KEYS in refused.summary
    assert "kubectl annotate" in refused.then
    row = await listed(services)
    assert row["keys_used"] == "0/?"
    assert MAX_KEYS in row["problem"]


async def test_publications_and_their_limits(services: Services) -> None:
    call = Call(services, SETUP, {})
    await check_quota(call, "acme", rpm=None, adds=50)
    await annotate(services, {MAX_PUBLICATIONS: "2", MAX_RPM: "600"})
    await publish(services, "one")
    await check_quota(call, "acme", rpm=600, adds=1)
    for rpm, adds, said in ((600, 2, "may have 2"), (601, 0, "601 was asked for"), (None, 0, "no limit was asked for")):
        with pytest.raises(Refusal, match=said) as refusal:
            await check_quota(call, "acme", rpm=rpm, adds=adds)
        assert refusal.value.code == "QUOTA_EXCEEDED"
    row = await listed(services)
    assert (row["publications"], row["max_rpm"], row["keys_used"]) == ("1/2", 600, "0")
    namespace = await (await services.cluster()).get(Ref(NAMESPACE, "acme", None))
    assert namespace is not None


async def test_of_several_at_one_moment_no_more_than_the_quota_come_to_be(services: Services) -> None:
    await annotate(services, {MAX_KEYS: "2"})
    outcomes = await asyncio.gather(*(create(services, f"k{number}") for number in range(6)))
    assert sum(one.revealed is not None for one in outcomes) == 2
    assert {one.code for one in outcomes if one.revealed is None} == {"QUOTA_EXCEEDED"}
    same = await asyncio.gather(*(create(services, "k9") for _ in range(2)))
    assert all(one.revealed is None for one in same)
    assert (await listed(services))["keys_used"] == "2/2"
