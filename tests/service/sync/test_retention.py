"""What is forgotten, and what never is."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from console.catalog import read
from console.catalog.overrides import set_override
from console.catalog.types import Override
from console.store.tables import catalog as t
from console.sync import held, history
from console.sync.retention import Forgotten, Keep, forget

from .conftest import BOTH, Deck

GPT = "openai/gpt-4o-mini"
KEEP = Keep(history=timedelta(days=30), runs=timedelta(days=10))


async def count(deck: Deck, table: sa.Table) -> int:
    async with deck.store.reading() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


@BOTH
async def test_what_is_old_goes_and_what_the_next_sync_needs_stays(deck: Deck) -> None:
    await deck.run()
    deck.samples.reprice("openrouter", GPT, "2")
    deck.samples.reprice("openrouter", "openai/gpt-4o", "50")
    deck.samples.add("together", None)
    await deck.run()
    waiting = await held.list_held(deck.store)
    await held.refuse(deck.permit, deck.store, [waiting[0].id], now=deck.clock())
    model = await read.find_model(deck.store, f"openrouter/{GPT}")
    await set_override(deck.permit, deck.store, model.id, Override(note="kept"), now=deck.clock())
    assert await forget(deck.permit, deck.store, KEEP, now=deck.clock()) == Forgotten(0, 0, 0, 0)

    deck.clock.now += timedelta(days=11)
    await deck.run("together")  # the others were last asked eleven days ago
    before = await history.last_words(deck.store)
    # Of run 1 the last good list of OpenRouter is remembered, of run 2 the last word on it.
    assert (await forget(deck.permit, deck.store, KEEP, now=deck.clock())).runs == 0
    assert await history.last_words(deck.store) == before
    assert len(await history.changes(deck.store, limit=100)) > 3

    deck.clock.now += timedelta(days=30)
    gone = await forget(deck.permit, deck.store, KEEP, now=deck.clock())
    assert (gone.changes > 3, gone.held, gone.webhooks) == (True, 1, 0)
    assert await history.changes(deck.store) == ()
    assert {one.id for one in await held.list_held(deck.store)} == {one.id for one in waiting[1:]}
    kept = await read.find_model(deck.store, f"openrouter/{GPT}")
    assert kept.override is not None
    assert (await read.stats(deck.store)).models == 424
    assert await history.last_words(deck.store) == before
    assert (await deck.run("openrouter")).providers[0].baseline is False


@BOTH
async def test_the_last_list_that_was_in_order_is_remembered_however_old_it_is(deck: Deck) -> None:
    await deck.run("together")
    deck.token = None
    for _ in range(3):
        deck.clock.now += timedelta(days=20)
        await deck.run("together")
    gone = await forget(deck.permit, deck.store, KEEP, now=deck.clock())
    assert gone.runs == 2
    word = (await history.last_words(deck.store))["together"]
    assert (word.report.outcome, word.good_at is not None) == ("no credentials", True)


async def test_rejected_records_go_with_their_run(deck: Deck) -> None:
    for _ in range(2):
        deck.samples.add("together", None)
        await deck.run("together")
        deck.clock.now += timedelta(days=11)
    assert await count(deck, t.sync_rejects) == 1 + 2
    await forget(deck.permit, deck.store, KEEP, now=deck.clock())
    assert await count(deck, t.sync_rejects) == 2
