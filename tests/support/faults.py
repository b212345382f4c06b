"""Every way in which a step of an operation goes wrong, and what must hold whatever went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from console import steps
from console.access.types import KEY_PREFIX, PUBLISHED_KEY
from console.k8s.types import AI_GATEWAY_ROUTE, BACKEND_TRAFFIC_POLICY, HTTP_ROUTE, SECURITY_POLICY
from console.keys.book import list_keys
from console.keys.digests import kept_of, secrets_of, texts_in
from console.operations.journal import LEASE, Journal
from console.operations.recovery import recover_once
from console.operations.runner import Runner
from console.outcome import Failure, TimedOut
from console.publishing.manifests import LABEL_PUBLICATION
from console.steps import StepKinds
from console.store.tables.keys import key_generations, keys
from console.store.tables.operations import operations
from tests.support.stack import Killed, Running

FAULTS = (
    "fails",
    "times out",
    "answers late",
    "succeeds without an answer",
    "is cancelled",
    "is killed before",
    "is killed after",
)
_LATE_SECONDS = 0.2


@contextlib.contextmanager
def fault(number: int, how: str) -> Iterator[list[str]]:
    """Make the step with this number, over all operations of an action, go wrong. Yields the steps that were begun."""
    begun: list[str] = []
    real = steps._Lazy.take

    async def take(self: Any, arguments: Any, undo: Any, operation: str) -> str:
        here = len(begun) == number
        begun.append(type(self).__name__)
        if not here:
            return await real(self, arguments, undo, operation)
        match how:
            case "fails":
                raise Failure("the network is down", code="NETWORK")
            case "times out":
                raise TimedOut("no answer", code="NETWORK")
            case "answers late":
                _BACKGROUND.add(asyncio.create_task(_later(real(self, arguments, undo, operation))))
                raise TimedOut("no answer", code="NETWORK")
            case "succeeds without an answer":
                await real(self, arguments, undo, operation)
                raise TimedOut("no answer", code="NETWORK")
            case "is cancelled":
                await real(self, arguments, undo, operation)
                raise asyncio.CancelledError
            case "is killed before":
                raise Killed
            case _:
                await real(self, arguments, undo, operation)
                raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(steps._Lazy, "take", take)
        yield begun


_BACKGROUND: set[asyncio.Task[Any]] = set()


async def _later(step: Any) -> None:
    await asyncio.sleep(_LATE_SECONDS)
    await step


async def recovered(stack: Running) -> None:
    """What was late has arrived, and recovery has ended what was interrupted, as another process would."""
    await asyncio.gather(*_BACKGROUND, return_exceptions=True)
    _BACKGROUND.clear()
    journal = Journal(await stack.services.store(), clock=lambda: datetime.now(UTC) + LEASE * 2)
    runner = Runner(journal, StepKinds(stack.services))
    for _ in range(3):
        await recover_once(journal, runner)
        if not await journal.interrupted():
            return


async def violations(stack: Running) -> list[str]:
    """Orphan objects, keys and entries without a route, routes without a policy, operations without an end."""
    found = [f"orphan: {row['object']}" for row in (await stack.do("publications.leftovers")).data]
    cluster, store, redis = await stack.cluster(), await stack.services.store(), await stack.services.redis()
    names: dict[str, set[tuple[str, str]]] = {}
    for kind in (AI_GATEWAY_ROUTE, HTTP_ROUTE, SECURITY_POLICY, BACKEND_TRAFFIC_POLICY):
        objects, _ = await cluster.list(kind, labels=LABEL_PUBLICATION)
        names[kind.kind] = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in objects}
        if kind in (AI_GATEWAY_ROUTE, HTTP_ROUTE):
            names.setdefault("routes", set()).update(names[kind.kind])
    for policy in ("SecurityPolicy", "BackendTrafficPolicy"):
        found += [f"route without {policy}: {name}" for name in names["routes"] - names[policy]]
    rows = (await stack.do("published")).data
    found += [f"{row['name']} is {row['state']}" for row in rows if row["state"] != "ready"]
    served = {row["endpoint_id"] for row in rows if row["state"] == "ready" and _routed(row, names["routes"])}
    for name, entry in json.loads(await redis.get(PUBLISHED_KEY) or "{}").items():
        if entry["endpoint_id"] not in served:
            found.append(f"entry without route: {name}")
    digests = set()
    async for raw in redis.scan_iter(match=f"{KEY_PREFIX}*"):
        key = raw.decode() if isinstance(raw, bytes) else raw
        digests.add(key.removeprefix(KEY_PREFIX))
        for model, grant in json.loads(await redis.get(key) or "{}").items():
            if not model.startswith("__") and grant.get("endpoint_id") not in served:
                found.append(f"key without route: {model}")
    async with store.reading() as db:
        query = sa.select(key_generations.c.digest).join(keys, keys.c.id == key_generations.c.key_id)
        live = sa.and_(keys.c.revoked_at.is_(None), key_generations.c.revoked_at.is_(None))
        known = {row.digest for row in await db.execute(query.where(live))}
        open_ = await db.execute(
            sa.select(operations.c.kind, operations.c.state).where(operations.c.ended_at.is_(None))
        )
        found += [f"operation without an end: {row.kind} {row.state}" for row in open_]
    found += [f"key in the gateway only: {digest[:8]}" for digest in digests - known]
    found += [f"key in the book only: {digest[:8]}" for digest in known - digests]
    found += await _secrets_out_of_date(stack)
    found += [f"drift: {row['object']} {row['field']}" for row in (await stack.do("publications.drift")).data]
    return found


async def _secrets_out_of_date(stack: Running) -> list[str]:
    """Keys whose digests in their tenant's Secret are not those in the book."""
    cluster, store, now = await stack.cluster(), await stack.services.store(), datetime.now(UTC)
    there = {name: text for secret in await secrets_of(cluster, None) for name, text in texts_in(secret).items()}
    kept = {key.id: await kept_of(store, key, now) for key in await list_keys(store, revoked=True)}
    due = {name: one.as_text() for name, one in kept.items() if one is not None}
    return [f"Secret: {name}" for name in {*due, *there} if due.get(name) != there.get(name)]


def _routed(row: Any, routes: set[tuple[str, str]]) -> bool:
    return any(
        target.split()[0] in ("AIGatewayRoute", "HTTPRoute") and (row["tenant"], target.partition("/")[2]) in routes
        for target in row["objects"]
    )
