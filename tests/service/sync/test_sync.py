"""What a sync writes, and above all what it does not write."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from console.catalog import read
from console.catalog.types import ChangeKind
from console.local.samples import faults
from console.local.samples.providers import BIG
from console.outcome import Ending, Refusal
from console.store.engine import Store
from console.store.tables import catalog as t
from console.sync import history
from console.sync.types import ProviderOutcome, RunState

from .conftest import BOTH, Deck

GPT = "openai/gpt-4o-mini"


async def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of ours."""
    tables = [table for table in vars(t).values() if isinstance(table, sa.Table)]
    async with store.reading() as connection:
        return {
            table.name: sorted(
                (tuple(row) for row in await connection.execute(sa.select(table))),
                key=repr,
            )
            for table in tables
        }


async def watch_writes(store: Store, *tables: str) -> None:
    """Let the database itself count what is written to these tables (SQLite)."""
    async with store.writing() as connection:
        await connection.execute(sa.text("CREATE TABLE written (what TEXT)"))
        for table in tables:
            for verb in ("INSERT", "UPDATE", "DELETE"):
                trigger = f"CREATE TRIGGER w_{table}_{verb} AFTER {verb} ON {table} "
                body = f"BEGIN INSERT INTO written VALUES ('{verb} {table}'); END"
                await connection.execute(sa.text(trigger + body))


async def written(store: Store) -> list[str]:
    async with store.reading() as connection:
        return [what for (what,) in await connection.execute(sa.text("SELECT what FROM written"))]


@BOTH
async def test_the_first_run_is_a_baseline_and_the_second_finds_nothing_to_write(deck: Deck) -> None:
    first = await deck.run()
    assert (first.ending, first.exit_code) == (Ending.DONE, 0)
    assert [report.baseline for report in first.providers] == [True] * 3
    for report in first.providers:
        offered = len(deck.samples.models(report.provider))
        counts = report.counts
        assert (counts.fetched, counts.normalised, counts.written, counts.added) == (offered,) * 4
        assert (counts.rejected, counts.unchanged, counts.missing) == (0, 0, 0)
    assert (await read.stats(deck.store)).models == first.total.written

    second = await deck.run()
    assert (second.ending, second.exit_code) == (Ending.UNCHANGED, 0)
    assert [report.code for report in second.providers] == ["NOT_MODIFIED"] * 3
    assert (second.total.written, second.total.unchanged) == (0, first.total.written)
    kinds = [change.kind for change in await history.changes(deck.store)]
    assert kinds == [ChangeKind.BASELINE] * 3


async def test_an_unchanged_list_writes_no_row_even_when_it_is_sent_again(deck: Deck) -> None:
    await deck.run()
    async with deck.store.writing() as connection:  # as if no provider knew ETags
        await connection.execute(sa.update(t.provider_states).values(etag=None))
    await deck.run()  # takes the ETag over again
    async with deck.store.writing() as connection:
        await connection.execute(sa.update(t.provider_states).values(etag='"other"'))
    await watch_writes(deck.store, "providers", "models", "model_prices", "model_changes", "held_changes")
    report = await deck.run()
    assert report.total.fetched == report.total.unchanged == len(await all_models(deck))
    assert await written(deck.store) == []


async def all_models(deck: Deck) -> list[str]:
    page = await read.search(deck.store, "any", limit=1000)
    return [model.reference for model in page.models]


@BOTH
async def test_the_order_of_a_list_does_not_matter(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
    from console.local.samples import providers

    await deck.run()
    listed = providers._listed
    monkeypatch.setattr(providers, "_listed", lambda form, records: listed(form, iter(list(records)[::-1])))
    for slug in BIG:
        deck.samples.change(slug, "nobody")  # another ETag
    report = await deck.run()
    assert (report.ending, report.total.fetched, report.total.written) == (Ending.UNCHANGED, 424, 0)


@BOTH
async def test_a_dry_run_writes_nothing_at_all_and_shows_every_field(deck: Deck) -> None:
    before = await everything(deck.store)
    first = await deck.run(dry_run=True)
    assert (first.run_id, first.total.added) == (None, 424)
    assert await everything(deck.store) == before  # not even a provider

    await deck.run()
    deck.samples.change("openrouter", GPT, name="GPT, renamed", context_length=64_000)
    deck.samples.reprice("openrouter", "openai/gpt-4o", "2")
    deck.samples.remove("deepinfra", "zai-org/GLM-5")
    before = await everything(deck.store)
    report = await deck.run(dry_run=True)
    assert await everything(deck.store) == before
    told = {(c.native_id, c.kind.value, c.field): (c.before, c.after) for r in report.providers for c in r.changes}
    assert told[GPT, "changed", "name"] == ("Openai: GPT-4o mini", "GPT, renamed")
    assert told[GPT, "changed", "context_tokens"] == (128_000, 64_000)
    before_price, after_price = told["openai/gpt-4o", "changed", "price.input"]
    assert (before_price["usd"], after_price["usd"]) == ("0.0000025", "0.000005")
    assert ("zai-org/GLM-5", "missing", "") in told

    real = await deck.run()
    assert [r.changes for r in real.providers] == [r.changes for r in report.providers]
    assert [r.counts for r in real.providers] == [r.counts for r in report.providers]


@BOTH
async def test_each_change_is_kept_with_its_field_and_both_values(deck: Deck) -> None:
    await deck.run("openrouter")
    deck.samples.reprice("openrouter", GPT, "2")
    deck.samples.add("openrouter", {"id": "new/model", "name": "New", "pricing": {"prompt": "0.000001"}})
    report = await deck.run("openrouter")
    assert (report.total.added, report.total.changed, report.total.written) == (1, 1, 2)
    model = await read.get_model(deck.store, "openrouter", GPT)
    assert model is not None
    (change,) = await history.changes(deck.store, model_id=model.id, field="price.input")
    assert (change.before["usd"], change.after["usd"]) == ("0.00000015", "0.0000003")
    assert (change.run_id, change.actor, change.kind) == (report.run_id, "modeldeck", ChangeKind.CHANGED)
    assert model.changed_at == change.at
    wrote = await history.changes(deck.store, run_id=report.run_id)
    assert {(c.native_id, c.kind) for c in wrote} == {(GPT, ChangeKind.CHANGED), ("new/model", ChangeKind.ADDED)}
    assert await history.changes(deck.store, provider="openrouter", since=change.at) == wrote
    assert await history.changes(deck.store, provider="openrouter", since=deck.clock()) == ()


@BOTH
async def test_a_model_is_missing_then_retired_by_the_third_list_and_may_return(deck: Deck) -> None:
    name = "zai-org/GLM-4.6"
    await deck.run("deepinfra")
    deck.samples.remove("deepinfra", name)
    reports = [await deck.one("deepinfra") for _ in range(4)]
    assert [report.outcome for report in reports] == ["ok", "unchanged", "ok", "unchanged"]
    assert [report.counts.missing for report in reports] == [1, 1, 1, 0]
    assert [report.counts.retired for report in reports] == [0, 0, 1, 0]
    model = await read.get_model(deck.store, "deepinfra", name)
    assert model is not None
    assert model.retired_at is not None
    assert model.last_seen_at is not None
    assert model.first_seen_at < model.last_seen_at < model.retired_at
    assert (await read.search(deck.store, "key:glm-4-6")).total == 0
    assert (await read.search(deck.store, "key:glm-4-6 retired")).total == 1

    deck.samples.restore("deepinfra")
    report = await deck.one("deepinfra")
    assert (report.counts.returned, report.counts.written) == (1, 1)
    model = await read.get_model(deck.store, "deepinfra", name)
    assert model is not None
    assert (model.retired_at, model.last_seen_at, model.missing_runs) == (None, None, 0)
    kinds = [change.kind.value for change in await history.changes(deck.store, model_id=model.id)]
    assert kinds == ["returned", "retired", "missing"]


@BOTH
async def test_one_bad_record_costs_neither_the_others_nor_the_provider(deck: Deck) -> None:
    await deck.run("together")
    deck.samples.add("together", None, {"object": "model"}, {"id": "a\u0000b"}, {"id": 3}, "text", [[]])
    deck.samples.add("together", {"id": "half/good", "context_length": "many", "pricing": {"input": "call us"}})
    deck.samples.add("together", deck.samples.models("together")[0])
    report = await deck.one("together")
    assert report.outcome is ProviderOutcome.OK
    assert (report.counts.fetched, report.counts.normalised, report.counts.rejected) == (30, 23, 7)
    kept = await history.rejects(deck.store, (await history.runs(deck.store))[0].id, provider="together")
    assert [(reject.position, reject.costs) for reject in kept] == [
        (23, "record"),
        (24, "record"),
        (25, "record"),
        (26, "record"),
        (27, "record"),
        (28, "record"),
        (29, "field"),
        (29, "field"),
        (30, "record"),
    ]
    assert kept == report.rejects
    half = await read.get_model(deck.store, "together", "half/good")
    assert half is not None
    assert half.price_unknown
    assert half.context_tokens is None


async def test_rejects_are_all_counted_and_not_all_kept(deck: Deck) -> None:
    deck.samples.add("together", *[None] * 500)
    report = await deck.one("together")
    assert (report.counts.rejected, len(report.rejects)) == (500, 200)


@BOTH
async def test_a_list_without_a_usable_record_takes_nothing_away(deck: Deck) -> None:
    await deck.run("together")
    deck.samples.remove("together", *[model["id"] for model in deck.samples.models("together")])
    deck.samples.add("together", {"object": "model"}, None)
    report = await deck.one("together")
    assert (report.outcome, report.code) == (ProviderOutcome.UNPARSEABLE, "ALL_REJECTED")
    assert report.counts.rejected == 2
    assert (await read.stats(deck.store)).by_provider == {"together": 22}


async def test_one_bad_provider_never_costs_the_run(deck: Deck) -> None:
    deck.samples.fault("openrouter", faults.Html())
    report = await deck.run()
    assert (report.ending, report.exit_code) == (Ending.PARTIAL, 1)
    assert [r.outcome for r in report.providers] == ["unparseable", "ok", "ok"]
    assert (await history.runs(deck.store))[0].state is RunState.PARTIAL
    # It is known, with its outcome, and has no model.
    assert {p.slug: p.models for p in await read.providers(deck.store)} == {
        "deepinfra": 44,
        "openrouter": 0,
        "together": 22,
    }
    assert (await history.last_words(deck.store))["openrouter"].report.outcome is ProviderOutcome.UNPARSEABLE


async def test_a_run_where_no_provider_answers_has_failed(deck: Deck) -> None:
    for slug in BIG:
        deck.samples.fault(slug, faults.Status(500))
    report = await deck.run()
    assert (report.ending, report.exit_code) == (Ending.FAILED, 1)
    assert (await history.runs(deck.store))[0].state is RunState.FAILED


@BOTH
async def test_the_record_of_a_run_says_what_the_run_said(deck: Deck) -> None:
    deck.samples.fault("together", faults.Status(429, retry_after="600"))
    report = await deck.run()
    (run,) = await history.runs(deck.store)
    assert (run.id, run.state, run.summary) == (report.run_id, RunState.PARTIAL, report.summary)
    assert (run.actor, run.via, run.asked) == ("modeldeck", "system", BIG)
    kept = {r.provider: r for r in await history.provider_reports(deck.store, run.id)}
    for said in report.providers:
        stored = kept[said.provider]
        assert (stored.outcome, stored.code, stored.sentence, stored.counts) == (
            said.outcome,
            said.code,
            said.sentence,
            said.counts,
        )
        assert stored.retry_at == said.retry_at
    limited = kept["together"]
    assert limited.retry_at is not None
    assert timedelta(seconds=590) < limited.retry_at - run.started_at < timedelta(seconds=630)


async def test_what_is_asked_is_checked_before_anybody_is_asked(deck: Deck) -> None:
    target = deck.targets("together")[0]
    for targets in ([], [target, target]):
        with pytest.raises(Refusal):
            await deck.syncer().run(deck.permit, targets)
    assert deck.samples.seen("together") == []
    assert await history.runs(deck.store) == ()


async def test_the_list_is_read_again_when_it_would_be_read_differently(
    deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deck.run("openrouter")
    monkeypatch.setattr("console.sync.provider_sync.revision", lambda _: "a later reading")
    report = await deck.one("openrouter")
    assert (report.code, report.counts.fetched) == ("", 358)
    assert (await deck.one("openrouter")).code == "NOT_MODIFIED"


async def test_progress_is_told_from_the_first_request_to_the_outcome(deck: Deck) -> None:
    told = []
    await deck.syncer().run(deck.permit, deck.targets("openrouter"), progress=told.append)
    stages = [progress.stage.value for progress in told]
    assert stages[0] == "fetching"
    assert stages[-2:] == ["writing", "finished"]
    assert told[-1].outcome is ProviderOutcome.OK
    assert told[-1].records == 358
    assert max(progress.body_bytes for progress in told) > 100_000
