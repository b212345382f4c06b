"""The words of keys: a stable id apart from its generations; no key text anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from console.access.types import Grant, short_digest

EXPIRES_SOON = timedelta(days=7)
"""From when on before its end a key is one that somebody should look at."""


class KeyKind(StrEnum):
    """What the gateway adds to a key's models (seed 001); its text says it."""

    CLIENT = "client"
    """``bud_client_…``: its own models and every published one."""
    ADMIN = "admin"
    """``bud_admin_…``: its own models only."""


class KeyForm(StrEnum):
    """What a key's text looks like (console/access/forms.py)."""

    BUD = "bud"
    """As a budgateway's: ``bud_client_…``."""
    MDK = "mdk"
    """Our own, with a checksum: ``mdk_client_…_…``. A budgateway adds no published models to it."""

    def beginning(self, kind: KeyKind) -> str:
        """What a text of this form and a kind begins with."""
        return f"{self.value}_{kind.value}_"


class KeyState(StrEnum):
    ACTIVE = "active"
    ROTATING = "rotating"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    REVOKED = "revoked"


LOST = "lost"
"""What a key is called that should work, and of which Redis has no entry: `keys restore` writes it again."""
TENANT_SUSPENDED = "tenant suspended"
"""What a key is called that would work, and whose tenant is suspended: the gateway refuses it."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One text that a key has had. ``not_after`` is the end of its grace."""

    number: int
    digest: str
    last_four: str
    issued_at: datetime
    not_after: datetime | None = None
    revoked_at: datetime | None = None

    def live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.not_after is None or self.not_after > now)

    def live_at(self, seconds: float) -> bool:
        """`live`, by Unix seconds."""
        return self.live(datetime.fromtimestamp(seconds, UTC))

    def as_json(self) -> dict[str, Any]:
        return {
            "generation": self.number,
            "digest": short_digest(self.digest),
            "last_four": self.last_four,
            "issued_at": _text(self.issued_at),
            "not_after": _text(self.not_after),
            "revoked_at": _text(self.revoked_at),
        }


@dataclass(frozen=True, slots=True)
class Import:
    """Where a key was taken over from: another writer's value that names its keys in clear.

    source  the Redis key of that value: ``api_key:client_keys``
    grants  where its own models lead, as it said; they need not be published by Modeldeck
    """

    source: str
    grants: Mapping[str, Grant] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {"source": self.source, "grants": {name: grant.as_json() for name, grant in self.grants.items()}}

    @classmethod
    def of(cls, document: Mapping[str, Any] | None) -> Import | None:
        if document is None:
            return None
        return cls(document["source"], {name: Grant(**ids) for name, ids in document["grants"].items()})


@dataclass(frozen=True, slots=True)
class Key:
    """One key with its generations, newest last.

    models    its own; a client key has the published ones too
    networks  where its requests may come from (CIDR); empty: from anywhere
    tenants   whose publications it may call beside its own tenant's; empty: everybody's, where it is a client's
    labels    what it is marked with, by name
    imported  where it was taken over from; None for one that Modeldeck issued
    """

    id: str
    name: str
    tenant: str
    owner: str
    kind: KeyKind
    models: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    suspended: bool = False
    revoked_at: datetime | None = None
    generations: tuple[Generation, ...] = ()
    networks: tuple[str, ...] = ()
    imported: Import | None = None
    form: KeyForm = KeyForm.BUD
    labels: Mapping[str, str] = field(default_factory=dict)
    tenants: tuple[str, ...] = ()

    @property
    def beginning(self) -> str:
        """What its text begins with: enough to decide by, together with its digest."""
        return self.form.beginning(self.kind)

    @property
    def callable_tenants(self) -> frozenset[str]:
        """Whose publications it may call; empty: everybody's."""
        return frozenset((self.tenant, *self.tenants)) if self.tenants else frozenset()

    @property
    def quota_tenants(self) -> tuple[str, ...]:
        """In whose quota it takes a place: its own tenant's, and of those that it names."""
        return tuple(dict.fromkeys((self.tenant, *self.tenants)))

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    def expires_soon(self, now: datetime) -> bool:
        return self.expires_at is not None and now < self.expires_at <= now + EXPIRES_SOON

    def live(self, now: datetime) -> tuple[Generation, ...]:
        return tuple(generation for generation in self.generations if generation.live(now))

    def counts(self, now: datetime) -> bool:
        """Whether it takes a place in its tenant's quota."""
        return self.state(now) not in (KeyState.REVOKED, KeyState.EXPIRED)

    def state(self, now: datetime) -> KeyState:
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyState.EXPIRED
        if self.suspended:
            return KeyState.SUSPENDED
        return KeyState.ROTATING if len(self.live(now)) > 1 else KeyState.ACTIVE

    def as_json(self, now: datetime) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "tenant": self.tenant,
            "owner": self.owner,
            "kind": self.kind.value,
            "form": self.form.value,
            "models": list(self.models),
            "networks": list(self.networks),
            "allowed_tenants": list(self.tenants),
            "labels": dict(self.labels),
            "imported_from": self.imported.source if self.imported is not None else None,
            "state": self.state(now).value,
            "created_at": _text(self.created_at),
            "expires_at": _text(self.expires_at),
            "expires_soon": self.expires_soon(now),
            "generations": [generation.as_json() for generation in self.generations],
        }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def moment(text: str | None) -> datetime | None:
    """A time as the journal has it."""
    return None if text is None else datetime.fromisoformat(text)


def text_of(when: datetime | None) -> str | None:
    """As `moment` reads it."""
    return None if when is None else when.astimezone(UTC).isoformat()


def told(moment: datetime, now: datetime) -> str:
    """A moment for people: ``02:59:07 UTC, in 15 min`` where this runs; the day too where it is another."""
    local = moment.astimezone()
    day = "%H:%M:%S %Z" if local.date() == now.astimezone().date() else "%Y-%m-%d %H:%M %Z"
    seconds = round((moment - now).total_seconds())
    return f"{local:{day}}, {'in ' if seconds >= 0 else ''}{_span(abs(seconds))}{'' if seconds >= 0 else ' ago'}"


def _span(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
