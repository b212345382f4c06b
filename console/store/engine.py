"""One database behind every service: SQLite by default, PostgreSQL by URL, the same behaviour on both.

On SQLite a writing transaction begins IMMEDIATE: one that reads first and writes later fails with "locked"
whatever the timeout, when another writer came between (DESIGN.md §4).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from console.cancelling import to_its_end
from console.store.unusable import failed, is_its_own, no_driver, no_url, not_opened, shown

_BUSY_SECONDS = 10
_ATTEMPTS = 5


class Store:
    """A pool of connections to one database.

    `reading` and `writing` hand out a connection inside a transaction; the latter commits at the end and rolls
    back on an error. Both raise `Unavailable` where the database cannot be reached, read or written.

    Raises:
        Refusal: BAD_DATABASE_URL, or NO_DATABASE_DRIVER.
    """

    def __init__(self, url: str) -> None:
        self.url = async_url(url)
        self.dialect = self.url.get_backend_name()
        options: dict[str, Any] = {"pool_pre_ping": self.dialect != "sqlite"}
        if self.dialect == "sqlite":
            options["connect_args"] = {"timeout": _BUSY_SECONDS, "isolation_level": None}
        try:
            self._engine: AsyncEngine = create_async_engine(self.url, **options)
        except ImportError:
            raise no_driver() from None
        except ArgumentError:
            raise no_url("is a URL that does not say which file or server") from None
        self._writer = self._engine.execution_options(modeldeck_writes=True)
        if self.dialect == "sqlite":
            sa.event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine.sync_engine, "begin", _begin_sqlite)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._opened(self._engine) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._opened(self._writer) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def _opened(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        connection = await self._connect(engine)
        try:
            yield connection
            await connection.commit()
        except BaseException as problem:
            with contextlib.suppress(DBAPIError):
                await to_its_end(connection.rollback())
            if isinstance(problem, DBAPIError) and is_its_own(problem):
                # Full, gone, or taken away in the middle: what this transaction did is undone.
                raise failed(self.url, problem) from problem
            raise
        finally:
            await to_its_end(connection.close())

    async def _connect(self, engine: AsyncEngine) -> AsyncConnection:
        """A connection whose transaction has begun; waits its turn behind other writers."""
        for attempt in range(_ATTEMPTS):
            connection = engine.connect()
            starting = asyncio.ensure_future(connection.start())
            try:
                await asyncio.shield(starting)
                await connection.begin()
                return connection
            except asyncio.CancelledError:
                # A driver's thread finishes what it began: left alone, it would answer a loop that may be gone by then.
                with contextlib.suppress(DBAPIError, OSError):
                    await starting
                if connection.sync_connection is not None:
                    await to_its_end(connection.close())
                raise
            except (DBAPIError, OSError) as problem:
                if connection.sync_connection is not None:  # else it never came to be, and cannot be closed
                    await to_its_end(connection.close())
                if not is_its_own(problem):
                    raise
                if not _is_locked(problem) or attempt == _ATTEMPTS - 1:
                    raise not_opened(self.url, problem) from problem
                await asyncio.sleep(0.05 * 2**attempt)
        raise AssertionError

    @property
    def shown_url(self) -> str:
        """The file, or the URL without its password."""
        return shown(self.url)

    async def close(self) -> None:
        await to_its_end(self._engine.dispose())


def async_url(url: str) -> sa.URL:
    """The URL with the asyncio driver that we use; a bare path means SQLite.

    `postgres://` and `postgresql://` (as in ``DATABASE_URL``) both work.

    Raises:
        Refusal: BAD_DATABASE_URL.
    """
    if "://" not in url:
        if not _is_path(url):
            raise no_url("is neither a URL nor a path")
        # Not by way of a URL's text, in which ? and % mean something.
        return sa.URL.create("sqlite+aiosqlite", database=str(Path(url).expanduser()))
    if url.startswith("postgres://"):
        url = "postgresql://" + url.removeprefix("postgres://")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise no_url("is a URL that cannot be read") from None
    match parsed.get_backend_name():
        case "sqlite":
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
    raise no_url("is a URL of neither SQLite nor PostgreSQL")


def _is_path(text: str) -> bool:
    """Whether somebody meant a file. A bare word is mostly another thing in the wrong place, such as a password."""
    before_host, at, _ = text.partition("@")
    if at and ":" in before_host:  # user:password@host/name
        return False
    return "/" in text or bool(Path(text).suffix)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    try:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"busy_timeout={_BUSY_SECONDS * 1000}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
    except BaseException:  # the pool does not know it yet, and would leave it open
        connection.close()
        raise
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("modeldeck_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_locked(problem: BaseException) -> bool:
    original = getattr(problem, "orig", problem)
    return isinstance(original, sqlite3.OperationalError) and "locked" in str(original)
