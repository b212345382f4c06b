"""A subscription to Redis keyspace events that misses nothing (DESIGN.md §4, "Reading order").

`KeyspaceLink.run` subscribes, waits for the acknowledgement, lets its consumer load everything, then hands over
what arrived meanwhile and what comes after. Every further subscribe confirmation (redis-py reconnects silently)
means: load again. A ping on the subscribed connection tells a dead socket from a quiet one. A periodic full load
covers what emits no event at all (FLUSHDB, SWAPDB).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError, ResponseError

from console.cancelling import obey

MAX_QUEUED = 50_000
_PING_SECONDS = 3.0
_DEAD_SECONDS = 8.0
_BACKOFF_SECONDS = (0.05, 5.0)
_NEEDED_FLAGS = "K$xeg"
_FLAGS_IN_A = "g$lshzxetd"
_CONFIRMATIONS = ("psubscribe", "subscribe")


class LinkState(StrEnum):
    STARTING = "starting"
    LIVE = "live"
    POLLED = "polled"
    """Keyspace events are off on the server: everything is read again every two seconds."""
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One notification: which key, and what was done (``set``, ``del``, ``expired``, …). ``at`` is Unix seconds."""

    key: str
    event: str
    at: float


@dataclass(slots=True)
class LinkStatus:
    """What others may read of a link. Times are Unix seconds, None for never."""

    state: LinkState = LinkState.STARTING
    since: float | None = None
    last_event: float | None = None
    last_load: float | None = None
    events: int = 0
    loads: int = 0
    reconnects: int = 0
    overflows: int = 0
    problem: str = ""


class Consumer(Protocol):
    """Who is told. Calls never overlap."""

    async def load(self) -> None:
        """Read everything again and swap it in."""

    async def touched(self, events: Sequence[KeyEvent]) -> None:
        """These keys changed, in this order; read them again, the notification's word is not trusted."""

    def lost(self, why: str) -> None:
        """The link broke; what is known gets older until the next load."""


@dataclass(slots=True)
class KeyspaceLink:
    """Keeps one consumer supplied until it is cancelled.

    Args:
        patterns: key patterns as in ``PSUBSCRIBE __keyspace@N__:<pattern>``
        channels: plain channels beside them; their messages arrive in order with the events, as
            ``KeyEvent(channel, message)``
        full_load_seconds: the longest time between two full loads
    """

    redis: Redis
    patterns: Sequence[str]
    consumer: Consumer
    channels: Sequence[str] = ()
    full_load_seconds: float = 60.0
    poll_seconds: float = 2.0
    status: LinkStatus = field(default_factory=LinkStatus)
    _queue: deque[KeyEvent] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _again: bool = False
    _overflowed: bool = False

    async def run(self) -> None:
        """Subscribe, load, follow; for ever. Ends only by cancellation."""
        try:
            await self._run()
        except Exception as problem:
            # A mistake of ours: whoever looks at the status must not take an old view for a live one.
            self.status.state, self.status.since = LinkState.LOST, time.time()
            self.status.problem = f"it ended by a mistake: {type(problem).__name__}"
            raise

    async def _run(self) -> None:
        delay = _BACKOFF_SECONDS[0]
        while True:
            loads_before = self.status.loads
            try:
                await self._session()
            except (RedisError, OSError, TimeoutError) as problem:
                why = f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
            else:
                why = "the subscription ended"
            obey()
            if self.status.loads > loads_before:
                delay = _BACKOFF_SECONDS[0]
            if self.status.state is not LinkState.LOST:
                self.status.since = time.time()
            self.status.state = LinkState.LOST
            self.status.problem = why
            self.status.reconnects += 1
            self.consumer.lost(why)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            delay = min(delay * 2, _BACKOFF_SECONDS[1])

    async def _session(self) -> None:
        pubsub = self.redis.pubsub()
        problem: BaseException | None = None
        self._queue.clear()
        self._wake.clear()
        self._again = self._overflowed = False
        try:
            database = self.redis.connection_pool.connection_kwargs.get("db") or 0
            wanted = [f"__keyspace@{database}__:{pattern}" for pattern in self.patterns]
            async with asyncio.timeout(_DEAD_SECONDS):
                await pubsub.psubscribe(*wanted)
                if self.channels:
                    await pubsub.subscribe(*self.channels)
                await self._acknowledged(pubsub, len(wanted) + len(self.channels))
            live = await events_are_on(self.redis)
            obey()
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(pubsub, len(f"__keyspace@{database}__:")))
                follower = tasks.create_task(self._follow(live=live))
                done, _ = await asyncio.wait({reader, follower}, return_when=asyncio.FIRST_COMPLETED)
                for task in (reader, follower):
                    task.cancel()
                for task in done:
                    if not task.cancelled() and (ended := task.exception()) is not None:
                        raise ended
        except* (RedisError, OSError, TimeoutError) as group:
            # Raised below: what is raised in here comes out as a group again (PEP 654).
            problem = _first(group)
        finally:
            await _close(pubsub)
        if problem is not None:
            raise problem

    async def _acknowledged(self, pubsub: PubSub, count: int) -> None:
        while count:
            message = await pubsub.get_message(timeout=_DEAD_SECONDS)
            if message is not None and message["type"] in _CONFIRMATIONS:
                count -= 1

    async def _read(self, pubsub: PubSub, prefix_length: int) -> None:
        """From the socket into the queue, and nothing else: a slow load must not stall the subscription."""
        heard = time.monotonic()
        pinged = heard
        while True:
            message = await pubsub.get_message(timeout=_PING_SECONDS)
            obey()
            now = time.monotonic()
            if message is not None:
                heard = now
                self._take(message, prefix_length)
            elif now - heard > _DEAD_SECONDS:
                raise TimeoutError(f"no answer to a ping for {_DEAD_SECONDS:g} s")
            if message is None and now - pinged >= _PING_SECONDS:
                pinged = now
                await pubsub.ping()

    def _take(self, message: dict[str, Any], prefix_length: int) -> None:
        match message["type"]:
            case "pmessage" | "message" as kind:
                if len(self._queue) >= MAX_QUEUED:
                    # What is dropped here is made good by a full load.
                    self._queue.clear()
                    self._overflowed = self._again = True
                    self.status.overflows += 1
                channel = _text(message["channel"])
                key = channel[prefix_length:] if kind == "pmessage" else channel
                self._queue.append(KeyEvent(key, _text(message["data"]), time.time()))
                self._wake.set()
            case "psubscribe" | "subscribe":
                self._again = True
                self._wake.set()

    async def _follow(self, *, live: bool) -> None:
        await self._load(live=live)
        obey()
        interval = self.full_load_seconds if live else self.poll_seconds
        due = time.monotonic() + interval
        while True:
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._wake.wait()
            except TimeoutError:
                self._again = True
            self._wake.clear()
            if self._again:
                await self._load(live=await events_are_on(self.redis))
                due = time.monotonic() + interval
            if self._queue:
                batch = list(self._queue)
                self._queue.clear()
                self.status.events += len(batch)
                self.status.last_event = batch[-1].at
                await self.consumer.touched(batch)
            obey()

    async def _load(self, *, live: bool) -> None:
        self._again = False
        await self.consumer.load()
        now = time.time()
        state = LinkState.LIVE if live else LinkState.POLLED
        if self.status.state is not state:
            self.status.since = now
        self.status.state = state
        self.status.problem = "" if live else "keyspace events are off on the server: polling instead"
        self.status.last_load = now
        self.status.loads += 1


async def events_are_on(redis: Redis) -> bool:
    """Whether ``notify-keyspace-events`` covers what the mirror needs (``K$xeg``).

    Where CONFIG is not allowed this cannot be known, and is taken for granted.
    """
    try:
        answer = await redis.config_get("notify-keyspace-events")
    except ResponseError:
        return True
    flags = next((_text(value) for value in answer.values()), "")
    present = set(flags.replace("A", _FLAGS_IN_A))
    return all(flag in present for flag in _NEEDED_FLAGS)


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    problem: BaseException = group
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem


async def _close(pubsub: PubSub) -> None:
    try:
        async with asyncio.timeout(1):
            await pubsub.aclose()  # type: ignore[no-untyped-call]
    except (RedisError, OSError, TimeoutError):
        pass
