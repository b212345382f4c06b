"""What the identities of the local cluster may do, asked as the guard asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.actions import REGISTRY
from console.guard import Danger, Guard, Policy, Principal, Role
from console.k8s.cluster import Cluster
from console.k8s.reviewing import KNOWN_SECONDS, NEEDS, UNKNOWN_SECONDS, ClusterReviewer
from console.k8s.types import Kind
from console.local.kube import KubeServer, write_kubeconfig
from console.outcome import Refusal, Unavailable

ADMIN = Principal("op", Role.ADMIN)
WRITES = tuple(action.id for action in REGISTRY if action.danger > Danger.READ)

PUBLISHING = {
    "publish",
    "update",
    "unpublish",
    "publications.publish",
    "publications.unpublish",
    "publications.update",
    "publications.apply",
    "publications.undo",
    "publications.repair",
    "publications.prune",
}
# Which of the actions that write to Kubernetes each identity may do, in which namespace.
ALLOWED = {
    ("admin", "acme"): PUBLISHING,
    ("admin", "modeldeck-system"): PUBLISHING,
    ("publisher", "acme"): PUBLISHING,
    ("publisher", "modeldeck-system"): set(),
    ("acme", "acme"): PUBLISHING,
    ("acme", "globex"): set(),
    ("viewer", "acme"): set(),
    ("viewer", "modeldeck-system"): set(),
}


@pytest.fixture
async def cluster_as(server: KubeServer, tmp_path: Path) -> AsyncIterator[dict[str, Cluster]]:
    made = {}
    for name in ("admin", "publisher", "viewer", "acme"):
        path = tmp_path / f"{name}.yaml"
        write_kubeconfig(path, server=server.url, token=f"{name}-token", user=name)
        made[name] = await Cluster.connect(kubeconfig=path, timeout=5)
    yield made
    for cluster in made.values():
        await cluster.close()


async def test_every_writing_action_as_every_identity(cluster_as: dict[str, Cluster]) -> None:
    assert set(NEEDS) <= set(WRITES)
    for (identity, namespace), allowed in ALLOWED.items():

        async def cluster(identity: str = identity) -> Cluster:
            return cluster_as[identity]

        guard = Guard(Policy(), reviewer=ClusterReviewer(cluster))
        for action in WRITES:
            why = await guard.why_not(REGISTRY[action], ADMIN, tenant=namespace)
            # Keys, the catalog and tokens write nothing to Kubernetes: nobody needs a right for them.
            may = action in allowed or action not in PUBLISHING
            assert (why is None) is may, (identity, namespace, action, why)


async def test_what_is_missing_is_named(cluster_as: dict[str, Cluster]) -> None:
    async def cluster() -> Cluster:
        return cluster_as["viewer"]

    guard = Guard(Policy(), reviewer=ClusterReviewer(cluster))
    with pytest.raises(Refusal, match=r"delete aigatewayroutes or httproutes, .*in the namespace acme; nothing was"):
        await guard.permit(REGISTRY["unpublish"], ADMIN, tenant="acme", target="llama", confirmed="yes")
    assert (await guard.permit(REGISTRY["published"], ADMIN, tenant="acme")).doubt == ""


class Answering:
    """A cluster that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.down = False
        self.allows = True

    async def may(self, verb: str, kind: Kind, namespace: str | None) -> bool:
        self.asked += 1
        if self.down:
            raise Unavailable("the cluster cannot be reached")
        return self.allows


async def test_an_answer_is_believed_for_a_short_time_only() -> None:
    now, answering = [100.0], Answering()

    async def cluster() -> Answering:
        return answering

    reviewer = ClusterReviewer(cluster, clock=lambda: now[0])
    for _ in range(3):
        assert await reviewer.why_not(REGISTRY["update"], "acme") is None
    assert answering.asked == 3
    answering.allows = False
    now[0] += KNOWN_SECONDS + 1
    assert "patch" in str(await reviewer.why_not(REGISTRY["update"], "acme"))


async def test_a_cluster_that_does_not_answer_is_neither_a_yes_nor_a_no() -> None:
    now, answering = [100.0], Answering()
    answering.down = True

    async def cluster() -> Answering:
        return answering

    guard = Guard(Policy(), reviewer=ClusterReviewer(cluster, clock=lambda: now[0]))
    assert await guard.why_not(REGISTRY["publish"], ADMIN, tenant="acme") is None
    asked = answering.asked
    permit = await guard.permit(REGISTRY["publish"], ADMIN, tenant="acme")
    expected = "whether the cluster allows publish in acme is not known: the cluster cannot be reached"
    assert permit.doubt == expected
    assert answering.asked == asked, "not asked again at once"
    answering.down = False
    now[0] += UNKNOWN_SECONDS + 1
    assert (await guard.permit(REGISTRY["publish"], ADMIN, tenant="acme")).doubt == ""
    assert (await guard.permit(REGISTRY["keys.create"], ADMIN, tenant="acme")).doubt == ""
