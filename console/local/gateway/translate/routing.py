"""HTTPRoutes as virtual hosts (envoy.config.route.v3.RouteConfiguration), and what is said of each route."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from console.local.gateway.snapshot import Key, Object, Snapshot, generation_of, key_of
from console.local.gateway.translate.ai import AiKinds, AiRule, is_generated, owner_of
from console.local.gateway.translate.attachment import Routes
from console.local.gateway.translate.conditions import Condition, condition, sentence
from console.local.gateway.translate.gateways import Gateways, Listener
from console.local.gateway.translate.parents import Parent, read_parents
from console.local.gateway.translate.reading import Node, Unfit, readable, spec_of
from console.local.gateway.translate.rules import Entry, Plan, RuleProblem, compile_rule, refuse_rule
from console.local.gateway.translate.security import BODY_HEADER

_TYPE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


@dataclass(slots=True)
class Routing:
    """What became of the routes.

    entries   by port and hostname
    attached  how many routes each listener serves, by Gateway and listener name
    """

    entries: dict[int, dict[str, list[Entry]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    attached: dict[tuple[Key, str], int] = field(default_factory=lambda: defaultdict(int))
    statuses: dict[Key, dict[str, Any]] = field(default_factory=dict)


def read_routes(snapshot: Snapshot, gateways: Gateways) -> Routes:
    """The HTTPRoutes with a parent of ours."""
    routes = Routes({}, {})
    for one in snapshot.all("HTTPRoute"):
        parents = [] if _is_orphan(one, snapshot) else read_parents(one, gateways, snapshot)
        if parents:
            routes.objects[key_of(one)] = one
            routes.parents[key_of(one)] = parents
    return routes


def _is_orphan(one: Object, snapshot: Snapshot) -> bool:
    """Whether a generated route's AIGatewayRoute is gone, or going: it is not served any more, then."""
    owner = owner_of(one)
    if owner is None:
        return is_generated(one)
    found = snapshot.get(*owner)
    return found is None or bool(found["metadata"].get("deletionTimestamp"))


def route_all(routes: Routes, plan: Plan, ai: AiKinds, controller: str) -> Routing:
    """Compile every route on every listener that it attaches to."""
    routing = Routing()
    for key, one in routes.objects.items():
        parents = [_route_parent(one, parent, plan, ai, routing) for parent in routes.parents[key]]
        routing.statuses[key] = {
            "parents": [
                {"parentRef": ref, "controllerName": controller, "conditions": conditions}
                for ref, conditions in parents
            ]
        }
    return routing


def _route_parent(
    one: Object, parent: Parent, plan: Plan, ai: AiKinds, routing: Routing
) -> tuple[dict[str, Any], list[Condition]]:
    generation = generation_of(one)
    if parent.problem is not None:
        reason, message = parent.problem
        return parent.ref, [
            condition("Accepted", False, reason, message, generation),
            condition("ResolvedRefs", True, "ResolvedRefs", _RESOLVED, generation),
        ]
    problems: list[RuleProblem] = []
    rules: list[Node] = []
    try:
        with readable():
            spec = spec_of(one)
            rules = spec.nodes("rules")
            spec.only("parentRefs", "hostnames", "rules")
            ai_rules = ai.rules_of(one)
    except Unfit as problem:
        problems = [RuleProblem("Accepted", "UnsupportedValue", str(problem))] * max(1, len(rules))
        for attachment in parent.attachments:
            refused = [entry for index, rule in enumerate(rules) for entry in refuse_rule(one, rule, index, plan)]
            _serve(routing, attachment.listener, attachment.hostnames, refused)
        return parent.ref, _conditions(problems, len(rules), generation)
    for attachment in parent.attachments:
        found: list[RuleProblem] = []
        for index, rule in enumerate(rules):
            entries, said = compile_rule(plan, one, rule, index, attachment.listener, _ai_rule(ai_rules, index))
            _serve(routing, attachment.listener, attachment.hostnames, entries)
            found += said
        problems += [problem for problem in found if problem not in problems]
        routing.attached[attachment.listener.gateway, attachment.listener.name] += 1
    return parent.ref, _conditions(problems, len(rules), generation)


_RESOLVED = "Resolved all the Object references for the Route"


def _ai_rule(rules: tuple[AiRule, ...] | None, index: int) -> AiRule | None:
    return rules[index] if rules is not None and index < len(rules) else None


def _serve(routing: Routing, listener: Listener, hostnames: Iterable[str], entries: list[Entry]) -> None:
    for hostname in hostnames:
        routing.entries[listener.bound][hostname] += entries


def _conditions(problems: list[RuleProblem], rules: int, generation: int) -> list[Condition]:
    """Gateway API, RouteConditions: Accepted is False only where no rule is; some broken is PartiallyInvalid."""
    by_kind: dict[str, list[RuleProblem]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem)
    said: list[Condition] = []
    unaccepted = by_kind.pop("Accepted", [])
    if unaccepted:
        reason, message = _summed_up(unaccepted)
        if len(unaccepted) >= rules:
            said.append(condition("Accepted", False, reason, message, generation))
        else:
            said.append(condition("Accepted", True, "Accepted", "Route is accepted", generation))
            said.append(condition("PartiallyInvalid", True, reason, message, generation))
    else:
        said.append(condition("Accepted", True, "Accepted", "Route is accepted", generation))
    if "ResolvedRefs" not in by_kind:
        said.append(condition("ResolvedRefs", True, "ResolvedRefs", _RESOLVED, generation))
    for kind, found in by_kind.items():
        said.append(condition(kind, False, *_summed_up(found), generation))
    return said


def _summed_up(problems: list[RuleProblem]) -> tuple[str, str]:
    reasons = ",".join(sorted({problem.reason for problem in problems}))
    return reasons, "\n".join(dict.fromkeys(sentence(problem.message) for problem in problems))


def route_configuration(name: str, port: int, gateways: Gateways, routing: Routing) -> dict[str, Any]:
    """The virtual hosts of one port, the routes of each in the order in which they are to be tried.

    A listener's hostname has a virtual host even without routes: a request for it belongs there, and finds nothing.
    """
    by_host = routing.entries.get(port, {})
    hosts = {one.hostname for one in gateways.served_listeners() if one.bound == port} | set(by_host)
    return {
        "@type": _TYPE,
        "name": name,
        "virtual_hosts": [
            {
                "name": f"{port}/{host}",
                "domains": [host],
                "routes": [entry.envoy for entry in sorted(by_host.get(host, ()), key=lambda entry: entry.precedence)],
            }
            for host in sorted(hosts)
        ],
        "ignore_port_in_host_matching": True,
        "request_headers_to_remove": [BODY_HEADER],
        "max_direct_response_body_size_bytes": 16_384,
    }
