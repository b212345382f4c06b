"""What is read for a page of models: indexes, not the table, and no more of them than it must."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from console.catalog import read
from console.catalog.read import Sort
from console.store.engine import Store
from console.store.tables import catalog as t
from tests.support.postgres import Postgres

from .conftest import BOTH, BOTH_FILLED, Deck

FILLED = pytest.mark.parametrize("store", ["sqlite filled"], indirect=True)


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """What is sent to any database meanwhile, with its parameters."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        found.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


async def plans(store: Store, query: str, sort: Sort = Sort.NAME) -> tuple[str, str]:
    """How a database counts, and how it finds the ids of the first page."""
    with statements() as sent:
        await read.search(store, query, sort=sort, limit=5)
    counting = next(one for one in sent if one[0].startswith("SELECT count("))
    paging = next(one for one in sent if one[0].startswith("SELECT models.id \n"))
    explain = "EXPLAIN QUERY PLAN" if store.dialect == "sqlite" else "EXPLAIN"
    async with store.reading() as connection:
        if store.dialect == "postgresql":  # of so few models it would read all, and sort them
            await connection.exec_driver_sql("SELECT set_config('enable_seqscan', 'off', true)")
            await connection.exec_driver_sql("SELECT set_config('enable_bitmapscan', 'off', true)")
            await connection.exec_driver_sql("SELECT set_config('enable_sort', 'off', true)")
        told = [
            (await connection.exec_driver_sql(f"{explain} {statement}", parameters)).all()
            for statement, parameters in (counting, paging)
        ]
    counted, paged = (" / ".join(row[-1] for row in rows) for rows in told)
    return counted, paged


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hits are many, as in a catalog of 100,000."""
    monkeypatch.setattr(read, "_OFTEN", 1)


@FILLED
@pytest.mark.usefixtures("often")
async def test_an_author_and_a_family_are_looked_up_in_an_index_that_has_the_order(deck: Deck) -> None:
    for field, value in (("author", "OpenAI"), ("family", "gpt")):
        for sort in (Sort.NAME, Sort.INPUT, Sort.OUTPUT, Sort.CONTEXT, Sort.CHANGED):
            for plan in await plans(deck.store, f"{field}:{value}", sort):
                assert f"USING COVERING INDEX ix_models_{field} ({field}=? AND hidden=? AND retired_at=?)" in plan
        _, paged = await plans(deck.store, f"{field}:{value}")
        assert "USE TEMP B-TREE FOR ORDER BY" not in paged  # but for what is called the same


@FILLED
@pytest.mark.usefixtures("often")
async def test_a_providers_models_are_found_along_the_order_where_they_are_many(deck: Deck) -> None:
    query = "provider:openrouter in<0.5 vision -preview"
    for sort, index in ((Sort.NAME, "ix_models_name_key"), (Sort.INPUT, "ix_models_price_in")):
        counted, paged = await plans(deck.store, query, sort)
        assert "COVERING INDEX ix_models_filter (hidden=? AND retired_at=? AND provider=?)" in counted
        assert f"USING INDEX {index}" in paged
        assert "TEMP B-TREE" not in paged
    for few, sort in (("provider:together llama", Sort.NAME), ("provider:openrouter", Sort.CHANGED)):
        _, paged = await plans(deck.store, f"{few} any", sort)
        assert "SCAN" not in paged, few


@FILLED
@pytest.mark.usefixtures("often")
async def test_words_are_counted_in_their_own_index(deck: Deck) -> None:
    for sort in (Sort.NAME, Sort.INPUT):
        counted, paged = await plans(deck.store, "about:openai", sort)
        assert counted.startswith("SCAN models_words VIRTUAL TABLE")
        assert "SCAN models " not in counted
        assert "TEMP B-TREE" not in paged


@BOTH_FILLED
@pytest.mark.usefixtures("often")
async def test_hits_are_the_same_whatever_way_they_are_found(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden and retired ones among them."""
    columns = t.models.c
    async with deck.store.writing() as connection:
        await connection.execute(sa.update(t.models).where(columns.id % 7 == 0).values(hidden=True))
        retired = sa.update(t.models).where(columns.id % 5 == 0)
        await connection.execute(retired.values(retired_at=deck.clock()))
    everything = (await read.search(deck.store, "any", limit=1000)).models
    alive = {m.reference for m in (await read.search(deck.store, "", limit=1000)).models}
    assert 0 < len(alive) < len(everything)
    ways = (1, 1_000_000) if deck.store.dialect == "sqlite" else (1,)  # PostgreSQL chooses by itself
    queries = ("about:openai", 'about:"served by"', "about:openai vision", "author:openai", "family:gpt,claude -vision")
    for query in (*queries, "provider:openrouter in<0.5", "-about:openai", "-author:openai", "about:openai any"):
        with_hidden = {m.reference for m in (await read.search(deck.store, f"{query} any", limit=1000)).models}
        wanted = with_hidden if query.endswith(" any") else with_hidden & alive
        for sort in Sort:
            pages = {}
            for often in ways:
                monkeypatch.setattr(read, "_OFTEN", often)
                page = await read.search(deck.store, query, sort=sort, limit=1000)
                parts = [await read.search(deck.store, query, sort=sort, limit=40, offset=o) for o in (0, 40, 80)]
                assert [m.id for part in parts for m in part.models] == [m.id for m in page.models][:120]
                assert {m.reference for m in page.models} == wanted, query
                assert page.total == len(wanted) > 0
                pages[often] = [m.id for m in page.models]
            assert len({tuple(ids) for ids in pages.values()}) == 1, (query, sort)


@pytest.mark.parametrize("store", ["postgresql filled"], indirect=True)
async def test_on_postgresql_an_index_tells_all_that_is_counted_and_has_the_order_of_an_author(
    deck: Deck, postgres: Postgres
) -> None:
    postgres.vacuum(deck.store.url.render_as_string(hide_password=False))  # as its autovacuum does: what it plans by
    for query in ("", "free ctx>=128k", "input:image", "provider:openrouter in<0.5 vision -preview"):
        counted, _ = await plans(deck.store, query)
        assert "Index Only Scan using ix_models_" in counted, query
    for field, value in (("author", "OpenAI"), ("family", "gpt")):
        _, paged = await plans(deck.store, f"{field}:{value}")
        assert f"Index Scan using ix_models_{field}" in paged
        assert "Sort" not in paged


@BOTH
async def test_the_longest_names_and_strange_modalities_are_kept_and_found(deck: Deck) -> None:
    """An entry of an index has a limit on PostgreSQL, where a record that breaks it would cost its provider the run."""
    wide = "".join(chr(0x1F300 + number % 256) for number in range(300))
    deck.samples.add(
        "openrouter",
        {"id": wide, "name": wide[::-1], "architecture": {
            "input_modalities": ["text", *(f"{number:04}".ljust(40, "x") for number in range(1000)), wide, "", " "],
            "output_modalities": [wide],
        }},
    )  # fmt: skip
    report = await deck.run("openrouter")
    assert report.total.rejected == 0
    (found,) = (await read.search(deck.store, f'"{wide[:200]}"')).models
    assert (found.native_id, found.name) == (wide, wide[::-1])
    assert found.input_modalities is not None
    assert len(found.input_modalities) == 12
    assert found.output_modalities is None
