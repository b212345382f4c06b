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
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from console.cancelling import to_its_end
from console.outcome import Unavailable

_BUSY_SECONDS = 10
_ATTEMPTS = 5


class Store:
    """A pool of connections to one database.

    `reading` and `writing` hand out a connection inside a transaction; the latter commits at the end and rolls
    back on an error. Both raise `Unavailable` where the database cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.url = async_url(url)
        self.dialect = self.url.get_backend_name()
        options: dict[str, Any] = {"pool_pre_ping": self.dialect != "sqlite"}
        if self.dialect == "sqlite":
            options["connect_args"] = {"timeout": _BUSY_SECONDS, "isolation_level": None}
        self._engine: AsyncEngine = create_async_engine(self.url, **options)
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
        except OperationalError as problem:
            with contextlib.suppress(DBAPIError):
                await to_its_end(connection.rollback())
            # Full, gone, or taken away in the middle: what this transaction did is undone.
            raise Unavailable(
                f"the database at {self.shown_url} failed: {_reason(problem)}",
                code="DATABASE_UNAVAILABLE",
                then="modeldeck status",
            ) from problem
        except BaseException:
            with contextlib.suppress(DBAPIError):
                await to_its_end(connection.rollback())
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
                await to_its_end(connection.close())
                raise
            except (OperationalError, OSError) as problem:
                await to_its_end(connection.close())
                if not _is_locked(problem) or attempt == _ATTEMPTS - 1:
                    raise Unavailable(
                        f"the database at {self.shown_url} cannot be used: {_reason(problem)}",
                        code="DATABASE_UNAVAILABLE",
                        then="modeldeck status",
                    ) from problem
                await asyncio.sleep(0.05 * 2**attempt)
        raise AssertionError

    @property
    def shown_url(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    async def close(self) -> None:
        await to_its_end(self._engine.dispose())


def async_url(url: str) -> sa.URL:
    """The URL with the asyncio driver that we use; a bare path means SQLite.

    `postgres://` and `postgresql://` (as in ``DATABASE_URL``) both work.
    """
    if "://" not in url:
        url = f"sqlite:///{Path(url).expanduser()}"
    if url.startswith("postgres://"):
        url = "postgresql://" + url.removeprefix("postgres://")
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    return parsed.set(drivername="postgresql+psycopg")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_SECONDS * 1000}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("modeldeck_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_locked(problem: BaseException) -> bool:
    original = getattr(problem, "orig", problem)
    return isinstance(original, sqlite3.OperationalError) and "locked" in str(original)


def _reason(problem: BaseException) -> str:
    return str(getattr(problem, "orig", None) or problem).strip().splitlines()[0]
