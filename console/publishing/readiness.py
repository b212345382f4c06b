"""Whether a publication is served: one verdict, walked over all its objects (gateway.md §1.1–1.4).

Absence of a status means "not seen yet"; a refusal is final only as long as nothing changes, but an operator need not
wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from console.config import GatewayLink
from console.k8s.cluster import Cluster
from console.k8s.types import (
    AI_GATEWAY_ROUTE,
    AI_SERVICE_BACKEND,
    BACKEND_SECURITY_POLICY,
    BACKEND_TRAFFIC_POLICY,
    GATEWAY,
    HTTP_ROUTE,
    SECURITY_POLICY,
    Kind,
    Object,
    Ref,
)
from console.publishing.manifests import object_name
from console.publishing.types import Publication, PublicationKind


@dataclass(frozen=True, slots=True)
class Verdict:
    """Ready, or the sentence that says what is missing. ``final``: something refused; waiting will not help."""

    ready: bool
    sentence: str
    final: bool = False


async def readiness(cluster: Cluster, publication: Publication, gateway: GatewayLink) -> Verdict:
    """Walk the gateway, the route (the generated one too) and the policies; the first problem is the verdict."""
    name, namespace = object_name(publication.name), publication.tenant

    async def read(kind: Kind) -> Object | None:
        return await cluster.get(Ref(kind, name, namespace))

    gateway_object = await cluster.get(Ref(GATEWAY, gateway.name, gateway.namespace))
    problems = [_gateway(gateway_object, gateway)]
    if publication.kind is PublicationKind.OPENAI:
        ai_kinds = [AI_SERVICE_BACKEND, AI_GATEWAY_ROUTE]
        if publication.origin.credential is not None:
            ai_kinds.insert(1, BACKEND_SECURITY_POLICY)
        for kind in ai_kinds:
            problems.append(_ai_object(kind, await read(kind)))  # noqa: PERF401 - awaited in order
    route = await read(HTTP_ROUTE)
    problems.append(_route(route, gateway))
    for kind in (SECURITY_POLICY, BACKEND_TRAFFIC_POLICY):
        problems.append(_policy(kind, await read(kind)))  # noqa: PERF401
    return _first(problems) or Verdict(ready=True, sentence="accepted and programmed")


def _first(problems: Iterable[Verdict | None]) -> Verdict | None:
    """A refusal before something that is merely not there yet."""
    found = [problem for problem in problems if problem is not None]
    return next((problem for problem in found if problem.final), found[0] if found else None)


def _gateway(gateway: Object | None, link: GatewayLink) -> Verdict | None:
    if gateway is None:
        return Verdict(False, f"there is no Gateway {link.namespace}/{link.name}", final=True)
    programmed = _condition(gateway.get("status", {}).get("conditions", []), "Programmed")
    return _unless_true(programmed, f"Gateway {link.name}", "Programmed", gateway)


def _ai_object(kind: Kind, found: Object | None) -> Verdict | None:
    """The AI kinds say Accepted/True or NotAccepted/False, and carry no observedGeneration."""
    if found is None:
        return Verdict(False, f"{kind.kind} is not there yet")
    conditions = found.get("status", {}).get("conditions", [])
    refused = _condition(conditions, "NotAccepted")
    if refused is not None:
        return Verdict(False, f"{kind.kind}: {refused.get('message') or refused.get('reason')}", final=True)
    if _condition(conditions, "Accepted") is None:
        return Verdict(False, f"{kind.kind} is not accepted yet")
    return None


def _route(route: Object | None, link: GatewayLink) -> Verdict | None:
    if route is None:
        return Verdict(False, "the HTTPRoute is not there yet")
    parents = [
        parent
        for parent in route.get("status", {}).get("parents", [])
        if parent.get("parentRef", {}).get("name") == link.name
    ]
    if not parents:
        return Verdict(False, f"Gateway {link.name} has not seen the HTTPRoute yet")
    for parent in parents:
        for kind in ("Accepted", "ResolvedRefs"):
            problem = _unless_true(_condition(parent.get("conditions", []), kind), "HTTPRoute", kind, route)
            if problem is not None:
                return problem
    return None


def _policy(kind: Kind, policy: Object | None) -> Verdict | None:
    if policy is None:
        return Verdict(False, f"{kind.kind} is not there")
    ancestors = policy.get("status", {}).get("ancestors", [])
    if not ancestors:
        return Verdict(False, f"{kind.kind} is not seen yet")
    for ancestor in ancestors:
        problem = _unless_true(_condition(ancestor.get("conditions", []), "Accepted"), kind.kind, "Accepted", policy)
        if problem is not None:
            return problem
    return None


def _unless_true(condition: Mapping[str, Any] | None, what: str, name: str, owner: Object) -> Verdict | None:
    if condition is None:
        return Verdict(False, f"{what} is not {name} yet")
    current = condition.get("observedGeneration", 0) >= owner["metadata"].get("generation", 0)
    if not current:
        return Verdict(False, f"{what}: its status is older than its spec")
    if condition.get("status") != "True":
        reason = condition.get("message") or condition.get("reason") or condition.get("status")
        return Verdict(False, f"{what} is not {name}: {reason}", final=condition.get("status") == "False")
    return None


def _condition(conditions: Iterable[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    return next((condition for condition in conditions if condition.get("type") == kind), None)
