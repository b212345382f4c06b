"""What an operator can do about the schedule."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from console.call import Call
from console.outcome import Ending, Item, Outcome, Refusal, counted
from console.sync import service
from console.sync.providers import spec, specs
from console.sync.schedule import Entry
from console.sync.webhook_book import received

_NAMED = 4
"""Providers that a sentence names."""


async def show(call: Call) -> Outcome:
    """When each provider is due, the next one first."""
    entries = await (await service.schedule(call.services)).entries()
    return Outcome(Ending.DONE, counted(len(entries), "provider"), data=[entry_row(entry) for entry in entries])


async def pause(call: Call) -> Outcome:
    """Leave providers alone."""
    schedule = await service.schedule(call.services)
    return await _each(call, lambda slug: schedule.pause(call.permit, slug), "paused")


async def resume(call: Call) -> Outcome:
    """Look after them again."""
    schedule = await service.schedule(call.services)
    return await _each(call, lambda slug: schedule.resume(call.permit, slug), "resumed")


async def every(call: Call) -> Outcome:
    """Change how often they are looked at."""
    seconds = call["interval"]
    if (seconds is None) == (not call["tier"]):
        raise Refusal("name an --interval, or --tier; nothing was changed", code="BAD_INTERVAL")
    interval = None if seconds is None else timedelta(seconds=seconds)
    schedule = await service.schedule(call.services)
    told = "as often as the tier says" if interval is None else f"every {seconds} s"
    return await _each(call, lambda slug: schedule.set_interval(call.permit, slug, interval), told)


async def webhooks(call: Call) -> Outcome:
    """The newest deliveries, and what they led to."""
    gateway = spec(call["provider"]).slug if call["provider"] else ""
    found = await received(await call.services.store(), gateway=gateway, limit=call["limit"])
    rows = [
        {
            "id": one.id,
            "received_at": one.received_at.isoformat(timespec="seconds"),
            "origin": one.origin,
            "signed": one.signed,
            "provider": one.gateway,
            "event": one.event.value,
            "models": [model.id for model in one.models],
            "count": len(one.models),
            "tags": list(one.tags),
            "note": one.note or "broken off: the sender has to try again",
            "repeats": one.repeats,
            "run": one.led_to.run_id if one.led_to else None,
            "outcome": one.led_to.outcome.value if one.led_to else None,
            "sentence": one.led_to.sentence if one.led_to else "",
        }
        for one in found
    ]
    return Outcome(Ending.DONE, counted(len(rows), "delivery", "deliveries"), data=rows)


def entry_row(entry: Entry) -> dict[str, object]:
    """A provider's line of the schedule."""
    state = "paused" if entry.paused else "running" if entry.running else "waiting"
    return {
        "provider": entry.provider,
        "next_run_at": None if entry.paused else entry.next_run_at.isoformat(timespec="seconds"),
        "minutes": round(entry.interval.total_seconds() / 60, 1),
        "own_interval": entry.own_interval,
        "slowed": entry.slowed,
        "state": state,
        "failures": entry.failures,
        "not_before": entry.not_before.isoformat(timespec="seconds") if entry.not_before else None,
        "reason": entry.reason,
        "changed_by": entry.changed_by,
    }


async def _each(call: Call, change: Callable[[str], Awaitable[bool]], told: str) -> Outcome:
    slugs = [spec.slug for spec in specs(call["provider"])]  # all of them are known before any is changed
    items = tuple([Item(slug, told if await change(slug) else "unchanged") for slug in slugs])
    changed = sum(item.state == told for item in items)
    if not changed:
        named = ", ".join(slugs) if len(slugs) <= _NAMED else counted(len(slugs), "provider")
        return Outcome(Ending.UNCHANGED, f"{named}: already {told}", items=items)
    summary = f"{changed} of {counted(len(items), 'provider')}: {told}"
    if changed < len(items):
        summary += f"; the other {'was' if len(items) - changed == 1 else 'ones were'} so already"
    return Outcome(Ending.DONE, summary, proof=(counted(changed, "row") + " of the schedule",), items=items)
