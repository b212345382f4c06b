"""BackendTLSPolicy: which backends are spoken to over TLS, and under which name (Gateway API v1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.local.gateway.snapshot import (
    CORE,
    ENVOY_GATEWAY,
    Key,
    Object,
    Snapshot,
    fields,
    generation_of,
    key_of,
    listed,
    namespace_of,
)
from console.local.gateway.translate.conditions import condition, sentence
from console.local.gateway.translate.reading import Unfit, Unsupported, readable, spec_of

_TARGETS = ((ENVOY_GATEWAY, "Backend"), (CORE, "Service"))


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """The name that the upstream's certificate must carry, checked against ``ca_file``."""

    hostname: str
    ca_file: str

    def transport_socket(self) -> dict[str, Any]:
        """envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext."""
        names = [{"san_type": "DNS", "matcher": {"exact": self.hostname}}]
        validation = {"trusted_ca": {"filename": self.ca_file}, "match_typed_subject_alt_names": names}
        return {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": self.hostname,
                "common_tls_context": {"validation_context": validation},
            },
        }


@dataclass(slots=True)
class TlsPolicies:
    """The policies by what they target. A broken one stays on its target: plain text is never the way out."""

    by_target: dict[Key, UpstreamTls | str] = field(default_factory=dict)
    policy_of: dict[Key, Object] = field(default_factory=dict)
    problems: dict[Key, tuple[str, str]] = field(default_factory=dict)

    def of(self, target: Key) -> UpstreamTls | None:
        """What a backend is spoken to with; None is plain text.

        Raises:
            Unfit: its policy cannot be honoured.
        """
        found = self.by_target.get(target)
        if isinstance(found, str):
            raise Unfit(found)
        return found


def read_tls_policies(snapshot: Snapshot, ca_file: Path | None) -> TlsPolicies:
    """All BackendTLSPolicies, the oldest first; the second on one target is in conflict."""
    policies = TlsPolicies()
    for one in snapshot.all("BackendTLSPolicy"):
        key = key_of(one)
        try:
            with readable():
                tls: UpstreamTls | str = _read(one, ca_file)
        except Unfit as problem:
            policies.problems[key] = ("Invalid", str(problem))
            tls = f"BackendTLSPolicy {key.place} is invalid: {problem}"
        for target in _targets(one):
            if target in policies.by_target:
                earlier = key_of(policies.policy_of[target]).place
                policies.problems[key] = ("Conflicted", f"{target.kind} {target.name} has the policy {earlier} already")
            else:
                policies.by_target[target] = tls
                policies.policy_of[target] = one
    return policies


def _targets(one: Object) -> list[Key]:
    return [
        Key(ref["kind"], namespace_of(one), str(ref.get("name")))
        for ref in listed(fields(one.get("spec")).get("targetRefs"))
        if (ref.get("group") or "", ref.get("kind")) in _TARGETS
    ]


def _read(one: Object, ca_file: Path | None) -> UpstreamTls:
    spec = spec_of(one)
    spec.only("targetRefs", "validation")
    for ref in spec.nodes("targetRefs"):
        ref.only("group", "kind", "name")
        if (ref.text("group"), ref.text("kind")) not in _TARGETS:
            raise Unsupported(f"{ref.path}: only Backend and Service are supported by the local gateway")
        ref.text("name")
    validation = spec.node("validation")
    validation.only("wellKnownCACertificates", "hostname")
    validation.choice("wellKnownCACertificates", ("System",))
    if ca_file is None:
        raise Unfit(f"{validation.at('wellKnownCACertificates')}: this machine has no certificate bundle")
    return UpstreamTls(validation.hostname("hostname"), str(ca_file))


def tls_policy_conditions(one: Object, policies: TlsPolicies) -> list[dict[str, Any]]:
    generation = generation_of(one)
    problem = policies.problems.get(key_of(one))
    if problem is not None:
        return [condition("Accepted", False, problem[0], sentence(problem[1]), generation)]
    return [
        condition("Accepted", True, "Accepted", "Policy has been accepted.", generation),
        condition("ResolvedRefs", True, "ResolvedRefs", "Resolved all the Object references.", generation),
    ]
