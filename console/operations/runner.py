"""Taking an operation's steps, and taking them back.

The rule (DESIGN.md §1, promise 2): a step and its undo are in the journal before the step is taken. Whatever happens
then, a failure, a timeout, a cancellation or the end of the process, what was begun can be undone or finished from
the journal alone, by this process or another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from console.cancelling import obey
from console.operations.journal import LEASE, Journal, LeaseLostError, this_process
from console.operations.types import (
    RUN,
    Left,
    NewOperation,
    OperationRecord,
    OperationState,
    Progress,
    Recovery,
    StepKind,
    StepRecord,
    StepState,
)
from console.outcome import Ending, Item, ModeldeckError, Outcome, TimedOut, Unavailable

_RENEW_SECONDS = LEASE.total_seconds() / 3
_UNDO_ATTEMPTS = 3
_UNDO_PAUSE_SECONDS = 0.5
_LATE_SECONDS = 0.5
"""What was not answered may be done all the same: it is given so long to arrive before it is undone."""

_BEGUN = (StepState.TAKING, StepState.TAKEN, StepState.LEFT, StepState.FAILED)

Listener = Callable[[Progress], None]
Beside = Callable[[Any], Awaitable[None]]


class RecoveryBook(Protocol):
    """Where it is written down what recovery made of an operation (console/audit.py)."""

    async def recovered(
        self,
        db: Any,
        action: str,
        actor: str,
        *,
        tenant: str | None,
        target: str,
        outcome: str,
        detail: Mapping[str, Any],
    ) -> None: ...


class Runner:
    """Takes operations through their steps.

    Args:
        kinds: how each kind of step is taken, by the name that the journal has
        book: where the end of an operation is written down that recovery has brought about (console/audit.py)
    """

    def __init__(self, journal: Journal, kinds: Mapping[str, StepKind], book: RecoveryBook | None = None) -> None:
        self._journal = journal
        self._kinds = kinds
        self._book = book

    async def run(self, new: NewOperation, listen: Listener | None = None) -> tuple[OperationRecord, Outcome]:
        """Begin an operation and take it to its end.

        Cancelling this undoes what was done before it returns; what is finished rather than undone is finished, once
        something of it is done. The outcome's items are the steps.

        Raises:
            Refusal: another operation holds the target; nothing was begun.
        """
        owner = this_process()
        record = await self._journal.begin(new, owner)
        async with _renewed(self._journal, record.id, owner):
            ending, why = await self._forward(record, owner, listen)
        record = await self._journal.read(record.id)
        return record, self._outcome(record, ending, why)

    async def recover(self, identifier: str, listen: Listener | None = None) -> OperationRecord | None:
        """Take an interrupted operation over and bring it to an end; None where another process has it."""
        owner = this_process()
        if not await self._journal.take_over(identifier, owner):
            return None
        record = await self._journal.read(identifier)
        done = record.recovery is Recovery.FINISH
        how = f"interrupted, and {'finished' if done else 'undone'} by recovery"
        beside = await self._written_down(record, Ending.DONE if done else Ending.FAILED, how)
        async with _renewed(self._journal, identifier, owner):
            if done:
                await self._finish(record, owner, how, listen, beside)
            else:
                await self._undo_all(record, owner, OperationState.FAILED, how, listen, beside)
        return await self._journal.read(identifier)

    async def _written_down(self, record: OperationRecord, ending: Ending, how: str) -> Beside | None:
        """What writes the end of an operation to the book, with its end itself: nobody else is there to do it.

        Of a run of several it tells how the others ended: the process that would have told it is gone.
        """
        book, run = self._book, record.noted(RUN)
        if book is None:
            return None
        detail: dict[str, Any] = {"summary": how, "operation": record.id, "ended_by": "recovery"}
        if run is not None:
            others = [one for one in await self._journal.of_run(run) if one.id != record.id]
            ended = [[f"{one.kind} {one.target}", one.state.value] for one in others]
            detail |= {RUN: run, "items": [*ended, [f"{record.kind} {record.target}", ending.value]]}

        async def write(db: Any) -> None:
            await book.recovered(
                db,
                record.kind,
                record.actor,
                tenant=record.tenant,
                target=record.target,
                outcome=ending.value,
                detail=detail,
            )

        return write

    # --- forward --------------------------------------------------------------------------------------------

    async def _forward(
        self, record: OperationRecord, owner: str, listen: Listener | None
    ) -> tuple[Ending, ModeldeckError | None]:
        try:
            for step in record.steps:
                await self._take(record, owner, step, listen)
                obey()  # a step's library may have swallowed what was asked
        except LeaseLostError:
            return Ending.INTERRUPTED, None
        except asyncio.CancelledError:
            with contextlib.suppress(asyncio.CancelledError):  # `obey` told of it before it came: it comes now
                await asyncio.sleep(0)
            if record.recovery is Recovery.FINISH:
                return await asyncio.shield(self._finish_late(record.id, owner, listen)), None
            ending = await asyncio.shield(self._give_up_late(record.id, owner, listen))
            return (Ending.CANCELLED if ending else Ending.INTERRUPTED), None
        except ModeldeckError as problem:
            return await self._after_failure(record, owner, problem, listen)
        await self._journal.set_state(record.id, owner, OperationState.DONE)
        return Ending.DONE, None

    async def _after_failure(
        self, record: OperationRecord, owner: str, problem: ModeldeckError, listen: Listener | None
    ) -> tuple[Ending, ModeldeckError]:
        if record.recovery is Recovery.FINISH:
            await self._journal.release(record.id, owner, OperationState.STUCK, str(problem))
            return Ending.INTERRUPTED, problem
        if isinstance(problem, TimedOut | Unavailable):
            await asyncio.shield(asyncio.sleep(_LATE_SECONDS))
        undone = await asyncio.shield(self._give_up(record.id, owner, OperationState.FAILED, str(problem), listen))
        return (problem.ending if undone else Ending.INTERRUPTED), problem

    async def _take(self, record: OperationRecord, owner: str, step: StepRecord, listen: Listener | None) -> None:
        kind = self._kinds[step.kind]
        started = time.monotonic()

        def tell(state: StepState, detail: str = "") -> None:
            if listen is not None:
                seconds = time.monotonic() - started
                listen(Progress(record.id, step.seq, len(record.steps), step.name, state, seconds, detail))

        tell(StepState.TAKING)
        try:
            undo = step.undo if step.undo is not None else await kind.prepare(step.arguments, record.id)
            await self._journal.set_step(record.id, owner, step.seq, StepState.TAKING, undo=undo)
            detail = await kind.take(step.arguments, undo, record.id)
        except ModeldeckError as problem:
            tell(StepState.FAILED, str(problem))
            await self._journal.set_step(record.id, owner, step.seq, StepState.FAILED, detail=str(problem))
            raise
        state = StepState.LEFT if isinstance(detail, Left) else StepState.TAKEN
        await self._journal.set_step(record.id, owner, step.seq, state, detail=str(detail))
        tell(state, str(detail))

    async def _finish_late(self, identifier: str, owner: str, listen: Listener | None) -> Ending:
        """After a cancellation: there is no way back from what is done, and to stop in the middle is none forward."""
        await asyncio.sleep(_LATE_SECONDS)
        record = await self._journal.read(identifier)
        try:
            if all(step.state is StepState.WAITING for step in record.steps):
                await self._journal.set_state(identifier, owner, OperationState.CANCELLED, "cancelled")
                return Ending.CANCELLED
            finished = await self._finish(record, owner, "cancelled when it was too late, and finished", listen)
        except LeaseLostError:
            return Ending.INTERRUPTED
        return Ending.DONE if finished else Ending.INTERRUPTED

    async def _finish(
        self, record: OperationRecord, owner: str, how: str, listen: Listener | None, beside: Beside | None = None
    ) -> bool:
        """Take what is left of an operation that is finished rather than undone; whether all of it is done."""
        try:
            for step in record.steps:
                if step.state is not StepState.TAKEN:
                    await self._take(record, owner, step, listen)
        except ModeldeckError as problem:
            await self._journal.release(record.id, owner, OperationState.STUCK, str(problem))
            return False
        await self._journal.set_state(record.id, owner, OperationState.DONE, how, beside=beside)
        return True

    # --- back -----------------------------------------------------------------------------------------------

    async def _give_up_late(self, identifier: str, owner: str, listen: Listener | None) -> bool:
        """After a cancellation, which leaves a step in the middle of whatever it had asked for."""
        await asyncio.sleep(_LATE_SECONDS)
        return await self._give_up(identifier, owner, OperationState.CANCELLED, "cancelled", listen)

    async def _give_up(
        self, identifier: str, owner: str, ending: OperationState, why: str, listen: Listener | None
    ) -> bool:
        """Undo everything; False where something could not be undone, which recovery then owns."""
        record = await self._journal.read(identifier)
        try:
            return await self._undo_all(record, owner, ending, why, listen)
        except LeaseLostError:
            return False

    async def _undo_all(
        self,
        record: OperationRecord,
        owner: str,
        ending: OperationState,
        why: str,
        listen: Listener | None,
        beside: Beside | None = None,
    ) -> bool:
        await self._journal.set_state(record.id, owner, OperationState.UNDOING, why)
        left = 0
        for step in reversed(record.steps):
            begun = step.state in _BEGUN
            if begun and step.undo is not None and not await self._undo(record, owner, step, listen):
                left += 1
        if left:
            await self._journal.release(record.id, owner, OperationState.UNDOING, f"{why}; {left} steps not undone yet")
            return False
        await self._journal.set_state(record.id, owner, ending, why, beside=beside)
        return True

    async def _undo(self, record: OperationRecord, owner: str, step: StepRecord, listen: Listener | None) -> bool:
        assert step.undo is not None
        started = time.monotonic()
        for attempt in range(_UNDO_ATTEMPTS):
            try:
                detail = await self._kinds[step.kind].undo(step.arguments, step.undo, record.id)
            except ModeldeckError as problem:
                failure = f"could not be undone: {problem}"
                await asyncio.sleep(_UNDO_PAUSE_SECONDS * attempt)
                continue
            await self._journal.set_step(record.id, owner, step.seq, StepState.UNDONE, detail=detail)
            if listen is not None:
                seconds = time.monotonic() - started
                listen(Progress(record.id, step.seq, len(record.steps), step.name, StepState.UNDONE, seconds, detail))
            return True
        await self._journal.set_step(record.id, owner, step.seq, StepState.FAILED, detail=failure)
        if listen is not None:
            seconds = time.monotonic() - started
            listen(Progress(record.id, step.seq, len(record.steps), step.name, StepState.FAILED, seconds, failure))
        return False

    @staticmethod
    def _outcome(record: OperationRecord, ending: Ending, why: ModeldeckError | None) -> Outcome:
        items = tuple(Item(step.name, step.state.value, step.detail) for step in record.steps)
        proof = tuple(f"{step.name}: {step.detail}" for step in record.steps if step.state is StepState.TAKEN)
        match ending:
            case Ending.DONE:
                summary = f"{record.kind} {record.target}: done"
            case Ending.INTERRUPTED:
                summary = (
                    f"{record.kind} {record.target}: interrupted{f' ({why})' if why else ''}; recovery owns it now"
                )
            case Ending.CANCELLED:
                summary = f"{record.kind} {record.target}: cancelled, and everything undone"
            case _:
                summary = f"{record.kind} {record.target}: {why}; everything that had been done is undone"
        return Outcome(
            ending,
            summary,
            proof=proof if ending is Ending.DONE else (),
            items=items,
            code=why.code if why else "",
            then=(why.then if why and why.then else f"modeldeck operations show {record.id[:8]}")
            if ending is not Ending.DONE
            else "",
            http_status=why.status if why and ending is not Ending.INTERRUPTED else 0,
            data={"operation": record.id} | ({"tenant": record.tenant} if record.tenant is not None else {}),
        )


@contextlib.asynccontextmanager
async def _renewed(journal: Journal, identifier: str, owner: str) -> AsyncIterator[None]:
    """Keep the lease while the body runs. Where it is lost, the body's next journal write fails."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            with contextlib.suppress(ModeldeckError):
                await journal.renew(identifier, owner)

    task = asyncio.create_task(renew(), name=f"lease {identifier[:8]}")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
