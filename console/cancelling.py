"""Being cancelled, where a library on the way has swallowed it."""

from __future__ import annotations

import asyncio


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
