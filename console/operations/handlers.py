"""What an operator can ask of the journal and the audit: of the tenants that he has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from console.call import Call
from console.operations.recovery import recover_once
from console.operations.types import RUN, UNDOES, Lines, OperationRecord
from console.outcome import Ending, Failure, Item, Outcome, counted

if TYPE_CHECKING:
    from console.audit import Audit

_NEWEST = 50


async def listing(call: Call) -> Outcome:
    """The newest operations."""
    now = datetime.now(UTC)
    records = await (await call.services.journal()).recent(call["limit"], tenants=call.principal.tenants)
    return Outcome(Ending.DONE, counted(len(records), "operation"), data=[_row(record, now) for record in records])


async def interrupted(call: Call) -> Outcome:
    """The operations that lost their owner and wait for recovery."""
    now = datetime.now(UTC)
    journal, tenants = await call.services.journal(), call.principal.tenants
    rows = [_row(await journal.read(identifier), now) for identifier in await journal.interrupted(tenants=tenants)]
    return Outcome(Ending.DONE, counted(len(rows), "operation is interrupted", "operations are interrupted"), data=rows)


async def show(call: Call) -> Outcome:
    """One operation, step by step."""
    record = await (await call.services.journal()).read(call["operation"], tenants=call.principal.tenants)
    items = tuple(Item(step.name, step.state.value, step.detail) for step in record.steps)
    row = _row(record, datetime.now(UTC))
    row |= {name: noted for name in (RUN, UNDOES) if (noted := record.noted(name)) is not None}
    return Outcome(Ending.DONE, f"{record.kind} {record.target}: {row['state']}", items=items, data=row)


async def recover(call: Call) -> Outcome:
    """Take over what has lost its owner, now."""
    journal, runner = await call.services.journal(), await call.services.runner()
    ended = await recover_once(journal, runner, tenants=call.principal.tenants)
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
    """The newest rows of those that are asked for; or whether the chain holds, of all rows there are."""
    audit = await call.services.audit()
    if call["verify"] or call["what"] == "verify":
        return await _verified(call, audit)
    limit = call["limit"]
    if limit is None and not call["lines"]:
        limit = _NEWEST
    found = await audit.recent(
        limit,
        who=call["who"],
        action=call["action"],
        tenant=call["tenant"],
        since=None if call["since"] is None else datetime.now(UTC) - timedelta(seconds=call["since"]),
        words=(call["match"] or "").split(),
        tenants=call.principal.tenants,
    )
    rows = [row.as_json() for row in found]
    if call["lines"]:
        return Outcome(Ending.DONE, counted(len(rows), "row"), data=Lines(rows[::-1]))
    return Outcome(Ending.DONE, counted(len(rows), "row"), data=rows)


async def _verified(call: Call, audit: Audit) -> Outcome:
    count, broken = await audit.verify()
    if broken is not None:
        raise Failure(f"the audit was tampered with: row {broken} does not fit the one before it", code="AUDIT_BROKEN")
    if call.principal.tenants is not None:  # how many there are of all tenants is not his to know
        return Outcome(Ending.DONE, "the chain holds", proof=("every hash was recomputed",))
    return Outcome(Ending.DONE, f"the chain of {count} rows holds", proof=(f"{count} hashes recomputed",))


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
