"""Who did what to what, from where, with which result: append-only, each row bound to the one before it.

A row's hash is SHA-256 over the canonical JSON of its fields and the hash of the row before. Changing, removing or
inserting a row breaks the chain, which `verify` finds. Details hold digests and names, never a key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from console.guard import Demand, Principal, Role
from console.outcome import Outcome
from console.store.engine import Store
from console.store.tables.operations import audit
from console.terminal.redaction import without_keys

GENESIS = "0" * 64
RECOVERY = "recovery"
"""How a row came to be (``via``) that no operator's process wrote: whoever began the operation was gone."""
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

    def has(self, words: Sequence[str]) -> bool:
        """Whether all of these words, in small letters, are somewhere in it."""
        text = " ".join(str(value) for value in self.as_json().values()).casefold() if words else ""
        return all(word in text for word in words)


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
                async with self._store.writing() as db:
                    await self._append(db, action, principal, tenant, target, outcome, detail)
            except IntegrityError:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    async def _append(
        self,
        db: AsyncConnection,
        action: str,
        principal: Principal,
        tenant: str | None,
        target: str,
        outcome: str,
        detail: Mapping[str, Any],
    ) -> None:
        last = (await db.execute(sa.select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1))).first()
        values: dict[str, Any] = {
            "seq": (last.seq if last else 0) + 1,
            "at": self._clock(),
            "actor": principal.name,
            "via": principal.via,
            "origin": principal.origin,
            "action": action,
            "tenant": tenant,
            "target": without_keys(target),
            "outcome": outcome,
            "detail": json.loads(without_keys(json.dumps(dict(detail)))),
            "previous_hash": last.hash if last else GENESIS,
        }
        await db.execute(audit.insert().values(**values, hash=chained_hash(values)))

    async def recovered(
        self,
        db: AsyncConnection,
        action: str,
        actor: str,
        *,
        tenant: str | None,
        target: str,
        outcome: str,
        detail: Mapping[str, Any],
    ) -> None:
        """What recovery made of an operation, in the transaction that ends it: so there is one row for each.

        ``actor`` is who had begun it (``name@origin``, as the journal has it).
        """
        await self._append(db, action, Principal(actor, Role.ADMIN, None, RECOVERY), tenant, target, outcome, detail)

    async def refused(self, demand: Demand, principal: Principal, tenant: str | None, target: str, why: str) -> None:
        """The guard's refusals."""
        await self.write(demand.id, principal, tenant=tenant, target=target, outcome="refused", detail={"why": why})

    async def ended(
        self, action: str, principal: Principal, *, tenant: str | None, target: str, outcome: Outcome, name: str = ""
    ) -> None:
        """What came of an action: its summary and proof, which hold no secrets; never `Outcome.revealed`.

        ``name``: the name that was asked for, where it is not the target and the outcome has none.
        """
        detail: dict[str, Any] = {"summary": outcome.summary}
        if outcome.code:
            detail["code"] = outcome.code
        if isinstance(outcome.data, dict) and "operation" in outcome.data:
            detail["operation"] = outcome.data["operation"]
        if isinstance(outcome.data, dict):
            if outcome.data.get("changed"):
                detail["changed"] = list(outcome.data["changed"])
            if isinstance(outcome.data.get("name"), str):
                name = outcome.data["name"]
        if name and name != target:  # a model is published under another name than its own
            detail["name"] = name
        if outcome.items:
            detail["items"] = [[item.name, item.state] for item in outcome.items]
        await self.write(action, principal, tenant=tenant, target=target, outcome=outcome.ending.value, detail=detail)

    async def recent(
        self,
        limit: int | None = 100,
        *,
        who: str | None = None,
        action: str | None = None,
        tenant: str | None = None,
        since: datetime | None = None,
        words: Sequence[str] = (),
        tenants: frozenset[str] | None = None,
    ) -> list[AuditRow]:
        """The newest of the rows that are asked for, newest first; None asks for all.

        Args:
            who: a name, or ``name@origin``
            action: one action's id, or the group that it is of: ``keys`` for ``keys.rotate``
            words: a row has all of them, in whichever field and in capitals or not
            tenants: a row of no tenant is for who has all of them
        """
        query = sa.select(audit).order_by(audit.c.seq.desc())
        if tenants is not None:
            query = query.where(audit.c.tenant.in_(sorted(tenants)))
        if tenant is not None:
            query = query.where(audit.c.tenant == tenant)
        if who is not None:
            query = query.where(_is_of(who))
        if action is not None:
            of_group = audit.c.action.startswith(f"{action}.", autoescape=True)
            query = query.where((audit.c.action == action) | of_group)
        if since is not None:
            query = query.where(audit.c.at >= since)
        if limit is not None and not words:
            query = query.limit(limit)
        folded = [word.casefold() for word in words]
        found: list[AuditRow] = []
        async with self._store.reading() as db, db.stream(query) as rows:
            async for row in rows:
                if limit is not None and len(found) == limit:
                    break
                one = AuditRow(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented mapping view
                if one.has(folded):
                    found.append(one)
        return found

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


def _is_of(who: str) -> sa.ColumnElement[bool]:
    """The rows of an actor. What recovery wrote has the name and the origin in one."""
    both = audit.c.actor + "@" + audit.c.origin
    recovered = (audit.c.via == RECOVERY) & audit.c.actor.startswith(f"{who}@", autoescape=True)
    return sa.or_(audit.c.actor == who, both == who, recovered)


def chained_hash(values: Mapping[str, Any]) -> str:
    """SHA-256 hex of a row's fields, the previous hash among them, as canonical JSON."""
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
