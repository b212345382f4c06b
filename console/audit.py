"""Who did what to what, from where, with which result: append-only, each row bound to the one before it.

A row's hash is SHA-256 over the canonical JSON of its fields and the hash of the row before. Changing, removing or
inserting a row breaks the chain, which `verify` finds. Details hold digests and names, never a key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from console.guard import Demand, Principal
from console.outcome import Outcome
from console.store.engine import Store
from console.store.tables.operations import audit

GENESIS = "0" * 64
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row as it is kept."""

    seq: int
    at: datetime
    actor: str
    via: str
    origin: str
    action: str
    tenant: str | None
    target: str
    outcome: str
    detail: Mapping[str, Any]
    previous_hash: str
    hash: str

    def as_json(self) -> dict[str, Any]:
        body = {name: getattr(self, name) for name in self.__slots__}
        return body | {"at": self.at.isoformat(), "detail": dict(self.detail)}


class Audit:
    """Writes and reads the audit. Also the guard's log of refused attempts."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._clock = clock

    async def write(
        self,
        action: str,
        principal: Principal,
        *,
        tenant: str | None,
        target: str,
        outcome: str,
        detail: Mapping[str, Any],
    ) -> None:
        """Append one row. Where two processes append at once, the later one takes the next place."""
        for attempt in range(_ATTEMPTS):
            try:
                await self._append(action, principal, tenant, target, outcome, detail)
            except IntegrityError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    async def _append(
        self,
        action: str,
        principal: Principal,
        tenant: str | None,
        target: str,
        outcome: str,
        detail: Mapping[str, Any],
    ) -> None:
        async with self._store.writing() as db:
            last = (
                await db.execute(sa.select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1))
            ).first()
            values: dict[str, Any] = {
                "seq": (last.seq if last else 0) + 1,
                "at": self._clock(),
                "actor": principal.name,
                "via": principal.via,
                "origin": principal.origin,
                "action": action,
                "tenant": tenant,
                "target": target,
                "outcome": outcome,
                "detail": dict(detail),
                "previous_hash": last.hash if last else GENESIS,
            }
            await db.execute(audit.insert().values(**values, hash=chained_hash(values)))

    async def refused(self, demand: Demand, principal: Principal, tenant: str | None, target: str, why: str) -> None:
        """The guard's refusals."""
        await self.write(demand.id, principal, tenant=tenant, target=target, outcome="refused", detail={"why": why})

    async def ended(
        self, action: str, principal: Principal, *, tenant: str | None, target: str, outcome: Outcome
    ) -> None:
        """What came of an action: its summary and proof, which hold no secrets; never `Outcome.revealed`."""
        detail: dict[str, Any] = {"summary": outcome.summary}
        if outcome.code:
            detail["code"] = outcome.code
        if isinstance(outcome.data, dict) and "operation" in outcome.data:
            detail["operation"] = outcome.data["operation"]
        if outcome.items:
            detail["items"] = [[item.name, item.state] for item in outcome.items]
        await self.write(action, principal, tenant=tenant, target=target, outcome=outcome.ending.value, detail=detail)

    async def recent(self, limit: int = 100) -> list[AuditRow]:
        """The newest rows, newest first."""
        async with self._store.reading() as db:
            rows = await db.execute(sa.select(audit).order_by(audit.c.seq.desc()).limit(limit))
            return [AuditRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented mapping view

    async def verify(self) -> tuple[int, int | None]:
        """The number of rows, and the first whose chain is broken (None: it holds)."""
        previous, count = GENESIS, 0
        async with self._store.reading() as db:
            async for row in await db.stream(sa.select(audit).order_by(audit.c.seq)):
                values = dict(row._mapping)  # noqa: SLF001
                kept = values.pop("hash")
                count += 1
                if values["previous_hash"] != previous or values["seq"] != count or chained_hash(values) != kept:
                    return count, values["seq"]
                previous = kept
        return count, None


def chained_hash(values: Mapping[str, Any]) -> str:
    """SHA-256 hex of a row's fields, the previous hash among them, as canonical JSON."""
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
