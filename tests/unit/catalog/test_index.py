"""The index in memory answers every query exactly as the database does on the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from console.catalog import indexing
from console.catalog.index import SORTS, CatalogIndex, Found, Row
from console.catalog.query import Bound, Capability, Choice, Flag, Query, Words, parse
from console.catalog.query_sql import conditions
from console.catalog.read import Sort
from console.catalog.types import CAPABILITIES, PriceState
from console.store.metadata import metadata
from console.store.tables.catalog import models, providers
from console.store.types import Moment
from tests.support.store import store_in

NAMES = st.text(alphabet="abcLM-37/%_ \\ßÄü.", min_size=1, max_size=8)
AUTHORS = st.sampled_from(["Meta", "meta", "qwen", "Alibaba/Qwen", "ä%_"])
MODALITIES = st.none() | st.lists(st.sampled_from(["text", "image", "audio", "a_b"]), max_size=3, unique=True).map(
    lambda names: json.dumps(sorted(names), separators=(",", ":"), ensure_ascii=False)
)
SAID = st.sampled_from([None, True, False])
FEMTO = st.none() | st.sampled_from([0, 1, 10**8, 590_000_000, 10**9, 10**15, 2**63 - 1])
ROWS = st.builds(
    Row,
    id=st.integers(1, 40),
    provider=st.sampled_from(["groq", "deepinfra", "openai"]),
    native_id=NAMES,
    canonical_key=st.sampled_from(["llama", "qwen-2", "x"]),
    name=NAMES,
    author=st.none() | AUTHORS,
    family=st.none() | st.sampled_from(["llama", "Qwen"]),
    kind=st.none() | st.sampled_from(["chat", "embedding"]),
    context_tokens=st.none() | st.sampled_from([0, 1, 8_000, 131_072]),
    max_output_tokens=st.none() | st.sampled_from([1, 8_000]),
    input_modalities=MODALITIES,
    output_modalities=MODALITIES,
    streaming=SAID,
    tools=SAID,
    vision=SAID,
    json_mode=SAID,
    reasoning=SAID,
    deprecated=SAID,
    price_state=st.sampled_from([state.value for state in PriceState]),
    price_in=FEMTO,
    price_out=FEMTO,
    price_image=FEMTO,
    changed_at=st.integers(0, 5),
    missing=st.booleans(),
    retired=st.booleans(),
    hidden=st.booleans(),
    pinned=st.booleans(),
)
NEGATED = st.booleans()
AMOUNTS = st.sampled_from([Decimal(n) for n in ("0", "0.000000001", "0.59", "1", "8000", "131072", "9999999999999")])
TERMS = (
    st.builds(Words, NAMES | st.sampled_from(["L", "lm", "meta", "%", "\\", "/"]), NEGATED)
    | st.builds(
        Choice,
        st.sampled_from(["provider", "author", "family", "kind", "price", "key", "input", "output"]),
        st.lists(
            st.sampled_from(
                [
                    "groq",
                    "openai",
                    "meta",
                    "ä%_",
                    "llama",
                    "qwen",
                    "chat",
                    "free",
                    "unknown",
                    "text",
                    "image",
                    "a_b",
                    "%",
                ]
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
        NEGATED,
    )
    | st.builds(
        Bound,
        st.sampled_from(["ctx", "maxout", "in", "out", "image"]),
        st.sampled_from(["<", "<=", ">", ">=", "="]),
        AMOUNTS,
        NEGATED,
    )
    | st.builds(Capability, st.sampled_from(CAPABILITIES), SAID, NEGATED)
    | st.builds(Flag, st.sampled_from(["free", "deprecated", "missing", "retired", "hidden", "pinned", "any"]), NEGATED)
)
QUERIES = st.lists(TERMS, max_size=3).map(lambda terms: Query(tuple(terms)))


@contextmanager
def database() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    metadata.create_all(engine, tables=[providers, models])
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def put(connection: sa.Connection, rows: list[Row]) -> None:
    columns = models.c
    for row in rows:
        values: dict[str, Any] = {name: value for name, value in row._asdict().items() if name in columns}
        for name in ("input_modalities", "output_modalities"):
            values[name] = None if values[name] is None else json.loads(values[name])
        moment = Moment().process_result_value(row.changed_at, sa.dialects.sqlite.dialect())
        values |= {
            "changed_at": moment,
            "first_seen_at": moment,
            "retired_at": moment if row.retired else None,
            "missing_runs": int(row.missing),
            "name_key": row.name.casefold(),
            "haystack": "\n".join((row.native_id, row.name, row.author or "")).casefold(),
            "description": "",
            "facts": {},
            "content_hash": "",
        }
        connection.execute(sa.delete(models).where(columns.id == row.id))
        connection.execute(sa.insert(models).values(values))


def in_the_database(connection: sa.Connection, query: Query, sort: str, *, descending: bool) -> list[int]:
    """As console/catalog/read.py orders a page."""
    columns = models.c
    column = {
        "name": columns.name_key,
        "provider": columns.provider,
        "context": columns.context_tokens,
        "input": columns.price_in,
        "output": columns.price_out,
        "changed": columns.changed_at,
    }[sort]
    second = columns.native_id if sort == "provider" else columns.id
    order = [column.desc(), second.desc()] if descending else [column, second]
    found = sa.select(columns.id).where(*conditions(query)).order_by(column.is_(None), *order)
    return list(connection.execute(found).scalars())


def distinct(rows: list[Row]) -> list[Row]:
    """One row per id, and per provider and native id, as the database has them."""
    by_id = {row.id: row for row in rows}
    return list({(row.provider, row.native_id): row for row in by_id.values()}.values())


def same(index: CatalogIndex, connection: sa.Connection, query: Query, sort: str, *, descending: bool) -> None:
    found = [index.id_at(position) for position in index.find(query, sort, descending=descending)]
    assert found == in_the_database(connection, query, sort, descending=descending), query


@given(
    st.lists(ROWS, max_size=15).map(distinct),
    st.lists(st.tuples(QUERIES, st.sampled_from(SORTS), st.booleans()), min_size=1, max_size=6),
)
def test_the_index_finds_what_the_database_finds_in_the_same_order(
    rows: list[Row], asked: list[tuple[Query, str, bool]]
) -> None:
    index = CatalogIndex()
    index.update(rows)
    with database() as connection:
        put(connection, rows)
        for query, sort, descending in asked:
            same(index, connection, query, sort, descending=descending)


@given(
    st.lists(ROWS, max_size=12).map(distinct),
    st.lists(st.tuples(st.lists(ROWS, max_size=3), st.sets(st.integers(1, 40), max_size=3)), max_size=4),
    QUERIES,
    st.sampled_from(SORTS),
)
def test_it_keeps_up_with_changes_and_removals(
    rows: list[Row], changes: list[tuple[list[Row], set[int]]], query: Query, sort: str
) -> None:
    index = CatalogIndex()
    index.update(rows)
    here = {row.id: row for row in rows}
    with database() as connection:
        put(connection, rows)
        for changed, removed in changes:
            taken = {(row.provider, row.native_id): row.id for row in here.values()}
            fresh = {
                row.id: row
                for row in distinct(changed)
                if taken.get((row.provider, row.native_id), row.id) == row.id and row.id not in removed
            }
            fresh = {row.id: row for row in distinct(list(fresh.values()))}
            put(connection, list(fresh.values()))
            connection.execute(sa.delete(models).where(models.c.id.in_(removed)))
            index.update(fresh.values())
            index.remove(removed)
            here = {key: row for key, row in (here | fresh).items() if key not in removed}
            same(index, connection, query, sort, descending=False)
            assert len(index) == len(here)
            assert index.listed == sum(not (row.hidden or row.retired) for row in here.values())
            for identifier, row in here.items():
                position = index.position_of(identifier)
                assert position is not None
                assert index.row(position) == row
            assert all(index.position_of(identifier) is None for identifier in removed)


@given(st.lists(ROWS, max_size=15).map(distinct), NAMES, NAMES)
@example([], "a", "b")
def test_typing_on_finds_what_typing_at_once_finds(rows: list[Row], begun: str, more: str) -> None:
    narrowed, fresh = CatalogIndex(), CatalogIndex()
    narrowed.update(rows)
    fresh.update(rows)
    whole = begun + more
    for end in range(len(begun), len(whole) + 1):
        narrowed.find(Query((Words(whole[:end]),)))
    query = Query((Words(whole),))
    assert narrowed.find(query) == fresh.find(query)


def test_the_sorts_are_those_of_the_pages() -> None:
    assert tuple(Sort) == SORTS


def test_more_values_than_a_byte_holds_are_told_apart() -> None:
    index = CatalogIndex()
    index.update(row(number, family=f"family-{number}") for number in range(1, 400))
    for number in (1, 255, 256, 257, 399):
        (position,) = index.find(parse(f"family:family-{number}"))
        assert index.id_at(position) == number
    assert len(index.find(parse("-family:family-7"))) == 398
    assert len(index.find(parse("key:k-300"))) == 1


def test_a_removed_position_is_used_again_and_the_others_stay() -> None:
    index = CatalogIndex()
    index.update([row(1), row(2), row(3)])
    third = index.position_of(3)
    index.remove([2, 77])
    assert [index.id_at(position) for position in index.find(Query())] == [1, 3]
    index.update([row(9)])
    assert index.position_of(3) == third
    assert sorted(index.id_at(position) for position in index.find(Query())) == [1, 3, 9]


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 40), max_size=9))
def test_what_was_found_knows_where_each_position_stands(positions: list[int], asked: list[int]) -> None:
    found = Found(positions)
    assert len(found) == len(positions)
    for position in asked:
        place = found.place_of(position)
        assert (place is None) == (position not in positions)
        assert place is None or found[place] == position


def test_what_is_news_since_another_index_is_told() -> None:
    before, now = CatalogIndex(), CatalogIndex()
    before.update([row(1), row(2), row(3)])
    before.remove([3])
    now.update([row(1), row(2, changed_at=9), row(3), row(4)])
    assert sorted(now.news(before)) == [2, 3, 4]
    assert now.news(now) == []


def test_what_is_published_is_said_from_outside() -> None:
    index = CatalogIndex()
    index.update([row(1), row(2)])
    index.set_published([2])
    assert (index.published(1), index.published(2)) == (False, True)


async def test_the_rows_of_the_database_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_PIECE", 200)
    store = await store_in(tmp_path)
    wanted = [row(number) for number in range(1, 403)]
    moment = Moment().process_result_value(0, sa.dialects.sqlite.dialect())
    async with store.writing() as connection:
        fixed = dict.fromkeys(("name", "description", "list_url", "api_url", "site_url", "credential_env", "tier"), "")
        times = {"created_at": moment, "updated_at": moment}
        await connection.execute(sa.insert(providers).values(slug="groq", capabilities=[], **fixed, **times))
        await connection.run_sync(lambda sync: put(sync, wanted))
    pieces = [piece async for piece in indexing.rows(store)]
    assert [len(piece) for piece in pieces] == [200, 200, 2]
    assert [row for piece in pieces for row in piece] == wanted
    assert [piece async for piece in indexing.rows(store, provider="openai")] == []
    assert await indexing.rows_of(store, [402, 7, 99_999]) == [wanted[6], wanted[401]]
    await store.close()


def row(number: int, **other: Any) -> Row:
    values: dict[str, Any] = {
        "id": number,
        "provider": "groq",
        "native_id": f"model-{number}",
        "canonical_key": f"k-{number}",
        "name": f"Model {number:05}",
        "author": "Meta",
        "family": None,
        "kind": "chat",
        "context_tokens": 8_000,
        "max_output_tokens": None,
        "input_modalities": '["image","text"]',
        "output_modalities": None,
        **dict.fromkeys(CAPABILITIES, True),
        "deprecated": None,
        "price_state": "known",
        "price_in": number * 10**6,
        "price_out": None,
        "price_image": None,
        "changed_at": 0,
        "missing": False,
        "retired": False,
        "hidden": False,
        "pinned": False,
    }
    return Row(**values | other)
