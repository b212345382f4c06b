"""Tells whoever waits for a sync how far it is: each change at once, how much was read now and then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from console.sync.types import Limits, Progress, ProviderOutcome, Stage

_EVERY_SECONDS = 0.5
"""A list comes in thousands of pieces; its screen needs only some of them."""
_LINE_SECONDS = 1.0
"""Between two lines about lists that take long, whichever they are of."""


class Telling:
    """Takes the progress of a run, and passes on what is worth it.

    Args:
        emit: of the action
        providers: how many are asked
        finished: filled with what came of each
    """

    def __init__(self, emit: Callable[[Any], None], providers: int, finished: dict[str, ProviderOutcome]) -> None:
        self._emit = emit
        self._finished = finished
        self._clock = asyncio.get_running_loop().time
        self._line_seconds = _LINE_SECONDS * max(1, min(providers, Limits().parallel))
        self._reading: dict[str, Progress] = {}
        self._since: dict[str, float] = {}
        self._next_piece: dict[str, float] = {}
        self._next_line: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        slug, now = progress.provider, self._clock()
        if progress.stage is not Stage.FETCHING:
            self._reading.pop(slug, None)
            if progress.outcome is not None:
                self._finished[slug] = progress.outcome
            self._emit(progress)
            return
        self._reading[slug] = progress
        self._since.setdefault(slug, now)
        self._next_line.setdefault(slug, now + self._line_seconds)
        if self._line(slug, now):
            return
        if not progress.body_bytes or now >= self._next_piece.get(slug, 0.0):
            self._next_piece[slug] = now + _EVERY_SECONDS
            self._emit(progress)

    @contextlib.asynccontextmanager
    async def of_what_takes_long(self) -> AsyncIterator[None]:
        """Within it, a provider that sends nothing is told of too."""

        async def look() -> None:
            while True:
                await asyncio.sleep(_LINE_SECONDS)
                for slug in list(self._reading):
                    self._line(slug, self._clock())

        task = asyncio.create_task(look(), name="progress of a sync")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def _line(self, slug: str, now: float) -> bool:
        """Tell of one that is being read, if the time has come."""
        if now < self._next_line[slug]:
            return False
        self._next_line[slug] = now + self._line_seconds
        self._emit(replace(self._reading[slug], seconds=now - self._since[slug]))
        return True
