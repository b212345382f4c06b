"""What an operator can ask of the journal and the audit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from console.call import Call
from console.operations.recovery import recover_once
from console.operations.types import RUN, UNDOES, OperationRecord
from console.outcome import Ending, Failure, Item, Outcome, counted


async def listing(call: Call) -> Outcome:
    """The newest operations."""
    now = datetime.now(UTC)
    records = await (await call.services.journal()).recent(call["limit"])
    return Outcome(Ending.DONE, counted(len(records), "operation"), data=[_row(record, now) for record in records])


async def interrupted(call: Call) -> Outcome:
    """The operations that lost their owner and wait for recovery."""
    now = datetime.now(UTC)
    journal = await call.services.journal()
    rows = [_row(await journal.read(identifier), now) for identifier in await journal.interrupted()]
    return Outcome(Ending.DONE, counted(len(rows), "operation is interrupted", "operations are interrupted"), data=rows)


async def show(call: Call) -> Outcome:
    """One operation, step by step."""
    record = await (await call.services.journal()).read(call["operation"])
    items = tuple(Item(step.name, step.state.value, step.detail) for step in record.steps)
    row = _row(record, datetime.now(UTC))
    row |= {name: noted for name in (RUN, UNDOES) if (noted := record.noted(name)) is not None}
    return Outcome(Ending.DONE, f"{record.kind} {record.target}: {row['state']}", items=items, data=row)


async def recover(call: Call) -> Outcome:
    """Take over what has lost its owner, now."""
    ended = await recover_once(await call.services.journal(), await call.services.runner())
    if not ended:
        return Outcome(Ending.UNCHANGED, "no operation is interrupted")
    items = tuple(Item(f"{record.kind} {record.target}", record.state.value, record.summary) for record in ended)
    over = all(record.state.over for record in ended)
    proof = tuple(f"{item.name}: {item.state}" for item in items) if over else ()
    return Outcome(
        Ending.DONE if over else Ending.PARTIAL,
        counted(len(ended), "operation recovered", "operations recovered"),
        proof=proof,
        items=items,
    )


async def read_audit(call: Call) -> Outcome:
    """The newest rows; with ``verify``, whether the chain holds."""
    audit = await call.services.audit()
    if call["verify"]:
        count, broken = await audit.verify()
        if broken is not None:
            raise Failure(
                f"the audit was tampered with: row {broken} does not fit the one before it", code="AUDIT_BROKEN"
            )
        return Outcome(Ending.DONE, f"the chain of {count} rows holds", proof=(f"{count} hashes recomputed",))
    rows = [row.as_json() for row in await audit.recent(call["limit"])]
    return Outcome(Ending.DONE, counted(len(rows), "row"), data=rows)


def _row(record: OperationRecord, now: datetime) -> dict[str, Any]:
    return {
        "id": record.id,
        "short_id": record.id[:8],
        "kind": record.kind,
        "target": record.target,
        "tenant": record.tenant,
        "actor": record.actor,
        "state": record.shown_state(now),
        "created_at": record.created_at.isoformat(timespec="seconds"),
        "ended_at": record.ended_at.isoformat(timespec="seconds") if record.ended_at else None,
        "summary": record.summary,
    }
