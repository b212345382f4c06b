"""One statement for many rows, without SQLAlchemy's work for each of them.

SQLAlchemy builds a dictionary of parameters for every row of an executemany, which for a big catalog takes as long as
the database does. Here it only writes the SQL; the rows go to the driver as they are, encoded by the column types.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection


class Bulk:
    """An insert or upsert into ``table`` whose parameters are called as its columns."""

    def __init__(self, connection: AsyncConnection, table: sa.Table, statement: sa.Insert) -> None:
        self._connection = connection
        dialect = connection.dialect
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        # SQLite's driver takes the values by their place, PostgreSQL's by their name.
        self._by_place = operator.itemgetter(*compiled.positiontup) if compiled.positiontup else None
        encoders = {column.name: _encoder(column, dialect) for column in table.columns}
        self._encoders = [(name, encode) for name, encode in encoders.items() if encode is not None]

    async def run(self, rows: Sequence[dict[str, Any]]) -> None:
        """Execute for these rows; they are encoded in place."""
        if not rows:
            return
        encoders = [(name, encode) for name, encode in self._encoders if name in rows[0]]
        for row in rows:
            for name, encode in encoders:
                row[name] = encode(row[name])
        given = [self._by_place(row) for row in rows] if self._by_place is not None else list(rows)
        await self._connection.exec_driver_sql(self._sql, given)


def _encoder(column: sa.Column[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    return column.type.dialect_impl(dialect).bind_processor(dialect)
