"""Charges that wait for Redis: nothing is lost or counted twice, and nothing grows without a bound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as NoRedis

from console.limits import late as module
from console.limits.counters import Asked, Counters
from console.limits.late import LateCharges
from tests.support.waiting import until

HOUR = 3600
NOON = 12 * HOUR


class Redis:
    """Stands for `Counters`: what was charged late, and whether it answers."""

    def __init__(self) -> None:
        self.answers = False
        self.charged: dict[tuple[str, int, int], int] = {}
        self.asked = 0

    async def charge_late(self, charges: Sequence[tuple[str, int, int, int]]) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if not self.answers:
            raise NoRedis
        for *name, hits in charges:
            key = cast(Any, tuple(name))
            self.charged[key] = self.charged.get(key, 0) + hits


def charge(key: str, hits: int) -> Asked:
    return Asked(key, 100, HOUR, hits, count=True)


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Redis:
    monkeypatch.setattr(module, "_TRY_SECONDS", 0.005)
    return Redis()


def late_at(redis: Redis, clock: list[float]) -> LateCharges:
    return LateCharges(cast(Counters, redis), clock=lambda: clock[0])


async def test_they_are_written_once_and_summed_up_when_redis_is_back(redis: Redis) -> None:
    late = late_at(redis, [NOON + 5.0])
    late.keep([charge("a", 3), charge("b", 1)])
    await until(lambda: redis.asked > 2)
    late.keep([charge("a", 4)])
    assert len(late) == 2
    redis.answers = True
    await until(lambda: redis.charged == {("a", HOUR, 12): 7, ("b", HOUR, 12): 1})
    late.keep([charge("a", 1)])
    await until(lambda: redis.charged["a", HOUR, 12] == 8)
    assert not len(late)
    await late.stop()


async def test_what_belongs_to_a_window_that_is_over_is_forgotten(redis: Redis) -> None:
    clock = [NOON - 1.0]
    late = late_at(redis, clock)
    late.keep([charge("a", 3)])
    clock[0] = NOON + 1.0
    late.keep([charge("b", 2)])
    await until(lambda: len(late) == 1)
    redis.answers = True
    await until(lambda: redis.charged == {("b", HOUR, 12): 2})
    await late.stop()


async def test_there_is_room_for_so_many_counters_and_more_is_said_to_be_lost(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    late = late_at(redis, [NOON])
    late.keep([charge(name, 1) for name in "abcdea"])
    assert len(late) == 3
    redis.answers = True
    with caplog.at_level(logging.WARNING, "modeldeck.limits"):
        await until(lambda: not len(late) and caplog.text)
    assert redis.charged == {("a", HOUR, 12): 2, ("b", HOUR, 12): 1, ("c", HOUR, 12): 1}
    assert "written to 3 counters; 2 were too many and are lost" in caplog.text


async def test_a_service_that_ends_tries_once_more_and_says_what_is_lost(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    late = late_at(redis, [NOON])
    late.keep([charge("a", 1)])
    with caplog.at_level(logging.ERROR, "modeldeck.limits"):
        await late.stop()
    assert "charges of 1 counters are lost" in caplog.text
    redis.answers = True
    other = late_at(redis, [NOON])
    other.keep([charge("b", 1)])
    await other.stop()
    assert redis.charged == {("b", HOUR, 12): 1}
