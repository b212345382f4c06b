"""The feed: what changed inside, by whom, without a key in clear."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from console.access.codec import encode_entry
from console.access.feed import Feed, FeedEvent
from console.access.types import Grant, digest_of
from console.access.writer import AccessWriter
from console.actions import REGISTRY
from console.actions.perform import perform
from console.config import AccessRules
from console.guard import Principal, Role, system_permit
from console.local.valkey import Valkey
from console.outcome import Ending
from console.services import Services
from console.sync import analytics
from tests.support.profiles import profile_for
from tests.support.waiting import until

ADMIN = Principal("op", Role.ADMIN, None, "cli", "10.0.0.1")

GRANT = {"endpoint_id": "e1", "model_id": "m1", "project_id": "p1"}
PERMIT = system_permit("publish").on_behalf_of("op@bastion")


class Heard(list[FeedEvent]):
    async def next(self) -> FeedEvent:
        await until(lambda: len(self) > 0)
        return self.pop(0)


@pytest.fixture
async def heard(valkey: Valkey) -> AsyncIterator[Heard]:
    client, heard = valkey.client("feed"), Heard()
    feed = Feed(client, AccessRules(), heard.append)
    task = asyncio.create_task(feed.run())
    await until(feed.ready.is_set)
    yield heard
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await client.aclose()


async def test_published_models_come_go_and_change_their_target(heard: Heard, redis: Redis) -> None:
    await redis.set("published_model_info", json.dumps({"a": GRANT, "b": GRANT}))
    event = await heard.next()
    assert (event.event, event.key, event.changes) == ("set", "published_model_info", ("+a", "+b"))
    assert event.actor is None
    assert "another writer" in str(event)
    await redis.set("published_model_info", json.dumps({"a": GRANT | {"endpoint_id": "e2"}}))
    assert (await heard.next()).changes == ("−b", "a → e2")
    await redis.delete("published_model_info")
    event = await heard.next()
    assert (event.event, event.changes) == ("del", ("−a",))


async def test_our_writes_are_attributed(heard: Heard, redis: Redis) -> None:
    await AccessWriter(redis).publish(PERMIT, "mine", Grant("e"), operation="op7")
    event = await heard.next()
    assert (event.actor, event.action, event.operation, event.changes) == ("op@bastion", "publish", "op7", ("+mine",))
    await redis.set("published_model_info", "{}")
    assert (await heard.next()).actor is None, "an attribution is used once"


async def test_keys_show_as_digest_id_and_generation(heard: Heard, redis: Redis) -> None:
    digest = digest_of("bud_client_secret")
    value = encode_entry({"m": Grant("e")}, key_id="k7f3", user_id=None, project_id=None, tenant="acme", generation=2)
    await AccessWriter(redis).put_key(PERMIT, digest, value)
    event = await heard.next()
    assert event.key == f"api_key:{digest[:4]}…{digest[-2:]}"
    assert "k7f3 gen 2" in event.changes[0]
    await redis.set("api_key:shared", json.dumps({"bud_client_secret": {"m": GRANT}}))
    event = await heard.next()
    assert event.key == "api_key:shared"
    assert "bud_client_secret" not in str(event) + json.dumps(event.as_json())


async def test_what_cannot_be_read_is_shown_as_a_fault(heard: Heard, redis: Redis) -> None:
    await redis.set("published_model_info", "{broken")
    event = await heard.next()
    assert event.event == "faulty"
    assert "not JSON" in event.changes[0]


async def test_what_changed_during_a_cut_is_reported_afterwards(heard: Heard, redis: Redis, valkey: Valkey) -> None:
    await redis.set("published_model_info", json.dumps({"a": GRANT}))
    await heard.next()
    await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await redis.set("published_model_info", json.dumps({"a": GRANT, "b": GRANT}))
    event = await heard.next()
    assert event.changes == ("+b",)


async def test_a_feed_is_recorded_and_replayed_as_it_was(valkey: Valkey, tmp_path: Path) -> None:
    record = tmp_path / "feed.jsonl"
    async with Services(profile_for(tmp_path, valkey)) as services:
        seen: list[FeedEvent] = []
        watching = asyncio.create_task(
            perform(services, REGISTRY["feed"], {"count": 2, "record": str(record)}, ADMIN, emit=seen.append)
        )
        client = valkey.client()
        while not watching.done():
            await client.set("published_model_info", json.dumps({"m": {"endpoint_id": str(time.time())}}))
            await asyncio.sleep(0.05)
        assert (await watching).ending is Ending.DONE
        replayed: list[FeedEvent] = []
        outcome = await perform(services, REGISTRY["feed"], {"replay": str(record)}, ADMIN, emit=replayed.append)
        assert outcome.data == {"events": 2}
        assert [str(event) for event in replayed] == [str(event) for event in seen]
        record.write_text(record.read_text() + "nonsense\n")
        broken = await perform(services, REGISTRY["feed"], {"replay": str(record)}, ADMIN)
        assert (broken.ending, broken.code) == (Ending.REFUSED, "BAD_RECORD")
        assert "line 3" in broken.summary
        nowhere = await perform(services, REGISTRY["feed"], {"record": str(tmp_path / "no" / "where")}, ADMIN)
        assert nowhere.code == "BAD_RECORD"
        await client.aclose()


async def completed(redis: Redis, run: int, *, publish: bool = True) -> None:
    by_provider = {
        "groq": {"outcome": "ok", "added": 2, "changed": 0, "missing": 1},
        "fal": {"outcome": "unreachable", "added": 0, "changed": 0, "missing": 0},
        "xai": {"outcome": "unchanged", "added": 0, "changed": 0, "missing": 0},
    }
    data = {"run": run, "actor": "schedule", "by_provider": by_provider}
    await redis.xadd(analytics.STREAM, {"event": "sync.completed", "data": json.dumps(data)})
    if publish:
        await redis.publish(analytics.CHANNEL, str(run))


async def test_syncs_stand_beside_the_changes_of_keys(heard: Heard, redis: Redis) -> None:
    await completed(redis, 12)
    event = await heard.next()
    assert (event.event, event.key, event.prefix, event.actor) == ("sync", "sync:12", "sync", "schedule")
    assert event.changes == ("groq +2 −1", "fal unreachable")
    assert FeedEvent.of_json(event.as_json()).prefix == "sync"


async def test_a_sync_that_ended_while_the_link_was_down_is_told(heard: Heard, redis: Redis) -> None:
    await completed(redis, 13, publish=False)
    await redis.client_kill_filter(_type="pubsub", skipme=True)
    assert (await heard.next()).key == "sync:13"


async def test_what_others_write_into_the_stream_of_syncs_ends_no_feed(heard: Heard, redis: Redis) -> None:
    await redis.xadd(analytics.STREAM, {"event": "sync.completed", "data": '{"by_provider": {"a": 1}}'})
    await redis.publish(analytics.CHANNEL, "anything")
    assert (await heard.next()).changes == ("nothing new",)
    await redis.delete(analytics.STREAM)
    await redis.set(analytics.STREAM, "a text")
    await redis.publish(analytics.CHANNEL, "anything")
    await redis.set("published_model_info", json.dumps({"a": GRANT}))
    assert (await heard.next()).changes == ("+a",)
