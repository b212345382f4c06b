"""The digests of a tenant's keys in Secrets of its namespace: what a lost database is rebuilt from. Never a text.

    Secret NAMESPACE/modeldeck-keys    (modeldeck-keys-2, … where one is full)
        labels  modeldeck.dev/keys: "true"
        data    key id → {"key": as `scopes.row_of` has it, "grants": {model: where it leads},
                "generations": [{generation, digest, last_four, issued_at, not_after}]}

It is a copy: keys live in Redis and the database. So a cluster that does not take it stops no rotation and no
revocation; the step says so, the key is remembered as one whose digests are behind, and `keys restore` writes them.
Each key has a field of its own, merged in by itself, so operations on two keys do not meet.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from console.access.types import Grant, is_digest
from console.guard import Permit, system_permit
from console.k8s.cluster import Cluster
from console.k8s.errors import Conflict, Missing
from console.k8s.types import NAMESPACE, SECRET, Object, Ref
from console.keys import book
from console.keys.scopes import key_of, labels_of, networks_of, row_of
from console.keys.types import Generation, Key, moment, text_of
from console.keys.unwritten import set_behind
from console.operations.types import Left
from console.outcome import Failure, ModeldeckError, Refusal
from console.store.engine import Store

NAME = "modeldeck-keys"
LABEL = "modeldeck.dev/keys"
NOT_WRITTEN = "not written"
"""What the detail of a step begins with where the cluster did not take it."""
_SECONDS = 3.0
_ATTEMPTS = 5
_FULL_BYTES = 900_000
"""Of the million bytes that a Secret may have."""
_LONGEST_TEXT = 1024
"""As of an operator's own words (console/actions/parameters.py)."""
_LONGEST_LIST = 1000
_MOST_GENERATIONS = 2
_LARGEST_NUMBER = 1_000_000_000
_UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    RecursionError,
    Refusal,
)
_ID = re.compile(r"k[0-9a-z]{1,31}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A key as a Secret has it; only its texts that worked when it was written."""

    key: Key
    grants: Mapping[str, Grant]
    generations: tuple[Generation, ...]

    def as_text(self) -> str:
        document = {
            "key": row_of(self.key),
            "grants": {name: grant.as_json() for name, grant in self.grants.items()},
            "generations": [
                {
                    "generation": one.number,
                    "digest": one.digest,
                    "last_four": one.last_four,
                    "issued_at": text_of(one.issued_at),
                    "not_after": text_of(one.not_after),
                }
                for one in self.generations
            ],
        }
        return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)

    @classmethod
    def of(cls, text: str | bytes, *, tenant: str, identifier: str) -> Kept:
        """Read one field of a Secret.

        Raises:
            ValueError: it is not what `as_text` writes, or of another key or tenant; the text says why.
        """
        try:
            document = json.loads(text)
            _judge_row(document["key"])
            key = key_of(document["key"])
            grants = {name: Grant(**ids) for name, ids in document["grants"].items()}
            generations = tuple(_generation(one) for one in document["generations"])
            _judge_grants([grants, key.imported.grants if key.imported is not None else {}])
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            AssertionError,
            OverflowError,
            RecursionError,
        ) as problem:
            raise ValueError(f"it cannot be read ({type(problem).__name__})") from None
        except Refusal as refusal:
            raise ValueError(f"it cannot be read ({type(refusal).__name__})") from None
        if key.tenant != tenant or key.id != identifier:
            raise ValueError("it says another key or tenant than where it stands")
        numbers, texts = {one.number for one in generations}, {one.digest for one in generations}
        if not len(numbers) == len(texts) == len(generations) <= _MOST_GENERATIONS:
            raise ValueError("it says more texts than a key may have, or one twice")
        if not set(grants) <= set(key.models):
            raise ValueError("it says where models lead that the key has not")
        return cls(key, grants, tuple(sorted(generations, key=lambda one: one.number)))


# Others may write Secrets: what comes from one is judged as if an operator had typed it. Each raises one of
# `_UNREADABLE`.


def _judge_row(row: Mapping[str, Any]) -> None:
    _texts([row[name] for name in ("id", "name", "tenant", "owner")])
    for name in ("models", "networks", "tenants"):
        if not isinstance(row[name], list) or len(row[name]) > _LONGEST_LIST:
            raise ValueError(name)
        _texts(row[name])
    _texts([*row["labels"], *row["labels"].values()])
    if row["imported"] is not None:
        _texts([row["imported"]["source"]])
    if _ID.fullmatch(row["id"]) is None or not isinstance(row["suspended"], bool):
        raise ValueError("id")
    if labels_of([f"{name}={value}" for name, value in row["labels"].items()]) != row["labels"]:
        raise ValueError("labels")
    if list(networks_of(row["networks"])) != row["networks"]:
        raise ValueError("networks")
    _moment(row["created_at"])
    _moment(row["expires_at"])


def _judge_grants(every: Sequence[Mapping[str, Grant]]) -> None:
    for grants in every:
        for name, grant in grants.items():
            _texts([name, *(one for one in (grant.endpoint_id, grant.model_id, grant.project_id) if one is not None)])


def _texts(values: Sequence[Any]) -> None:
    for value in values:
        if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST_TEXT:
            raise ValueError("text")


def _moment(text: str | None) -> datetime | None:
    """A time with its zone: without one it cannot be compared."""
    when = moment(text)
    if when is not None and when.tzinfo is None:
        raise ValueError("time")
    return None if when is None else when.astimezone(UTC)


def _generation(document: Mapping[str, Any]) -> Generation:
    issued, last_four = _moment(document["issued_at"]), document["last_four"]
    number, digest = document["generation"], document["digest"]
    _texts([digest, last_four])
    if issued is None or type(number) is not int or not 0 < number < _LARGEST_NUMBER or not is_digest(digest):
        raise ValueError
    return Generation(number, digest, last_four[:4], issued, _moment(document["not_after"]))


async def kept_of(store: Store, key: Key, now: datetime, there: str | None = None) -> Kept | None:
    """What belongs into the Secret for a key; None for one that is over.

    Args:
        there: what the Secret says now. Where the database does not know where a model leads, as after a loss, that
            stays as the Secret has it
    """
    generations = key.live(now)
    if not key.counts(now) or not generations:
        return None
    try:
        return Kept(key, await book.own_grants(store, key), generations)
    except Refusal:  # one of its models is published no more, or not again
        pass
    grants = {}
    if there is not None:
        with contextlib.suppress(ValueError):
            said = Kept.of(there, tenant=key.tenant, identifier=key.id).grants
            grants = {name: grant for name, grant in said.items() if name in key.models}
    for model in key.models:
        with contextlib.suppress(Refusal):
            grants |= await book.own_grants(store, key, [model])
    return Kept(key, grants, generations)


class KeepDigests:
    """The step that brings a key's field in its tenant's Secret up to date. Undone by what was there before.

    Args:
        cluster: opens the cluster
    """

    def __init__(self, store: Store, cluster: Callable[[], Awaitable[Cluster]]) -> None:
        self._store = store
        self._cluster = cluster

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        tenant = await self._tenant_of(arguments)
        try:
            async with asyncio.timeout(_SECONDS):
                _, text = await _where(await self._cluster(), tenant, arguments["key"])
        except (ModeldeckError, TimeoutError) as problem:
            return {"tenant": tenant, "unknown": _why(problem)}
        return {"tenant": tenant, "before": text}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        if undo.get("unknown"):  # it is not waited for twice
            return await self._left(arguments, undo["unknown"])
        key = await book.read_key(self._store, arguments["key"])
        kept = await kept_of(self._store, key, datetime.now(UTC), undo.get("before"))
        permit = system_permit(arguments["action"], target=key.id).on_behalf_of(arguments["actor"])
        try:
            async with asyncio.timeout(_SECONDS):
                cluster = await self._cluster()
                said = await put(cluster, permit, key.tenant, key.id, None if kept is None else kept.as_text())
        except (ModeldeckError, TimeoutError) as problem:
            return await self._left(arguments, _why(problem))
        await set_behind(self._store, key.id, is_behind=False)
        return said

    async def _left(self, arguments: Mapping[str, Any], why: str) -> Left:
        await set_behind(self._store, arguments["key"], is_behind=True)
        return Left(f"{NOT_WRITTEN}: {why}")

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        if undo.get("unknown"):
            return "was not written"
        permit = system_permit("undo", target=arguments["key"])
        try:
            async with asyncio.timeout(_SECONDS):
                await put(await self._cluster(), permit, undo["tenant"], arguments["key"], undo["before"])
        except (ModeldeckError, TimeoutError) as problem:  # a copy holds up the undoing of nothing
            return await self._left(arguments, _why(problem))
        return "as before"

    async def _tenant_of(self, arguments: Mapping[str, Any]) -> str:
        return (await book.read_key(self._store, arguments["key"])).tenant


async def put(cluster: Cluster, permit: Permit, tenant: str, identifier: str, text: str | None) -> str:
    """Set a key's field, or take it away (None) and with the last one its Secret. Says what was observed.

    Raises:
        Refusal, Failure: the cluster did not take it.
    """
    for _ in range(_ATTEMPTS):
        found, before = await _where(cluster, tenant, identifier, room_for=len(text or ""))
        if before == text:
            return "is so already"
        try:
            if isinstance(found, Ref):
                manifest = _manifest(found, {identifier: _encoded(text)})
                await cluster.create(permit, manifest)
                return f"Secret {found.namespace}/{found.name} made"
            metadata = found["metadata"]
            ref = Ref(SECRET, metadata["name"], tenant)
            if text is None and set(found.get("data") or {}) <= {identifier}:
                version = metadata["resourceVersion"]
                await cluster.delete(permit, ref, uid=metadata["uid"], resource_version=version)
                return f"Secret {tenant}/{ref.name} removed: it was empty"
            await cluster.patch(permit, ref, {"data": {identifier: _encoded(text)}})
        except (Conflict, Missing):  # somebody came between: made it, filled it, removed it
            if await _gone(cluster, tenant):
                raise
            continue
        return f"{'removed from' if text is None else 'in'} Secret {tenant}/{ref.name}"
    raise Failure(f"others write {NAME} in {tenant} without a pause", code="KUBE_CONFLICT")


async def _gone(cluster: Cluster, tenant: str) -> bool:
    """Whether there is no such namespace, so that trying again is of no use."""
    return await cluster.get(Ref(NAMESPACE, tenant, None)) is None


async def secrets_of(cluster: Cluster, tenant: str | None) -> list[Object]:
    """The Secrets of digests of a tenant, or of all."""
    found, _ = await cluster.list(SECRET, namespace=tenant, labels=f"{LABEL}=true")
    return sorted(found, key=lambda one: (one["metadata"]["namespace"], _number(one["metadata"]["name"])))


def texts_in(secret: Object) -> dict[str, str | None]:
    """Its fields by key id; None for one that is no text."""
    return {name: _decoded(value) for name, value in (secret.get("data") or {}).items()}


async def _where(
    cluster: Cluster, tenant: str, identifier: str, *, room_for: int = 0
) -> tuple[Object | Ref, str | None]:
    """The Secret that has a key, and what it says; else the first with room for it, else the one to make."""
    there = await secrets_of(cluster, tenant)
    for secret in there:
        value = (secret.get("data") or {}).get(identifier)
        if value is not None:
            return secret, _decoded(value)
    for secret in there:
        size = sum(len(value) * 3 // 4 for value in (secret.get("data") or {}).values())
        if size + room_for < _FULL_BYTES:
            return secret, None
    highest = max((_number(secret["metadata"]["name"]) for secret in there), default=0)
    return Ref(SECRET, NAME if not highest else f"{NAME}-{highest + 1}", tenant), None


def _number(name: str) -> int:
    rest = name.removeprefix(f"{NAME}-")
    return int(rest) if rest.isdecimal() else 1


def _manifest(ref: Ref, data: Mapping[str, str | None]) -> Object:
    metadata = {"name": ref.name, "namespace": ref.namespace, "labels": {LABEL: "true"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": dict(data)}


def _encoded(text: str | None) -> str | None:
    return None if text is None else base64.b64encode(text.encode()).decode()


def _decoded(value: str) -> str | None:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _why(problem: BaseException) -> str:
    return f"the cluster did not answer within {_SECONDS:g} s" if isinstance(problem, TimeoutError) else str(problem)
