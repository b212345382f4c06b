"""Reads the catalog: one model, a page of them, the same one across providers, and what there is in all.

An empty answer means that there is nothing; a database that cannot be read raises `Unavailable`, and never looks like
zero models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from console.catalog import rows, stored
from console.catalog.completion import Vocabulary
from console.catalog.known import refuse_unknown
from console.catalog.query import About, Query, parse
from console.catalog.query_sql import WORD_ROWS, conditions, conditions_in_order, words_alone
from console.catalog.types import Model, Per, PriceKind, Provider
from console.outcome import Item, Refusal, conflict, not_found
from console.store.engine import Store
from console.store.tables import catalog as t

_PAGE_LIMIT = 1_000
_OFTEN = 1_000  # from so many hits on, a page is sooner found along its order than by sorting all of them
_SHARE = 20  # the same where the hits are few to sort: from one of so many models on
# As from a disk that turns, PostgreSQL would rather read every model in full. Words have an index of their own.
_INDEX_IS_SHORTER = sa.text("SET LOCAL random_page_cost = 1.1")


class Sort(StrEnum):
    """What a list of models is sorted by. What has no value comes last, in either direction."""

    NAME = "name"
    PROVIDER = "provider"
    CONTEXT = "context"
    INPUT = "input"
    OUTPUT = "output"
    CHANGED = "changed"


_SORT_COLUMNS: dict[Sort, sa.Column[object]] = {
    Sort.NAME: t.models.c.name_key,
    Sort.PROVIDER: t.models.c.provider,
    Sort.CONTEXT: t.models.c.context_tokens,
    Sort.INPUT: t.models.c.price_in,
    Sort.OUTPUT: t.models.c.price_out,
    Sort.CHANGED: t.models.c.changed_at,
}


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of what a query finds. ``total``: how many there are in all."""

    models: tuple[Model, ...]
    total: int
    offset: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What the catalog holds. ``by_…``: counts of the models that are neither retired nor hidden."""

    models: int
    retired: int
    missing: int
    hidden: int
    deprecated: int
    by_provider: dict[str, int]
    by_modality: dict[str, int]
    by_price_state: dict[str, int]


async def get_model(store: Store, provider: str, native_id: str) -> Model | None:
    """The model that this provider calls so, exactly; retired and hidden ones too."""
    columns = t.models.c
    found = await _models_where(store, columns.provider == provider, columns.native_id == native_id)
    return found[0] if found else None


async def get_model_by_number(store: Store, number: int) -> Model | None:
    """The model with this row id, which is stable as long as the model is in the catalog."""
    found = await _models_where(store, t.models.c.id == number)
    return found[0] if found else None


async def find_model(store: Store, name: str) -> Model:
    """The model that an operator means.

    Args:
        name: ``provider/native id``, a native id that only one provider has, or a row id

    Raises:
        Refusal: MODEL_NOT_FOUND (404) with near names, or MODEL_AMBIGUOUS (409) with the candidates.
    """
    provider, slash, native_id = name.partition("/")
    if slash and (model := await get_model(store, provider, native_id)):
        return model
    if name.isdecimal() and len(name) < 16 and (model := await get_model_by_number(store, int(name))):
        return model
    found = await _models_where(store, t.models.c.native_id == name)
    if len(found) == 1:
        return found[0]
    if found:
        raise conflict(
            f"{len(found)} providers have a model {name}",
            code="MODEL_AMBIGUOUS",
            then=f"name one of them, as in {found[0].reference}",
        )
    raise await _no_such_model(store, name)


async def search(
    store: Store,
    query: str | Query = "",
    *,
    sort: Sort = Sort.NAME,
    descending: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> Page:
    """One page of the models that a query finds.

    Args:
        query: see console/catalog/query.py
        limit: at most 1,000

    Raises:
        BadTerm: the query has a term that means nothing.
        Refusal: BAD_QUERY, for a provider, a kind or a modality that nobody knows.
    """
    if not (0 < limit <= _PAGE_LIMIT and offset >= 0):
        raise Refusal(f"a page has 1 to {_PAGE_LIMIT} models", code="BAD_PAGE", status=400)
    asked = parse(query) if isinstance(query, str) else query
    await refuse_unknown(store, asked)
    where = conditions(asked, store.dialect)
    column, columns = _SORT_COLUMNS[sort], t.models.c
    first = [column, columns.native_id] if sort is Sort.PROVIDER else [column, columns.id]
    order = [part.desc() for part in first] if descending else first
    async with store.reading() as connection:
        if store.dialect == "postgresql" and not asked.has_words:
            await connection.execute(_INDEX_IS_SHORTER)
        total, with_value = (await connection.execute(_count(asked, column, where, store.dialect))).one()
        if offset >= total:
            return Page((), total, offset)
        if store.dialect == "sqlite" and await _is_sooner_in_order(connection, asked, sort, with_value):
            where = conditions_in_order(asked)
        # Only ids, which an index alone can tell; and two plain statements, for NULLS LAST is served by none.
        wanted = sa.select(columns.id).where(*where).order_by(*order)
        known = wanted.where(column.is_not(None)) if column.nullable else wanted
        page = list(await connection.scalars(known.offset(offset).limit(limit)))
        if len(page) < limit and offset + len(page) < total:
            if page:
                with_value = offset + len(page)
            elif offset:  # what is counted from words alone says too much
                with_value = await connection.scalar(sa.select(sa.func.count(column)).where(*where)) or 0
            rest = wanted.where(column.is_(None)).offset(max(0, offset - with_value)).limit(limit - len(page))
            page += await connection.scalars(rest)
        found = {row["id"]: row for row in await _rows(connection, sa.select(t.models).where(columns.id.in_(page)))}
        return Page(await _models(connection, [found[number] for number in page]), total, offset)


def _count(
    asked: Query, column: sa.Column[object], where: Sequence[sa.ColumnElement[bool]], dialect: str
) -> sa.Select[int, int]:
    """How many there are, and how many of them have a value to be sorted by: at most, where only words tell."""
    words = words_alone(asked) if dialect == "sqlite" else None
    if words is not None:
        return sa.select(sa.func.count(), sa.func.count()).select_from(WORD_ROWS).where(words)
    # Counting a column that always has a value would read it in every row.
    known = sa.func.count(column) if column.nullable else sa.func.count()
    # Named, for nothing else may name it: `any` alone has no condition.
    return sa.select(sa.func.count(), known).select_from(t.models).where(*where)


async def _is_sooner_in_order(connection: AsyncConnection, asked: Query, sort: Sort, hits: int) -> bool:
    """Whether SQLite finds a page along its order sooner than by sorting these hits: those that have a value."""
    if hits < _OFTEN or asked.chooses("key", "author", "family"):
        return False  # an index leads to few models, and has those of an author or a family in order
    if asked.chooses("provider") and sort in (Sort.PROVIDER, Sort.CHANGED):
        return False  # a provider's models stand together there, perhaps behind all others
    if not asked.chooses("provider") and not any(isinstance(term, About) for term in asked.terms):
        return True
    # The highest number is never less than how many there are, and is had at once.
    return hits * _SHARE >= (await connection.scalar(sa.select(sa.func.max(t.models.c.id))) or 0)


async def compare(store: Store, name: str) -> tuple[Model, ...]:
    """The same model at every provider, as far as names tell, the cheapest input first, unknown prices last.

    Args:
        name: what `find_model` takes, or a canonical key

    Raises:
        Refusal: MODEL_NOT_FOUND.
    """
    columns = t.models.c
    alive = (columns.retired_at.is_(None), columns.hidden == sa.false())
    found = await _models_where(store, columns.canonical_key == name.lower(), *alive)
    if not found:
        named = await _models_where(store, columns.native_id == name)
        model = named[0] if named else await find_model(store, name)
        found = await _models_where(store, columns.canonical_key == model.canonical_key, *alive)
    return tuple(sorted(found, key=_cheapest_first))


async def providers(store: Store) -> tuple[Provider, ...]:
    """Every provider that was ever synced, by slug."""
    listed = t.models.c.retired_at.is_(None) & (t.models.c.hidden == sa.false())
    numbers = sa.select(t.models.c.provider, sa.func.count().label("models")).where(listed)
    counted = numbers.group_by(t.models.c.provider).subquery()
    runs = t.sync_run_providers.c
    good = sa.select(runs.provider, sa.func.max(runs.finished_at).label("listed_at"))
    seen = good.where(runs.outcome.in_(("ok", "unchanged"))).group_by(runs.provider).subquery()
    query = (
        sa.select(t.providers, sa.func.coalesce(counted.c.models, 0).label("models"), seen.c.listed_at)
        .outerjoin(counted, counted.c.provider == t.providers.c.slug)
        .outerjoin(seen, seen.c.provider == t.providers.c.slug)
        .order_by(t.providers.c.slug)
    )
    async with store.reading() as connection:
        return tuple(
            Provider(
                slug=row["slug"],
                name=row["name"],
                description=row["description"],
                list_url=row["list_url"],
                api_url=row["api_url"],
                site_url=row["site_url"],
                credential_env=row["credential_env"],
                tier=row["tier"],
                capabilities=tuple(row["capabilities"]),
                models=row["models"],
                listed_at=row["listed_at"],
            )
            for row in (await connection.execute(query)).mappings()
        )


async def get_provider(store: Store, slug: str) -> Provider | None:
    """The provider with this slug, None where it was never synced."""
    return next((provider for provider in await providers(store) if provider.slug == slug), None)


async def stats(store: Store) -> Stats:
    """What there is, counted by the database."""
    columns = t.models.c
    alive = columns.retired_at.is_(None) & (columns.hidden == sa.false())

    def counted(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)

    async with store.reading() as connection:

        async def by(*names: str) -> dict[tuple[object, ...], int]:
            keys = [columns[name] for name in names]
            query = sa.select(*keys, sa.func.count()).where(alive).group_by(*keys)
            return {tuple(row[:-1]): row[-1] for row in await connection.execute(query)}

        totals = sa.select(
            counted(alive),
            counted(columns.retired_at.is_not(None)),
            counted(alive & (columns.missing_runs > 0)),
            counted(columns.hidden == sa.true()),
            counted(alive & (columns.deprecated == sa.true())),
        )
        models, retired, missing, hidden, deprecated = (await connection.execute(totals)).one()
        modalities: dict[str, int] = {}
        sides = (columns.input_modalities, columns.output_modalities)
        grouped = sa.select(*sides, sa.func.count()).where(alive).group_by(*sides)
        for inputs, outputs, count in await connection.execute(grouped):
            name = "->".join("+".join(side) if side else "?" for side in (inputs, outputs))
            modalities[name] = modalities.get(name, 0) + count
        by_provider = {str(key[0]): count for key, count in (await by("provider")).items()}
        by_price_state = {str(key[0]): count for key, count in (await by("price_state")).items()}
    return Stats(models, retired, missing, hidden, deprecated, by_provider, modalities, by_price_state)


async def vocabulary(store: Store) -> Vocabulary:
    """The values to complete a query with (console/catalog/completion.py)."""
    async with store.reading() as connection:

        async def values(column: sa.Column[str | None]) -> tuple[str, ...]:
            query = sa.select(column).where(column.is_not(None)).distinct().order_by(column)
            return tuple(value for (value,) in await connection.execute(query) if value)

        columns = t.models.c
        sides = sa.select(columns.input_modalities, columns.output_modalities).distinct()
        modalities = {name for row in await connection.execute(sides) for side in row for name in side or ()}
        return Vocabulary(
            providers=await values(columns.provider),
            authors=await values(columns.author),
            families=await values(columns.family),
            kinds=await values(columns.kind),
            modalities=tuple(sorted(modalities)),
        )


async def references(store: Store) -> tuple[str, ...]:
    """``provider/native id`` of every model that there is, retired and hidden ones too."""
    columns = t.models.c
    async with store.reading() as connection:
        found = await connection.execute(sa.select(columns.provider, columns.native_id))
        return tuple(f"{provider}/{native_id}" for provider, native_id in found)


async def _models_where(store: Store, *where: sa.ColumnElement[bool]) -> tuple[Model, ...]:
    query = sa.select(t.models).where(*where).order_by(t.models.c.provider, t.models.c.native_id)
    async with store.reading() as connection:
        return await _models(connection, await _rows(connection, query))


async def _rows(connection: AsyncConnection, query: sa.Select[tuple[object]]) -> Sequence[sa.RowMapping]:
    return (await connection.execute(query)).mappings().all()


async def _models(connection: AsyncConnection, found: Sequence[sa.RowMapping]) -> tuple[Model, ...]:
    models: list[Model] = []
    for chunk in stored.chunks(list(found)):
        ids = [row["id"] for row in chunk]
        listed = await stored.prices_of(connection, ids)
        decided = await stored.overrides(connection, t.models.c.id.in_(ids))
        models += [rows.stored_model(row, listed.get(row["id"], ()), decided.get(row["id"])) for row in chunk]
    return tuple(models)


async def _no_such_model(store: Store, name: str) -> Refusal:
    provider, _, last = name.casefold().rpartition("/")
    if not last:  # a provider without a model: every name would be near
        only = f" provider:{provider}" if provider else ""
        return not_found(f"{name!r} names no model", code="MODEL_NOT_FOUND", then=f"modeldeck models search{only}")
    near = t.models.c.haystack.contains(last[:40], autoescape=True) & t.models.c.retired_at.is_(None)
    async with store.reading() as connection:
        query = sa.select(t.models.c.provider, t.models.c.native_id).where(near).order_by(t.models.c.id).limit(5)
        items = tuple(Item(f"{found}/{native_id}", "near") for found, native_id in await connection.execute(query))
    refusal = not_found(
        f"there is no model {name} in the catalog", code="MODEL_NOT_FOUND", then=f"modeldeck models search {last}"
    )
    refusal.items = items
    return refusal


def _cheapest_first(model: Model) -> tuple[bool, object, str]:
    price = model.price(PriceKind.INPUT)
    usd = price.usd if price is not None and price.per is Per.TOKEN else None
    return usd is None, usd or 0, model.provider
