"""What a list would change in the catalog, worked out in full before anything is written.

A dry run shows a `Plan`; a real run has it carried out (console/sync/apply.py). Both come from here, so that what was
shown is what is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from console.catalog import prices, rows, stored
from console.catalog.stored import Known, State
from console.catalog.types import ChangeKind, Listing, ModelChange
from console.catalog.write import Entry
from console.outcome import counted
from console.store.tables import catalog as t
from console.sync import compare
from console.sync.collect import Collected
from console.sync.types import Counts, Held, HeldState, ProviderOutcome

LIST_FIELD = "list"


@dataclass(slots=True)
class Plan:
    """The rows to write, and the words for it.

    write       models to insert or replace
    returned    ids of models that are in the list again and have not changed otherwise
    missing     ids of models to count one more miss for, those in ``retire`` being retired with it
    hold        changes to hold back; ``withdraw``: ids of held ones that no list says any longer
    remember    for the next fetch; None: leave what is there
    """

    provider: str
    outcome: ProviderOutcome
    sentence: str
    counts: Counts
    code: str = ""
    baseline: bool = False
    ids: dict[str, int] = field(default_factory=dict)
    write: list[Entry] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    retire: list[int] = field(default_factory=list)
    last_seen: datetime | None = None
    changes: list[ModelChange] = field(default_factory=list)
    hold: list[Held] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    withdraw: list[int] = field(default_factory=list)
    remember: State | None = None
    present: int | None = None  # how many models the list has, to be found in the catalog afterwards


async def plan_list(connection: AsyncConnection, provider: str, collected: Collected, validators: State) -> Plan:
    """What this list changes.

    Args:
        validators: what to remember if the list is taken over; ``listed`` is filled in here
    """
    counts = collected.counts
    if not collected.entries:
        return _without_models(provider, collected)
    before = await stored.state(connection, provider)
    decided = await _decisions(connection, provider)
    size = len(collected.entries)
    known = await stored.known(connection, provider)
    sorted_out = compare.sort_out(known, collected.entries)
    shrink = _shrink(provider, before, size)
    refused = _decided_alike(shrink, decided, HeldState.REFUSED) if shrink is not None else None
    if before is not None and shrink is not None and refused is None:
        return _shrunk(shrink, before, counts, sorted_out, decided)
    plan = Plan(provider, ProviderOutcome.OK, "", counts, baseline=before is None)
    plan.ids = {native_id: row.id for native_id, row in known.items()}
    plan.present = size
    if not plan.baseline:  # a first list is one change, whatever its length
        plan.changes += [_added(provider, entry.listing) for entry in sorted_out.added]
    plan.write += sorted_out.added
    changed = await _changes(connection, plan, sorted_out.differing, decided)
    _returns(plan, sorted_out.returned, known)
    if before is not None and refused is not None:  # what it lost is not to be taken as missing
        plan.present += sum(not known[name].missing_runs for name in sorted_out.missing)
        remembered = replace(validators, listed=before.listed)
    else:
        await _misses(connection, plan, known, sorted_out.missing)
        remembered = replace(validators, listed=size)
    _withdrawals(plan, decided, collected.entries)
    if plan.held or refused is not None:
        # What is held must be seen again, and a list that "has not changed" would not be sent again.
        remembered = replace(remembered, etag=None, last_modified=None)
    plan.remember = remembered
    plan.counts = replace(
        counts,
        added=len(sorted_out.added),
        changed=changed,
        returned=len(sorted_out.returned),
        missing=len(sorted_out.missing),
        retired=len(plan.retire),
        written=len(plan.write) + len(plan.returned),
        unchanged=size - len(plan.write) - len(plan.returned),
        held=len(plan.held),
    )
    if plan.baseline:
        plan.changes = [ModelChange(provider, "", ChangeKind.BASELINE, after={"models": size})]
    _judge(plan, refused)
    return plan


async def plan_not_modified(connection: AsyncConnection, provider: str) -> Plan:
    """The list is the one of last time: what it did not have then, it does not have now either."""
    before = await stored.state(connection, provider)
    listed = before.listed if before is not None else 0
    known = await stored.known(connection, provider)
    missing = [name for name, row in known.items() if row.missing_runs and not row.retired]
    plan = Plan(provider, ProviderOutcome.UNCHANGED, "", Counts(), code="NOT_MODIFIED")
    plan.ids = {native_id: row.id for native_id, row in known.items()}
    await _misses(connection, plan, known, missing)
    plan.counts = Counts(unchanged=listed, missing=len(missing), retired=len(plan.retire))
    if plan.retire:
        plan.outcome = ProviderOutcome.OK
    plan.sentence = f"the list has not been modified since it was taken over: {counted(listed, 'model')}"
    return plan


def _without_models(provider: str, collected: Collected) -> Plan:
    if collected.counts.fetched == 0:
        sentence = "the list is empty; the catalog is unchanged"
        return Plan(provider, ProviderOutcome.EMPTY, sentence, collected.counts, code="EMPTY")
    sentence = f"none of the {collected.counts.fetched} records could be read; the catalog is unchanged"
    return Plan(provider, ProviderOutcome.UNPARSEABLE, sentence, collected.counts, code="ALL_REJECTED")


def _shrink(provider: str, before: State | None, size: int) -> Held | None:
    """What to hold of a list that lost more than half of its models at once."""
    if before is None or not compare.is_shrunk(before.listed, size):
        return None
    why = f"the list went from {before.listed} to {size} models at once"
    return Held(provider, "", LIST_FIELD, before.listed, size, why)


def _shrunk(held: Held, before: State, counts: Counts, found: compare.Sorted, decided: list[Held]) -> Plan:
    """Nothing of it is taken over; what the list says of the catalog is counted nevertheless."""
    said = len(found.added) + len({e.listing.native_id for e in (*found.differing, *found.returned)})
    counts = replace(counts, held=1, missing=len(found.missing), unchanged=counts.normalised - said)
    plan = Plan(held.provider, ProviderOutcome.SUSPICIOUS, "", counts, code="LIST_SHRANK")
    earlier = _decided_alike(held, decided, HeldState.OPEN)
    plan.held = [earlier or held]
    plan.hold = [] if earlier else [held]
    plan.withdraw = [
        other.id
        for other in decided
        if other.state is HeldState.OPEN and other.field == LIST_FIELD and other != earlier
    ]
    plan.sentence = f"{held.reason}; nothing is changed until somebody decides"
    plan.remember = replace(before, etag=None, last_modified=None)
    return plan


async def _changes(connection: AsyncConnection, plan: Plan, differing: Sequence[Entry], decided: list[Held]) -> int:
    """Field by field; suspicious prices are held and stay as they were. Returns how many models change."""
    before = await stored.listings(connection, [plan.ids[entry.listing.native_id] for entry in differing])
    changed = 0
    for entry in differing:
        name = entry.listing.native_id
        old = before[plan.ids[name]]
        suspicious = compare.suspicions(old, entry.listing)
        for suspicion in suspicious:
            held = _held_price(plan.provider, name, suspicion)
            earlier = _decided_alike(held, decided)
            if earlier is None:
                plan.hold.append(held)
            if earlier is None or earlier.state is HeldState.OPEN:
                plan.held.append(earlier or held)
        after = compare.without(entry.listing, suspicious) if suspicious else entry.listing
        fields = rows.differences(old, after)
        if not fields:
            continue
        changed += 1
        plan.write.append(Entry(after, rows.content_hash(after)) if suspicious else entry)
        plan.changes += [
            ModelChange(plan.provider, name, ChangeKind.CHANGED, item.field, item.before, item.after) for item in fields
        ]
    return changed


def _returns(plan: Plan, returned: Iterable[Entry], known: dict[str, Known]) -> None:
    written = {entry.listing.native_id for entry in plan.write}
    for entry in returned:
        name = entry.listing.native_id
        if name not in written:
            plan.returned.append(known[name].id)
        plan.changes.append(ModelChange(plan.provider, name, ChangeKind.RETURNED))


async def _misses(connection: AsyncConnection, plan: Plan, known: dict[str, Known], missing: Sequence[str]) -> None:
    retire = compare.to_retire(known, missing)
    plan.missing = [known[name].id for name in missing]
    plan.retire = [known[name].id for name in retire]
    plan.changes += [
        ModelChange(plan.provider, name, ChangeKind.MISSING) for name in missing if not known[name].missing_runs
    ]
    plan.changes += [ModelChange(plan.provider, name, ChangeKind.RETIRED) for name in retire]
    if missing:
        plan.last_seen = await _last_good_run(connection, plan.provider)


def _withdrawals(plan: Plan, decided: Iterable[Held], listed: dict[str, Entry]) -> None:
    """What was held and is no longer proposed, by a list that has the model."""
    still = {held.id for held in plan.held}
    plan.withdraw = [
        held.id
        for held in decided
        if held.state is HeldState.OPEN
        and held.id not in still
        and (held.field == LIST_FIELD or held.native_id in listed)
    ]


def _judge(plan: Plan, refused: Held | None) -> None:
    """The outcome, and its sentence. ``refused``: the list is a shorter one that somebody did not want."""
    counts = plan.counts
    news = counts.written or counts.retired or any(c.kind is ChangeKind.MISSING for c in plan.changes)
    if plan.held:
        plan.outcome, plan.code = ProviderOutcome.SUSPICIOUS, "PRICES_HELD"
        stay = "it stays as it was" if len(plan.held) == 1 else "they stay as they were"
        plan.sentence = f"{counted(len(plan.held), 'price')} moved more than is likely; {stay} until somebody decides"
    elif plan.baseline:
        plan.sentence = f"the first list of this provider: {counted(counts.added, 'model')}"
    elif news:
        plan.sentence = (
            f"{counts.added} added, {counts.changed} changed, {counts.returned} returned, {counts.missing} missing, "
            f"{counts.unchanged} unchanged"
        )
    else:
        plan.outcome = ProviderOutcome.UNCHANGED
        plan.sentence = f"the catalog already says what the list says: {counted(counts.unchanged, 'model')}"
    if refused is None:
        return
    # Never "unchanged": the list says less than the catalog does.
    if plan.outcome is ProviderOutcome.UNCHANGED:
        plan.outcome, plan.sentence = ProviderOutcome.OK, f"nothing to write: {counts.unchanged} unchanged"
    elif not plan.held:
        plan.sentence = (
            f"{counts.added} added, {counts.changed} changed, {counts.returned} returned, {counts.unchanged} unchanged"
        )
    plan.code = plan.code or "LIST_REFUSED"
    kept = f"{counts.missing} that it lacks stay as they are"
    plan.sentence += f"; {refused.reason}, and {kept}, as {refused.decided_by} decided"


def _added(provider: str, listing: Listing) -> ModelChange:
    told = {
        name: value
        for name, value in rows.fields(listing).items()
        if name in ("name", "context_tokens") or name.startswith("price.")
    }
    return ModelChange(provider, listing.native_id, ChangeKind.ADDED, after=told)


def _held_price(provider: str, native_id: str, suspicion: compare.Suspicion) -> Held:
    new = suspicion.proposed
    proposed = {**prices.as_json(new), "raw": new.raw, "raw_unit": new.raw_unit}
    return Held(provider, native_id, suspicion.field, prices.as_json(suspicion.before), proposed, suspicion.reason)


def _decided_alike(held: Held, decided: Iterable[Held], *states: HeldState) -> Held | None:
    """The same proposal, if it is held already or was refused; in one of ``states`` where some are named."""
    key = (held.native_id, held.field, held.before, held.proposed)
    alike = (d for d in decided if (d.native_id, d.field, d.before, d.proposed) == key)
    return next((d for d in alike if not states or d.state in states), None)


async def _decisions(connection: AsyncConnection, provider: str) -> list[Held]:
    """What is held or was refused, the newest first."""
    table = t.held_changes
    states = (HeldState.OPEN.value, HeldState.REFUSED.value)
    query = sa.select(table).where(table.c.provider == provider, table.c.state.in_(states)).order_by(table.c.id.desc())
    return [stored_held(row) for row in (await connection.execute(query)).mappings()]


def stored_held(row: Any) -> Held:
    """A row of ``held_changes``."""
    return Held(
        row["provider"],
        row["native_id"],
        row["field"],
        row["before"],
        row["proposed"],
        row["reason"],
        row["id"],
        HeldState(row["state"]),
        row["created_at"],
        row["decided_by"],
    )


async def _last_good_run(connection: AsyncConnection, provider: str) -> datetime | None:
    table = t.sync_run_providers
    good = [outcome.value for outcome in ProviderOutcome if outcome.good or outcome is ProviderOutcome.SUSPICIOUS]
    query = (
        sa.select(table.c.finished_at)
        .where(table.c.provider == provider, table.c.outcome.in_(good))
        .order_by(table.c.finished_at.desc())
        .limit(1)
    )
    return (await connection.execute(query)).scalar()
