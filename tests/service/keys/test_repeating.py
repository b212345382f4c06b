"""A rotation that is asked for again, several at once, and keys that are found by their digest."""

from __future__ import annotations

import asyncio
import time

from redis.asyncio import Redis

from console.access.decision import Allowed
from console.access.types import PUBLISHED_KEY, digest_of
from console.access.used import HOUR_PREFIX, Tally, hours_of
from console.guard import Principal, Role
from console.outcome import Ending, Failure
from tests.service.keys.test_keys import Bench, bench, text_of
from tests.support.stack import fault_at

__all__ = ["bench"]


async def test_a_request_that_comes_again_gets_the_same_generation_and_no_text(bench: Bench) -> None:
    await bench.create()
    first = await bench.do("keys.rotate", key="chat", idempotency_key="deploy-7")
    new = text_of(first)
    for _ in range(2):
        again = await bench.do("keys.rotate", key="chat", idempotency_key="deploy-7")
        assert (again.ending, again.revealed, again.data["generation"]) == (Ending.UNCHANGED, None, 2)
        assert "kept nowhere" in again.summary
    assert isinstance(bench.decide(new), Allowed)
    other = await bench.do("keys.rotate", key="chat", idempotency_key="deploy-7", grace="1h")
    assert other.code == "IDEMPOTENCY_KEY_REUSED"
    assert (await bench.do("keys.rotate", key="chat", idempotency_key="deploy-8")).code == "ROTATION_UNDER_WAY"
    await bench.do("keys.finish", key="chat")
    assert (await bench.do("keys.rotate", key="chat", idempotency_key="deploy-7")).ending is Ending.UNCHANGED


async def test_a_request_whose_rotation_was_undone_rotates(bench: Bench) -> None:
    await bench.create()
    with fault_at(1, "after", Failure("the network is down")):
        assert (await bench.do("keys.rotate", key="chat", idempotency_key="x")).ending is Ending.FAILED
    assert (await bench.do("keys.rotate", key="chat", idempotency_key="x")).revealed is not None


async def test_of_equal_requests_at_one_moment_one_rotates(bench: Bench) -> None:
    await bench.create()
    asked = (bench.do("keys.rotate", key="chat", idempotency_key="x") for _ in range(4))
    outcomes = await asyncio.gather(*asked)
    assert sum(one.revealed is not None for one in outcomes) == 1
    assert len((await bench.do("keys.show", key="chat")).data["generations"]) == 2
    assert (await bench.do("keys.rotate", key="chat", idempotency_key="x")).ending is Ending.UNCHANGED


async def test_a_refusal_tells_the_time_as_people_read_it(bench: Bench) -> None:
    await bench.create()
    await bench.do("keys.rotate", key="chat")
    summary = (await bench.do("keys.rotate", key="chat")).summary
    assert "chat (k" in summary
    assert "in 1" in summary
    assert " min;" in summary
    assert "T" not in summary.split("until ")[1].split(" ")[0]


async def test_several_are_rotated_with_an_item_and_a_text_for_each(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        await bench.create(name)
    await bench.do("keys.rotate", key="b")
    outcome = await bench.do("keys.renew", key=("a", "b", "c", "a"))
    assert (outcome.ending, outcome.code) == (Ending.PARTIAL, "ROTATION_UNDER_WAY")
    assert [item.state for item in outcome.items] == ["done", "refused", "done"]
    body = outcome.as_json()
    assert len(body["keys"]) == 2
    for text in body["keys"].values():
        assert isinstance(bench.decide(text), Allowed)
    assert outcome.as_json()["keys"] == dict.fromkeys(body["keys"]), "shown this once"
    assert "bud_client_" not in str(outcome)


async def test_a_key_is_found_by_the_digest_of_its_text(bench: Bench, redis: Redis) -> None:
    old = await bench.create()
    found = await bench.do("keys.find", digest=digest_of(old))
    assert (found.data["name"], found.data["generation"], found.data["works"]) == ("chat", 1, True)
    await bench.do("keys.rotate", key="chat", grace="0")
    assert "does not work any more" in (await bench.do("keys.find", digest=digest_of(old))).summary
    globex = Principal("g", Role.VIEWER, frozenset({"globex"}))
    assert (await bench.do("keys.find", who=globex, digest=digest_of(old))).code == "TENANT_FORBIDDEN"
    assert (await bench.do("keys.find", digest=digest_of("nobody"))).code == "KEY_NOT_FOUND"
    refused = await bench.do("keys.find", digest=old)
    assert refused.code == "INVALID_PARAMETER"
    assert old not in str(refused)


async def test_a_name_means_the_own_tenants_key(bench: Bench) -> None:
    await bench.create()
    await bench.do("keys.create", name="chat", tenant="globex")
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    shown = await bench.do("keys.show", who=globex, key="chat")
    assert shown.data["tenant"] == "globex"
    assert (await bench.do("keys.rotate", who=globex, key="chat")).ending is Ending.DONE


async def test_what_a_key_may_call_is_shown_with_where_it_comes_from(bench: Bench, redis: Redis) -> None:
    await redis.set("api_key:old", '{"bud_client_xxxxxxxxxxxx": {"llama": {"endpoint_id": "e1"}}}')
    await redis.set(PUBLISHED_KEY, '{"llama": {"endpoint_id": "e9"}, "qwen": {"endpoint_id": "e2"}}')
    (row,) = (await bench.do("keys.import", tenant="acme")).data
    effective = (await bench.do("keys.show", key=row["key"])).data["effective"]
    assert effective == [
        {"model": "llama", "source": "own", "endpoint": "e1", "tenant": None, "clash": "e9"},
        {"model": "qwen", "source": "published", "endpoint": "e2", "tenant": None, "clash": None},
    ]
    await redis.set(PUBLISHED_KEY, "{broken")
    assert (await bench.do("keys.show", key=row["key"])).data["effective"] is None


async def test_uses_are_counted_by_the_hour_and_old_hours_go(redis: Redis) -> None:
    now, tally, one = time.time(), Tally(redis), digest_of("one")
    await redis.hset(f"{HOUR_PREFIX}{int(now) // 3600 - 30}", one, 5)
    for hours_ago, count in ((2, 3), (0, 2)):
        for _ in range(count):
            tally.saw(Allowed({}, "k1", one, "llama"), None, now)
        await tally.flush(now - hours_ago * 3600)
    hours = await hours_of(redis, [one, digest_of("two")], now)
    assert (len(hours), hours[-3:]) == (24, [3, 0, 2])
    assert len([name async for name in redis.scan_iter(match=f"{HOUR_PREFIX}*")]) == 2
