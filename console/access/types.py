"""The words of access: grants, key entries, and one immutable view of them all.

Imports nothing heavy: screens and the CLI may use it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from console.access.forms import GET_PUBLISHED

PUBLISHED_KEY = "published_model_info"
KEY_PREFIX = "api_key:"
RESTRICTIONS_KEY = "modeldeck:restrictions"
"""What holds beside keys and publications: suspended tenants, models that a project's own keys alone may call."""
PROBE_PREFIX = "probe-"
"""How the ids of the short-lived keys begin by which Modeldeck asks the gateway itself."""
METADATA = "__metadata__"
CLIENT_PREFIX = GET_PUBLISHED[0]
"""What a budgateway knows a client's key by: its text begins so (seed 001)."""


def digest_of(key: str, salt: str = "bud-") -> str:
    """SHA-256 hex of salt + key: what names an entry in Redis (originals.md §1.1)."""
    return hashlib.sha256((salt + key).encode()).hexdigest()


_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def short_digest(digest: str) -> str:
    """``9f3c…e1``: enough to tell two apart, nothing to log in with."""
    return f"{digest[:4]}…{digest[-2:]}"


def shown_key(redis_key: str) -> str:
    """A Redis key as it may be shown: digests shortened, other suffixes as they are."""
    suffix = redis_key.removeprefix(KEY_PREFIX)
    if suffix != redis_key and is_digest(suffix):
        return KEY_PREFIX + short_digest(suffix)
    return redis_key


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Grant:
    """Where a model name leads. Any of the three ids may be missing (DESIGN.md §4)."""

    endpoint_id: str | None = None
    model_id: str | None = None
    project_id: str | None = None

    def as_json(self) -> dict[str, str]:
        ids = {"endpoint_id": self.endpoint_id, "model_id": self.model_id, "project_id": self.project_id}
        return {name: value for name, value in ids.items() if value is not None}


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What one key may do. Never holds the key's text.

    not_after   Unix seconds after which the key is refused, from Modeldeck's metadata or the Redis TTL
    in_clear    whether the entry that it came from names the key in clear (the seed's form)
    networks    where its requests may come from (CIDR); empty: from anywhere
    tenants     whose published models it may call, its own tenant among them; empty: everybody's
    labels      what it was marked with; nothing is decided by them
    """

    digest: str
    models: Mapping[str, Grant]
    key_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    tenant: str | None = None
    generation: int | None = None
    not_after: float | None = None
    suspended: bool = False
    in_clear: bool = False
    networks: tuple[Network, ...] = ()
    tenants: frozenset[str] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def is_probe(self) -> bool:
        """Whether it is one of Modeldeck's own, and what it does is nobody's use."""
        return is_probe(self.key_id)


def is_probe(key_id: str | None) -> bool:
    return key_id is not None and key_id.startswith(PROBE_PREFIX)


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What holds beside keys and publications.

    suspended_tenants  every key of theirs is refused
    own_project        models that only keys of the same project as the grant's may call
    """

    suspended_tenants: frozenset[str] = frozenset()
    own_project: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in Redis that could not be used; ``where`` is a key as it may be shown."""

    where: str
    problem: str


_SHARDS = 256


class Entries:
    """Immutable map digest → `KeyEntry`, in 256 shards: a change copies one shard, not 100,000 entries."""

    __slots__ = ("_shards", "count")

    def __init__(self, shards: tuple[dict[str, KeyEntry], ...] | None = None, count: int = 0) -> None:
        self._shards = shards if shards is not None else tuple({} for _ in range(_SHARDS))
        self.count = count

    @classmethod
    def of(cls, entries: Iterable[KeyEntry]) -> Entries:
        shards: tuple[dict[str, KeyEntry], ...] = tuple({} for _ in range(_SHARDS))
        for entry in entries:
            shards[int(entry.digest[:2], 16)][entry.digest] = entry
        return cls(shards, sum(map(len, shards)))

    def get(self, digest: str) -> KeyEntry | None:
        return self._shards[int(digest[:2], 16)].get(digest)

    def with_changes(self, changes: Mapping[str, KeyEntry | None]) -> Entries:
        """A new map with entries set, or dropped where the value is None."""
        fresh: dict[int, dict[str, KeyEntry]] = {}
        count = self.count
        for digest, entry in changes.items():
            at = int(digest[:2], 16)
            shard = fresh.get(at)
            if shard is None:
                shard = fresh[at] = dict(self._shards[at])
            count -= digest in shard
            if entry is None:
                shard.pop(digest, None)
            else:
                shard[digest] = entry
                count += 1
        return Entries(tuple(fresh.get(at, shard) for at, shard in enumerate(self._shards)), count)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[KeyEntry]:
        for shard in self._shards:
            yield from shard.values()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a decision needs, at one moment. Swapped whole, never changed.

    epoch   the number of the last write of Modeldeck's that is in it (`modeldeck:epoch`)
    """

    keys: Entries = field(default_factory=Entries)
    published: Mapping[str, Grant] = field(default_factory=dict)
    epoch: int = 0
    restrictions: Restrictions = Restrictions()

    def models_of(self, entry: KeyEntry, presented: str) -> Mapping[str, Grant]:
        """What a key may call: its own models, and for a client key the published ones of the tenants it may call.

        On a name clash the key's own entry wins (DESIGN.md §4; `clashes_of` lists them).
        """
        if not presented.startswith(GET_PUBLISHED):
            return entry.models
        if not entry.tenants:
            return {**self.published, **entry.models}
        shared = {name: grant for name, grant in self.published.items() if grant.project_id in entry.tenants}
        return {**shared, **entry.models}

    def grant_of(self, entry: KeyEntry, presented: str, model: str) -> Grant | None:
        """Where one name leads for a key: as `models_of` has it, without building the map."""
        grant = entry.models.get(model)
        if grant is None and presented.startswith(GET_PUBLISHED):
            grant = self.published.get(model)
            if grant is not None and entry.tenants and grant.project_id not in entry.tenants:
                return None
        return grant

    def shut_out(self, entry: KeyEntry, presented: str, model: str) -> bool:
        """Whether a model is published, and the key may not call it only because of whose it is."""
        if model in entry.models or not presented.startswith(GET_PUBLISHED):
            return False
        grant = self.published.get(model)
        return grant is not None and bool(entry.tenants) and grant.project_id not in entry.tenants

    def clashes_of(self, entry: KeyEntry) -> list[str]:
        """Names that the key has itself and that are published to somewhere else."""
        return sorted(
            name for name, grant in entry.models.items() if name in self.published and self.published[name] != grant
        )

    def update_published(self, published: Mapping[str, Grant]) -> Snapshot:
        """The seed's ``update_published_model_info``."""
        return replace(self, published=dict(published))

    def clear_published(self) -> Snapshot:
        """The seed's ``clear_published_model_info``."""
        return replace(self, published={})
