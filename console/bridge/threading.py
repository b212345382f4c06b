"""An asyncio loop in a thread of its own, and how the UI loop asks something of it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """One event loop in one thread.

    A slow terminal stalls the UI loop only, and a busy service this one only.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin ``work`` over there; cancelling the future cancels the work."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, awaited on the loop that asks; being cancelled cancels the work."""
        return await asyncio.wrap_future(self.submit(work))

    def canceller(self, task: asyncio.Task[Any]) -> Callable[[], None]:
        """What cancels a task of this thread's loop, callable from any thread."""

        def cancel() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and the task with it
                self._loop.call_soon_threadsafe(task.cancel)

        return cancel

    def stop(self, patience: float, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> bool:
        """Cancel what is still running, wait for it to end, do ``last``, and end the thread.

        Returns:
            Whether all of it ended within ``patience`` seconds.
        """
        if not self._thread.is_alive():
            return True
        self.submit(self._wind_down(last))
        self._thread.join(patience)
        return not self._thread.is_alive()

    async def _wind_down(self, last: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        try:
            if last is not None:
                await last()
        finally:
            self._loop.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


class Knock:
    """Wakes the UI loop from any thread: many knocks before it looks are one call."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: Callable[[], None]) -> None:
        self._loop = loop
        self._answer = answer
        self._pending = False

    def __call__(self) -> None:
        if self._pending:
            return
        self._pending = True
        try:
            self._loop.call_soon_threadsafe(self._open)
        except RuntimeError:  # the UI loop has ended
            self._pending = True

    def _open(self) -> None:
        self._pending = False
        self._answer()
