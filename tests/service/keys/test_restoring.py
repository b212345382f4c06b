"""Entries that Redis has lost come back from the database, and only those."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from console.access.decision import Allowed, Denied
from console.access.types import KEY_PREFIX, digest_of
from console.guard import Principal, Role
from console.keys import handlers
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


async def test_a_key_of_which_redis_has_no_entry_is_not_said_to_be_active(
    bench: Bench, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, whole, off = await bench.create("lost"), await bench.create("whole"), await bench.create("off")
    await bench.do("keys.suspend", key="off")
    await redis.delete(KEY_PREFIX + digest_of(lost), KEY_PREFIX + digest_of(off))

    async def states() -> dict[str, str]:
        return {row["name"]: row["state"] for row in (await bench.do("keys.list")).data}

    # One that is being issued has its row before its entry.
    assert await states() == {"lost": "active", "whole": "active", "off": "suspended"}
    monkeypatch.setattr(handlers, "_ISSUED_LATELY", timedelta(0))
    assert await states() == {"lost": "lost", "whole": "active", "off": "suspended"}
    assert (await bench.do("keys.show", key="lost")).data["state"] == "lost"
    overview = (await bench.do("overview")).data
    assert [need["what"] for need in overview["needs"] if need["state"] == "lost"] == ["key lost"]
    assert overview["keys"]["active"] == 1
    assert (await bench.do("keys.restore")).ending.good
    assert (await states())["lost"] == "active"
    assert isinstance(bench.decide(lost), Allowed)
    assert isinstance(bench.decide(whole), Allowed)
