"""The schema goes up and down on both databases, and is what the tables say."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from console.outcome import Refusal, Unavailable
from console.store import migrate
from console.store.engine import Store
from console.store.metadata import metadata
from console.store.tables import catalog

from .conftest import BOTH

BY_COLUMN = {
    f"ix_models_{column}"
    for column in ("author", "family", "name_key", "price_in", "price_out", "context_tokens", "changed_at")
}
SEARCH_AIDS = {
    catalog.FILTER_INDEX, catalog.SEARCHED_INDEX, catalog.TRIGRAM_INDEX, "ix_models_words", "words",
} | BY_COLUMN  # fmt: skip
OURS = {table.name for table in vars(catalog).values() if isinstance(table, sa.Table)}


async def tables(store: Store) -> set[str]:
    async with store.reading() as connection:
        names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
    return set(names)


@BOTH
async def test_down_to_nothing_and_up_again(store: Store) -> None:
    assert tables_of_ours(await tables(store)) == OURS
    await migrate.downgrade(store, "base")
    assert await tables(store) <= {"alembic_version"}
    assert await migrate.current(store) == ""
    await migrate.upgrade(store)
    assert tables_of_ours(await tables(store)) == OURS
    assert await migrate.is_up_to_date(store)


def tables_of_ours(names: set[str]) -> set[str]:
    return names & OURS


@BOTH
async def test_the_migrations_make_what_the_tables_declare(store: Store) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        def is_ours(thing: sa.Table | sa.Column[object] | sa.Index, name: str, *_: object) -> bool:
            return getattr(thing, "table", thing).name in OURS and name not in SEARCH_AIDS

        ours = {"include_object": is_ours}
        context = MigrationContext.configure(connection, opts=ours | {"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with store.reading() as connection:
        assert await connection.run_sync(differences) == []


def test_a_migration_is_called_as_its_file() -> None:
    """So that every command can tell the newest without Alembic."""
    scripts = ScriptDirectory.from_config(migrate._config())
    assert migrate._known() == [script.revision for script in scripts.walk_revisions()]


@BOTH
async def test_suspensions_come_with_their_migration_and_go_with_it(store: Store) -> None:
    async def found() -> tuple[bool, bool]:
        async with store.reading() as connection:
            columns = await connection.run_sync(lambda sync: sa.inspect(sync).get_columns("keys"))
        there = "digests_behind" in {column["name"] for column in columns}
        return "suspended_tenants" in await tables(store), there

    assert await found() == (True, True)
    await migrate.downgrade(store, "0010_search_by_author")
    assert await found() == (False, False)
    await migrate.upgrade(store)
    assert await found() == (True, True)

    def differences(connection: sa.Connection) -> list[object]:
        def is_ours(thing: sa.Table | sa.Column[object] | sa.Index, name: str, *_: object) -> bool:
            return getattr(thing, "table", thing).name in {"suspended_tenants", "keys"}

        context = MigrationContext.configure(connection, opts={"include_object": is_ours, "compare_type": True})
        return list(compare_metadata(context, metadata))

    async with store.reading() as connection:
        assert await connection.run_sync(differences) == []


@BOTH
async def test_what_searches_read_is_there(store: Store) -> None:
    def found(connection: sa.Connection) -> set[str | None]:
        inspector = sa.inspect(connection)
        return {index["name"] for index in inspector.get_indexes("models")} | set(inspector.get_table_names())

    async with store.reading() as connection:
        names = await connection.run_sync(found)
    own = catalog.WORDS if store.dialect == "sqlite" else catalog.TRIGRAM_INDEX
    assert BY_COLUMN | {catalog.FILTER_INDEX, own} <= names


@BOTH
async def test_constraints_have_the_names_of_the_convention(store: Store) -> None:
    def names(connection: sa.Connection) -> set[str | None]:
        inspector = sa.inspect(connection)
        found: set[str | None] = set()
        for name in OURS:
            found.add(inspector.get_pk_constraint(name)["name"])
            found |= {key["name"] for key in inspector.get_foreign_keys(name)}
            found |= {key["name"] for key in inspector.get_unique_constraints(name)}
            found |= {check["name"] for check in inspector.get_check_constraints(name)}
        return found

    async with store.reading() as connection:
        found = await connection.run_sync(names)
    declared = {
        str(constraint.name) for name in OURS for constraint in metadata.tables[name].constraints if constraint.name
    }
    assert found == declared


@BOTH
async def test_two_processes_that_start_at_once_make_one_schema(store: Store) -> None:
    await migrate.downgrade(store, "base")
    others = [Store(store.url.render_as_string(hide_password=False)) for _ in range(3)]
    try:
        revisions = await asyncio.gather(*(migrate.upgrade(other) for other in others))
    finally:
        await asyncio.gather(*(other.close() for other in others))
    assert len(set(revisions)) == 1
    assert await migrate.is_up_to_date(store)


@BOTH
async def test_a_database_of_a_newer_version_is_refused(store: Store) -> None:
    version = sa.table("alembic_version", sa.column("version_num"))
    async with store.writing() as connection:
        await connection.execute(sa.update(version).values(version_num="9999_future"))
    for move in (migrate.upgrade(store), migrate.downgrade(store, "base")):
        with pytest.raises(Refusal, match="9999_future") as caught:
            await move
        assert caught.value.code == "DATABASE_NEWER"
    assert tables_of_ours(await tables(store)) == OURS


@BOTH
async def test_a_failed_migration_leaves_the_database_as_it_was(store: Store) -> None:
    await migrate.downgrade(store, "base")
    async with store.writing() as connection:
        await connection.execute(sa.text("CREATE TABLE held_changes (x INTEGER)"))  # in the way of a later step
    with pytest.raises((sa.exc.DBAPIError, Unavailable)):
        await migrate.upgrade(store)
    assert await tables(store) <= {"alembic_version", "held_changes"}
