"""The reviews: kinds that are created to ask a question, and never stored.

authorization.k8s.io/v1 SelfSubjectAccessReview and SelfSubjectRulesReview (`kubectl auth can-i`),
authentication.k8s.io/v1 SelfSubjectReview (`kubectl auth whoami`).
"""

from __future__ import annotations

from typing import Any

from console.local.kube import status
from console.local.kube.access import Identity, Rule
from console.local.kube.kinds import Registry
from console.local.kube.metadata import Object, now


def answer(kind: str, content: Object, identity: Identity, registry: Registry) -> Object:
    """The review with its status."""
    match kind:
        case "SelfSubjectAccessReview":
            found = _access(content, identity)
        case "SelfSubjectRulesReview":
            found = _rules(identity, _text(_spec(content), "namespace"), registry)
        case _:
            found = {"userInfo": {"username": identity.name, "groups": list(identity.groups)}}
    return {**content, "metadata": {"creationTimestamp": now()}, "status": found}


def _spec(content: Object) -> dict[str, Any]:
    spec = content.get("spec")
    return spec if isinstance(spec, dict) else {}


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _access(content: Object, identity: Identity) -> dict[str, Any]:
    spec = _spec(content)
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(asked, dict) is isinstance(path, dict):
        errors = [
            status.invalid_value(
                "spec.resourceAttributes",
                asked,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )
        ]
        raise status.invalid("authorization.k8s.io", "SelfSubjectAccessReview", "", errors)
    if not isinstance(asked, dict):
        allowed = isinstance(path, dict) and _text(path, "verb") == "get"
    else:
        subresource = _text(asked, "subresource")
        resource = _text(asked, "resource") + (f"/{subresource}" if subresource else "")
        allowed = identity.may(
            _text(asked, "verb") or "*", _text(asked, "group"), resource or "*", _text(asked, "namespace")
        )
    reason = f'a rule of "{identity.name}" allows it' if allowed else f'no rule of "{identity.name}" allows it'
    return {"allowed": allowed, "reason": reason}


def _rules(identity: Identity, namespace: str, registry: Registry) -> dict[str, Any]:
    """What the identity may do in a namespace; exclusions are spelled out, as the answer has none."""
    listed = [one for rule in identity.rules if rule.applies_in(namespace) for one in _resource_rules(rule, registry)]
    return {
        "resourceRules": listed,
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/api*", "/openapi*", "/version", "/*z"]}],
        "incomplete": False,
    }


def _resource_rules(rule: Rule, registry: Registry) -> list[dict[str, Any]]:
    if not any(one.startswith("!") for one in rule.resources):
        return [{"verbs": list(rule.verbs), "apiGroups": list(rule.groups), "resources": list(rule.resources)}]
    covered: dict[str, list[str]] = {}
    for one in registry:
        if one.origin != "review" and rule.covers(one.group, one.plural):
            covered.setdefault(one.group, []).append(one.plural)
    return [
        {"verbs": list(rule.verbs), "apiGroups": [group], "resources": sorted(plurals)}
        for group, plurals in covered.items()
    ]
