"""Waiting until an app in the test's own process has nothing to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

_LOOK_SECONDS = 0.005
_CALM_LOOKS = 3


async def wait_for_idle(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Until nothing waits for its turn on this loop, at several looks in a row.

    Textual's own asks whether the whole process uses the processor, which it does for as long as an embedded stack,
    or another thread, is at work beside the app.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + max_sleep
    await asyncio.sleep(min_sleep)
    calm = 0
    while calm < _CALM_LOOKS and loop.time() < end:
        await asyncio.sleep(_LOOK_SECONDS)
        calm = 0 if loop._ready else calm + 1  # type: ignore[attr-defined]


@pytest.fixture(autouse=True, scope="session")
def patient_by_the_loop() -> Iterator[None]:
    """Import it in a conftest: pilots there wait like this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textual.app.wait_for_idle", wait_for_idle)
        patch.setattr("textual.pilot.wait_for_idle", wait_for_idle)
        yield
