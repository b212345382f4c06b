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
    BACKEND_TLS_POLICY,
    BACKEND_TRAFFIC_POLICY,
    GATEWAY,
    HTTP_ROUTE,
    SECURITY_POLICY,
    Kind,
    Object,
    Ref,
)
from console.publishing.manifests import backend_name, object_name
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

    async def read(kind: Kind, name: str = name) -> Object | None:
        return await cluster.get(Ref(kind, name, namespace))

    gateway_object = await cluster.get(Ref(GATEWAY, gateway.name, gateway.namespace))
    problems = [_gateway(gateway_object, gateway)]
    if publication.kind is PublicationKind.OPENAI:
        for backend in publication.backends:
            of_backend = backend_name(publication, backend)
            which = f" of {backend.origin.name}" if publication.others else ""
            problems.append(_ai_object(AI_SERVICE_BACKEND, await read(AI_SERVICE_BACKEND, of_backend), which))
            if backend.origin.endpoint.tls:
                problems.append(policy_verdict(BACKEND_TLS_POLICY, await read(BACKEND_TLS_POLICY, of_backend), which))
            if backend.origin.credential is not None:
                found = await read(BACKEND_SECURITY_POLICY, of_backend)
                problems.append(_ai_object(BACKEND_SECURITY_POLICY, found, which))
        problems.append(_ai_object(AI_GATEWAY_ROUTE, await read(AI_GATEWAY_ROUTE)))
    route = await read(HTTP_ROUTE)
    problems.append(_route(route, gateway))
    if publication.kind is PublicationKind.OPENAI:
        problems.append(_generated(route, publication))
    for kind in (SECURITY_POLICY, BACKEND_TRAFFIC_POLICY):
        problems.append(policy_verdict(kind, await read(kind)))  # noqa: PERF401
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


def _ai_object(kind: Kind, found: Object | None, which: str = "") -> Verdict | None:
    """The AI kinds say Accepted/True or NotAccepted/False, and carry no observedGeneration."""
    what = f"{kind.kind}{which}"
    if found is None:
        return Verdict(False, f"{what} is not there yet")
    conditions = found.get("status", {}).get("conditions", [])
    refused = _condition(conditions, "NotAccepted")
    if refused is not None:
        return Verdict(False, f"{what}: {_on_one_line(refused.get('message') or refused.get('reason'))}", final=True)
    if _condition(conditions, "Accepted") is None:
        return Verdict(False, f"{what} is not accepted yet")
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


def _generated(route: Object | None, publication: Publication) -> Verdict | None:
    """Whether the AI gateway's own HTTPRoute is that of the route as it is now: its status alone does not tell."""
    if route is None:
        return None
    spec = route.get("spec", {})
    refs: list[dict[str, Any]] = next((rule.get("backendRefs", []) for rule in spec.get("rules", [])), [])
    there = [(one.get("name"), one.get("weight", 1)) for one in refs]
    wanted = [(backend_name(publication, one), one.weight) for one in publication.backends]
    if there == wanted and tuple(spec.get("hostnames", ())) == publication.hostnames:
        return None
    return Verdict(False, "the HTTPRoute does not have the AIGatewayRoute's backends and hostnames yet")


def policy_verdict(kind: Kind, policy: Object | None, which: str = "") -> Verdict | None:
    """What is missing until a policy is accepted as it is now; None for nothing."""
    what = f"{kind.kind}{which}"
    if policy is None:
        return Verdict(False, f"{what} is not there")
    ancestors = policy.get("status", {}).get("ancestors", [])
    if not ancestors:
        return Verdict(False, f"{what} is not seen yet")
    for ancestor in ancestors:
        problem = _unless_true(_condition(ancestor.get("conditions", []), "Accepted"), what, "Accepted", policy)
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
        reason = _on_one_line(condition.get("message") or condition.get("reason") or condition.get("status"))
        return Verdict(False, f"{what} is not {name}: {reason}", final=condition.get("status") == "False")
    return None


def _on_one_line(text: object) -> str:
    """Messages of controllers may have several lines."""
    return "; ".join(" ".join(line.split()) for line in str(text).splitlines() if line.strip())


def _condition(conditions: Iterable[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    return next((condition for condition in conditions if condition.get("type") == kind), None)
