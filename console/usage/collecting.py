"""Reads the gateway's access log as it grows, over renames and restarts, and counts every line of it once.

A file is known by its first line, for it is renamed when it has grown, and what a file system calls it is used again.
How far it was read is written with what was counted: a process that is killed at any moment counts nothing twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from redis.exceptions import RedisError

from console.outcome import ModeldeckError
from console.publishing import book as publications
from console.usage import book
from console.usage.book import Overtaken, Place
from console.usage.budgets import Settler
from console.usage.pricing import Prices, prices
from console.usage.records import NotARequest, Request, read_line
from console.usage.tally import Settled, Tally

if TYPE_CHECKING:
    from console.services import Services

LOOK_SECONDS = 1.0
_PRICES_SECONDS = 15.0
_NEW_SECONDS = 0.5
"""How old prices are before they are read again for a model that is not among them."""
_FORGET_SECONDS = 3600.0
_TELL_SECONDS = 10.0
"""How often it is written down that a log was looked at, when there is nothing new in it."""
_PIECE_BYTES = 4 * 1024 * 1024
_LONGEST_LINE = 256 * 1024
log = logging.getLogger("modeldeck.usage")

Settle = Callable[[Sequence[Settled]], Awaitable[None]]


class LogFile:
    """An access log, ``access.log``, that is put aside as ``access.log.1`` when it has grown."""

    def __init__(self, path: Path) -> None:
        self._paths = (path.with_name(path.name + ".1"), path)

    def read(self, before: Place) -> tuple[Sequence[bytes], Place]:
        """The next whole lines, up to some megabytes, and the place after them; no lines where there are none yet."""
        with contextlib.ExitStack() as stack:
            # Opened first, and only then looked into: a name may stand for another file a moment later.
            streams = [stack.enter_context(path.open("rb")) for path in self._paths if path.exists()]
            files = {digest: stream for stream in streams if (digest := _first_line(stream))}
            gaps = before.gaps
            if before.file and before.file not in files:
                gaps += 1  # it was put aside twice since: nobody has read its end
            if before.file not in files:
                names, position = list(files), 0
            else:
                names, position = list(files)[list(files).index(before.file) :], before.position
            for digest in names:
                # Envoy writes no more to the old file once the new one has a line.
                lines, end = _lines(files[digest], position)
                if lines:
                    return lines, replace(before, file=digest, position=end, gaps=gaps)
                position = 0
        return (), before


class Collector:
    """Counts what a log says.

    Args:
        settle: told of the requests that were let through, after they are counted
    """

    def __init__(self, services: Services, path: Path, *, settle: Settle | None = None) -> None:
        self._services = services
        self._file = LogFile(path)
        self._source = f"log {path}"
        self._settle = settle
        self._pricing = Pricing(services)
        self._place: Place | None = None

    async def collect(self) -> int:
        """Count what there is. Returns how many lines it were.

        Raises:
            ModeldeckError: the database cannot be used; nothing is lost, the next call goes on where this one was.
        """
        counted = 0
        while lines := await self._one():
            counted += lines
        return counted

    async def _one(self) -> int:
        store = await self._services.store()
        before = self._place or await book.place(store, self._source)
        lines, after = await asyncio.to_thread(self._file.read, before)
        if not lines and before.read_at is not None and (_now() - before.read_at).total_seconds() < _TELL_SECONDS:
            self._place = before
            return 0
        requests, unreadable = await asyncio.to_thread(_requests, lines)
        tally = Tally()
        tally.add(requests, await self._pricing.for_(requests))
        after = replace(
            after,
            lines=before.lines + len(lines),
            unreadable=before.unreadable + unreadable,
            read_at=_now(),
        )
        try:
            await book.write(store, tally, self._source, before, after)
        except Overtaken:
            self._place = None
            return 0
        except BaseException:
            self._place = None  # whether it was written is not known here: the database is asked
            raise
        self._place = after
        if self._settle is not None and tally.settled:
            await self._settle(tally.settled)
        return len(lines)


class Pricing:
    """The prices of what is published, read again now and then, and at once for a model that is new."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._prices: Prices | None = None
        self._read_at = 0.0

    async def for_(self, requests: Sequence[Request]) -> Prices:
        age = time.monotonic() - self._read_at
        known = self._prices is not None and all(map(self._prices.knows, requests))
        if self._prices is None or age > _PRICES_SECONDS or (age > _NEW_SECONDS and not known):
            store = await self._services.store()
            published = [one for one, _, _ in await publications.listing(store)]
            self._prices, self._read_at = await prices(store, published), time.monotonic()
        return self._prices


async def collect_forever(services: Services, path: Path) -> None:
    """Count as the log grows, settle budgets, and forget what is old, until cancelled. A fault is logged, and tried
    again."""
    settler = Settler(services)
    collector = Collector(services, path, settle=settler.counted)
    forgotten, told = 0.0, ""
    while True:
        try:
            await collector.collect()
            await settler.look()
            forgotten = await look_after_age(services, forgotten)
            told = ""
        except (ModeldeckError, RedisError, OSError) as problem:
            if str(problem) != told:
                log.warning("usage is not counted just now: %s; nothing of it is lost", problem)
            told = str(problem)
        await asyncio.sleep(LOOK_SECONDS)


async def look_after_age(services: Services, forgotten: float) -> float:
    """Once an hour, forget what is old. ``forgotten``: when that was last, by the monotonic clock; returned anew."""
    if forgotten and time.monotonic() - forgotten < _FORGET_SECONDS:
        return forgotten
    await book.forget(await services.store(), _now())
    return time.monotonic()


def _now() -> datetime:
    return datetime.now(UTC)


def _requests(lines: Sequence[bytes]) -> tuple[list[Request], int]:
    """The requests, and how many lines are none."""
    found, unreadable = [], 0
    for line in lines:
        try:
            found.append(read_line(line))
        except NotARequest:
            unreadable += 1
    return found, unreadable


def _first_line(stream: BinaryIO) -> str:
    """The digest of a file's first line; "" where it has none yet."""
    line = stream.readline(_LONGEST_LINE)
    whole = line.endswith(b"\n") or len(line) == _LONGEST_LINE
    return hashlib.sha256(line).hexdigest() if whole else ""


def _lines(stream: BinaryIO, position: int) -> tuple[list[bytes], int]:
    """The whole lines after a position, and the position after them. A line beyond all reason is cut into pieces,
    which nobody can read, so that it is counted as unreadable and holds nothing up."""
    stream.seek(position)
    piece = stream.read(_PIECE_BYTES)
    end = piece.rfind(b"\n") + 1
    if not end and len(piece) >= _LONGEST_LINE:
        end = len(piece)
    return piece[:end].splitlines(), position + end
