"""Wait for a condition instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 3
"""So many times what a test names is waited for: how busy the machine is decides no test."""


async def until(
    condition: Callable[[], T | Awaitable[T]], *, within: float = 10.0, every: float = 0.005, what: str = ""
) -> T:
    """The condition's first true value; fails the test when there is none within the time.

    Args:
        within: seconds, times `PATIENCE`
        every: seconds between two looks; more than little where a look costs something
    """
    deadline = time.monotonic() + within * PATIENCE
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within * PATIENCE:g} s: {what or condition}")
        await asyncio.sleep(every)
