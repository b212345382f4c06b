"""Keys through the same door as every face: a real Valkey, a real database, a mirror that decides."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from console import cli
from console.access.decision import Allowed, Ask, Body, Denied, decide
from console.access.mirror import Mirror
from console.access.types import KEY_PREFIX, digest_of
from console.actions import REGISTRY
from console.actions.perform import perform
from console.config import AccessRules
from console.guard import Principal, Role
from console.local.leaks import find_leaks
from console.local.valkey import Valkey
from console.operations.journal import LEASE
from console.operations.recovery import recover_once
from console.operations.types import Progress, StepState
from console.outcome import Ending, Outcome
from console.publishing import book
from console.publishing.types import Endpoint, Origin, Publication, PublicationKind, PublicationState
from console.services import Services
from tests.support.profiles import profile_for
from tests.support.waiting import until

ADMIN = Principal("op", Role.ADMIN, None, "cli", "10.0.0.1")


@dataclass
class Bench:
    services: Services
    mirror: Mirror
    directory: Path

    async def do(self, action: str, confirmed: str = "yes", who: Principal = ADMIN, **values: Any) -> Outcome:
        return await perform(self.services, REGISTRY[action], values, who, confirmed=confirmed)

    async def create(self, name: str = "chat", **values: Any) -> str:
        outcome = await self.do("keys.create", name=name, tenant="acme", **values)
        assert outcome.ending is Ending.DONE, outcome
        return text_of(outcome)

    def decide(self, key: str, model: str | None = None, now: float | None = None) -> Allowed | Denied:
        path = "/v1/chat/completions" if model else "/v1/models"
        ask = Ask((f"Bearer {key}",), "POST", path, model, Body.OK if model else Body.NONE)
        return decide(self.mirror.snapshot, ask, now=time.time() if now is None else now)


def text_of(outcome: Outcome) -> str:
    assert outcome.revealed is not None
    text = outcome.revealed.take()
    assert text
    return text


async def shown_without_history(bench: Bench) -> dict[str, Any]:
    """What `keys show` says of the key as it is; that something was tried stays in its timeline."""
    return {name: value for name, value in (await bench.do("keys.show", key="chat")).data.items() if name != "timeline"}


@pytest.fixture
async def bench(tmp_path: Path, valkey: Valkey) -> AsyncIterator[Bench]:
    client = valkey.gateway_client()
    mirror = Mirror(client, AccessRules(), instance="w1")
    following = asyncio.create_task(mirror.run())
    await until(lambda: mirror.status.state == "live")
    async with Services(profile_for(tmp_path, valkey)) as services:
        yield Bench(services, mirror, tmp_path)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await client.aclose()


async def test_a_created_key_works_at_once_and_is_shown_once(bench: Bench) -> None:
    outcome = await bench.do("keys.create", name="chat", tenant="acme", owner="acme/chat")
    key = text_of(outcome)
    assert key.startswith("bud_client_")
    assert len(key) == len("bud_client_") + 43
    assert isinstance(bench.decide(key), Allowed), "done means that the gateway has it"
    assert "1 of 1 gateway workers" in outcome.summary
    assert key not in str(outcome.as_json())


async def test_no_text_of_a_key_is_kept_anywhere(bench: Bench, redis: Redis) -> None:
    keys = [await bench.create()]
    keys.append(text_of(await bench.do("keys.rotate", key="chat")))
    await bench.do("keys.revoke", key="chat")
    searched, found = await find_leaks(keys, bench.directory, redis)
    assert searched > 5
    assert found == []
    await redis.set("planted", keys[0])
    (bench.directory / "planted.log").write_text("x" * 3_000_000 + keys[1])
    assert len((await find_leaks(keys, bench.directory, redis))[1]) == 2, "the search finds what there is"


async def test_both_generations_work_until_the_grace_ends(bench: Bench, redis: Redis) -> None:
    old = await bench.create()
    new = text_of(await bench.do("keys.rotate", key="chat", grace="300s"))
    assert isinstance(bench.decide(old), Allowed)
    assert isinstance(bench.decide(new), Allowed)
    assert isinstance(bench.decide(old, now=time.time() + 301), Denied), "by the clock, whatever Redis has expired"
    assert isinstance(bench.decide(new, now=time.time() + 301), Allowed)
    assert 290_000 < await redis.pttl(KEY_PREFIX + digest_of(old)) <= 300_000
    shown = (await bench.do("keys.show", key="chat")).data
    assert shown["state"] == "rotating"
    assert [generation["generation"] for generation in shown["generations"]] == [1, 2]


async def test_redis_ends_a_short_grace_by_itself(bench: Bench, redis: Redis) -> None:
    old = await bench.create()
    await bench.do("keys.rotate", key="chat", grace="1")
    await until(lambda: isinstance(bench.decide(old), Denied), within=4)

    async def gone() -> bool:
        return not await redis.exists(KEY_PREFIX + digest_of(old))

    await until(gone, within=4)


async def test_a_second_rotation_within_the_grace_is_refused_and_finish_ends_it(bench: Bench) -> None:
    first = await bench.create()
    second = text_of(await bench.do("keys.rotate", key="chat"))
    refused = await bench.do("keys.rotate", key="chat")
    assert (refused.ending, refused.code, refused.status) == (Ending.REFUSED, "ROTATION_UNDER_WAY", 409)
    assert (await bench.do("keys.finish", key="chat")).ending is Ending.DONE
    assert isinstance(bench.decide(first), Denied)
    assert isinstance(bench.decide(second), Allowed)
    assert (await bench.do("keys.finish", key="chat")).ending is Ending.UNCHANGED
    assert (await bench.do("keys.rotate", key="chat")).ending is Ending.DONE


async def test_a_rotation_without_grace_ends_the_old_text_at_once(bench: Bench) -> None:
    old = await bench.create()
    new = text_of(await bench.do("keys.rotate", key="chat", grace="0"))
    assert isinstance(bench.decide(old), Denied)
    assert isinstance(bench.decide(new), Allowed)


async def test_revoking_ends_every_generation_and_is_clean_when_run_again(bench: Bench, redis: Redis) -> None:
    texts = [await bench.create(), text_of(await bench.do("keys.rotate", key="chat"))]
    assert (await bench.do("keys.revoke", key="chat")).ending is Ending.DONE
    assert all(isinstance(bench.decide(text), Denied) for text in texts)
    assert not await redis.exists(*(KEY_PREFIX + digest_of(text) for text in texts))
    identifier = (await bench.do("keys.list", all=True)).data[0]["id"]
    assert (await bench.do("keys.revoke", key=identifier)).ending is Ending.UNCHANGED
    assert (await bench.do("keys.list")).data == []


async def test_destroying_asks_first(bench: Bench) -> None:
    key = await bench.create()
    outcome = await bench.do("keys.revoke", confirmed="", key="chat")
    assert (outcome.ending, outcome.code) == (Ending.REFUSED, "NOT_CONFIRMED")
    assert isinstance(bench.decide(key), Allowed)


async def test_an_admin_key_gets_its_own_models_only(bench: Bench) -> None:
    outcome = await bench.do("keys.create", name="ops", tenant="acme", kind="admin")
    assert (outcome.ending, outcome.code) == (Ending.REFUSED, "INVALID_PARAMETER")
    outcome = await bench.do("keys.create", name="ops", tenant="acme", kind="admin", model="llama")
    assert (outcome.ending, outcome.code) == (Ending.REFUSED, "MODEL_NOT_PUBLISHED")
    origin = Origin("catalog", "deepinfra/llama", "llama", Endpoint("h", 443, tls=True))
    publication = Publication("pub-1", "llama", "acme", PublicationKind.OPENAI, origin)
    store = await bench.services.store()
    await book.reserve(store, publication, [], "op")
    await book.set_state(store, "pub-1", PublicationState.READY)
    key = await bench.create("ops", kind="admin", model="llama")
    answer = bench.decide(key, "llama")
    assert isinstance(answer, Allowed)
    assert answer.headers["x-modeldeck-endpoint-id"] == "pub-1"
    assert isinstance(bench.decide(key, "other"), Denied)
    other = await bench.do("keys.create", name="x", tenant="globex", kind="admin", model="llama")
    assert other.code == "MODEL_NOT_PUBLISHED", "another tenant's model"


async def test_names_are_unique_in_a_tenant_and_ids_name_too(bench: Bench) -> None:
    await bench.create()
    again = await bench.do("keys.create", name="chat", tenant="acme")
    assert (again.code, again.status) == ("KEY_EXISTS", 409)
    await bench.do("keys.create", name="chat", tenant="globex")
    ambiguous = await bench.do("keys.show", key="chat")
    assert ambiguous.status == 409
    identifier = (await bench.do("keys.list", tenant="acme")).data[0]["id"]
    assert (await bench.do("keys.show", key=identifier)).data["tenant"] == "acme"
    assert (await bench.do("keys.show", key="nobody")).status == 404


async def test_a_principal_reaches_its_own_tenants_only(bench: Bench) -> None:
    await bench.create()
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    viewer = Principal("v", Role.VIEWER)
    assert (await bench.do("keys.show", who=globex, key="chat")).code == "TENANT_FORBIDDEN"
    assert (await bench.do("keys.rotate", who=globex, key="chat")).code == "FORBIDDEN", "before anything was begun"
    refused = (await bench.do("audit")).data[0]
    assert (refused["action"], refused["tenant"], refused["outcome"]) == ("keys.rotate", "acme", "refused")
    assert (await bench.do("keys.create", who=globex, name="x", tenant="acme")).code == "FORBIDDEN"
    assert (await bench.do("keys.list", who=globex)).data == []
    assert (await bench.do("keys.rotate", who=viewer, key="chat")).code == "FORBIDDEN"
    assert len((await bench.do("keys.list", who=viewer)).data) == 1


async def test_without_a_gateway_worker_it_says_pending_not_done(tmp_path: Path, valkey: Valkey) -> None:
    async with Services(profile_for(tmp_path, valkey)) as services:
        outcome = await perform(services, REGISTRY["keys.create"], {"name": "c", "tenant": "acme"}, ADMIN)
        assert (outcome.ending, outcome.exit_code) == (Ending.PENDING, 3)
        assert "no gateway worker" in outcome.summary
        assert outcome.revealed is not None


async def test_a_rotation_that_fails_leaves_the_old_key_as_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from console.keys import steps
    from console.outcome import Unavailable

    old = await bench.create()
    before = await shown_without_history(bench)
    real = steps.PutEntry.take

    async def fail_on_the_grace(self: Any, arguments: Any, undo: Any, operation: str) -> str:
        if arguments["not_after"] is not None:
            raise Unavailable("Redis went away", code="REDIS_UNAVAILABLE")
        return await real(self, arguments, undo, operation)

    monkeypatch.setattr(steps.PutEntry, "take", fail_on_the_grace)
    outcome = await bench.do("keys.rotate", key="chat")
    assert outcome.ending is Ending.FAILED
    assert outcome.revealed is None, "a key that does not work is not shown"
    assert await shown_without_history(bench) == before
    assert isinstance(bench.decide(old), Allowed)
    await until(lambda: len(bench.mirror.snapshot.keys) == 1)


async def test_a_revocation_that_was_killed_midway_is_finished_by_recovery(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from console.keys import steps

    key = await bench.create()

    async def die(self: Any, arguments: Any, undo: Any, operation: str) -> str:
        raise SystemExit(9)

    with monkeypatch.context() as patched:
        patched.setattr(steps.RevokeRow, "take", die)
        with pytest.raises(SystemExit):
            await bench.do("keys.revoke", key="chat")
    assert (await bench.do("keys.show", key="chat")).data["state"] == "active"
    journal, runner = await bench.services.journal(), await bench.services.runner()
    monkeypatch.setattr(journal, "_clock", lambda: datetime.now(UTC) + LEASE * 2)
    monkeypatch.setattr(runner, "_journal", journal)
    (record,) = await recover_once(journal, runner)
    assert record.state.value == "done"
    assert isinstance(bench.decide(key), Denied)
    assert [row["state"] for row in (await bench.do("keys.list", all=True)).data] == ["revoked"]


async def test_everything_that_was_tried_is_in_the_audit(bench: Bench) -> None:
    await bench.create()
    await bench.do("keys.rotate", key="chat")
    await bench.do("keys.rotate", who=Principal("v", Role.VIEWER), key="chat")
    rows = (await bench.do("audit")).data
    assert [(row["actor"], row["action"], row["outcome"]) for row in rows] == [
        ("v", "keys.rotate", "refused"),
        ("op", "keys.rotate", "done"),
        ("op", "keys.create", "done"),
    ]
    assert (await bench.do("audit", verify=True)).ending is Ending.DONE


async def test_a_redis_that_dies_after_the_last_step_costs_the_proof_and_not_the_key(
    bench: Bench, valkey: Valkey
) -> None:
    ended = (StepState.TAKEN, StepState.LEFT)  # no cluster takes the digests

    def stop_after_the_last_step(item: Any) -> None:
        if isinstance(item, Progress) and item.state in ended and item.seq == item.total - 1:
            assert valkey.child.pid is not None
            os.killpg(valkey.child.pid, signal.SIGKILL)

    action = REGISTRY["keys.create"]
    values = {"name": "chat", "tenant": "acme"}
    outcome = await perform(bench.services, action, values, ADMIN, emit=stop_after_the_last_step)
    assert outcome.ending is Ending.PENDING, outcome
    assert not outcome.proof
    assert "not proven" in outcome.summary
    await valkey.stop()
    await valkey.start()
    assert text_of(outcome).startswith("bud_client_")
    assert (await bench.do("keys.show", key="chat")).data["state"] == "active"


async def test_a_suspended_key_is_refused_until_it_is_resumed(bench: Bench) -> None:
    old = await bench.create()
    new = text_of(await bench.do("keys.rotate", key="chat"))
    outcome = await bench.do("keys.suspend", key="chat")
    assert outcome.ending is Ending.DONE, outcome
    for key in (old, new):
        denied = bench.decide(key)
        assert isinstance(denied, Denied)
        assert (denied.status, denied.code) == (403, "key_suspended")
    assert (await bench.do("keys.suspend", key="chat")).ending is Ending.UNCHANGED
    assert (await bench.do("keys.show", key="chat")).data["state"] == "suspended"
    await bench.do("keys.resume", key="chat")
    assert isinstance(bench.decide(old), Allowed)
    assert isinstance(bench.decide(new), Allowed)


async def test_a_key_is_changed_in_place(bench: Bench) -> None:
    key = await bench.create()
    outcome = await bench.do("keys.edit", key="chat", network=("10.0.0.0/8", "192.0.2.7"), owner="acme/other")
    assert outcome.ending is Ending.DONE, outcome
    shown = (await bench.do("keys.show", key="chat")).data
    assert (shown["networks"], shown["owner"]) == (["10.0.0.0/8", "192.0.2.7/32"], "acme/other")
    ask = Ask((f"Bearer {key}",), "GET", "/v1/models", body=Body.NONE, client="10.1.1.1")
    assert isinstance(decide(bench.mirror.snapshot, ask, now=time.time()), Allowed)
    outside = dataclasses.replace(ask, client="203.0.113.1")
    denied = decide(bench.mirror.snapshot, outside, now=time.time())
    assert isinstance(denied, Denied)
    assert denied.code == "network_not_allowed"
    await bench.do("keys.edit", key="chat", no_networks=True, expires="1h")
    assert isinstance(decide(bench.mirror.snapshot, outside, now=time.time()), Allowed)
    assert isinstance(bench.decide(key, now=time.time() + 3700), Denied)
    await bench.do("keys.edit", key="chat", no_expiry=True)
    assert isinstance(bench.decide(key, now=time.time() + 3700), Allowed)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "INVALID_PARAMETER"),
        ({"network": ("10.0.0.1/8",)}, "INVALID_PARAMETER"),
        ({"network": ("everywhere",)}, "INVALID_PARAMETER"),
        ({"model": ("nothing",)}, "MODEL_NOT_PUBLISHED"),
    ],
)
async def test_a_change_that_makes_no_sense_changes_nothing(bench: Bench, values: dict[str, Any], code: str) -> None:
    await bench.create()
    before = (await bench.do("keys.show", key="chat")).data
    assert (await bench.do("keys.edit", key="chat", **values)).code == code
    assert (await bench.do("keys.show", key="chat")).data == before


async def test_a_revoked_key_is_not_brought_back_by_a_change(bench: Bench) -> None:
    key = await bench.create()
    await bench.do("keys.revoke", key="chat")
    revoked = (await bench.do("keys.list", all=True)).data[0]["id"]
    for action in ("keys.resume", "keys.suspend"):
        assert (await bench.do(action, key=revoked)).code == "KEY_NOT_LIVE"
    assert isinstance(bench.decide(key), Denied)


async def test_the_question_before_a_key_is_destroyed_names_it_by_name_and_id(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.create("chat")
    identifier = (await bench.do("keys.show", key="chat")).data["id"]
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    asked: list[str] = []

    def confirm(question: str, **_: Any) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("click.confirm", confirm)
    for typed in ("chat", identifier):
        for action in ("keys.revoke", "keys.suspend", "keys.finish", "keys.withdraw"):
            called = await cli._called(bench.services, REGISTRY[action], ADMIN, {"key": typed})
            assert called == f"chat ({identifier}) of tenant acme"
        assert cli._asked(REGISTRY["keys.revoke"], {"key": typed}, bench.services, called) == ""
    assert all(f"Revoke a key chat ({identifier}) of tenant acme?" in question for question in asked)
    revoke = REGISTRY["keys.revoke"]
    assert await cli._called(bench.services, revoke, globex, {"key": identifier}) == identifier, "another's is not told"
    assert await cli._called(bench.services, revoke, ADMIN, {"key": "nobody"}) == "nobody"


async def test_who_does_not_wait_for_the_proof_has_changed_the_key_and_gets_its_text(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = asyncio.Event()

    async def everywhere(*_: Any, **__: Any) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("console.keys.journaling.everywhere", everywhere)
    creating = asyncio.create_task(bench.do("keys.create", name="chat", tenant="acme"))
    await waiting.wait()
    creating.cancel()
    outcome = await creating
    assert outcome.ending is Ending.PENDING
    assert "you did not wait for it" in outcome.summary
    assert isinstance(bench.decide(text_of(outcome)), Allowed)
    assert [row["outcome"] for row in (await bench.do("audit", limit=1)).data] == ["pending"]


async def test_a_plan_is_refused_where_what_it_plans_would_be(bench: Bench) -> None:
    await bench.create("chat")
    planned = await bench.do("keys.create", name="chat", tenant="acme", plan=True)
    assert planned.code == "KEY_EXISTS"
    planned = await bench.do("keys.edit", key="chat", label=["team=search"], plan=True)
    assert planned.data["changes"] == {"labels": {"team": "search"}}
    assert (await bench.do("keys.show", key="chat")).data["labels"] == {}
    planned = await bench.do("keys.rotate", key="chat", plan=True)
    assert (planned.revealed, len(planned.data["steps"])) == (None, 5)
    assert len((await bench.do("keys.show", key="chat")).data["generations"]) == 1


async def test_a_key_that_was_made_is_shown_though_its_audit_row_could_not_be_written(bench: Bench) -> None:
    await bench.create("before")
    store = await bench.services.store()
    async with store.writing() as db:
        await db.exec_driver_sql("ALTER TABLE audit RENAME TO audit_away")
    outcome = await bench.do("keys.create", name="chat", tenant="acme")
    assert (outcome.ending, outcome.code) == (Ending.PARTIAL, "NOT_IN_AUDIT")
    assert "but that is not in the audit: the database at" in outcome.summary
    assert isinstance(bench.decide(text_of(outcome)), Allowed)
    refused = await bench.do("keys.create", name="chat", tenant="acme")
    assert (refused.ending, refused.code) == (Ending.REFUSED, "KEY_EXISTS")
    assert "not in the audit" in refused.summary
    async with store.writing() as db:
        await db.exec_driver_sql("ALTER TABLE audit_away RENAME TO audit")
    assert (await bench.do("audit", verify=True)).ending is Ending.DONE
