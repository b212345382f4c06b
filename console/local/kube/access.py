"""Who may do what: bearer tokens, identities, and rules in the manner of RBAC.

Unlike RBAC's, a list here may exclude: ``("*", "!secrets")`` is everything but Secrets, and namespaces may be
patterns. That keeps the ready-made identities right when a tenant or a kind is added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from console.local.kube.status import forbidden, unauthorized

TOKEN_EXTRA = "modeldeck-token"  # noqa: S105 - a name
USER_EXTRA = "modeldeck-user"
"""The extras of an impersonated user in which kubectl sends the token, and the user of the kubeconfig (see
`console.local.kube.kubeconfig`)."""

SYSTEM_NAMESPACES = ("kube-*", "modeldeck*", "*-system")
"""Patterns of the namespaces that are no tenant's."""

_READ = ("get", "list", "watch")
_WRITE = ("create", "update", "patch", "delete", "deletecollection")


def _listed(patterns: tuple[str, ...], value: str) -> bool:
    if any(fnmatchcase(value, one[1:]) for one in patterns if one.startswith("!")):
        return False
    return any(fnmatchcase(value, one) for one in patterns if not one.startswith("!"))


@dataclass(frozen=True, slots=True)
class Rule:
    """Some verbs on some resources. ``*`` and other patterns are allowed; a leading ``!`` excludes.

    resources   plural names, with a subresource as ``httproutes/status``; ``*`` covers no subresource,
                ``*/status`` covers that one of all kinds, ``*/*`` all of them
    namespaces  None: everywhere, and cluster-wide kinds too
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    namespaces: tuple[str, ...] | None = None

    def allows(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        """``namespace`` is empty for cluster-wide kinds and for requests over all namespaces."""
        return _listed(self.verbs, verb) and self.covers(group, resource) and self.applies_in(namespace)

    def applies_in(self, namespace: str) -> bool:
        return self.namespaces is None or (namespace != "" and _listed(self.namespaces, namespace))

    def covers(self, group: str, resource: str) -> bool:
        if not _listed(self.groups, group):
            return False
        same_depth = tuple(one for one in self.resources if one.count("/") == resource.count("/"))
        return _listed(same_depth, resource)


@dataclass(frozen=True)
class Identity:
    """Whom a token stands for."""

    name: str
    groups: tuple[str, ...]
    rules: tuple[Rule, ...]

    def may(self, verb: str, group: str, resource: str, namespace: str) -> bool:
        return any(rule.allows(verb, group, resource, namespace) for rule in self.rules)


def forbidden_because(identity: Identity, verb: str, group: str, resource: str, namespace: str) -> str:
    """A real server's sentence for a missing right."""
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return f'User "{identity.name}" cannot {verb} resource "{resource}" in API group "{group}" {scope}'


_ALL = ("*",)
_AUTHENTICATED = ("system:authenticated",)
_EVERY_RULE = Rule(_ALL, _ALL, ("*", "*/*"))
_READ_NO_SECRETS = Rule(_READ, _ALL, ("*", "!secrets", "*/status"))
_GATEWAY_GROUPS = (
    "gateway.networking.k8s.io",
    "gateway.envoyproxy.io",
    "aigateway.envoyproxy.io",
    "serving.kserve.io",
    "inference.networking.k8s.io",
)


def publisher(*namespaces: str, name: str = "publisher") -> Identity:
    """May read everything but the Secrets of others, and publish in some namespaces (patterns)."""
    return Identity(
        name,
        (*_AUTHENTICATED, "modeldeck:publishers"),
        (
            _READ_NO_SECRETS,
            Rule((*_READ, *_WRITE), ("",), ("secrets", "configmaps", "services", "events"), namespaces),
            Rule(_WRITE, _GATEWAY_GROUPS, ("*", "!gateways", "!gatewayclasses", "!envoyproxies"), namespaces),
        ),
    )


ADMIN = Identity("admin", (*_AUTHENTICATED, "system:masters"), (_EVERY_RULE,))
"""May do everything."""

PUBLISHER = publisher("*", *(f"!{one}" for one in SYSTEM_NAMESPACES))
"""May publish in every namespace that is not the system's."""

VIEWER = Identity("viewer", (*_AUTHENTICATED, "modeldeck:viewers"), (_READ_NO_SECRETS,))
"""May read everything but Secrets."""

CONTROLLER = Identity(
    "controller",
    (*_AUTHENTICATED, "modeldeck:controllers"),
    (
        Rule(_READ, _ALL, ("*", "*/status")),
        Rule(("update", "patch"), _ALL, ("*/status", "*/finalizers")),
        Rule(_WRITE, _GATEWAY_GROUPS, _ALL),
        Rule(_WRITE, ("", "discovery.k8s.io"), ("services", "endpointslices", "events", "configmaps")),
    ),
)
"""The stack's own controllers: write every status, and the objects that controllers generate."""


class Tokens:
    """Bearer tokens; only their digests are kept."""

    def __init__(self, identities: Mapping[str, Identity]) -> None:
        self._identities = {_digest(token): identity for token, identity in identities.items()}

    def identity(self, headers: Mapping[str, str]) -> Identity | None:
        """Whose request this is; None without a credential.

        Raises `ApiError`: 401 for a credential that is not known, 403 for somebody who asks to be somebody else.
        """
        other = headers.get("impersonate-user", "")
        if other and other != headers.get(f"impersonate-extra-{USER_EXTRA}"):
            raise forbidden("", "users", other, "impersonation is not supported")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not scheme:
            token = headers.get(f"impersonate-extra-{TOKEN_EXTRA}", "")
            if not token:
                return None
        elif scheme.lower() != "bearer":
            raise unauthorized()
        found = self._identities.get(_digest(token.strip()))
        if found is None:
            raise unauthorized()
        return found

    def __repr__(self) -> str:
        return f"Tokens(of {', '.join(sorted(one.name for one in self._identities.values()))})"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
