"""Keys that stand in clear: told by their digests, taken over with nothing lost, and never shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from console.access.decision import Allowed, Denied
from console.access.types import KEY_PREFIX, digest_of
from console.access.writer import AccessWriter
from console.local.leaks import find_leaks
from console.operations.journal import LEASE, Journal
from console.operations.recovery import recover_once
from console.operations.runner import Runner
from console.outcome import Ending, Failure
from console.steps import StepKinds
from tests.service.keys.test_keys import Bench, bench, text_of
from tests.support.stack import Killed, fault_at
from tests.support.waiting import until

__all__ = ["bench"]

SOURCE = "api_key:client_keys"
ONE, TWO, OTHER = "bud_client_one-of-the-seed-0001", "bud_admin_two-of-the-seed-00002", "short"
LLAMA = {"endpoint_id": "e1", "model_id": "m1", "project_id": "p1"}


async def seed(bench: Bench, redis: Redis, **more: Any) -> None:
    document = {ONE: {"llama": LLAMA}, TWO: {"llama": LLAMA, "qwen": {"endpoint_id": "e2"}}, OTHER: {}} | more
    await redis.set(SOURCE, json.dumps(document))
    await until(lambda: len(bench.mirror.snapshot.keys) >= len(document) - sum(v is None for v in more.values()))


async def clear(redis: Redis) -> list[str]:
    return list(json.loads(await redis.get(SOURCE) or "{}"))


async def test_what_stands_in_clear_is_told_by_digest_alone(bench: Bench, redis: Redis) -> None:
    await seed(bench, redis, broken=None)
    await redis.hset("api_key:strange", "a", "b")
    outcome = await bench.do("keys.import", plan=True)
    assert outcome.summary == "3 keys stand in clear in 1 Redis values; 2 could not be read; nothing was changed"
    rows = {row["entry"]: row for row in outcome.data if row["entry"]}
    row = rows[digest_of(ONE)[:12]]
    assert (row["kind"], row["models"], row["state"], row["key"]) == ("client", ["llama"], "in clear", None)
    assert rows[digest_of(TWO)[:12]]["kind"] == "admin"
    told = str(outcome.as_json())
    assert not [text for text in (ONE, TWO, OTHER) if text in told]
    assert len(await clear(redis)) == 4
    assert (await bench.do("keys.import")).code == "INVALID_PARAMETER", "whose are they?"
    assert (await bench.do("keys.import", tenant="acme", entry=("ffff0000",))).code == "KEY_NOT_FOUND"


async def test_taken_over_a_key_works_on_rotates_and_ends(bench: Bench, redis: Redis) -> None:
    await seed(bench, redis)
    outcome = await bench.do("keys.import", tenant="acme")
    assert outcome.ending is Ending.DONE, outcome
    assert await redis.exists(SOURCE) == 0, "nothing was left in it"
    assert "append-only file" in outcome.summary
    assert outcome.then == "redis-cli BGREWRITEAOF"
    for text in (ONE, TWO):
        answer = bench.decide(text, "llama")
        assert isinstance(answer, Allowed)
        assert answer.headers["x-modeldeck-endpoint-id"] == "e1", "it leads where it led"
        assert (answer.headers["x-modeldeck-tenant"], answer.key_id) == ("acme", answer.headers["x-modeldeck-key-id"])
    rows = {row["id"]: row for row in (await bench.do("keys.list")).data}
    assert {row["imported_from"] for row in rows.values()} == {SOURCE}
    (identifier,) = [row["id"] for row in rows.values() if row["kind"] == "client"]
    assert (await bench.do("audit")).data[0]["action"] == "keys.import"
    new = text_of(await bench.do("keys.rotate", key=identifier, grace="0"))
    assert isinstance(bench.decide(new, "llama"), Allowed)
    assert isinstance(bench.decide(ONE, "llama"), Denied)
    assert (await bench.do("keys.import", tenant="acme")).ending is Ending.UNCHANGED
    assert (await find_leaks([ONE, TWO, new], bench.directory, redis))[1] == []


async def test_only_the_chosen_one_is_taken_over_and_its_end_comes_along(bench: Bench, redis: Redis) -> None:
    await seed(bench, redis)
    await redis.expire(SOURCE, 3600)
    outcome = await bench.do("keys.import", tenant="acme", entry=(digest_of(ONE)[:8],), owner="web")
    assert outcome.ending is Ending.DONE, outcome
    assert await clear(redis) == [TWO, OTHER]
    assert 3500 < await redis.ttl(SOURCE) <= 3600
    (row,) = (await bench.do("keys.list")).data
    assert row["owner"] == "web"
    assert row["expires_soon"]
    assert isinstance(bench.decide(ONE, now=time.time() + 3700), Denied)


async def test_a_key_that_others_have_by_digest_is_left_to_them(bench: Bench, redis: Redis) -> None:
    await seed(bench, redis)
    await redis.set(KEY_PREFIX + digest_of(ONE), "{}")
    outcome = await bench.do("keys.import", tenant="acme", entry=(digest_of(ONE)[:8],))
    assert (outcome.ending, outcome.code) == (Ending.REFUSED, "KEY_EXISTS")
    assert ONE in await clear(redis)
    assert await redis.get(KEY_PREFIX + digest_of(ONE)) == b"{}"


async def test_a_writer_that_comes_between_loses_nothing(
    bench: Bench, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seed(bench, redis)
    real = AccessWriter._transact
    came: list[str] = []

    async def transact(self: Any, permit: Any, names: Any, change: Any, operation: str) -> Any:
        async def between(pipe: Any) -> Any:
            made = await change(pipe)
            if names == (SOURCE,) and len(came) < 3:
                came.append(f"bud_client_new-{len(came)}")
                document = json.loads(await redis.get(SOURCE) or "{}")
                await redis.set(SOURCE, json.dumps(document | {came[-1]: {"llama": LLAMA}}))
            return made

        return await real(self, permit, names, between, operation)

    monkeypatch.setattr(AccessWriter, "_transact", transact)
    outcome = await bench.do("keys.import", tenant="acme", entry=(digest_of(ONE)[:8],))
    assert outcome.ending is Ending.DONE, outcome
    assert await clear(redis) == [TWO, OTHER, *came]
    assert len(came) == 3


async def test_a_clear_copy_that_was_changed_meanwhile_stays(
    bench: Bench, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seed(bench, redis)
    real = AccessWriter.put_key

    async def put_key(self: Any, *args: Any, **more: Any) -> Any:
        document = json.loads(await redis.get(SOURCE) or "{}")
        await redis.set(SOURCE, json.dumps(document | {ONE: {"other": LLAMA}}))
        return await real(self, *args, **more)

    monkeypatch.setattr(AccessWriter, "put_key", put_key)
    outcome = await bench.do("keys.import", tenant="acme", entry=(digest_of(ONE)[:8],))
    assert outcome.ending is Ending.PENDING
    assert "changed its clear copy meanwhile" in outcome.items[0].detail
    monkeypatch.undo()
    (row,) = (await bench.do("keys.import", plan=True, entry=(digest_of(ONE)[:8],))).data
    assert row["state"] == "taken over, its clear copy is left"
    # Or a key that was revoked would go on through the copy.
    await bench.do("keys.revoke", key=row["key"])
    assert isinstance(bench.decide(ONE), Denied)
    assert await clear(redis) == [TWO, OTHER]


async def test_every_crash_point_leaves_a_key_that_works(bench: Bench, redis: Redis) -> None:
    journal = Journal(await bench.services.store(), clock=lambda: datetime.now(UTC) + LEASE * 2)
    for number in range(6):
        for moment in ("before", "after"):
            for fault in (Failure("the network is down", code="NETWORK"), Killed()):
                text = f"bud_client_crash-{number}-{moment}-{type(fault).__name__}"
                await seed(bench, redis, **{text: {"llama": LLAMA}})
                entry = (digest_of(text)[:12],)
                with fault_at(number, moment, fault) as begun, contextlib.suppress(Killed):
                    await bench.do("keys.import", tenant="acme", entry=entry)
                assert len(begun) > number
                await recover_once(journal, Runner(journal, StepKinds(bench.services)))
                await asyncio.sleep(0.02)
                where = (number, moment, fault)
                assert isinstance(bench.decide(text, "llama"), Allowed), where
                # What was not begun for good is as it was; what was is finished, and never both.
                by_digest = bool(await redis.exists(KEY_PREFIX + digest_of(text)))
                assert by_digest is (number >= 4), where
                assert (text in await clear(redis)) is not by_digest, where
