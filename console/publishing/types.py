"""The words of publishing: what is published, from where, with which limits, and the plan for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class PublicationKind(StrEnum):
    """How clients call it."""

    OPENAI = "openai"
    """By the ``model`` of an OpenAI request: an AIGatewayRoute."""
    TRADITIONAL = "traditional"
    """By path, KServe's predict and v2 protocols: an HTTPRoute."""


class PublicationState(StrEnum):
    PUBLISHING = "publishing"
    READY = "ready"
    REMOVING = "removing"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. ``prefix`` stands before ``/chat/completions`` (``/v1``, ``/openai/v1``)."""

    host: str
    port: int
    tls: bool
    prefix: str = "/v1"


@dataclass(frozen=True, slots=True)
class Origin:
    """What is published.

    source      ``catalog`` (a provider's model) or ``inferenceservice`` (one of KServe's)
    name        ``deepinfra/meta-llama/Llama-3.3-70B-Instruct``, ``acme/iris``
    served_as   the model name that the endpoint itself knows
    credential  the provider whose credential the gateway sends; None where none is needed
    """

    source: str
    name: str
    served_as: str
    endpoint: Endpoint
    credential: str | None = None
    model_id: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use; None is no limit. Counted per key."""

    requests_per_minute: int | None = None
    timeout_seconds: int = 300


@dataclass(frozen=True, slots=True)
class Publication:
    """One public name with everything that decides its objects. Its id is the ``endpoint_id`` of its grants."""

    id: str
    name: str
    tenant: str
    kind: PublicationKind
    origin: Origin
    limits: Limits = Limits()

    def as_spec(self) -> dict[str, Any]:
        """What the database keeps, and `of_spec` reads."""
        endpoint = self.origin.endpoint
        return {
            "served_as": self.origin.served_as,
            "endpoint": {"host": endpoint.host, "port": endpoint.port, "tls": endpoint.tls, "prefix": endpoint.prefix},
            "credential": self.origin.credential,
            "model_id": self.origin.model_id,
            "limits": {
                "requests_per_minute": self.limits.requests_per_minute,
                "timeout_seconds": self.limits.timeout_seconds,
            },
        }

    @classmethod
    def of_spec(
        cls,
        spec: Mapping[str, Any],
        *,
        identifier: str,
        name: str,
        tenant: str,
        kind: str,
        source: str,
        source_name: str,
    ) -> Publication:
        origin = Origin(
            source,
            source_name,
            spec["served_as"],
            Endpoint(**spec["endpoint"]),
            spec["credential"],
            spec["model_id"],
        )
        return cls(identifier, name, tenant, PublicationKind(kind), origin, Limits(**spec["limits"]))


class Effect(StrEnum):
    """What the plan would do with one object or entry."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    NOTHING = "unchanged"

    @property
    def glyph(self) -> str:
        return {"create": "+", "change": "~", "remove": "−", "unchanged": "="}[self.value]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of the diff. ``before`` and ``after`` are JSON texts; None is absent. Secrets show as ``•••``."""

    path: str
    before: str | None
    after: str | None

    @property
    def glyph(self) -> str:
        return "+" if self.before is None else "−" if self.after is None else "~"


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One object or Redis entry of the plan. ``manifest`` is what would be applied; None for Redis and removals."""

    target: str
    effect: Effect
    fields: tuple[FieldChange, ...] = ()
    manifest: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a publish or unpublish would change, in the order in which it would."""

    title: str
    publication: Publication
    changes: tuple[PlannedChange, ...]
    warnings: tuple[str, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        return all(change.effect is Effect.NOTHING for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "warnings": list(self.warnings),
            "changes": [
                {
                    "target": change.target,
                    "effect": change.effect.value,
                    "fields": [{"path": f.path, "before": f.before, "after": f.after} for f in change.fields],
                }
                for change in self.changes
            ],
        }


@dataclass(frozen=True, slots=True)
class Published:
    """A publication as it stands: what the database has, and what the cluster says of it."""

    publication: Publication
    state: PublicationState
    ready: bool
    reason: str
    url: str
    created_at: datetime
    objects: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        publication = self.publication
        return {
            "name": publication.name,
            "tenant": publication.tenant,
            "kind": publication.kind.value,
            "source": f"{publication.origin.source} {publication.origin.name}",
            "state": self.state.value,
            "ready": self.ready,
            "reason": self.reason,
            "url": self.url,
            "limits": publication.as_spec()["limits"],
            "created_at": self.created_at.isoformat(timespec="seconds"),
            "objects": list(self.objects),
            "endpoint_id": publication.id,
        }
