"""Which policy holds where: precedence, conflicts, and what is said to whom (Envoy Gateway, "Policy attachment").

The most specific policy holds alone: rule before route before listener before Gateway. Of two on one target the older
holds. A policy's status names Gateways as ancestors: those that it targets, or those that its route attaches to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from console.local.gateway.snapshot import (
    GATEWAY_API,
    Key,
    Object,
    Snapshot,
    fields,
    generation_of,
    key_of,
    labels_of,
    listed,
    namespace_of,
)
from console.local.gateway.translate.conditions import Condition, condition, sentence
from console.local.gateway.translate.gateways import Gateways, Listener
from console.local.gateway.translate.parents import Parent
from console.local.gateway.translate.reading import Node, Unfit, selects

T = TypeVar("T")
MOST_ANCESTORS = 16
TARGET_FIELDS = ("targetRef", "targetRefs", "targetSelectors")


class Scope(NamedTuple):
    """Where a policy attaches: a Gateway or an HTTPRoute, or a section of it (a listener, a rule)."""

    target: Key
    section: str = ""


@dataclass(frozen=True, slots=True)
class Routes:
    """The HTTPRoutes that attach to Gateways of ours: the objects, and their parents."""

    objects: dict[Key, Object]
    parents: dict[Key, list[Parent]]

    def rule_names(self, route: Key) -> set[str]:
        rules = listed(fields(self.objects[route].get("spec")).get("rules"))
        return {str(rule["name"]) for rule in rules if rule.get("name")}


@dataclass(slots=True)
class Said:
    """The conditions of a policy, by ancestor."""

    ancestors: dict[tuple[str, str, str], list[Condition]] = field(default_factory=dict)

    def add(self, ancestor: tuple[str, str, str], said: Condition) -> None:
        """The first condition of a type holds: a problem is never painted over."""
        conditions = self.ancestors.setdefault(ancestor, [])
        if all(one["type"] != said["type"] for one in conditions):
            conditions.append(said)

    def status(self, controller: str, generation: int) -> dict[str, Any]:
        """PolicyStatus; beyond sixteen ancestors the ones with problems stay, and the last says so."""
        ranked = sorted(self.ancestors.items(), key=lambda one: (_rank(one[1]), one[0]))
        if len(ranked) > MOST_ANCESTORS:
            message = f"Ancestors have been truncated because the number of policy ancestors exceeds {MOST_ANCESTORS}."
            ranked = ranked[:MOST_ANCESTORS]
            ranked[-1][1].append(condition("Aggregated", True, "Aggregated", message, generation))
        return {
            "ancestors": [
                {"ancestorRef": _ancestor_ref(*ancestor), "controllerName": controller, "conditions": conditions}
                for ancestor, conditions in ranked
            ]
        }


def _rank(conditions: list[Condition]) -> int:
    if any(one["type"] == "Accepted" and one["status"] == "False" for one in conditions):
        return 0
    return 1 if any(one["type"] == "Overridden" for one in conditions) else 2


def _ancestor_ref(namespace: str, name: str, section: str) -> dict[str, str]:
    ref = {"group": GATEWAY_API, "kind": "Gateway", "namespace": namespace, "name": name}
    return ref | {"sectionName": section} if section else ref


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """What holds at a place: the policy, and what it says, or the sentence that says why it cannot be honoured."""

    policy: Key
    value: T | None
    broken: str = ""


@dataclass(slots=True)
class Policies(Generic[T]):
    """All policies of one kind, attached."""

    kind: str
    holding: dict[Scope, Held[T]] = field(default_factory=dict)
    said: dict[Key, Said] = field(default_factory=dict)
    generations: dict[Key, int] = field(default_factory=dict)

    def at(self, route: Key, rule: str, listener: Listener) -> Held[T] | None:
        """The policy that holds for a rule of a route on a listener; ``rule`` is empty where it has no name."""
        scopes = [Scope(route, rule)] if rule else []
        scopes += [Scope(route), Scope(listener.gateway, listener.name), Scope(listener.gateway)]
        return next((self.holding[scope] for scope in scopes if scope in self.holding), None)

    def break_(self, policy: Key, why: str) -> None:
        """What only shows when a policy meets its routes: from now on it is broken, and says so."""
        for scope, held in self.holding.items():
            if held.policy == policy:
                self.holding[scope] = Held(policy, None, why)
        self._refuse(policy, why)

    def _refuse(self, policy: Key, why: str) -> None:
        for conditions in self.said[policy].ancestors.values():
            conditions[:] = [one for one in conditions if one["type"] != "Accepted"]
            conditions.insert(0, condition("Accepted", False, "Invalid", sentence(why), self.generations[policy]))

    def statuses(self, controller: str) -> dict[Key, dict[str, Any]]:
        """Only of policies that have a target: one that targets nothing of ours is another controller's."""
        return {
            key: said.status(controller, self.generations[key]) for key, said in self.said.items() if said.ancestors
        }


def attach(
    kind: str,
    snapshot: Snapshot,
    gateways: Gateways,
    routes: Routes,
    read: Callable[[Object], T],
    *,
    targets: tuple[str, ...] = ("HTTPRoute", "Gateway"),
) -> Policies[T]:
    """Attach every policy of a kind.

    Args:
        read: what a policy says, or `Unfit`
        targets: the kinds that a policy of this kind may target
    """
    policies: Policies[T] = Policies(kind)
    pairs = [
        (one, scope)
        for one in snapshot.all(kind)
        for scope in _targets(one, snapshot, gateways, routes)
        if scope.target.kind in targets
    ]
    # The most specific first, so that a policy above knows what overrides it.
    for one, scope in sorted(pairs, key=lambda pair: _breadth(pair[1])):
        _attach_one(policies, one, scope, gateways, routes, read)
    _say_overridden(policies, gateways, routes)
    return policies


def _breadth(scope: Scope) -> int:
    return {("HTTPRoute", True): 0, ("HTTPRoute", False): 1, ("Gateway", True): 2}.get(
        (scope.target.kind, bool(scope.section)), 3
    )


def _targets(one: Object, snapshot: Snapshot, gateways: Gateways, routes: Routes) -> list[Scope]:
    """What a policy targets, in its own namespace, as far as that is ours."""
    namespace = namespace_of(one)
    spec = fields(one.get("spec"))
    refs = listed([spec.get("targetRef"), *listed(spec.get("targetRefs"))])
    found = [
        Scope(Key(str(ref.get("kind")), namespace, str(ref.get("name"))), str(ref.get("sectionName") or ""))
        for ref in refs
        if ref.get("group") == GATEWAY_API
    ]
    for selector in listed(spec.get("targetSelectors")):
        if selector.get("group", GATEWAY_API) == GATEWAY_API:
            labels = Node({name: selector.get(name) for name in ("matchLabels", "matchExpressions")})
            found += [
                Scope(key_of(target))
                for target in snapshot.all(str(selector.get("kind")))
                if namespace_of(target) == namespace and _selected(labels, target)
            ]
    return [
        scope for scope in dict.fromkeys(found) if scope.target in gateways.by_key or scope.target in routes.objects
    ]


def _selected(labels: Node, target: Object) -> bool:
    try:
        return selects(labels, labels_of(target))
    except Unfit:
        return False


def _attach_one(
    policies: Policies[T],
    one: Object,
    scope: Scope,
    gateways: Gateways,
    routes: Routes,
    read: Callable[[Object], T],
) -> None:
    key, generation = key_of(one), generation_of(one)
    said = policies.said.setdefault(key, Said())
    policies.generations[key] = generation
    ancestors = list(_ancestors(scope, routes))

    def refuse(reason: str, message: str) -> None:
        for ancestor in ancestors:
            said.add(ancestor, condition("Accepted", False, reason, message, generation))

    missing = _missing_section(scope, gateways, routes)
    if missing:
        refuse("TargetNotFound", missing)
        return
    if scope in policies.holding:
        where = f"{scope.target.kind} {scope.target.name}" + (f"/{scope.section}" if scope.section else "")
        refuse("Conflicted", f"Unable to target {where}, another {policies.kind} has already attached to it")
        return
    try:
        policies.holding[scope] = Held(key, read(one))
    except Unfit as problem:
        policies.holding[scope] = Held(key, None, str(problem))
        refuse("Invalid", sentence(str(problem)))
        return
    for ancestor in ancestors:
        said.add(ancestor, condition("Accepted", True, "Accepted", "Policy has been accepted.", generation))
        if fields(one.get("spec")).get("targetRef") is not None:
            message = "spec.targetRef is deprecated, use spec.targetRefs instead"
            said.add(ancestor, condition("Warning", True, "DeprecatedField", message, generation))


def _ancestors(scope: Scope, routes: Routes) -> Iterable[tuple[str, str, str]]:
    if scope.target.kind == "Gateway":
        yield (scope.target.namespace, scope.target.name, scope.section)
        return
    for parent in routes.parents[scope.target]:
        yield (parent.gateway.key.namespace, parent.gateway.key.name, parent.section or "")


def _missing_section(scope: Scope, gateways: Gateways, routes: Routes) -> str:
    if not scope.section:
        return ""
    if scope.target.kind == "Gateway":
        known = gateways.by_key[scope.target].listener(scope.section) is not None
    else:
        known = scope.section in routes.rule_names(scope.target)
    if known:
        return ""
    return f"No section name {scope.section} found for {scope.target.kind} {scope.target.place}"


def _say_overridden(policies: Policies[Any], gateways: Gateways, routes: Routes) -> None:
    """Tell each policy that a more specific one takes places away from it."""
    plural = policies.kind[:1].lower() + policies.kind[1:].removesuffix("y") + "ies"
    by_target: dict[Key, list[Scope]] = {}
    for scope in policies.holding:
        by_target.setdefault(scope.target, []).append(scope)
    for scope, held in policies.holding.items():
        others = policies.holding if scope.target.kind == "Gateway" else by_target[scope.target]
        narrower = sorted(set(_narrower(scope, others, gateways, routes)))
        if not narrower:
            continue
        what = "route rules" if scope.target.kind == "HTTPRoute" else "routes"
        message = f"This policy is being overridden by other {plural} for these {what}: [{' '.join(narrower)}]"
        for ancestor in _ancestors(scope, routes):
            overridden = condition("Overridden", True, "Overridden", message, policies.generations[held.policy])
            policies.said[held.policy].add(ancestor, overridden)


def _narrower(scope: Scope, others: Iterable[Scope], gateways: Gateways, routes: Routes) -> Iterable[str]:
    """The places inside a scope for which other policies of the kind hold."""
    for other in others:
        if other == scope:
            continue
        if other.target == scope.target:
            if other.section and not scope.section:
                yield f"{other.target.place}/{other.section}"
        elif other.target.kind == "HTTPRoute" and scope.target.kind == "Gateway":
            served_on = {
                (attachment.listener.gateway, attachment.listener.name)
                for parent in routes.parents[other.target]
                for attachment in parent.attachments
            }
            listeners = [one.name for one in gateways.by_key[scope.target].listeners if scope.section in ("", one.name)]
            if any((scope.target, name) in served_on for name in listeners):
                yield other.target.place
