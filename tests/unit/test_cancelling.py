from __future__ import annotations

import asyncio
import contextlib

import pytest

from console.cancelling import obey


async def test_a_swallowed_cancellation_is_obeyed_at_the_next_turn() -> None:
    turns = 0

    async def deaf() -> None:
        nonlocal turns
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            turns += 1
            obey()

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert turns == 1


async def test_who_was_not_cancelled_goes_on_also_after_a_time_limit_of_its_own() -> None:
    obey()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)
    obey()
