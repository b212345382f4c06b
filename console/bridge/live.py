"""What is followed for as long as the console is open: the feed, the links, the health of every part."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from console.bridge.ring import Ring
from console.cancelling import obey
from console.outcome import ModeldeckError

if TYPE_CHECKING:
    from console.access.feed import Feed, FeedEvent
    from console.access.link import LinkStatus
    from console.services import Services

FEED_SIZE = 20_000
RATE_SECONDS = 60
_HEALTH_SECONDS = 10.0
_TROUBLE_SECONDS = 2.0
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Health:
    """What `modeldeck status` said, and when (monotonic seconds)."""

    rows: tuple[Mapping[str, str], ...] = ()
    at: float | None = None


@dataclass(slots=True)
class Live:
    """Written by the services' thread, read by the UI loop; every field is replaced whole or only grows.

    events   the newest `FEED_SIZE` of the feed
    problem  why there is no feed, empty while there is one
    drift    how often something new was found in the objects of publications
    """

    events: Ring[FeedEvent] = field(default_factory=lambda: Ring(FEED_SIZE))
    health: Health = Health()
    problem: str = "connecting"
    drift: int = 0
    _feed: Feed | None = None
    _seconds: deque[tuple[int, Counter[str]]] = field(default_factory=lambda: deque(maxlen=RATE_SECONDS + 1))

    @property
    def link(self) -> LinkStatus | None:
        """How the link to Redis is; None until it was opened for the first time."""
        return self._feed.status if self._feed is not None else None

    def rates(self, now: float | None = None) -> list[Counter[str]]:
        """Events by prefix for each of the last `RATE_SECONDS` whole seconds, the oldest first."""
        this = int(time.time() if now is None else now)
        counted = dict(list(self._seconds))
        return [counted.get(second, Counter()) for second in range(this - RATE_SECONDS, this)]

    def took(self, event: FeedEvent) -> None:
        second = int(event.at.timestamp())
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter()))
        self._seconds[-1][1][event.prefix] += event.writes
        self.events.append(event)

    def follows(self, feed: Feed) -> None:
        self._feed = feed
        self.problem = ""


async def follow_feed(services: Services, live: Live, knock: Callable[[], None]) -> None:
    """Keep the feed going for ever; a Redis that is not there yet is asked again every second."""
    from console.access.feed import Feed

    def take(event: FeedEvent) -> None:
        live.took(event)
        knock()

    while True:
        try:
            redis = await services.redis()
        except ModeldeckError as problem:
            live.problem = str(problem)
            knock()
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        feed = Feed(redis, services.profile.access, take)
        live.follows(feed)
        knock()
        try:
            await feed.run()
        except Exception as problem:  # a mistake of ours costs the feed a second, not the session its eyes
            live.problem = f"the feed broke ({type(problem).__name__}) and is begun again"
            knock()
            await asyncio.sleep(_RETRY_SECONDS)


async def follow_drift(services: Services, live: Live, knock: Callable[[], None]) -> None:
    """Watch the objects of publications for ever."""
    from console.publishing.following import follow

    def found() -> None:
        live.drift += 1
        knock()

    await follow(services, found)


async def follow_health(services: Services, live: Live, ask: asyncio.Event, knock: Callable[[], None]) -> None:
    """Ask how every part is: every ten seconds, every two while something is down, and whenever ``ask`` is set."""
    from console.status import rows

    while True:
        ask.clear()
        live.health = Health(tuple(await rows(services)), time.monotonic())
        knock()
        well = all(row["state"] == "ok" for row in live.health.rows)
        obey()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEALTH_SECONDS if well else _TROUBLE_SECONDS):
                await ask.wait()
