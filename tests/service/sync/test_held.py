"""Changes that look like a mistake wait for somebody, and what is decided stays decided."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from console.catalog import read
from console.catalog.types import PriceKind
from console.outcome import Refusal
from console.sync import held, history
from console.sync.types import ProviderOutcome

from .conftest import BOTH, Deck

GPT = "openai/gpt-4o-mini"
NOW = datetime(2026, 11, 2, tzinfo=UTC)


async def input_price(deck: Deck, name: str = GPT) -> Decimal | None:
    model = await read.get_model(deck.store, "openrouter", name)
    assert model is not None
    price = model.price(PriceKind.INPUT)
    return price.usd if price else None


@BOTH
async def test_a_price_that_jumps_is_held_while_everything_else_is_written(deck: Deck) -> None:
    await deck.run("openrouter")
    deck.samples.reprice("openrouter", GPT, "11")
    deck.samples.change("openrouter", GPT, name="Renamed")
    report = await deck.one("openrouter")
    assert (report.outcome, report.code) == (ProviderOutcome.SUSPICIOUS, "PRICES_HELD")
    assert (report.counts.held, report.counts.changed, report.counts.written) == (3, 1, 1)
    assert await input_price(deck) == Decimal("0.00000015")
    model = await read.get_model(deck.store, "openrouter", GPT)
    assert model is not None
    assert model.name == "Renamed"
    waiting = await held.list_held(deck.store, provider="openrouter")
    assert [h.field for h in waiting] == ["price.cache_read", "price.input", "price.output"]
    assert waiting[1].proposed["usd"] == "0.00000165"
    assert "rose 11 times" in waiting[1].reason

    again = await deck.one("openrouter")  # in full: a list with something held is not asked for conditionally
    assert (again.outcome, again.counts.fetched, again.counts.written) == (ProviderOutcome.SUSPICIOUS, 358, 0)
    assert [h.id for h in await held.list_held(deck.store)] == [h.id for h in waiting]  # and held once


@BOTH
async def test_what_is_accepted_is_written_at_once_with_its_history(deck: Deck) -> None:
    await deck.run("openrouter")
    deck.samples.reprice("openrouter", GPT, "20")
    await deck.one("openrouter")
    ids = [h.id for h in await held.list_held(deck.store)]
    outcome = await held.accept(deck.permit, deck.store, ids, now=NOW)
    assert outcome.ending == "done"
    assert await input_price(deck) == Decimal("0.000003")
    assert (await read.search(deck.store, f'"{GPT}" in=3')).total == 1
    assert await held.list_held(deck.store) == ()
    model = await read.get_model(deck.store, "openrouter", GPT)
    assert model is not None
    price = model.price(PriceKind.INPUT)
    assert price is not None
    assert (price.raw, price.raw_unit) == ("0.000003", "USD/token")
    (change,) = await history.changes(deck.store, model_id=model.id, field="price.input")
    assert (change.run_id, change.actor, change.at) == (None, "modeldeck", NOW)
    assert (change.before["usd"], change.after["usd"]) == ("0.00000015", "0.000003")
    report = await deck.one("openrouter")
    assert (report.outcome, report.counts.written) == (ProviderOutcome.UNCHANGED, 0)


@BOTH
async def test_what_is_refused_is_not_brought_up_again_but_another_price_is(deck: Deck) -> None:
    await deck.run("openrouter")
    deck.samples.reprice("openrouter", GPT, "20")
    await deck.one("openrouter")
    await held.refuse(deck.permit, deck.store, [h.id for h in await held.list_held(deck.store)], now=NOW)
    report = await deck.one("openrouter")
    assert (report.outcome, report.counts.held) == (ProviderOutcome.UNCHANGED, 0)
    assert await input_price(deck) == Decimal("0.00000015")
    deck.samples.reprice("openrouter", GPT, "30")
    assert (await deck.one("openrouter")).counts.held == 3


@BOTH
async def test_what_the_provider_takes_back_is_withdrawn(deck: Deck) -> None:
    await deck.run("openrouter")
    deck.samples.reprice("openrouter", GPT, "20")
    await deck.one("openrouter")
    deck.samples.restore("openrouter")
    report = await deck.one("openrouter")
    assert (report.outcome, report.counts.held) == (ProviderOutcome.UNCHANGED, 0)
    assert await held.list_held(deck.store) == ()


async def test_a_list_that_suddenly_says_zero_keeps_its_prices(deck: Deck) -> None:
    await deck.run("openrouter")
    for record in deck.samples.models("openrouter"):
        deck.samples.change("openrouter", record["id"], pricing={"prompt": "0", "completion": "0"})
    report = await deck.one("openrouter")
    assert report.outcome is ProviderOutcome.SUSPICIOUS
    assert await input_price(deck) == Decimal("0.00000015")


@BOTH
async def test_a_list_that_lost_more_than_half_is_held_as_a_whole(deck: Deck) -> None:
    await deck.run("deepinfra")
    names = [record["model_name"] for record in deck.samples.models("deepinfra")]
    deck.samples.remove("deepinfra", *names[:30])
    deck.samples.change("deepinfra", names[-1], description="changed")
    report = await deck.one("deepinfra")
    assert (report.outcome, report.code) == (ProviderOutcome.SUSPICIOUS, "LIST_SHRANK")
    assert "from 44 to 14 models at once" in report.sentence
    assert report.changes == ()
    assert (await read.search(deck.store, "missing")).total == 0
    (waiting,) = await held.list_held(deck.store)
    assert (waiting.field, waiting.before, waiting.proposed) == ("list", 44, 14)
    assert (await deck.one("deepinfra")).held == (waiting,)

    outcome = await held.accept(deck.permit, deck.store, [waiting.id], now=NOW)
    assert outcome.then == "modeldeck sync run deepinfra"
    report = await deck.one("deepinfra")
    assert (report.outcome, report.counts.missing, report.counts.changed) == (ProviderOutcome.OK, 30, 1)


@BOTH
async def test_a_shrunken_list_that_is_refused_leaves_the_catalog_alone(deck: Deck) -> None:
    await deck.run("deepinfra")
    names = [record["model_name"] for record in deck.samples.models("deepinfra")]
    deck.samples.remove("deepinfra", *names[:30])
    await deck.one("deepinfra")
    await held.refuse(deck.permit, deck.store, [h.id for h in await held.list_held(deck.store)], now=NOW)
    report = await deck.one("deepinfra")
    assert (report.outcome, report.code) == (ProviderOutcome.OK, "LIST_REFUSED")
    assert "30 that it lacks stay as they are, as modeldeck decided" in report.sentence
    assert (report.counts.unchanged, report.counts.missing, report.counts.written) == (14, 30, 0)
    assert (await read.search(deck.store, "missing")).total == 0
    deck.samples.restore("deepinfra")
    assert (await deck.one("deepinfra")).outcome is ProviderOutcome.UNCHANGED


@BOTH
async def test_a_refused_shrink_does_not_swallow_what_the_list_says_of_the_models_it_has(deck: Deck) -> None:
    await deck.run("openrouter")
    names = [record["id"] for record in deck.samples.models("openrouter")]
    left = [GPT, *(name for name in names if name != GPT)][:100]
    deck.samples.remove("openrouter", *(name for name in names if name not in left))
    report = await deck.one("openrouter")
    assert (report.counts.unchanged, report.counts.missing, report.counts.written) == (100, 258, 0)
    await held.refuse(deck.permit, deck.store, [h.id for h in await held.list_held(deck.store)], now=NOW)

    deck.samples.reprice("openrouter", GPT, "1.5")
    deck.samples.change("openrouter", left[1], name="Renamed")
    report = await deck.one("openrouter")
    assert (report.outcome, report.code) == (ProviderOutcome.OK, "LIST_REFUSED")
    assert (report.counts.changed, report.counts.unchanged, report.counts.missing) == (2, 98, 258)
    assert await input_price(deck) == Decimal("0.000000225")
    assert (await read.search(deck.store, "missing")).total == 0

    deck.samples.reprice("openrouter", GPT, "20")  # held as ever
    report = await deck.one("openrouter")
    assert (report.outcome, report.code, report.counts.held) == (ProviderOutcome.SUSPICIOUS, "PRICES_HELD", 3)
    deck.samples.reprice("openrouter", GPT, "1")
    deck.samples.remove("openrouter", left[-1])  # another size is another question
    report = await deck.one("openrouter")
    assert (report.code, report.counts.missing) == ("LIST_SHRANK", 259)
    deck.samples.restore("openrouter")
    deck.samples.remove("openrouter", *(name for name in names if name not in left))
    report = await deck.one("openrouter")  # which is withdrawn when the list says again what was refused
    assert (report.outcome, report.code) == (ProviderOutcome.OK, "LIST_REFUSED")
    assert await held.list_held(deck.store) == ()
    deck.samples.restore("openrouter")
    assert (await deck.one("openrouter")).outcome is ProviderOutcome.UNCHANGED


@BOTH
async def test_decisions_are_made_once_and_all_or_none(deck: Deck) -> None:
    await deck.run("openrouter")
    deck.samples.reprice("openrouter", GPT, "20")
    await deck.one("openrouter")
    ids = [h.id for h in await held.list_held(deck.store)]
    for wrong, code in (([*ids, 999], "HELD_NOT_FOUND"), ([], "BAD_REQUEST")):
        with pytest.raises(Refusal) as caught:
            await held.accept(deck.permit, deck.store, wrong, now=NOW)
        assert caught.value.code == code
    assert await input_price(deck) == Decimal("0.00000015")
    await held.accept(deck.permit, deck.store, ids[:1], now=NOW)
    with pytest.raises(Refusal) as caught:
        await held.refuse(deck.permit, deck.store, ids, now=NOW)
    assert caught.value.code == "HELD_DECIDED"
    assert len(await held.list_held(deck.store)) == len(ids) - 1


async def test_a_decision_on_something_that_has_changed_meanwhile_is_refused(deck: Deck) -> None:
    await deck.run("openrouter")
    deck.samples.reprice("openrouter", GPT, "20")
    await deck.one("openrouter")
    waiting = [h for h in await held.list_held(deck.store) if h.field == "price.input"]
    deck.samples.reprice("openrouter", GPT, "2")  # back within reason, and taken over
    await deck.one("openrouter")
    with pytest.raises(Refusal) as caught:
        await held.accept(deck.permit, deck.store, [waiting[0].id], now=NOW)
    assert caught.value.code == "HELD_DECIDED"  # it was withdrawn
    assert await input_price(deck) == Decimal("0.0000003")
