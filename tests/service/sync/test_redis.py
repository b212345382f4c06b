"""What a sync does in Redis: leases that other hosts see, and versions that caches go by; and that it does without."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from console.actions import REGISTRY
from console.actions.perform import perform
from console.catalog import tags
from console.catalog.types import ChangeKind, ModelChange
from console.config import ProviderLink
from console.guard import Principal, Role
from console.local.samples import faults
from console.local.valkey import Valkey
from console.outcome import Refusal
from console.services import Services
from console.store.engine import Store
from console.store.migrate import upgrade
from console.sync import history
from console.sync.engine import Syncer
from console.sync.locks import PREFIX, Locks
from console.sync.types import ProviderOutcome, RunState
from tests.support.profiles import profile_for
from tests.support.waiting import until

from .conftest import Deck

LEASE = timedelta(seconds=60)


async def test_a_lease_is_had_by_one_and_given_back(redis: Redis) -> None:
    one, two = Locks(redis, LEASE), Locks(redis, LEASE)
    assert await one.take(["groq", "xai"]) == {}
    busy = await two.take(["groq", "fal"])
    assert set(busy) == {"groq"}
    assert ":" in busy["groq"]  # the host and the process that has it
    await two.release()
    assert await redis.exists(PREFIX + "groq", PREFIX + "fal") == 1  # the other's stays
    await one.release()
    assert await redis.keys(f"{PREFIX}*") == []


async def test_a_lease_runs_out_unless_it_is_renewed(redis: Redis) -> None:
    mine = Locks(redis, timedelta(seconds=30))
    await mine.take(["groq"])
    await redis.pexpire(PREFIX + "groq", 50)
    await mine.renew()
    assert await redis.pttl(PREFIX + "groq") > 1_000
    await redis.delete(PREFIX + "groq")  # it ran out, and somebody else has it now
    await redis.set(PREFIX + "groq", "elsewhere:1 x")
    await mine.renew()
    await mine.release()
    assert await redis.get(PREFIX + "groq") == b"elsewhere:1 x"


async def test_leases_are_done_without_where_redis_is_away(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    client = valkey.client("test")
    locks = Locks(client, LEASE)
    await valkey.stop()
    assert await locks.take(["groq"]) == {}
    await locks.renew()
    await locks.release()
    await client.aclose()
    assert "the database's own still hold" in caplog.text


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Store]:
    """The database of another host."""
    store = Store(f"sqlite:///{tmp_path / 'elsewhere.db'}")
    await upgrade(store)
    yield store
    await store.close()


async def test_two_hosts_with_databases_of_their_own_do_not_ask_a_provider_at_once(
    deck: Deck, elsewhere: Store, redis: Redis
) -> None:
    def syncer(store: Store) -> Syncer:
        return Syncer(store, credential=deck.credential, clock=deck.clock, locks=Locks(redis, LEASE))

    deck.samples.fault("openrouter", faults.Slow(60))
    slow = asyncio.create_task(syncer(deck.store).run(deck.permit, deck.targets("openrouter")))
    await until(lambda: deck.samples.seen("openrouter"))
    both = await syncer(elsewhere).run(deck.permit, deck.targets("openrouter", "together"))
    assert [(r.outcome, r.code) for r in both.providers] == [
        (ProviderOutcome.REFUSED, "SYNC_RUNNING"),
        (ProviderOutcome.OK, ""),
    ]
    with pytest.raises(Refusal) as caught:
        await syncer(elsewhere).run(deck.permit, deck.targets("openrouter"))
    assert caught.value.code == "SYNC_RUNNING"
    assert len(deck.samples.seen("openrouter")) == 1
    deck.samples.fault("openrouter", None)
    deck.samples.release()
    assert (await slow).exit_code == 0
    assert await redis.keys(f"{PREFIX}*") == []
    assert (await syncer(elsewhere).run(deck.permit, deck.targets("openrouter"))).exit_code == 0


async def test_a_cancelled_run_gives_its_leases_back(deck: Deck, redis: Redis) -> None:
    deck.samples.fault("openrouter", faults.Slow(60))
    syncer = Syncer(deck.store, credential=deck.credential, clock=deck.clock, locks=Locks(redis, LEASE))
    run = asyncio.create_task(syncer.run(deck.permit, deck.targets("openrouter")))
    await until(lambda: deck.samples.seen("openrouter"))
    run.cancel()
    await asyncio.wait({run})
    assert await redis.keys(f"{PREFIX}*") == []
    assert (await history.runs(deck.store))[0].state is RunState.CANCELLED


# --- cache tags ----------------------------------------------------------------------------------------------------


def change(kind: ChangeKind, native_id: str = "llama") -> ModelChange:
    return ModelChange("groq", native_id, kind)


def test_what_a_change_voids() -> None:
    lists = {"models:all", "models:gateway:groq", "models:search"}
    assert set(tags.of_changes([change(ChangeKind.CHANGED)])) == lists | {"model:groq/llama"}
    for kind in (ChangeKind.ADDED, ChangeKind.MISSING, ChangeKind.RETIRED, ChangeKind.RETURNED):
        assert set(tags.of_changes([change(kind)])) == lists | {"model:groq/llama", "rankings"}
    assert set(tags.of_changes([change(ChangeKind.BASELINE, "")])) == lists | {"rankings"}
    assert tags.of_changes([]) == ()
    twice = tags.of_changes([change(ChangeKind.CHANGED), change(ChangeKind.CHANGED)])
    assert len(twice) == len(set(twice))


def test_what_is_voided_by_hand() -> None:
    assert tags.of_kind("models") == ("models:all",)
    assert tags.of_kind("models", gateway="groq") == ("models:gateway:groq",)
    assert tags.of_kind("model-detail", model="groq/llama") == ("model:groq/llama",)
    assert (tags.of_kind("rankings"), tags.of_kind("search")) == (("rankings",), ("models:search",))
    for wrong in ("model-detail", "everything", "models:*"):
        with pytest.raises(Refusal):
            tags.of_kind(wrong)


async def test_a_version_counts_up_and_is_published_once(redis: Redis, valkey: Valkey) -> None:
    listener = valkey.client("listener").pubsub()
    await listener.subscribe(tags.CHANNEL)
    await until_heard(listener, "subscribe")
    assert await tags.versions_of(redis, ["models:all", "rankings"]) == (0, 0)
    await tags.bump(redis, ["models:all", "rankings"], reason="run 1")
    assert await tags.bump(redis, ["models:all"], reason="run 2") == {"models:all": 2}
    assert await tags.versions_of(redis, ["models:all", "rankings"]) == (2, 1)
    told = [json.loads((await until_heard(listener, "message"))["data"]) for _ in range(2)]
    assert told == [
        {"reason": "run 1", "tags": {"models:all": 1, "rankings": 1}},
        {"reason": "run 2", "tags": {"models:all": 2}},
    ]
    assert await tags.versions_of(redis, []) == ()
    await listener.aclose()  # type: ignore[no-untyped-call]


async def until_heard(listener: Any, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            message = await listener.get_message(timeout=5)
            if message is not None and message["type"] == kind:
                return dict(message)


async def test_many_tags_are_counted_up_in_few_commands(redis: Redis) -> None:
    many = [tags.of_model(f"groq/{number}") for number in range(2_500)]
    versions = await tags.bump(redis, many, reason="run 1")
    assert set(versions.values()) == {1}
    assert await redis.hlen(tags.KEY) == 2_500


async def test_a_redis_that_is_away_fails_nothing(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    client = valkey.client("test")
    await valkey.stop()
    assert not await tags.void(client, ["models:all"], reason="run 1")
    assert not await tags.void(None, ["models:all"], reason="run 1")
    assert "the caches were not told of run 1" in caplog.text
    await client.aclose()


async def test_a_run_tells_the_caches_once_and_of_just_what_changed(
    deck: Deck, redis: Redis, valkey: Valkey, tmp_path: Path
) -> None:
    links = {slug: ProviderLink(url=deck.samples.base_url(slug)) for slug in ("openrouter", "deepinfra")}
    profile = profile_for(tmp_path, valkey, database=str(deck.store.url.database), providers=links)
    listener = valkey.client("listener").pubsub()
    await listener.subscribe(tags.CHANNEL)
    await until_heard(listener, "subscribe")

    async with Services(profile) as services:

        async def run(*providers: str, dry_run: bool = False) -> None:
            values = {"provider": providers, "dry_run": dry_run}
            await perform(services, REGISTRY["sync.run"], values, Principal("alice", Role.ADMIN))

        async def told() -> dict[str, Any]:
            return dict(json.loads((await until_heard(listener, "message"))["data"]))

        await run("openrouter", "deepinfra")
        both = {"models:gateway:openrouter": 1, "models:gateway:deepinfra": 1}
        lists = {"models:all": 1, "models:search": 1, "rankings": 1}
        assert await told() == {"reason": "run 1", "tags": {**both, **lists}}
        deck.samples.reprice("openrouter", "openai/gpt-4o-mini", "2")
        deck.samples.remove("deepinfra", "zai-org/GLM-5")
        await run("openrouter", dry_run=True)
        await run("openrouter")
        second = await told()
        assert set(second["tags"]) == {
            "models:all",
            "models:search",
            "models:gateway:openrouter",
            "model:openrouter/openai/gpt-4o-mini",
        }
        await run("openrouter")  # nothing changed: nothing is said
        await run("deepinfra")
        third = await told()
        assert (third["reason"], third["tags"]["model:deepinfra/zai-org/GLM-5"]) == ("run 4", 1)
        assert third["tags"]["rankings"] == 2
        values = {"model": "openrouter/openai/gpt-4o", "text": "ours"}
        await perform(services, REGISTRY["models.note"], values, Principal("alice", Role.ADMIN))
        assert (await told())["tags"]["model:openrouter/openai/gpt-4o"] == 1
        values = {"kind": "models", "gateway": "groq"}
        outcome = await perform(services, REGISTRY["cache.invalidate"], values, Principal("alice", Role.ADMIN))
        assert outcome.data["versions"] == {"models:gateway:groq": 1}
    assert await redis.keys(f"{PREFIX}*") == []
    await listener.aclose()  # type: ignore[no-untyped-call]
