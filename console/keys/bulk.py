"""Several keys in one go: each an operation of its own, with an item for each that says how it ended."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence

from console.call import Call
from console.keys import rotation
from console.outcome import Ending, Item, ModeldeckError, Outcome, Revealed

log = logging.getLogger("modeldeck.keys")
_NOT_BEGUN = "not begun"


async def renew(call: Call) -> Outcome:
    """Rotate several keys; the new texts come together, each by its key's id."""
    names = tuple(dict.fromkeys(call["key"]))
    return await combined(call, [(name, _rotating(call, name)) for name in names], "rotated")


def _rotating(call: Call, name: str) -> Callable[[], Awaitable[Outcome]]:
    one = dataclasses.replace(call, values={**call.values, "key": name, "idempotency_key": None})
    return lambda: rotation.rotate(one)


async def combined(call: Call, parts: Sequence[tuple[str, Callable[[], Awaitable[Outcome]]]], done: str) -> Outcome:
    """Do one after another; one that fails costs the others nothing, a cancellation ends it."""
    outcomes: list[Outcome] = []
    for number, (name, do) in enumerate(parts, 1):
        try:
            outcome = await do()
        except ModeldeckError as problem:
            outcome = problem.outcome()
        except asyncio.CancelledError:
            outcome = Outcome(Ending.CANCELLED, "cancelled")
        except Exception as problem:
            # The texts of those before exist nowhere else: they must reach the operator whatever happens to this one.
            if not any(one.revealed is not None for one in outcomes):
                raise
            log.exception("%s of %s", done, name)
            why = f"{type(problem).__name__}; how far it came stands in the journal, and recovery ends it"
            outcome = Outcome(Ending.INTERRUPTED, why, code="UNFORESEEN", then="modeldeck operations list")
        outcomes.append(outcome)
        call.emit(f"[{number}/{len(parts)}] {name}: {outcome.ending.value}: {outcome.summary}")
        if outcome.ending is Ending.CANCELLED or outcome.code == "UNFORESEEN":
            break
    items = [
        Item(_name(name, one), one.ending.value, one.summary) for (name, _), one in zip(parts, outcomes, strict=False)
    ]
    items += [Item(name, _NOT_BEGUN) for name, _ in parts[len(outcomes) :]]
    endings = {one.ending for one in outcomes} | ({outcomes[-1].ending} if len(outcomes) < len(parts) else set())
    good = sum(one.ending in (Ending.DONE, Ending.UNCHANGED, Ending.PENDING) for one in outcomes)
    first = next((one for one in outcomes if not one.ending.good), None)
    if len(endings) == 1:
        ending = endings.pop()
    elif endings == {Ending.DONE, Ending.UNCHANGED}:
        ending = Ending.DONE
    else:
        ending = Ending.PARTIAL
    reveals: dict[str, Revealed] = {
        one.data["id"]: one.revealed for one in outcomes if one.revealed is not None and isinstance(one.data, dict)
    }
    return Outcome(
        ending,
        f"{good} of {len(parts)} keys {done}",
        proof=tuple(f"{item.name}: {item.detail}" for item in items) if ending is Ending.DONE else (),
        items=tuple(items),
        data=[one.data for one in outcomes if isinstance(one.data, dict) and "id" in one.data],
        code=first.code if first is not None else "",
        then=first.then if first is not None else "",
        http_status=first.status if first is not None and ending in (Ending.REFUSED, Ending.FAILED) else 0,
        reveals=reveals,
    )


def _name(asked: str, outcome: Outcome) -> str:
    data = outcome.data
    return f"{data['name']} ({data['id']})" if isinstance(data, dict) and "id" in data else asked
