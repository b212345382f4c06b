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
        self._submitted: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin ``work`` over there; cancelling the future cancels the work."""
        return asyncio.run_coroutine_threadsafe(self._counted(work), self._loop)

    async def _counted(self, work: Coroutine[Any, Any, T]) -> T:
        """``work``, counted among what `stop` cancels: what a library runs for itself ends with its own close."""
        task = asyncio.current_task()
        assert task is not None  # a coroutine that runs is a task's
        self._submitted.add(task)
        try:
            return await work
        finally:
            self._submitted.discard(task)

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
        asyncio.run_coroutine_threadsafe(self._wind_down(last, patience / 2), self._loop)
        self._thread.join(patience)
        return not self._thread.is_alive()

    async def _wind_down(self, last: Callable[[], Coroutine[Any, Any, None]] | None, patience: float) -> None:
        await _end(set(self._submitted), patience)  # once, for what is being undone must not be cut short
        try:
            if last is not None:  # what does not end is left behind, and this is done all the same
                await last()
        finally:
            # What is left is a library's, as the shielded close of a connection: first let it end by itself.
            if others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others, timeout=patience / 4)
            await _end(asyncio.all_tasks() - {asyncio.current_task()}, patience / 4)
            self._loop.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


async def _end(tasks: set[asyncio.Task[Any]], patience: float) -> None:
    """Cancel those that still run, and wait for them for a while."""
    running = {task for task in tasks if not task.done()}
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=patience)


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
