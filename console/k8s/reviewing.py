"""What the cluster lets these credentials do, asked before it is tried (SelfSubjectAccessReview).

The answer is shown and enforced by `console.guard`; the cluster itself enforces it again. Only what writes to
Kubernetes asks: keys, the catalog and the console's tokens live in Redis and the database.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from console.guard import Demand
from console.k8s.types import (
    AI_GATEWAY_ROUTE,
    BACKEND_TRAFFIC_POLICY,
    HTTP_ROUTE,
    SECURITY_POLICY,
    Kind,
)
from console.outcome import ModeldeckError, Unavailable

KNOWN_SECONDS = 30.0
"""How long an answer is believed: a role that was granted just now is seen within it."""
UNKNOWN_SECONDS = 5.0
"""How long a cluster that did not answer is not asked again."""
ANSWER_SECONDS = 2.0


class Reviewed(Protocol):
    """The part of `console.k8s.cluster.Cluster` that is asked."""

    async def may(self, verb: str, kind: Kind, namespace: str | None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Need:
    """A verb on one of some kinds: a publication has either route, so a right to one of them may do."""

    verb: str
    kinds: tuple[Kind, ...]

    def __str__(self) -> str:
        return f"{self.verb} {' or '.join(kind.plural for kind in self.kinds)}"


def _needs(*verbs: str) -> tuple[Need, ...]:
    kinds = ((AI_GATEWAY_ROUTE, HTTP_ROUTE), (SECURITY_POLICY,), (BACKEND_TRAFFIC_POLICY,))
    return tuple(Need(verb, some) for verb in verbs for some in kinds)


NEEDS: Final = {
    # A server-side apply is a patch, and a create where there was nothing.
    "publish": _needs("create", "patch"),
    "update": _needs("patch"),
    "unpublish": _needs("delete"),
    "publications.publish": _needs("create", "patch"),
    "publications.update": _needs("patch"),
    "publications.unpublish": _needs("delete"),
    "publications.apply": _needs("create", "patch"),
    "publications.undo": _needs("patch", "delete"),
    "publications.prune": _needs("delete"),
    "publications.repair": _needs("create", "patch"),
}
"""What an action does in the tenant's namespace, whatever the publication; by the action's id."""


class ClusterReviewer:
    """Answers `console.guard.AccessReviewer`; remembers what it was told for a short time.

    Args:
        cluster: opens the cluster when it is first asked
        clock: seconds that only rise
    """

    def __init__(
        self, cluster: Callable[[], Awaitable[Reviewed]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._known: dict[tuple[str, Kind, str], tuple[float, bool]] = {}
        self._silent: tuple[float, str] | None = None

    async def why_not(self, demand: Demand, tenant: str | None) -> str | None:
        """The sentence that says which right is missing in the tenant's namespace, or None.

        Without a tenant there is no namespace to ask about: then the cluster's word comes with the first write.

        Raises:
            Unavailable: the cluster did not say.
        """
        needs = NEEDS.get(demand.id, ())
        if tenant is None or not needs:
            return None
        answers = await self._answers(needs, tenant)
        missing = [str(need) for need, allowed in zip(needs, answers, strict=True) if not allowed]
        if not missing:
            return None
        return f"the cluster does not let these credentials {', '.join(missing)} in the namespace {tenant}"

    async def _answers(self, needs: tuple[Need, ...], tenant: str) -> list[bool]:
        if self._silent is not None and self._clock() < self._silent[0]:
            raise Unavailable(self._silent[1], code="KUBE_UNAVAILABLE")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                cluster = await self._cluster()
                answers = await asyncio.gather(*(self._any(cluster, need, tenant) for need in needs))
        except TimeoutError:
            why = f"the cluster did not answer within {ANSWER_SECONDS:g} s"
        except ModeldeckError as problem:
            why = str(problem)
        else:
            self._silent = None
            return answers
        self._silent = (self._clock() + UNKNOWN_SECONDS, why)
        raise Unavailable(why, code="KUBE_UNAVAILABLE")

    async def _any(self, cluster: Reviewed, need: Need, tenant: str) -> bool:
        for kind in need.kinds:
            if await self._may(cluster, need.verb, kind, tenant):
                return True
        return False

    async def _may(self, cluster: Reviewed, verb: str, kind: Kind, tenant: str) -> bool:
        asked = (verb, kind, tenant)
        known = self._known.get(asked)
        if known is None or known[0] <= self._clock():
            allowed = await cluster.may(verb, kind, tenant)
            known = self._known[asked] = (self._clock() + KNOWN_SECONDS, allowed)
        return known[1]
