"""What an operator does about syncs and models, through the door that every face uses."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from console.actions import REGISTRY
from console.actions.perform import perform
from console.catalog import read
from console.config import Profile, ProviderLink, RedisLink
from console.guard import Principal, Role
from console.local.samples import faults
from console.local.samples.providers import SLUGS, SampleProviders
from console.outcome import Ending, Outcome
from console.rendering import data_text
from console.services import Services
from console.store.engine import Store
from console.store.tables import catalog as t
from console.sync.history import last_words, runs
from console.sync.telling import Telling
from console.sync.types import Progress, ProviderOutcome, RunState, Stage

from .conftest import BOTH, TOKEN

GPT = "openai/gpt-4o-mini"


@dataclass
class Desk:
    """An operator with a profile, and every provider at the sample server."""

    services: Services
    samples: SampleProviders
    who: Principal

    async def do(self, action: str, **values: Any) -> Outcome:
        told: list[str] = []
        outcome = await perform(
            self.services, REGISTRY[action], values, self.who, confirmed="yes", emit=lambda line: told.append(str(line))
        )
        self.told = told
        return outcome

    async def done(self, action: str, **values: Any) -> Any:
        """The data of an outcome that is done."""
        outcome = await self.do(action, **values)
        assert outcome.ending in (Ending.DONE, Ending.UNCHANGED), outcome
        return outcome.data

    async def store(self) -> Store:
        return await self.services.store()


@pytest.fixture
async def desk(samples: SampleProviders, tmp_path: Path, store: Store, unused_tcp_port: int) -> AsyncIterator[Desk]:
    secret = tmp_path / "credential"
    secret.write_text(TOKEN)
    links = {slug: ProviderLink(url=samples.base_url(slug), credential=f"file:{secret}") for slug in SLUGS}
    profile = Profile(
        name="test",
        database=store.url.render_as_string(hide_password=False),
        providers=links,
        redis=RedisLink(url=f"redis://127.0.0.1:{unused_tcp_port}/0"),  # nobody there
    )
    async with Services(profile) as services:
        yield Desk(services, samples, Principal("alice", Role.ADMIN))


async def test_a_run_by_hand_takes_its_providers_in_either_way(desk: Desk) -> None:
    data = await desk.done("sync.run", provider=("groq",), providers=("cerebras", "groq"))
    assert [row["provider"] for row in data["rows"]] == ["groq", "cerebras"]
    assert any(line.startswith("groq: ok, 27 records") for line in desk.told)


@BOTH
async def test_every_provider_at_once_on_either_database(desk: Desk) -> None:
    data = await desk.done("sync.run")
    assert {row["outcome"] for row in data["rows"]} == {"ok"}
    assert data["total"]["written"] == 1_305
    assert (await desk.done("sync.run"))["total"]["written"] == 0
    found = await desk.done("models.search", query='about:"through helicone" ctx>=1m', limit=3)
    assert found["total"] == 12


async def test_a_verbose_run_says_what_changed_and_what_was_left_out(desk: Desk) -> None:
    await desk.done("sync.run", provider=("openrouter",))
    desk.samples.reprice("openrouter", GPT, "2")
    desk.samples.reprice("openrouter", "openai/gpt-4o", "50")
    desk.samples.add("openrouter", None)
    await desk.do("sync.run", provider=("openrouter",), verbose=True)
    assert f"openrouter/{GPT} price.input: $0.15/1M → $0.3/1M" in desk.told
    assert any("openai/gpt-4o price.input is held: the price rose 50 times" in line for line in desk.told)
    assert any("record 359" in line and "this is null" in line for line in desk.told)


async def test_a_difference_is_shown_field_by_field_and_writes_nothing(desk: Desk) -> None:
    await desk.done("sync.run", provider=("openrouter", "deepinfra"))
    desk.samples.change("openrouter", GPT, context_length=64_000)
    desk.samples.reprice("openrouter", "openai/gpt-4o", "50")
    desk.samples.remove("deepinfra", "zai-org/GLM-5")
    async with (await desk.store()).reading() as connection:
        before = (await connection.execute(sa.select(sa.func.count()).select_from(t.sync_runs))).scalar()
    outcome = await desk.do("sync.diff", provider=("openrouter", "deepinfra"))
    rows = {(row["model"], row["field"], row["kind"]): (row["was"], row["is"]) for row in outcome.data["rows"]}
    assert rows[GPT, "context_tokens", "changed"] == ("128000", "64000")
    assert rows["openai/gpt-4o", "price.input", "held"][1].startswith("$125/1M (the price rose 50 times)")
    assert ("zai-org/GLM-5", "", "missing") in rows
    assert outcome.exit_code == 1  # something would be held
    async with (await desk.store()).reading() as connection:
        after = (await connection.execute(sa.select(sa.func.count()).select_from(t.sync_runs))).scalar()
    assert before == after == 1


@BOTH
async def test_the_status_tells_the_last_runs_and_when_something_last_changed(desk: Desk) -> None:
    await desk.done("sync.run", provider=("groq", "cerebras"))
    await desk.done("sync.run", provider=("groq",))
    rows = {row["provider"]: row for row in await desk.done("sync.status")}
    assert [passed["written"] for passed in rows["groq"]["recent"]] == [27, 0]
    assert [passed["outcome"] for passed in rows["groq"]["recent"]] == ["ok", "unchanged"]
    assert rows["groq"]["changed_at"] <= rows["groq"]["recent"][0]["at"] <= rows["groq"]["finished_at"]
    assert len(rows["cerebras"]["recent"]) == 1
    assert (rows["xai"]["recent"], rows["xai"]["changed_at"]) == ([], None)


async def test_the_history_answers_what_changed_where_when_and_in_which_run(desk: Desk) -> None:
    await desk.done("sync.run", provider=("groq", "openrouter"))
    desk.samples.change("groq", "llama-3.1-8b-instant", context_window=4_096)
    desk.samples.reprice("openrouter", GPT, "2")
    second = await desk.done("sync.run", provider=("groq", "openrouter"))
    runs = (await desk.done("sync.history"))["rows"]
    assert [row["id"] for row in runs] == [2, 1]

    at_groq = (await desk.done("sync.history", provider="groq", since="7d"))["rows"]
    assert [(row["field"], row["detail"]) for row in at_groq if row["kind"] == "changed"] == [
        ("context_tokens", "131072 → 4096")
    ]
    of_price = (await desk.done("sync.history", model=f"openrouter/{GPT}", field="price.input"))["rows"]
    assert [(row["run"], row["detail"]) for row in of_price] == [(2, "$0.15/1M → $0.3/1M")]
    wrote = (await desk.done("sync.history", run=second["run"]))["rows"]
    assert {row["provider"] for row in wrote} == {"groq", "openrouter"}
    assert (await desk.done("sync.diff", run=2))["rows"][0]["kind"] == "changed"
    assert (await desk.do("sync.diff", run=2, provider=("groq",))).code == "BAD_REQUEST"
    assert (await desk.do("sync.history", provider="grok1")).code == "UNKNOWN_PROVIDER"
    assert (await desk.done("sync.history", provider="cerebras"))["rows"] == []
    text = data_text(REGISTRY["sync.history"], {"rows": of_price})
    assert "openrouter/openai/gpt-4o-mini price.input" in text


async def test_held_changes_are_listed_accepted_and_refused(desk: Desk) -> None:
    await desk.done("sync.run", provider=("openrouter",))
    desk.samples.reprice("openrouter", GPT, "20")
    outcome = await desk.do("sync.run", provider=("openrouter",))
    assert (outcome.ending, outcome.exit_code) == (Ending.FAILED, 1)
    rows = await desk.done("sync.held")
    by_field = {row["field"]: row for row in rows}
    assert by_field["price.input"]["before"] == "$0.15/1M"
    assert by_field["price.input"]["proposed"] == "$3/1M"
    assert await desk.done("sync.held", provider="groq") == []

    first, second, *_ = [str(row["id"]) for row in rows]
    await desk.done("sync.accept", held=(first,))
    await desk.done("sync.refuse", held=(second, second))
    assert (await desk.do("sync.accept", held=("x",))).code == "BAD_REQUEST"
    assert (await desk.do("sync.accept", held=(first,))).code == "HELD_DECIDED"
    assert (await desk.do("sync.refuse", held=("999",))).code == "HELD_NOT_FOUND"
    assert {row["id"] for row in await desk.done("sync.held")} == {row["id"] for row in rows[2:]}
    for wrong in ({}, {"held": (first,), "provider": "openrouter"}, {"provider": "grok1"}):
        assert (await desk.do("sync.accept", **wrong)).ending is Ending.REFUSED
    assert (await desk.do("sync.accept", provider="groq")).code == "HELD_NOT_FOUND"
    await desk.done("sync.refuse", provider="openrouter")
    assert await desk.done("sync.held") == []
    audit = await desk.done("audit", limit=5)
    assert "sync.accept" in {row["action"] for row in audit}


async def test_the_providers_and_how_they_are_asked(desk: Desk) -> None:
    await desk.done("sync.run", provider=("groq",))
    rows = {row["provider"]: row for row in await desk.done("sync.providers")}
    assert len(rows) == 26
    assert (rows["groq"]["models"], rows["groq"]["minutes"], rows["groq"]["credential"]) == (27, 15, "GROQ_API_KEY")
    assert rows["fal"]["credential"] == "FAL_API_KEY (not needed for the list)"
    assert rows["near"]["listed_at"] is None
    states = {row["provider"]: row["outcome"] for row in await desk.done("sync.status")}
    assert (states["groq"], states["near"]) == ("ok", "never synced")


async def test_credentials_are_checked_without_a_sync(desk: Desk) -> None:
    desk.samples.fault("cerebras", faults.WrongToken())
    desk.samples.fault("nebius", faults.Status(500))
    desk.samples.fault("openai", faults.Endless())
    outcome = await desk.do("sync.check", provider=("groq", "cerebras", "nebius", "openai", "fal", "anthropic"))
    assert (outcome.ending, outcome.exit_code) == (Ending.PARTIAL, 1)
    rows = {row["provider"]: (row["outcome"], row["credential"]) for row in outcome.data["rows"]}
    assert rows == {
        "groq": ("ok", "accepted"),
        "cerebras": ("refused", "refused"),
        "nebius": ("unreachable", "not told"),
        "openai": ("ok", "accepted"),  # the head of the answer is enough
        "fal": ("ok", "not told"),
        "anthropic": ("ok", "accepted"),
    }
    assert TOKEN not in json.dumps(outcome.as_json())
    assert len(desk.samples.seen("nebius")) == 1
    assert await read.providers(await desk.store()) == ()


async def test_a_missing_credential_is_told_by_the_check(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    links = desk.services.profile.providers
    links["groq"] = ProviderLink(url=links["groq"].url)
    links["cerebras"] = ProviderLink(url=links["cerebras"].url, credential=f"file:{tmp_path / 'nothing'}")
    links["fal"] = ProviderLink(url=links["fal"].url)
    outcome = await desk.do("sync.check", provider=("groq", "cerebras", "fal"))
    rows = {row["provider"]: (row["outcome"], row["credential"]) for row in outcome.data["rows"]}
    assert rows == {
        "groq": ("no credentials", "missing"),
        "cerebras": ("no credentials", "missing"),
        "fal": ("ok", "not needed"),
    }


async def test_an_operators_decisions_are_kept_and_are_in_the_history(desk: Desk) -> None:
    await desk.done("sync.run", provider=("openrouter",))
    name = f"openrouter/{GPT}"
    assert (await desk.done("models.hide", model=name))["hidden"] is True
    assert (await desk.done("models.pin", model=name))["pinned"] is True
    assert (await desk.done("models.note", model=name, text="ours until May"))["note"] == "ours until May"
    priced = await desk.done("models.price", model=name, amount="0.1")
    assert priced["prices"]["input"]["usd"] == "0.0000001"
    assert priced["prices"]["input"]["source"] == "operator"
    assert (priced["hidden"], priced["pinned"], priced["note"]) == (True, True, "ours until May")
    again = await desk.do("models.hide", model=name)
    assert again.ending is Ending.UNCHANGED

    desk.samples.change("openrouter", GPT, name="Renamed")
    await desk.done("sync.run", provider=("openrouter",))
    kept = await desk.done("models.show", model=name)
    assert (kept["name"], kept["hidden"], kept["input"]) == ("Renamed", True, "0.1")

    rows = (await desk.done("sync.history", model=name, limit=20))["rows"]
    told = [(row["field"], row["actor"], row["run"]) for row in rows if row["field"].startswith("override.")]
    assert told == [(f"override.{field}", "alice", None) for field in ("prices", "note", "pinned", "hidden")]

    await desk.done("models.hide", model=name, undo=True)
    await desk.done("models.pin", model=name, undo=True)
    await desk.done("models.note", model=name)
    free = await desk.done("models.price", model=name, amount="0", kind="output")
    assert (free["output"], free["input"]) == ("free", "0.1")
    await desk.done("models.price", model=name, undo=True, kind="output")
    back = await desk.done("models.price", model=name, undo=True)
    assert (back["input"], back["output"], back["hidden"], back["note"]) == ("0.15", "0.6", False, "")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "BAD_OVERRIDE"),
        ({"amount": "1", "undo": True}, "BAD_OVERRIDE"),
        ({"amount": "cheap"}, "BAD_OVERRIDE"),
        ({"amount": "-1"}, "BAD_OVERRIDE"),
        ({"amount": "99999999"}, "BAD_OVERRIDE"),
        ({"amount": "1", "kind": "colour"}, "INVALID_PARAMETER"),
    ],
)
async def test_a_price_that_cannot_be_is_refused_and_changes_nothing(desk: Desk, values: Any, code: str) -> None:
    await desk.done("sync.run", provider=("openrouter",))
    outcome = await desk.do("models.price", model=f"openrouter/{GPT}", **values)
    assert (outcome.ending, outcome.code) == (Ending.REFUSED, code)
    assert (await desk.done("models.show", model=f"openrouter/{GPT}"))["input"] == "0.15"


async def test_a_decision_on_a_model_that_is_not_there_is_refused(desk: Desk) -> None:
    for action in ("models.hide", "models.pin", "models.note", "models.price"):
        values = {"amount": "1"} if action == "models.price" else {}
        assert (await desk.do(action, model="nobody/nothing", **values)).code == "MODEL_NOT_FOUND"
    assert (await desk.do("models.note", model="x", text="y" * 2_000)).code == "INVALID_PARAMETER"


async def test_the_catalog_is_exported_whole_in_each_form(desk: Desk) -> None:
    await desk.done("sync.run", provider=("groq", "openrouter"))
    desk.samples.add("groq", {"id": "=cmd|calc", "context_window": 1})
    await desk.done("sync.run", provider=("groq",))
    document = await desk.done("models.export", format="csv")
    rows = list(csv.DictReader(io.StringIO(document.text)))
    assert len(rows) == 358 + 28
    gpt = next(row for row in rows if row["id"] == f"openrouter/{GPT}")
    assert (gpt["input"], gpt["context"], gpt["tools"], gpt["reasoning"]) == ("0.15", "128000", "yes", "no")
    assert next(row for row in rows if row["id"] == "groq/=cmd|calc")["native_id"] == "'=cmd|calc"
    lines = (await desk.done("models.export", format="jsonl", query="provider:groq")).text.split("\n")
    assert len([json.loads(line) for line in lines]) == 28
    whole = await desk.done("models.export", format="json", query="nothing-like-it")
    assert (json.loads(whole.text), whole.rows, data_text(REGISTRY["models.export"], whole)) == ([], [], "[]")
    assert (await desk.do("models.export", query="provder:x")).code == "BAD_QUERY"


async def test_who_may_only_look_can_neither_decide_nor_ask_the_providers(desk: Desk) -> None:
    desk.who = Principal("bob", Role.VIEWER)
    await desk.done("sync.held")
    for action, values in (
        ("sync.accept", {"held": ("1",)}),
        ("sync.refuse", {"held": ("1",)}),
        ("sync.diff", {}),
        ("sync.check", {}),
        ("models.hide", {"model": "x"}),
        ("models.price", {"model": "x", "amount": "1"}),
    ):
        assert (await desk.do(action, **values)).code == "FORBIDDEN", action
    assert all(not desk.samples.seen(slug) for slug in SLUGS)


async def test_the_schedule_is_shown_and_changed(desk: Desk) -> None:
    rows = {row["provider"]: row for row in await desk.done("sync.schedule")}
    assert (rows["groq"]["minutes"], rows["groq"]["state"]) == (15, "waiting")
    await desk.done("sync.pause", provider=("groq", "google"))
    await desk.done("sync.every", provider=("xai",), interval="6h")
    rows = {row["provider"]: row for row in await desk.done("sync.schedule")}
    assert [rows[slug]["state"] for slug in ("groq", "google-vertex", "xai")] == ["paused", "paused", "waiting"]
    assert (rows["xai"]["minutes"], rows["xai"]["changed_by"], rows["groq"]["next_run_at"]) == (360, "alice", None)
    status = {row["provider"]: row for row in await desk.done("sync.status")}
    assert (status["groq"]["paused"], status["xai"]["next_run_at"]) == (True, rows["xai"]["next_run_at"])
    assert (await desk.do("sync.pause", provider=("groq",))).ending is Ending.UNCHANGED
    await desk.done("sync.resume", provider=("groq",))
    await desk.done("sync.every", provider=("xai",), tier=True)
    for values, code in (
        ({"provider": ("xai",)}, "BAD_INTERVAL"),
        ({"provider": ("xai",), "interval": "6h", "tier": True}, "BAD_INTERVAL"),
        ({"provider": ("xai",), "interval": "30d"}, "BAD_INTERVAL"),
        ({"provider": ("nobody",), "interval": "6h"}, "UNKNOWN_PROVIDER"),
    ):
        assert (await desk.do("sync.every", **values)).code == code


async def test_who_is_paused_is_not_meant_by_all(desk: Desk) -> None:
    kept = ("groq", "cerebras")
    await desk.done("sync.pause", provider=tuple(slug for slug in SLUGS if slug not in kept))
    data = await desk.done("sync.run")
    assert {row["provider"] for row in data["rows"]} == set(kept)
    assert any(line.startswith("paused, and left alone: aihubmix, ") for line in desk.told)
    assert (await desk.done("sync.run", provider=("openai",)))["rows"][0]["outcome"] == "ok"  # named, so meant
    await desk.done("sync.pause", provider=kept)
    assert (await desk.do("sync.run")).code == "ALL_PAUSED"


async def test_a_sync_by_hand_moves_the_schedule(desk: Desk) -> None:
    await desk.done("sync.run", provider=("groq",))
    rows = {row["provider"]: row for row in await desk.done("sync.schedule")}
    assert (rows["groq"]["reason"], rows["xai"]["reason"]) == ("its list changes", "never synced")


async def test_a_dry_run_leaves_no_row_anywhere(desk: Desk) -> None:
    await desk.do("sync.run", provider=("groq",), dry_run=True)
    async with (await desk.store()).reading() as connection:
        for table in (t.sync_runs, t.providers, t.models, t.sync_schedules, t.sync_leases, t.provider_states):
            assert (await connection.execute(sa.select(table))).all() == [], table.name


async def test_webhooks_are_listed(desk: Desk) -> None:
    assert await desk.done("sync.webhooks") == []


async def test_without_redis_there_are_no_caches_to_void_by_hand(desk: Desk) -> None:
    assert (await desk.do("cache.invalidate")).code == "REDIS_UNAVAILABLE"


async def test_a_slow_list_and_another_try_are_told_while_one_waits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("console.sync.telling._LINE_SECONDS", 0.05)
    desk.samples.fault("groq", faults.Slow(0.3))
    desk.samples.fault("cerebras", faults.Status(503, times=1))
    await desk.done("sync.run", provider=("groq", "cerebras"))
    assert "groq: no answer after 0 s" in desk.told
    again = "cerebras: Cerebras has a fault of its own (HTTP 503); another try in 0.0 s"
    assert desk.told.count(again) == 1
    assert "stamina" not in caplog.text


async def test_how_much_of_a_long_list_was_read_is_told_about_once_a_second() -> None:
    told: list[str] = []
    telling = Telling(lambda item: told.append(str(item)), 1, {})
    now = [100.0]
    telling._clock = lambda: now[0]
    for piece in range(31):
        telling(Progress("groq", Stage.FETCHING, piece * 100, piece * 300_000))
        now[0] += 0.125
    telling(Progress("groq", Stage.FINISHED, 3_100, 9_300_000, ProviderOutcome.OK))
    assert [line for line in told if line] == [
        "groq: 800 records, 2.3 MiB so far after 1 s",
        "groq: 1,600 records, 4.6 MiB so far after 2 s",
        "groq: 2,400 records, 6.9 MiB so far after 3 s",
        "groq: ok, 3,100 records",
    ]
    assert len(told) < 15  # of 32: a screen needs no more


async def test_a_cancelled_run_says_which_providers_stay_finished(desk: Desk) -> None:
    desk.samples.fault("openrouter", faults.Slow(60))
    run = asyncio.create_task(desk.do("sync.run", provider=("openrouter", "groq")))
    while "groq" not in await last_words(await desk.store()):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # until it has told of it
    run.cancel()
    outcome = await run
    assert (outcome.ending, outcome.exit_code, outcome.code) == (Ending.PARTIAL, 130, "CANCELLED")
    assert outcome.summary.startswith("cancelled; 1 of 2 providers were finished, and stay so; caches were not told")
    assert [(item.name, item.state) for item in outcome.items] == [("openrouter", "cancelled"), ("groq", "ok")]
    assert outcome.then.startswith("modeldeck sync run openrouter; modeldeck cache invalidate")
    (kept,) = await runs(await desk.store())
    assert kept.state is RunState.CANCELLED
    due = {row["provider"]: row["reason"] for row in await desk.done("sync.schedule")}
    assert due["groq"] == "its list changes"

    desk.samples.release()
    desk.samples.fault("openrouter", faults.Slow(60))
    run = asyncio.create_task(desk.do("sync.run", provider=("openrouter",)))
    await asyncio.sleep(0.2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):  # of what nothing was finished, nothing is left
        await run


async def test_the_next_step_asks_no_other_provider_and_is_no_more_than_a_dry_run_was(desk: Desk) -> None:
    await desk.done("sync.run", provider=("openrouter", "groq"))
    desk.samples.reprice("openrouter", GPT, "20")
    desk.samples.add("openrouter", None)
    dry = {"provider": ("openrouter", "groq"), "dry_run": True}
    assert (await desk.do("sync.run", **dry)).then == "modeldeck sync run openrouter --dry-run --verbose"
    assert (await desk.do("sync.run", **dry, verbose=True)).then == ""
    desk.samples.fault("groq", faults.Status(404))
    outcome = await desk.do("sync.run", provider=("openrouter", "groq"))
    held, rejected, mend = outcome.then.split("; ")
    assert held == "modeldeck sync held --provider openrouter, and modeldeck sync accept or refuse what it lists"
    assert rejected == "modeldeck sync rejects openrouter --run 2"
    assert mend == "mend what modeldeck sync status says, then modeldeck sync run groq"
    assert outcome.summary.endswith("1 rejected, 3 held; not in order: openrouter suspicious, groq refused")
    desk.samples.fault("xai", faults.Slow(60))
    running = asyncio.create_task(desk.do("sync.run", provider=("xai",)))
    while not desk.samples.seen("xai"):
        await asyncio.sleep(0.02)
    refused = await desk.do("sync.run", provider=("xai",))
    assert (refused.code, refused.then) == ("SYNC_RUNNING", "modeldeck sync history")
    assert (await desk.done("sync.history"))["rows"][0]["state"] == "running"
    running.cancel()
    await asyncio.wait({running})


async def test_rejected_records_are_read_afterwards_with_their_reason_and_json(desk: Desk) -> None:
    await desk.done("sync.run", provider=("openrouter", "groq"))
    assert (await desk.done("sync.rejects"))["rows"] == []
    desk.samples.add("openrouter", {"name": "no id"})
    await desk.done("sync.run", provider=("openrouter",))
    for asked in ({}, {"run": 2}, {"run": 2, "provider": ("openrouter",)}):
        outcome = await desk.do("sync.rejects", **asked)
        (row,) = outcome.data["rows"]
        assert (row["run"], row["provider"], row["position"], row["costs"]) == (2, "openrouter", 359, "record")
        assert json.loads(row["record"]) == {"name": "no id"}
        assert outcome.summary == "1 record left out, 0 fields left out of others"
    assert (await desk.done("sync.rejects", run=1))["rows"] == []
    for action in ("sync.rejects", "sync.history", "sync.diff"):
        assert (await desk.do(action, run=99)).code == "RUN_NOT_FOUND"


async def test_a_credential_that_is_refused_is_named_by_its_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYKEY", TOKEN)
    links = desk.services.profile.providers
    links["groq"] = ProviderLink(url=links["groq"].url, credential="env:MYKEY")
    for slug in ("groq", "cerebras"):
        desk.samples.fault(slug, faults.WrongToken())
    rows = (await desk.do("sync.run", provider=("groq", "cerebras"))).data["rows"]
    assert "does not accept the credential in MYKEY (HTTP 401)" in rows[0]["sentence"]
    assert "does not accept the credential in the file that the profile names for it" in rows[1]["sentence"]


async def test_an_operators_price_is_told_in_the_unit_of_every_other_price(desk: Desk) -> None:
    await desk.done("sync.run", provider=("groq",))
    name = (await desk.done("models.search", query="provider:groq", limit=1))["rows"][0]["id"]
    await desk.done("models.price", model=name, amount="0.5")
    rows = (await desk.done("sync.history", provider="groq"))["rows"]
    assert [row["detail"] for row in rows if row["field"] == "override.prices"] == ["- → input $0.5/1M"]


async def test_a_provider_without_a_model_is_no_name_to_search_near_of(desk: Desk) -> None:
    await desk.done("sync.run", provider=("groq",))
    refused = await desk.do("models.show", model="groq/")
    assert (refused.code, refused.then, refused.items) == (
        "MODEL_NOT_FOUND",
        "modeldeck models search provider:groq",
        (),
    )


async def test_what_already_is_so_does_not_read_like_a_failure(desk: Desk) -> None:
    await desk.done("sync.pause", provider=("groq",))
    assert (await desk.do("sync.pause", provider=("groq",))).summary == "groq: already paused"
    outcome = await desk.do("sync.pause", provider=("groq", "xai"))
    assert outcome.summary == "1 of 2 providers: paused; the other was so already"
    assert (await desk.do("sync.held")).summary == "0 held changes"


async def test_only_the_schedules_own_runs_slow_it(desk: Desk) -> None:
    for _ in range(7):
        await desk.done("sync.run", provider=("groq",))
    (row,) = [row for row in await desk.done("sync.schedule") if row["provider"] == "groq"]
    assert row["slowed"] == 1
