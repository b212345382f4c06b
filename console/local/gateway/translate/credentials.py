"""BackendSecurityPolicy: the gateway's own credential for an upstream (Envoy AI Gateway, "APIKey").

The key is put in the client's place by Envoy's credential_injector, which reads it from a file of its own (SDS). It is
in no other file, and in no status.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from console.local.gateway.snapshot import (
    AI_GATEWAY,
    CORE,
    Key,
    Object,
    Reference,
    Snapshot,
    fields,
    key_of,
    listed,
    namespace_of,
)
from console.local.gateway.translate.reading import Node, Unfit, Unsupported, readable, spec_of

_DATA_KEY = "apiKey"
_TYPE = "type.googleapis.com/envoy.extensions."


@dataclass(frozen=True, slots=True)
class Credential:
    """A key to inject. ``name`` is that of its secret in Envoy; the key itself is never shown."""

    name: str
    key: str = field(repr=False)

    def secret(self) -> dict[str, Any]:
        """envoy.extensions.transport_sockets.tls.v3.Secret; the value is the whole header."""
        return {
            "@type": _TYPE + "transport_sockets.tls.v3.Secret",
            "name": self.name,
            "generic_secret": {"secret": {"inline_string": f"Bearer {self.key}"}},
        }

    def filter(self, config_source: dict[str, Any], header: str = "authorization") -> dict[str, Any]:
        """envoy.extensions.filters.http.credential_injector.v3.CredentialInjector, for an upstream's filters."""
        generic = {
            "@type": _TYPE + "http.injected_credentials.generic.v3.Generic",
            "credential": {"name": self.name, "sds_config": config_source},
            "header": header,
        }
        injector = {
            "@type": _TYPE + "filters.http.credential_injector.v3.CredentialInjector",
            "overwrite": True,
            "credential": {"name": "generic", "typed_config": generic},
        }
        return {"name": "credential_injector", "typed_config": injector}


@dataclass(slots=True)
class CredentialPolicies:
    """The BackendSecurityPolicies by the AIServiceBackend that they target."""

    by_target: dict[Key, list[Key]] = field(default_factory=dict)
    read: dict[Key, Credential] = field(default_factory=dict)
    problems: dict[Key, str] = field(default_factory=dict)

    def of(self, backend: Key) -> Credential | None:
        """The credential of a backend.

        Raises:
            Unfit: it has a policy that cannot be honoured, or several. It must not be called without.
        """
        policies = self.by_target.get(backend, [])
        if len(policies) > 1:
            names = " ".join(sorted(policy.name for policy in policies))
            raise Unfit(f"multiple BackendSecurityPolicies found for AIServiceBackend {backend.name}: [{names}]")
        if not policies:
            return None
        if policies[0] not in self.read:
            raise Unfit(f"BackendSecurityPolicy {policies[0].name} is not accepted: {self.problems[policies[0]]}")
        return self.read[policies[0]]


def read_credential_policies(snapshot: Snapshot) -> CredentialPolicies:
    policies = CredentialPolicies()
    for one in snapshot.all("BackendSecurityPolicy"):
        key = key_of(one)
        for target in _targets(one):
            policies.by_target.setdefault(target, []).append(key)
        try:
            with readable():
                policies.read[key] = _read(one, snapshot)
        except Unfit as problem:
            policies.problems[key] = str(problem)
    return policies


def _targets(one: Object) -> list[Key]:
    return [
        Key("AIServiceBackend", namespace_of(one), str(ref.get("name")))
        for ref in listed(fields(one.get("spec")).get("targetRefs"))
        if ref.get("kind") == "AIServiceBackend"
    ]


def _read(one: Object, snapshot: Snapshot) -> Credential:
    spec = spec_of(one)
    spec.choice("type", ("APIKey",))
    spec.only("targetRefs", "type", "apiKey")
    for ref in spec.nodes("targetRefs"):
        if (ref.text("group", ""), ref.text("kind", "")) != (AI_GATEWAY, "AIServiceBackend"):
            raise Unsupported(f"{ref.path}: {ref.raw('kind')} is not supported by the local gateway")
    api_key = spec.node("apiKey")
    api_key.only("secretRef")
    ref = api_key.node("secretRef")
    ref.only("group", "kind", "name", "namespace")
    if (ref.text("group", CORE), ref.text("kind", "Secret")) != (CORE, "Secret"):
        raise Unsupported(f"{ref.path}: only a Secret is supported")
    namespace, name = ref.text("namespace", namespace_of(one)), ref.text("name")
    source = Reference(AI_GATEWAY, "BackendSecurityPolicy", namespace_of(one))
    if not snapshot.permits(source, Reference(CORE, "Secret", namespace, name)):
        raise Unfit(f"{ref.path}: no ReferenceGrant permits Secret {namespace}/{name}")
    return Credential(f"{namespace}.{name}", _api_key(snapshot.get("Secret", namespace, name), ref, namespace, name))


def _api_key(secret: Object | None, ref: Node, namespace: str, name: str) -> str:
    if secret is None:
        raise Unfit(f"{ref.path}: Secret {namespace}/{name} not found")
    encoded = (secret.get("data") or {}).get(_DATA_KEY)
    plain = (secret.get("stringData") or {}).get(_DATA_KEY)
    try:
        key = plain if plain is not None else base64.b64decode(encoded or "", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        raise Unfit(f"{ref.path}: the data key {_DATA_KEY} of Secret {namespace}/{name} is not text") from None
    key = str(key).strip()
    if not key or any(ord(sign) < 0x21 or ord(sign) == 0x7F for sign in key):
        raise Unfit(f"{ref.path}: Secret {namespace}/{name} has no usable value under the data key {_DATA_KEY}")
    return key
