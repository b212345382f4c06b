from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from console.outcome import Ending
from tests.support.stack import TWO_PROVIDERS, Running, running_stack


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_stack(tmp_path_factory.mktemp("stack"), synced=TWO_PROVIDERS) as running:
        # The ReferenceGrant that a tenant's publications share is there from here on: every publish has the same steps.
        assert (await running.publish("warm-up")).ending is Ending.DONE
        assert (await running.do("unpublish", name="warm-up")).ending is Ending.DONE
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def stack(whole: Running) -> AsyncIterator[Running]:
    """The module's stack; what a test published is unpublished after it."""
    yield whole
    for row in (await whole.do("published")).data:
        outcome = await whole.do("unpublish", name=row["name"])
        assert outcome.ending is Ending.DONE, outcome
    await (await whole.services.redis()).delete("published_model_info")
