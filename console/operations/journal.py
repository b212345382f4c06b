"""The journal: what is being done, by whom, how far it is, and how to take it back.

An operation has one owner at a time, which holds a lease and renews it. A lease that has run out may be taken over
by anybody; taking over is a compare-and-set in the database, so that only one succeeds.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from console.operations.types import (
    RUN,
    NewOperation,
    OperationRecord,
    OperationState,
    Recovery,
    StepRecord,
    StepState,
)
from console.outcome import conflict, not_found
from console.store.engine import Store
from console.store.tables.operations import operation_steps, operations

LEASE = timedelta(seconds=30)
_ATTEMPTS = 20


def this_process() -> str:
    """``machine:pid:…``: an owner's name; a new one for every call."""
    return f"{_this_machine()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _this_machine() -> str:
    """Where process ids mean the same as here: the host, and the PID namespace on it (containers share host names)."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}/{namespace}"


def _is_dead(owner: str | None) -> bool:
    """Whether the owner was a process of this machine that is gone: its lease need not be waited for."""
    machine, _, rest = (owner or "").partition(":")
    pid = rest.partition(":")[0]
    if machine != _this_machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def utc_now() -> datetime:
    return datetime.now(UTC)


def clock_time(moment: datetime) -> str:
    """A moment in a sentence: ``14:03:05 UTC``, with the date where it is not today's."""
    shown = "%H:%M:%S UTC" if moment.date() == utc_now().date() else "%Y-%m-%d %H:%M:%S UTC"
    return moment.astimezone(UTC).strftime(shown)


class LeaseLostError(Exception):
    """Somebody else has taken the operation over: stop at once, and touch nothing any more."""


class Journal:
    """Reads and writes the journal."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._clock = clock

    async def begin(self, new: NewOperation, owner: str) -> OperationRecord:
        """Write an operation and all its steps down.

        Raises:
            Refusal: another operation on the same target is not over yet.
        """
        now = self._clock()
        identifier = uuid.uuid4().hex
        async with self._store.writing() as db:
            busy = (
                await db.execute(
                    sa.select(operations)
                    .where(operations.c.target == new.target)
                    .where(operations.c.state.in_([s.value for s in OperationState if not s.over]))
                )
            ).first()
            if busy is not None:
                interrupted = busy.lease_until is None or busy.lease_until <= now
                which = "interrupted, begun" if interrupted else "under way since"
                raise conflict(
                    f"{busy.kind} of {new.target} by {busy.actor} is {which} {clock_time(busy.created_at)}; "
                    "nothing was changed",
                    code="OPERATION_UNDER_WAY",
                    then=("recovery ends it within a minute: " if interrupted else "watch it: ")
                    + f"modeldeck operations show {busy.id[:8]}",
                )
            if new.still is not None:
                await new.still(db)
            await db.execute(
                operations.insert().values(
                    id=identifier,
                    kind=new.kind,
                    target=new.target,
                    tenant=new.tenant,
                    actor=new.actor,
                    state=OperationState.RUNNING.value,
                    recovery=new.recovery.value,
                    owner=owner,
                    lease_until=now + LEASE,
                    created_at=now,
                )
            )
            rows = [
                {
                    "operation_id": identifier,
                    "seq": seq,
                    "kind": step.kind,
                    "name": step.name,
                    "arguments": dict(step.arguments),
                    "state": StepState.WAITING.value,
                }
                for seq, step in enumerate(new.steps)
            ]
            if rows:
                await db.execute(operation_steps.insert(), rows)
        return await self.read(identifier)

    async def read(self, identifier: str, *, tenants: frozenset[str] | None = None) -> OperationRecord:
        """One operation with its steps, by its id or the beginning of it.

        ``tenants``: any other's, and one of no tenant, is as if it were not there; None for all.
        """
        query = _of(tenants, sa.select(operations).where(operations.c.id.startswith(identifier, autoescape=True)))
        async with self._store.reading() as db:
            found = (await db.execute(query.limit(2))).all()
            if not found:
                raise not_found(f"there is no operation {identifier}", then="modeldeck operations list")
            if len(found) > 1:
                raise conflict(f"{identifier} is the beginning of several operations")
            steps = await db.execute(
                sa.select(operation_steps)
                .where(operation_steps.c.operation_id == found[0].id)
                .order_by(operation_steps.c.seq)
            )
            return _operation(found[0], tuple(_step(row) for row in steps))

    async def recent(self, limit: int = 50, *, tenants: frozenset[str] | None = None) -> list[OperationRecord]:
        """The newest operations, without their steps."""
        query = _of(tenants, sa.select(operations).order_by(operations.c.created_at.desc()).limit(limit))
        async with self._store.reading() as db:
            rows = await db.execute(query)
            return [_operation(row, ()) for row in rows]

    async def interrupted(self, *, tenants: frozenset[str] | None = None) -> list[str]:
        """Ids of the operations that nobody owns any more and that are not over, oldest first."""
        query = sa.select(operations.c.id, operations.c.owner, operations.c.lease_until).where(
            operations.c.state.in_([state.value for state in OperationState if not state.over])
        )
        async with self._store.reading() as db:
            rows = await db.execute(_of(tenants, query.order_by(operations.c.created_at)))
            now = self._clock()
            return [r.id for r in rows if r.lease_until is None or r.lease_until <= now or _is_dead(r.owner)]

    async def take_over(self, identifier: str, owner: str) -> bool:
        """Become the owner of an interrupted operation; False where somebody else was faster."""
        now = self._clock()
        async with self._store.reading() as db:
            row = (await db.execute(sa.select(operations.c.owner).where(operations.c.id == identifier))).first()
        free = sa.or_(operations.c.lease_until.is_(None), operations.c.lease_until <= now)
        if row is not None and _is_dead(row.owner):
            free = operations.c.owner == row.owner
        # Not one that has come to its end since it was listed: its lease is gone too.
        free = sa.and_(operations.c.ended_at.is_(None), free)
        return await self._update(identifier, free, owner=owner, lease_until=now + LEASE)

    async def renew(self, identifier: str, owner: str) -> None:
        """Hold the lease for another while.

        Raises:
            LeaseLostError: it is not ours any more.
        """
        if not await self._update(identifier, operations.c.owner == owner, lease_until=self._clock() + LEASE):
            raise LeaseLostError(identifier)

    async def release(self, identifier: str, owner: str, state: OperationState, summary: str) -> None:
        """Let go of an operation that is not over: recovery may take it at once."""
        await self._update(
            identifier, operations.c.owner == owner, owner=None, lease_until=None, state=state.value, summary=summary
        )

    async def set_state(
        self,
        identifier: str,
        owner: str,
        state: OperationState,
        summary: str = "",
        *,
        beside: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> None:
        """Move to another state; the end of an operation lets go of its lease.

        ``beside``: what is written in the same transaction; both are, or neither.

        Raises:
            LeaseLostError: it is not ours any more.
        """
        values: dict[str, Any] = {"state": state.value, "lease_until": self._clock() + LEASE}
        if summary:
            values["summary"] = summary
        if state.over:
            values |= {"ended_at": self._clock(), "owner": None, "lease_until": None}
        for attempt in range(_ATTEMPTS):
            try:
                held = await self._update(identifier, operations.c.owner == owner, beside, **values)
            except IntegrityError:  # another process took the next place in the audit
                if beside is None or attempt == _ATTEMPTS - 1:
                    raise
                continue
            if not held:
                raise LeaseLostError(identifier)
            return

    async def note(self, identifier: str, summary: str) -> None:
        """Write down what was seen of an operation after its end."""
        await self._update(identifier, operations.c.ended_at.is_not(None), summary=summary)

    async def about(self, target: str, limit: int = 20) -> list[OperationRecord]:
        """The newest operations on a target, the newest first, without their steps."""
        query = sa.select(operations).where(operations.c.target == target)
        async with self._store.reading() as db:
            rows = await db.execute(query.order_by(operations.c.created_at.desc()).limit(limit))
            return [_operation(row, ()) for row in rows]

    async def of_run(self, run: str) -> list[OperationRecord]:
        """What one run of several has begun, in that order (`console.operations.types.RUN`)."""
        steps = operation_steps.c
        # The text finds them, and what stands there decides: an id could be part of another text.
        named = sa.select(steps.operation_id).where(
            steps.seq == 0, sa.cast(steps.arguments, sa.Text).contains(run, autoescape=True)
        )
        async with self._store.reading() as db:
            rows = await db.execute(
                sa.select(operations.c.id).where(operations.c.id.in_(named)).order_by(operations.c.created_at)
            )
            found = [row.id for row in rows]
        records = [await self.read(identifier) for identifier in found]
        return [record for record in records if record.noted(RUN) == run]

    async def set_step(
        self,
        identifier: str,
        owner: str,
        seq: int,
        state: StepState,
        *,
        undo: Mapping[str, Any] | None = None,
        detail: str = "",
    ) -> None:
        """Write a step's progress down, as long as the operation is ours."""
        now = self._clock()
        values: dict[str, Any] = {"state": state.value}
        if detail:
            values["detail"] = detail
        if undo is not None:
            values["undo"] = dict(undo)
        values["started_at" if state is StepState.TAKING else "ended_at"] = now
        async with self._store.writing() as db:
            held = await db.execute(
                operations.update()
                .where(operations.c.id == identifier, operations.c.owner == owner)
                .values(lease_until=now + LEASE)
            )
            if held.rowcount != 1:
                raise LeaseLostError(identifier)
            await db.execute(
                operation_steps.update()
                .where(operation_steps.c.operation_id == identifier, operation_steps.c.seq == seq)
                .values(**values)
            )

    async def _update(
        self,
        identifier: str,
        condition: sa.ColumnElement[bool],
        beside: Callable[[AsyncConnection], Awaitable[None]] | None = None,
        /,
        **values: Any,
    ) -> bool:
        async with self._store.writing() as db:
            result = await db.execute(
                operations.update().where(operations.c.id == identifier).where(condition).values(**values)
            )
            if result.rowcount == 1 and beside is not None:
                await beside(db)
            return result.rowcount == 1


def _of(tenants: frozenset[str] | None, query: sa.Select[Any]) -> sa.Select[Any]:
    """Only the operations of these tenants; one of no tenant is for who has all of them."""
    return query if tenants is None else query.where(operations.c.tenant.in_(sorted(tenants)))


def _operation(row: Any, steps: tuple[StepRecord, ...]) -> OperationRecord:
    return OperationRecord(
        row.id,
        row.kind,
        row.target,
        row.tenant,
        row.actor,
        OperationState(row.state),
        Recovery(row.recovery),
        row.owner,
        row.lease_until,
        row.created_at,
        row.ended_at,
        row.summary,
        steps,
    )


def _step(row: Any) -> StepRecord:
    return StepRecord(
        row.seq,
        row.kind,
        row.name,
        row.arguments,
        row.undo,
        StepState(row.state),
        row.detail,
        row.started_at,
        row.ended_at,
    )
