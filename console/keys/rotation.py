"""The rule of a rotation: two texts of a key at most, the old one for as long as its grace lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from console.call import Call
from console.keys import book
from console.keys.journaling import about, drop, end, ended_row, issue, journaled, own_key
from console.keys.keeping import kept, refuse_without_keyring
from console.keys.mint import new_key_text
from console.keys.repeating import Request
from console.keys.types import KeyState, told
from console.operations.types import Recovery, Step
from console.outcome import Ending, Outcome, Refusal, conflict

MAX_GRACE = timedelta(days=30)


async def rotate(call: Call) -> Outcome:
    """Issue the next generation; the one before works on until its grace ends."""
    store = await call.services.store()
    key = await own_key(call)
    now = datetime.now(UTC)
    live = key.live(now)
    request = Request.of(call)
    if request is not None and (repeated := await request.answered(call, key)) is not None:
        return repeated
    if key.state(now) in (KeyState.REVOKED, KeyState.EXPIRED):
        raise conflict(f"key {key.id} is {key.state(now).value}; nothing was changed", code="KEY_NOT_LIVE")
    if len(live) > 1:
        ends = live[0].not_after
        raise conflict(
            f"generation {live[0].number} of {key} is in its grace until {told(ends, now) if ends else 'it is ended'}; "
            "at most two work at a time, and nothing was changed",
            code="ROTATION_UNDER_WAY",
            then=f"modeldeck keys finish {key.id}, or modeldeck keys extend {key.id} --grace 1h",
        )
    grace = _grace(call)
    if call["keyring"]:
        await refuse_without_keyring(call)
    await book.own_grants(store, key)
    text = new_key_text(key.kind, key.form)
    number = max(generation.number for generation in key.generations) + 1
    steps = [*issue(call, key, number, text, now, request.as_json() if request is not None else None)]
    for old in live:
        steps += end(call, key, old, now + grace, now)
    outcome = await journaled(call, key, tuple(steps), text=text, verb="rotated")
    return await kept(call, outcome, text) if call["keyring"] else outcome


def _grace(call: Call) -> timedelta:
    grace = timedelta(seconds=call["grace"])
    if grace > MAX_GRACE:
        raise Refusal(f"a grace of more than {MAX_GRACE.days} days is no rotation", code="INVALID_PARAMETER")
    return grace


async def extend(call: Call) -> Outcome:
    """Let the old text work longer, or shorter: the grace counts from now."""
    key = await own_key(call)
    now = datetime.now(UTC)
    old = key.live(now)[:-1]
    if not old:
        raise conflict(f"key {key.id} has no generation in its grace; nothing was changed", code="KEY_NOT_ROTATING")
    grace = _grace(call)
    if grace <= timedelta():
        command = f"modeldeck keys finish {key.id}"
        raise Refusal("a grace of nothing ends the rotation", code="INVALID_PARAMETER", then=command)
    steps = [step for generation in old for step in end(call, key, generation, now + grace, now)]
    return await journaled(call, key, tuple(steps), verb="given more time")


async def finish(call: Call) -> Outcome:
    """End the grace of a rotation now: only the newest generation works on."""
    if call["keyring"]:
        await refuse_without_keyring(call)
    key = await own_key(call)
    now = datetime.now(UTC)
    old = key.live(now)[:-1]
    if not old:
        return Outcome(Ending.UNCHANGED, f"key {key.id} has no generation in its grace", data=key.as_json(now))
    steps = [step for generation in old for step in end(call, key, generation, now, now)]
    return await journaled(call, key, tuple(steps), verb="finished", recovery=Recovery.FINISH)


async def withdraw(call: Call) -> Outcome:
    """Take a rotation back: the newest text is refused, and the one before works on as it did."""
    key = await own_key(call)
    now = datetime.now(UTC)
    live = key.live(now)
    if len(live) < 2:
        raise conflict(f"key {key.id} has no rotation to take back; nothing was changed", code="KEY_NOT_ROTATING")
    old, new = live[-2], live[-1]
    steps = (
        Step(
            "keys.end",
            f"generation {old.number} lives on",
            {"key": key.id, "digest": old.digest, "not_after": None, "revoked_at": None},
        ),
        Step(
            "keys.entry",
            f"gateway entry of generation {old.number}",
            about(call, key) | {"generation": old.number, "digest": old.digest, "not_after": None},
        ),
        drop(call, key, new),
        ended_row(key, new, now, now),
    )
    return await journaled(call, key, steps, verb="taken back", recovery=Recovery.FINISH)
