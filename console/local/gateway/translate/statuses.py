"""The status of every object, as it is once Envoy has the configuration that belongs to it."""

from __future__ import annotations

from typing import Any

from console.local.gateway.snapshot import GATEWAY_API, Key, Object, Snapshot, being_deleted, generation_of, key_of
from console.local.gateway.translate.ai import AiKinds
from console.local.gateway.translate.backends import backend_status
from console.local.gateway.translate.conditions import condition, sentence
from console.local.gateway.translate.credentials import CredentialPolicies
from console.local.gateway.translate.gateways import Gateways, gateway_status
from console.local.gateway.translate.reading import Unfit, readable
from console.local.gateway.translate.routing import Routing
from console.local.gateway.translate.rules import Plan
from console.local.gateway.translate.settings import Settings
from console.local.gateway.translate.tls import tls_policy_conditions

AI_KINDS = ("AIGatewayRoute", "AIServiceBackend", "BackendSecurityPolicy")


def object_statuses(
    snapshot: Snapshot,
    settings: Settings,
    gateways: Gateways,
    routing: Routing,
    plan: Plan,
    ai: AiKinds,
    credentials: CredentialPolicies,
) -> dict[Key, dict[str, Any]]:
    """By object; what is not ours to speak of has none."""
    statuses = dict(gateways.class_statuses)
    for gateway in gateways:
        attached = {one.name: routing.attached.get((gateway.key, one.name), 0) for one in gateway.listeners}
        statuses[gateway.key] = gateway_status(gateway, attached, settings)
    statuses |= routing.statuses
    for policies in (plan.security, plan.traffic, plan.clients):
        statuses |= policies.statuses(settings.controller_name)
    statuses |= {key_of(one): _backend_status(one, snapshot) for one in snapshot.all("Backend")}
    for one in snapshot.all("BackendTLSPolicy"):
        statuses |= _tls_status(one, plan, settings)
    for kind in AI_KINDS:
        for one in snapshot.all(kind):
            if not being_deleted(one):
                problem = (credentials if kind == "BackendSecurityPolicy" else ai).problems.get(key_of(one))
                statuses[key_of(one)] = _ai_status(one, problem)
    return statuses


def _backend_status(one: Object, snapshot: Snapshot) -> dict[str, Any]:
    try:
        with readable():
            return backend_status(one, snapshot)
    except Unfit as problem:
        said = condition("Accepted", False, "Invalid", sentence(str(problem)), generation_of(one))
        return {"conditions": [said]}


def _tls_status(one: Object, plan: Plan, settings: Settings) -> dict[Key, dict[str, Any]]:
    """PolicyStatus with the Gateways through which its backend is in use; none, and there is nothing to say."""
    users = plan.tls_users.get(key_of(one))
    if not users:
        return {}
    conditions = tls_policy_conditions(one, plan.tls)
    return {
        key_of(one): {
            "ancestors": [
                {
                    "ancestorRef": {
                        "group": GATEWAY_API,
                        "kind": "Gateway",
                        "namespace": gateway.namespace,
                        "name": gateway.name,
                    },
                    "controllerName": settings.controller_name,
                    "conditions": conditions,
                }
                for gateway in sorted(users)
            ]
        }
    }


def _ai_status(one: Object, problem: str | None) -> dict[str, Any]:
    """One condition, as Envoy AI Gateway writes it: Accepted/True or NotAccepted/False."""
    generation = generation_of(one)
    if problem is not None:
        said = condition("NotAccepted", False, "ReconciliationFailed", problem, generation)
    else:
        said = condition("Accepted", True, "ReconciliationSucceeded", _RECONCILED[one["kind"]], generation)
    return {"conditions": [said]}


_RECONCILED = {
    "AIGatewayRoute": "AI Gateway Route reconciled successfully",
    "AIServiceBackend": "AIServiceBackend reconciled successfully",
    "BackendSecurityPolicy": "BackendSecurityPolicy reconciled successfully",
}
