"""The words of publishing: what is published, from where, with which limits, and the plan for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from console.outcome import counted


class PublicationKind(StrEnum):
    """How clients call it."""

    OPENAI = "openai"
    """By the ``model`` of an OpenAI request: an AIGatewayRoute."""
    TRADITIONAL = "traditional"
    """By path, KServe's predict and v2 protocols: an HTTPRoute."""


class Access(StrEnum):
    """Who checks the keys of its clients."""

    EXT_AUTHZ = "ext_authz"
    """The authorizer, which the gateway asks about every request."""
    NATIVE = "native"
    """The gateway itself, by the authorizer's table of digests; it asks about what is not certain."""


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

    source      ``catalog`` (a provider's model), ``inferenceservice`` or ``llminferenceservice`` (KServe's)
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


LIMIT_OPTIONS: Mapping[str, str] = {
    "rpm": "requests_per_minute",
    "rph": "requests_per_hour",
    "rpd": "requests_per_day",
    "tph": "tokens_per_hour",
    "tpd": "tokens_per_day",
    "burst": "burst",
    "tenant_rpm": "tenant_requests_per_minute",
    "model_rpm": "model_requests_per_minute",
    "retries": "retries",
    "retry_on": "retry_on",
    "max_connections": "max_connections",
    "max_pending": "max_pending",
    "max_parallel": "max_parallel",
    "connect_timeout": "connect_timeout_seconds",
    "idle_timeout": "idle_timeout_seconds",
    "timeout": "timeout_seconds",
}
"""The limits by the names of their options."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use, and how patiently the gateway asks; None is no limit, or the gateway's own default.

    requests_per_…, tokens_per_…, burst  for each key; ``burst`` is requests per second
    tenant_…, model_requests_per_minute  totals: of all keys of a tenant, and of everybody
    retries, retry_on                    how often another try is made, and after what: triggers of Envoy Gateway's
                                         (``connect-failure``) and statuses (``503``); empty is the first of both
    max_connections, max_pending         of the gateway to each backend, and how many requests may wait for one
    max_parallel                         requests under way at once at each backend
    timeout, idle_timeout                seconds for a request, and between two pieces of its answer
    connect_timeout                      seconds for a connection to a backend
    """

    requests_per_minute: int | None = None
    timeout_seconds: int = 300
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    tokens_per_hour: int | None = None
    tokens_per_day: int | None = None
    burst: int | None = None
    tenant_requests_per_minute: int | None = None
    model_requests_per_minute: int | None = None
    retries: int | None = None
    retry_on: tuple[str, ...] = ()
    max_connections: int | None = None
    max_pending: int | None = None
    max_parallel: int | None = None
    connect_timeout_seconds: int | None = None
    idle_timeout_seconds: int | None = None

    def as_spec(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"retry_on": list(self.retry_on)}

    @classmethod
    def of_spec(cls, spec: Mapping[str, Any]) -> Limits:
        """What `as_spec` made; what an older Modeldeck did not know is as if it was not asked for."""
        return cls(**{**spec, "retry_on": tuple(spec.get("retry_on", ()))})


@dataclass(frozen=True, slots=True)
class Backend:
    """One of the places that a publication's requests go to.

    weight     its share among those of the same priority; 0 gets none
    priority   0 is asked first; a greater one only where all of a smaller one are out of order
    suffix     of the names of its objects: they stay as they are, whatever becomes of the others
    """

    origin: Origin
    weight: int = 1
    priority: int = 0
    suffix: str = ""

    def as_spec(self) -> dict[str, Any]:
        origin = {"source": self.origin.source, "name": self.origin.name, **_origin_spec(self.origin)}
        return origin | {"weight": self.weight, "priority": self.priority, "suffix": self.suffix}

    @classmethod
    def of_spec(cls, spec: Mapping[str, Any]) -> Backend:
        return cls(_origin(spec["source"], spec["name"], spec), spec["weight"], spec["priority"], spec["suffix"])


def _origin_spec(origin: Origin) -> dict[str, Any]:
    endpoint = origin.endpoint
    return {
        "served_as": origin.served_as,
        "endpoint": {"host": endpoint.host, "port": endpoint.port, "tls": endpoint.tls, "prefix": endpoint.prefix},
        "credential": origin.credential,
        "model_id": origin.model_id,
    }


def _origin(source: str, name: str, spec: Mapping[str, Any]) -> Origin:
    endpoint = Endpoint(**spec["endpoint"])
    return Origin(source, name, spec["served_as"], endpoint, spec["credential"], spec["model_id"])


@dataclass(frozen=True, slots=True)
class Publication:
    """One public name with everything that decides its objects. Its id is the ``endpoint_id`` of its grants.

    origin, weight, suffix   the first backend; ``others`` beside it
    hostnames                where clients call it; none is wherever the Gateway listens
    access                   who checks the keys
    """

    id: str
    name: str
    tenant: str
    kind: PublicationKind
    origin: Origin
    limits: Limits = Limits()
    weight: int = 1
    suffix: str = ""
    others: tuple[Backend, ...] = ()
    hostnames: tuple[str, ...] = ()
    access: Access = Access.EXT_AUTHZ

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All of them, those that are asked first first."""
        return (Backend(self.origin, self.weight, 0, self.suffix), *self.others)

    def with_backends(self, backends: Sequence[Backend]) -> Publication:
        """The same with other backends, of which the first has priority 0."""
        first, *others = backends
        return replace(self, origin=first.origin, weight=first.weight, suffix=first.suffix, others=tuple(others))

    def as_spec(self) -> dict[str, Any]:
        """What the database keeps, and `of_spec` reads."""
        return _origin_spec(self.origin) | {
            "limits": self.limits.as_spec(),
            "weight": self.weight,
            "suffix": self.suffix,
            "others": [one.as_spec() for one in self.others],
            "hostnames": list(self.hostnames),
            "access": self.access.value,
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
        """What `as_spec` made, of this or an older Modeldeck."""
        return cls(
            identifier,
            name,
            tenant,
            PublicationKind(kind),
            _origin(source, source_name, spec),
            Limits.of_spec(spec["limits"]),
            spec.get("weight", 1),
            spec.get("suffix", ""),
            tuple(Backend.of_spec(one) for one in spec.get("others", ())),
            tuple(spec.get("hostnames", ())),
            Access(spec.get("access", Access.EXT_AUTHZ)),
        )


def operation_target(name: str) -> str:
    """What operations on a publication have as their target: there is one at a time."""
    return f"model {name}"


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
    """What a publish or unpublish would change, in the order in which it would; of no one publication for leftovers."""

    title: str
    publication: Publication | None
    changes: tuple[PlannedChange, ...]
    warnings: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    """Fields that another manager owns and that would be changed: applying is refused until they are taken over."""
    reasons: tuple[str, ...] = ()
    """For the kind of an InferenceService, which is a suggestion: what its object says, and what it answers."""

    @property
    def summary(self) -> str:
        """``update llama: 2 changes``."""
        count = sum(change.effect is not Effect.NOTHING for change in self.changes)
        told = counted(count, "change") if count else "nothing would change"
        taken = f", but another manager owns {len(self.conflicts)} of the fields" if self.conflicts else ""
        return f"{self.title}: {told}{taken}"

    @property
    def changes_nothing(self) -> bool:
        return all(change.effect is Effect.NOTHING for change in self.changes)

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "warnings": list(self.warnings),
            "conflicts": list(self.conflicts),
            "reasons": list(self.reasons),
            "changes": [
                {
                    "target": change.target,
                    "effect": change.effect.value,
                    "fields": [{"path": f.path, "before": f.before, "after": f.after} for f in change.fields],
                }
                for change in self.changes
            ],
        }


STATUS_STATES: Mapping[str, str] = {
    "publishing": "pending",
    "removing": "pending",
    "not ready": "drift",
    "drifted": "drift",
    "ready": "ready",
}
"""The words of `Published.status`, and which state of the console's each is."""


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
    drift: tuple[Mapping[str, Any], ...] | None = None
    """What is otherwise in the cluster, field by field; None where this process does not watch it."""

    @property
    def status(self) -> str:
        """One of `STATUS_STATES`."""
        if self.state is not PublicationState.READY:
            return self.state.value
        return "not ready" if not self.ready else "drifted" if self.drift else "ready"

    def as_json(self) -> dict[str, Any]:
        publication = self.publication
        return {
            "name": publication.name,
            "tenant": publication.tenant,
            "kind": publication.kind.value,
            "source": f"{publication.origin.source} {publication.origin.name}",
            "state": self.state.value,
            "status": self.status,
            "ready": self.ready,
            "reason": self.reason,
            "url": self.url,
            "limits": publication.limits.as_spec(),
            "backends": [
                {"source": f"{one.origin.source} {one.origin.name}", "weight": one.weight, "priority": one.priority}
                for one in publication.backends
            ],
            "hostnames": list(publication.hostnames),
            "access": publication.access.value,
            "created_at": self.created_at.isoformat(timespec="seconds"),
            "objects": list(self.objects),
            "drift": None if self.drift is None else list(self.drift),
            "endpoint_id": publication.id,
        }
