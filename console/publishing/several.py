"""The driver of several parts: an outcome for each, going on after one fails, or taking all of it back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from console.call import Call
from console.operations.types import RUN
from console.outcome import Ending, Item, ModeldeckError, Outcome

_NOT_BEGUN = "not begun"
_UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Part:
    """One of several things to do. ``undo`` takes it back after it was done; None where there is no way back."""

    name: str
    do: Callable[[], Awaitable[Outcome]]
    undo: Callable[[], Awaitable[Outcome]] | None = None


async def run_all(call: Call, parts: Sequence[Part], done: str) -> Outcome:
    """Do one after another.

    ``stop`` ends it at the first that fails; ``undo_on_failure`` then takes back what this run has done, the last
    first. A cancellation undoes the one that is under way, and leaves the rest as it is.
    """
    outcomes: list[Outcome] = []
    for number, part in enumerate(parts, 1):
        try:
            outcome = await part.do()
        except ModeldeckError as problem:
            outcome = problem.outcome()
        except asyncio.CancelledError:
            outcome = Outcome(Ending.CANCELLED, "cancelled")
        outcomes.append(outcome)
        call.emit(f"[{number}/{len(parts)}] {part.name}: {outcome.ending.value}: {outcome.summary}")
        if outcome.ending is Ending.CANCELLED or _is_cancelled():
            break  # also where it came too late for this one: an unpublish is finished
        if not outcome.ending.good and (call["stop"] or call.values.get("undo_on_failure")):
            break
    items = [
        Item(part.name, outcome.ending.value, _detail(outcome)) for part, outcome in zip(parts, outcomes, strict=False)
    ]
    items += [Item(part.name, _NOT_BEGUN) for part in parts[len(outcomes) :]]
    last = outcomes[-1]
    if call.values.get("undo_on_failure") and not last.ending.good:
        return await _taken_back(call, parts, outcomes, items)
    return _ended(call, outcomes, items, done)


async def _taken_back(call: Call, parts: Sequence[Part], outcomes: Sequence[Outcome], items: list[Item]) -> Outcome:
    """One undo for all that was done in this run; what was so before stays."""
    left = []
    for at in reversed(range(len(outcomes))):
        part = parts[at]
        if outcomes[at].ending is not Ending.DONE:
            continue
        if part.undo is None:
            left.append(part.name)
            continue
        try:
            undone = await asyncio.shield(part.undo())
        except ModeldeckError as problem:
            undone = problem.outcome()
        good = undone.ending.good
        state, detail = (_UNDONE, "") if good else (Ending.DONE.value, f"not undone: {undone.summary}")
        items[at] = Item(part.name, state, detail)
        call.emit(f"{part.name}: {_UNDONE if good else 'not undone'}: {undone.summary}")
        if not good:
            left.append(part.name)
    failed = next(item for item, outcome in zip(items, outcomes, strict=False) if not outcome.ending.good)
    cancelled = outcomes[-1].ending is Ending.CANCELLED
    if left or outcomes[-1].ending is Ending.INTERRUPTED:
        summary = f"{failed.name} failed, and not all of the rest could be undone: {', '.join(left) or failed.name}"
        return Outcome(Ending.PARTIAL, summary, items=tuple(items), code="NOT_UNDONE", data=_counts(items))
    why = "cancelled" if cancelled else f"{failed.name} failed: {failed.detail}"
    ending = Ending.CANCELLED if cancelled else Ending.FAILED
    summary = f"{why}; everything that this run had done is undone"
    return Outcome(ending, summary, items=tuple(items), code=outcomes[-1].code, data=_counts(items))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and bool(task.cancelling())


def _ended(call: Call, outcomes: Sequence[Outcome], items: Sequence[Item], done: str) -> Outcome:
    endings = [outcome.ending for outcome in outcomes]
    good = sum(ending.good for ending in endings)
    counts = _counts(items)
    told = ", ".join(f"{number} {state}" for state, number in counts.items())
    all_good = good == len(items)
    if all_good:
        ending = Ending.UNCHANGED if set(endings) == {Ending.UNCHANGED} else Ending.DONE
    elif good or Ending.INTERRUPTED in endings or Ending.PENDING in endings:
        ending = Ending.PARTIAL
    elif endings[-1] is Ending.CANCELLED:
        ending = Ending.CANCELLED
    else:
        ending = Ending.REFUSED if set(endings) == {Ending.REFUSED} else Ending.FAILED
    first = next((outcome for outcome in outcomes if not outcome.ending.good), None)
    then = [] if all_good else ["mend what failed and run this again: what is done stays as it is"]
    run, in_run = call.values.get(RUN), ""
    if run is not None and Ending.DONE in endings:
        in_run = f", run {run}"  # so that the audit has it too
        counts[RUN] = run
        then.append(f"modeldeck publications undo {run} takes back what this run has done")
    return Outcome(
        ending,
        f"{good} of {len(items)} {done} ({told}){in_run}",
        proof=tuple(f"{item.name}: {item.detail}" for item in items) if ending is Ending.DONE else (),
        items=tuple(items),
        data=counts,
        code=first.code if first is not None else "",
        http_status=first.status if first is not None and ending in (Ending.REFUSED, Ending.FAILED) else 0,
        then="; ".join(then),
    )


def _detail(outcome: Outcome) -> str:
    return f"{outcome.summary}{f' ({outcome.code})' if outcome.code else ''}"


def _counts(items: Sequence[Item]) -> dict[str, Any]:
    """How many ended how, in the order of their first."""
    counts: dict[str, Any] = {}
    for item in items:
        counts[item.state] = counts.get(item.state, 0) + 1
    return counts
