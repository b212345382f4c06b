"""Being cancelled, where a library on the way has swallowed it or would be torn in two by it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for something that is not to be cut off in its middle, such as giving a connection back.

    Raises:
        asyncio.CancelledError: the task was asked to end meanwhile; the work is done nevertheless.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def obey() -> None:
    """End here if the running task was cancelled and has not noticed.

    `asyncio.wait_for` before Python 3.12, which redis-py writes with, gives back its result and drops a cancellation
    that comes in the same moment (cpython gh-86296); of a cancellation and an error that meet, a TaskGroup raises
    only the error. A loop that runs until it is cancelled asks here once a turn, or it runs for ever.

    Raises:
        asyncio.CancelledError: the task was asked to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
