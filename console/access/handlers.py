"""What an operator can ask of the gateway's view of Redis."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from console.access.feed import Feed, FeedEvent
from console.access.mirror import Mirror
from console.access.propagation import instances
from console.access.used import denials
from console.call import Call
from console.outcome import Ending, Item, Outcome, Refusal, counted


async def feed(call: Call) -> Outcome:
    """Emit `FeedEvent`s until the time or the count is reached, or it is stopped."""
    if call["replay"] is not None:
        return _replay(call)
    if call.principal.tenants is not None:  # a change in Redis may be of several tenants, or of none
        raise Refusal(
            "the feed shows the changes of every tenant, and this profile has not all of them",
            code="TENANT_FORBIDDEN",
            status=403,
            then="modeldeck operations list shows those of its own",
        )
    redis = await call.services.redis()
    enough = asyncio.Event()
    shown = 0
    record = _Record(call["record"])

    def take(event: FeedEvent) -> None:
        nonlocal shown
        if enough.is_set() or (call["match"] and call["match"] not in str(event)):
            return
        shown += 1
        call.emit(event)
        record.write(event)
        if call["count"] is not None and shown >= call["count"]:
            enough.set()

    follower = Feed(redis, call.services.profile.access, take)
    task = asyncio.create_task(follower.run(), name="feed")
    try:
        async with asyncio.timeout(call["duration"]):
            waiting = asyncio.create_task(enough.wait())
            await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
    except TimeoutError:
        pass
    finally:
        waiting.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        record.close()
    status = follower.status
    return Outcome(
        Ending.DONE,
        f"{shown} events shown, {status.overflows} overflows, {status.reconnects} reconnects",
        data={"events": shown, "overflows": status.overflows, "reconnects": status.reconnects},
    )


def _replay(call: Call) -> Outcome:
    """Emit what `--record` wrote, as it was."""
    path: Path = call["replay"]
    shown = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    event = FeedEvent.of_json(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    raise Refusal(
                        f"line {number} of {path} is no event of a feed; {shown} before it were shown",
                        code="BAD_RECORD",
                    ) from None
                if call["match"] and call["match"] not in str(event):
                    continue
                if call["count"] is not None and shown >= call["count"]:
                    break
                shown += 1
                call.emit(event)
    except (OSError, UnicodeDecodeError) as problem:
        raise Refusal(f"{path} cannot be read: {problem}", code="BAD_RECORD") from None
    return Outcome(Ending.DONE, f"{shown} events of {path} shown", data={"events": shown})


class _Record:
    """A file of events, one JSON object a line; nothing where no file was named. Keys are in it as digests only.

    Raises:
        Refusal: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        try:
            self._file = None if path is None else path.open("a", encoding="utf-8")
        except OSError as problem:
            raise Refusal(f"{path} cannot be written: {problem.strerror}", code="BAD_RECORD") from None

    def write(self, event: FeedEvent) -> None:
        if self._file is not None:
            self._file.write(json.dumps(event.as_json(), ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


async def status(call: Call) -> Outcome:
    """Every worker with what it has applied, the faults that a reader of Redis finds now, and refusals by code."""
    redis = await call.services.redis()
    mirror = Mirror(redis, call.services.profile.access)
    await mirror.load()
    now = time.time()
    rows = [
        {
            "worker": worker.name,
            "epoch": worker.epoch,
            "entries": worker.entries,
            "reported": f"{max(0.0, now - worker.at):.0f} s ago",
        }
        for worker in await instances(redis)
    ]
    found = mirror.status
    data: dict[str, Any] = {
        "rows": rows,
        "entries": found.entries,
        "published": found.published,
        "epoch": found.epoch,
        "suspended_tenants": sorted(mirror.snapshot.restrictions.suspended_tenants),
        "faults": [{"where": fault.where, "problem": fault.problem} for fault in found.faults],
        "denials": await denials(redis),
    }
    data["notes"] = [f"refused with {code}: {count}" for code, count in sorted(data["denials"].items())]
    data["notes"] += [f"suspended tenant: {name}" for name in data["suspended_tenants"]]
    items = tuple(Item(fault.where, "fault", fault.problem) for fault in found.faults)
    known = f"{counted(found.entries, 'key')}, {found.published} published, {counted(len(rows), 'worker')}"
    if items or not rows:
        return Outcome(Ending.PARTIAL, f"{known}, {counted(len(items), 'fault')}", items=items, data=data)
    return Outcome(Ending.DONE, known, data=data)
