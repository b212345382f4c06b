"""Work that only the newest wish matters for: one runs at a time, and of those that wait only the last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Wish = TypeVar("Wish")


class Latest(Generic[Wish]):
    """Calls a coroutine function with the newest wish; what comes while it runs replaces what waits.

    No time passes by a clock: a filter that is quick is run for every key, one that is slow for the last.
    """

    def __init__(self, run: Callable[[Wish], Awaitable[None]]) -> None:
        self._run = run
        self._waiting: list[Wish] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None

    def wish(self, what: Wish) -> None:
        self._waiting = [what]
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def settled(self) -> None:
        """Wait until nothing is wished for any more."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._run(self._waiting.pop())
        finally:
            self._task = None
