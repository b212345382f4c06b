"""A run of several as a whole: its id, and how it is taken back after its end.

Each operation of a run carries the run's id in its first step, and each that takes one back the id of the run that it
undoes. So the journal alone says what a run has done and what of it is undone already, whatever has ended the process.
"""

from __future__ import annotations

import dataclasses
import re
import uuid

from console.call import Call
from console.keys.types import Key
from console.operations.journal import clock_time
from console.operations.types import RUN, UNDOES, OperationRecord, OperationState
from console.outcome import Ending, Outcome, Refusal, conflict, not_found
from console.publishing import book, handlers, holders
from console.publishing.declaration import combined
from console.publishing.several import Part, run_all
from console.publishing.types import Plan, Publication, operation_target

_ID = re.compile(r"[0-9a-f]{12}")
_WHERE = "the end of publications publish, update and apply names it, and operations show has it"


def numbered(call: Call) -> Call:
    """The call as a run of its own; its operations carry the id."""
    return dataclasses.replace(call, values={**call.values, RUN: uuid.uuid4().hex[:12]})


def taking_back(call: Call) -> Call:
    """The call of a run, for what takes something of it back."""
    values = {name: value for name, value in call.values.items() if name != RUN}
    return dataclasses.replace(call, values=values | {UNDOES: call[RUN]})


async def undo(call: Call) -> Outcome:
    """Take back what a run has done, the last first.

    Run again, it goes on with what is not undone yet. What somebody has changed since is left as it is, and named.

    Raises:
        Refusal: there is no such run. That of an unpublish has no id: it is finished, never undone.
    """
    run = call["run"]
    records = await (await call.services.journal()).of_run(run) if _ID.fullmatch(run) else []
    if not records:
        raise not_found(f"there is no run {run[:40]}; nothing was changed", code="RUN_NOT_FOUND", then=_WHERE)
    for record in records:
        if record.tenant is not None:
            call.permit.covers(record.tenant)
    if call.services.profile.protected and not call["plan"] and any(_publishes(one) for one in records):
        raise Refusal(
            f"profile {call.services.profile.name} is protected, and asks for each name by itself; nothing was changed",
            code="FORBIDDEN",
            status=403,
            then="modeldeck unpublish NAME",
        )
    back = taking_back(call)  # what this does is no part of the run that it names
    taking = dataclasses.replace(back, values={**back.values, "stop": False})
    parts = [_part(taking, record) for record in reversed(records)]
    if not call["plan"]:
        return await run_all(taking, parts, "taken back")
    plans, left = [], []
    for part in parts:
        try:
            found = (await part.do()).data
        except Refusal as problem:
            left.append(f"{part.name} is left: {problem}")
            continue
        plans += [found] if isinstance(found, Plan) else []
    title = f"undo run {run}: {len(plans)} of {len(parts)} publications"
    if not plans:
        return Outcome(Ending.UNCHANGED, "; ".join([f"nothing of run {run} is there to be undone", *left]))
    outcome = combined(plans, title)
    plan = dataclasses.replace(outcome.data, title=title, warnings=(*outcome.data.warnings, *left))
    return dataclasses.replace(outcome, summary=plan.summary, data=plan)


def _publishes(record: OperationRecord) -> bool:
    """Whether an operation has published; else it has changed a publication in place."""
    return any(step.kind == "publish.reserve" for step in record.steps)


def _part(call: Call, record: OperationRecord) -> Part:
    name = record.target.removeprefix(operation_target(""))

    async def do() -> Outcome:
        if not record.state.over:
            raise conflict(
                f"its operation is {record.state.value} and not over; it was left as it is",
                code="OPERATION_UNDER_WAY",
                then=f"modeldeck operations show {record.id[:8]}",
            )
        if record.state is not OperationState.DONE:
            return Outcome(Ending.UNCHANGED, "the run has left nothing of it")
        if await _is_undone(call, record):
            return Outcome(Ending.UNCHANGED, "is taken back already")
        now, state, _ = await book.read(await call.services.store(), name)
        await handlers.refuse_busy(call, now, state)
        if _publishes(record):
            _refuse_given(await holders.holders(call, now), name)
            return await handlers.unpublish(dataclasses.replace(call, values={**call.values, "name": name}))
        return await handlers.bring_about(call, _before(record, now), now)

    return Part(name, do)


async def _is_undone(call: Call, record: OperationRecord) -> bool:
    """Whether it is taken back already.

    Raises:
        Refusal: somebody has changed the same publication since, whatever became of it then.
    """
    journal = await call.services.journal()
    for newer in await journal.about(record.target):  # the newest first
        if newer.id == record.id:
            return False
        if newer.state is not OperationState.DONE:
            continue  # undone, or still going on: then it holds the target
        if (await journal.read(newer.id)).noted(UNDOES) == call[UNDOES]:
            return True
        raise conflict(
            f"changed since, by {newer.actor} ({newer.kind}, {clock_time(newer.ended_at or newer.created_at)}); "
            "it was left as it is",
            code="CHANGED_SINCE",
            then=f"modeldeck operations show {newer.id[:8]}",
        )
    return False


def _refuse_given(keys: list[Key], name: str) -> None:
    """A key that names it was given it after the run: to take it away is not this run's undo."""
    if keys:
        raise conflict(
            f"given since to {', '.join(str(key) for key in keys[:5])}{' and more' if len(keys) > 5 else ''}; "
            "it was left as it is",
            code="CHANGED_SINCE",
            then=f"modeldeck unpublish {name}",
        )


def _before(record: OperationRecord, now: Publication) -> Publication:
    """What the publication was before an operation, as its undo has it (`console.publishing.steps.SetSpec`)."""
    undo = next(step.undo for step in record.steps if step.kind == "publish.spec")
    assert undo is not None
    source, name = undo["origin"]
    return Publication.of_spec(
        undo["spec"],
        identifier=now.id,
        name=now.name,
        tenant=now.tenant,
        kind=now.kind.value,
        source=source,
        source_name=name,
    )
