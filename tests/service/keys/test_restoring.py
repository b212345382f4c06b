"""Entries that Redis has lost come back from the database, and only those."""

from __future__ import annotations

from redis.asyncio import Redis

from console.access.decision import Allowed, Denied
from console.access.types import KEY_PREFIX, digest_of
from console.guard import Principal, Role
from console.outcome import Ending
from tests.service.keys.test_keys import Bench, bench, text_of
from tests.support.waiting import until

__all__ = ["bench"]


async def test_lost_entries_are_planned_then_written_again(bench: Bench, redis: Redis) -> None:
    old = await bench.create("chat")
    new = text_of(await bench.do("keys.rotate", key="chat", grace="1h"))
    kept, revoked = await bench.create("kept"), await bench.create("gone")
    await bench.do("keys.revoke", key="gone")
    assert (await bench.do("keys.restore")).ending is Ending.UNCHANGED
    await redis.delete(KEY_PREFIX + digest_of(old), KEY_PREFIX + digest_of(new))
    await until(lambda: isinstance(bench.decide(new), Denied))
    before = await redis.get(KEY_PREFIX + digest_of(kept))

    planned = await bench.do("keys.restore", plan=True)
    assert [(row["name"], row["generation"]) for row in planned.data] == [("chat", 1), ("chat", 2)]
    assert not await redis.exists(KEY_PREFIX + digest_of(new)), "a plan writes nothing"
    assert (await bench.do("keys.restore", tenant="globex", plan=True)).data == []
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    assert (await bench.do("keys.restore", who=globex)).ending is Ending.UNCHANGED

    outcome = await bench.do("keys.restore")
    assert outcome.ending is Ending.DONE, outcome
    assert isinstance(bench.decide(old), Allowed)
    assert isinstance(bench.decide(new), Allowed)
    assert isinstance(bench.decide(revoked), Denied)
    assert 3_500_000 < await redis.pttl(KEY_PREFIX + digest_of(old)) <= 3_600_000, "the grace ends as it would have"
    assert await redis.get(KEY_PREFIX + digest_of(kept)) == before
