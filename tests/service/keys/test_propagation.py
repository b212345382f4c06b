"""Waiting for every gateway worker, and not for those that are no more."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from console.access.propagation import everywhere
from console.access.writer import INSTANCE_PREFIX
from console.local.valkey import Valkey


@pytest.fixture
async def worker(valkey: Valkey) -> AsyncIterator[Redis]:
    """The connection of a worker that lives."""
    client = valkey.client("worker-1")
    await client.ping()
    yield client
    await client.aclose()


async def _report(redis: Redis, name: str, epoch: int, **more: Any) -> None:
    status = {"epoch": epoch, "entries": 1, "at": time.time(), **more}
    await redis.set(INSTANCE_PREFIX + name, json.dumps(status), ex=5)


async def test_a_worker_that_was_killed_is_not_waited_for_until_its_entry_ends(redis: Redis, worker: Redis) -> None:
    await _report(redis, "w1", 7, client="worker-1")
    await _report(redis, "killed", 6, client="worker-2")
    result = await everywhere(redis, 7, timeout=4)
    assert result.complete
    assert result.reached == ("w1",)
    assert result.seconds > 1.4, "only after the time in which a living one would be back"


async def test_a_worker_that_is_connected_is_waited_for_however_slow(redis: Redis, worker: Redis) -> None:
    await _report(redis, "w1", 6, client="worker-1")
    result = await everywhere(redis, 7, timeout=1.9)
    assert not result.complete
    assert result.behind == ("w1",)


async def test_where_no_worker_is_to_be_seen_by_name_nothing_is_concluded(redis: Redis) -> None:
    await _report(redis, "w1", 6, client="hidden by a proxy")
    await _report(redis, "older version", 6)
    result = await everywhere(redis, 7, timeout=1.9)
    assert result.behind == ("older version", "w1")
