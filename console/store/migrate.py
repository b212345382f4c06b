"""Bring a database to the schema that this version knows.

Each move happens in one transaction, on SQLite too, so that a failed migration leaves the database as it was. Two
processes that start at once are put in order: on SQLite by the write lock, on PostgreSQL by an advisory lock; the
second then finds nothing to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from console.outcome import Refusal
from console.store.engine import Store

if TYPE_CHECKING:  # Alembic is imported where it is used: a command that only reads does without
    from alembic.config import Config

_SCRIPTS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x6D6F64656C6465  # "modelde": the same in every process of ours


async def upgrade(store: Store, revision: str = "head") -> str:
    """Go up to ``revision``; returns the revision that the database is at afterwards.

    Raises:
        Refusal: DATABASE_NEWER, where the database was last used by a newer Modeldeck.
        Unavailable: the database cannot be reached or written.
    """
    return await _move(store, "upgrade", revision)


async def downgrade(store: Store, revision: str) -> str:
    """Go down to ``revision`` (``base``: drop everything of ours). Raises as `upgrade` does."""
    return await _move(store, "downgrade", revision)


async def current(store: Store) -> str:
    """The revision that the database is at, ``""`` where it is not ours yet."""
    async with store.reading() as connection:
        return await connection.run_sync(_current)


async def is_up_to_date(store: Store) -> bool:
    """Whether the database has the schema that this version expects."""
    return await current(store) == _known()[0]


async def _move(store: Store, direction: Literal["upgrade", "downgrade"], revision: str) -> str:
    from alembic import command

    def run(connection: sa.Connection) -> str:
        _refuse_newer(_current(connection), store.shown_url)
        config = _config()
        config.attributes["connection"] = connection
        getattr(command, direction)(config, revision)
        return _current(connection)

    async with store.writing() as connection:
        if store.dialect == "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
        return await connection.run_sync(run)


def _refuse_newer(at: str, url: str) -> None:
    if at and at not in _known():
        raise Refusal(
            f"the database at {url} is at schema {at}, which this version of Modeldeck does not know: "
            "a newer version has used it. Nothing was changed",
            code="DATABASE_NEWER",
            status=409,
            then="install the newer version, or restore a backup from before it",
        )


def _current(connection: sa.Connection) -> str:
    """As Alembic keeps it; every command asks this, and does without Alembic's 100 ms of imports."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return ""
    return connection.scalar(sa.text("SELECT version_num FROM alembic_version")) or ""


def _known() -> list[str]:
    """Every revision of this version, the newest first: a file is called as its revision."""
    return sorted((path.stem for path in (_SCRIPTS / "versions").glob("[0-9]*.py")), reverse=True)


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
