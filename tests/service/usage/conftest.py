"""What the tests of usage and budgets share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.service.usage.provider import Provider


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def provider() -> AsyncIterator[Provider]:
    """A provider that keeps books, on loopback."""
    made = Provider()
    await made.start()
    yield made
    await made.stop()
