"""What an operator can ask of the gateway's view of Redis."""

from __future__ import annotations

import asyncio

from console.access.feed import Feed, FeedEvent
from console.call import Call
from console.outcome import Ending, Outcome


async def feed(call: Call) -> Outcome:
    """Emit `FeedEvent`s until the time or the count is reached, or it is stopped."""
    redis = await call.services.redis()
    enough = asyncio.Event()
    shown = 0

    def take(event: FeedEvent) -> None:
        nonlocal shown
        if enough.is_set() or (call["match"] and call["match"] not in str(event)):
            return
        shown += 1
        call.emit(event)
        if call["count"] is not None and shown >= call["count"]:
            enough.set()

    follower = Feed(redis, call.services.profile.access, take)
    task = asyncio.create_task(follower.run(), name="feed")
    try:
        async with asyncio.timeout(call["duration"]):
            await enough.wait()
    except TimeoutError:
        pass
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    status = follower.status
    return Outcome(
        Ending.DONE,
        f"{shown} events shown, {status.overflows} overflows, {status.reconnects} reconnects",
        data={"events": shown, "overflows": status.overflows, "reconnects": status.reconnects},
    )
