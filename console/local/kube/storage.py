"""The objects and their recent history, in one SQLite file.

Every write is a revision: one number, growing by one, over all kinds, which is the API's resourceVersion. A
revision row holds the object as it was written; ``objects`` says which revision of each object is the current
one. Old revisions are kept for watches and for the later pages of lists, up to a limit, and then compacted.

An object's text is stored without apiVersion, kind and resourceVersion, which are put in front when it is read:
so one stored object is served in several versions, and lists and watches need not parse anything.

Reads happen on the caller's thread, from a connection of their own (WAL: a writer never blocks them). Writes are
done by one thread, one after the other, and are acknowledged after the commit: with WAL, killing the process
loses none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from console.outcome import Failure, Refusal

Change = Literal["ADDED", "MODIFIED", "DELETED"]
Made = TypeVar("Made")

_FORMAT = "1"
_PREFIX = '{"metadata":{'
_COMPACT_EVERY = 256
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revisions (
    revision INTEGER PRIMARY KEY,
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
    change TEXT NOT NULL,          -- ADDED, MODIFIED, DELETED
    labels TEXT NOT NULL,          -- JSON object
    labels_before TEXT,            -- of the revision before, NULL for ADDED
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS revisions_by_object ON revisions (resource, namespace, name, revision);
CREATE INDEX IF NOT EXISTS revisions_by_resource ON revisions (resource, revision);
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    uid TEXT NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS objects_by_revision ON objects (revision);
CREATE INDEX IF NOT EXISTS objects_by_uid ON objects (uid);
CREATE TABLE IF NOT EXISTS owned (
    owner TEXT NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (owner, resource, namespace, name)
) WITHOUT ROWID;
"""


class Moved(Exception):
    """The object is no longer at the revision that the caller read: read it again."""


class Compacted(Exception):
    """The history no longer reaches back that far."""


@dataclass(frozen=True, slots=True)
class Key:
    """One object: ``resource`` is `Resource.key`; ``namespace`` is empty for cluster-wide kinds."""

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Record:
    """An object at one revision."""

    key: Key
    uid: str
    revision: int
    labels: Mapping[str, str]
    body: str

    def text(self, api_version: str, kind: str) -> str:
        """The object as JSON text, in the version that is asked for."""
        head = f'{{"apiVersion":{json.dumps(api_version)},"kind":{json.dumps(kind)},"metadata":{{'
        return f'{head}"resourceVersion":"{self.revision}",{self.body[len(_PREFIX) :]}'

    def object(self, api_version: str, kind: str) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text(api_version, kind))
        return parsed


@dataclass(frozen=True, slots=True)
class Draft:
    """An object as it is to be written."""

    key: Key
    uid: str
    labels: Mapping[str, str]
    owners: tuple[str, ...]
    body: str

    @classmethod
    def of(cls, key: Key, content: Mapping[str, Any]) -> Draft:
        metadata = {name: value for name, value in content["metadata"].items() if name != "resourceVersion"}
        rest = {name: value for name, value in content.items() if name not in ("apiVersion", "kind", "metadata")}
        body = json.dumps({"metadata": metadata, **rest}, ensure_ascii=False, separators=(",", ":"))
        owners = tuple(dict.fromkeys(str(one.get("uid", "")) for one in metadata.get("ownerReferences") or ()))
        return cls(key, metadata["uid"], metadata.get("labels") or {}, owners, body)


@dataclass(frozen=True, slots=True)
class Event:
    """A committed change. ``labels_before`` is None for an addition; a deletion carries the last state."""

    change: Change
    record: Record
    labels_before: Mapping[str, str] | None


class Storage:
    """Opened by `open`; the only writer of its file, which a lock beside the file ensures.

    ``history`` is how many revisions are kept beyond the current ones. ``listener`` is called on the event loop,
    in the order of revisions, before a write is acknowledged.
    """

    def __init__(self, path: Path, *, history: int = 10_000) -> None:
        self._path = path
        self._history = history
        self._lock = asyncio.Lock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="kube-storage")
        self._held: IO[str] | None = None
        self._reading: sqlite3.Connection | None = None
        self._writing: sqlite3.Connection | None = None
        self.revision = 0
        self.compacted = 0
        self.listener: Callable[[Event], None] = lambda _event: None

    # --- opening -----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Raises `Refusal` (in use, no permission) or `Failure` (not a database, damaged)."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._open)
        except BaseException:
            await self.close()
            raise

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._held = self._path.with_name(self._path.name + ".lock").open("a")
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        except BlockingIOError:
            raise Refusal(
                f"the local Kubernetes database {self._path} is in use by another process",
                code="KUBE_DATABASE_IN_USE",
                then="modeldeck status",
                status=409,
            ) from None
        except OSError as problem:
            raise Refusal(
                f"the local Kubernetes database {self._path} cannot be opened: {problem.strerror or problem}",
                code="KUBE_DATABASE_NOT_WRITABLE",
                then="give this user write permission there, or choose another directory",
            ) from problem
        try:
            self._writing = self._connect()
            self._prepare(self._writing)
            self._reading = self._connect()
        except sqlite3.DatabaseError as problem:
            raise Failure(
                f"the local Kubernetes database {self._path} cannot be read: {problem}; it was left as it is",
                code="KUBE_DATABASE_DAMAGED",
                then=f"move {self._path} away to start with an empty cluster",
            ) from problem

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        connection.executescript(_TABLES)
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        if meta.setdefault("format", _FORMAT) != _FORMAT:
            raise sqlite3.DatabaseError(f"its format is {meta['format']}, and this Modeldeck knows {_FORMAT}")
        self.revision = int(meta.setdefault("revision", "1"))
        self.compacted = int(meta.setdefault("compacted", "0"))
        connection.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", meta.items())

    async def close(self) -> None:
        async with self._lock:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._close)
        self._writer.shutdown(wait=False)

    def _close(self) -> None:
        for connection in (self._reading, self._writing):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
        self._reading = self._writing = None
        if self._held is not None:
            self._held.close()
            self._held = None

    # --- reading -----------------------------------------------------------------------------------------------

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        if self._reading is None:
            raise sqlite3.ProgrammingError("the storage is closed")
        return self._reading.execute(query, values).fetchall()

    def get(self, key: Key) -> Record | None:
        rows = self._rows(f"{_CURRENT} WHERE o.resource = ? AND o.namespace = ? AND o.name = ?", _values(key))
        return _record(rows[0]) if rows else None

    def collection(self, resource: str, namespace: str | None = None) -> tuple[list[Record], int]:
        """The current objects of a kind, by namespace and name, and the revision at which they are that.

        ``namespace`` None means everywhere.
        """
        where, values = _scope(resource, namespace)
        self._rows("BEGIN", ())  # one snapshot: a write may be committed and not yet be announced
        try:
            rows = self._rows(f"{_CURRENT} WHERE {where} ORDER BY o.namespace, o.name", values)
            revision = int(self._rows("SELECT value FROM meta WHERE name = 'revision'", ())[0][0])
        finally:
            self._rows("COMMIT", ())
        return [_record(row) for row in rows], revision

    def list_at(self, revision: int, resource: str, namespace: str | None = None) -> list[Record]:
        """The objects as they were at a revision; raises `Compacted`."""
        where, values = _scope(resource, namespace)
        query = f"""
            SELECT o.resource, o.namespace, o.name, o.uid, o.revision, o.labels, o.body FROM revisions o
            WHERE {where} AND o.change != 'DELETED' AND o.revision = (
                SELECT max(l.revision) FROM revisions l
                WHERE l.resource = o.resource AND l.namespace = o.namespace AND l.name = o.name AND l.revision <= ?)
            ORDER BY o.namespace, o.name"""  # noqa: S608 - no value is in it
        return [_record(row) for row in self._kept_rows(revision, query, (*values, revision))]

    def events_after(self, revision: int, resource: str, namespace: str | None = None) -> list[Event]:
        """What happened since a revision; raises `Compacted`."""
        where, values = _scope(resource, namespace)
        query = f"""
            SELECT o.resource, o.namespace, o.name, o.uid, o.revision, o.labels, o.body, o.change, o.labels_before
            FROM revisions o WHERE {where} AND o.revision > ? ORDER BY o.revision"""  # noqa: S608 - no value is in it
        return [
            Event(row[7], _record(row), json.loads(row[8]) if row[8] is not None else None)
            for row in self._kept_rows(revision, query, (*values, revision))
        ]

    def _kept_rows(self, revision: int, query: str, values: tuple[Any, ...]) -> list[Any]:
        rows = self._rows(query, values)
        if revision < self.compacted:  # asked afterwards: the writer may have compacted meanwhile
            raise Compacted
        return rows

    def exists(self, uid: str) -> Key | None:
        """Where the object with this uid is."""
        rows = self._rows("SELECT resource, namespace, name FROM objects WHERE uid = ?", (uid,))
        return Key(*rows[0]) if rows else None

    def dependents(self, owner: str) -> list[Key]:
        """The objects that name this uid as an owner."""
        return [
            Key(*row) for row in self._rows("SELECT resource, namespace, name FROM owned WHERE owner = ?", (owner,))
        ]

    def owners(self) -> list[str]:
        """Every uid that some object names as an owner."""
        return [row[0] for row in self._rows("SELECT DISTINCT owner FROM owned", ())]

    def content(self, namespace: str) -> list[Key]:
        """Everything in a namespace."""
        rows = self._rows("SELECT resource, namespace, name FROM objects WHERE namespace = ?", (namespace,))
        return [Key(*row) for row in rows]

    # --- writing -----------------------------------------------------------------------------------------------

    async def write(self, draft: Draft, *, expected: int | None) -> Record:
        """Create (``expected`` None) or replace; raises `Moved` where it is not at the expected revision."""

        def commit(connection: sqlite3.Connection, revision: int) -> Event:
            return _write(connection, revision, draft, expected)

        return (await self._committed(commit)).record

    async def delete(self, key: Key, *, expected: int, body: str | None = None) -> Record:
        """Remove; the answer is the last state (``body`` where the deletion changed it), at the new revision."""

        def commit(connection: sqlite3.Connection, revision: int) -> Event:
            return _delete(connection, revision, key, expected, body)

        return (await self._committed(commit)).record

    async def compact(self) -> None:
        """Forget all history now: every older resourceVersion is gone (410)."""
        async with self._lock:
            await self._in_writer(lambda connection: self._compact(connection, self.revision))

    async def _committed(self, commit: Callable[[sqlite3.Connection, int], Event]) -> Event:
        # Shielded: a client that hangs up in the middle must not keep a change from the watches.
        task = asyncio.ensure_future(self._commit(commit))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _commit(self, commit: Callable[[sqlite3.Connection, int], Event]) -> Event:
        async with self._lock:
            revision = self.revision + 1

            def work(connection: sqlite3.Connection) -> Event:
                with _transaction(connection):
                    event = commit(connection, revision)
                    connection.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (str(revision),))
                if revision % _COMPACT_EVERY == 0 and revision - self._history > self.compacted:
                    self._compact(connection, revision - self._history)
                return event

            event = await self._in_writer(work)
            self.revision = revision
            self.listener(event)
            return event

    def _in_writer(self, work: Callable[[sqlite3.Connection], Made]) -> Awaitable[Made]:
        def run() -> Made:
            if self._writing is None:
                raise sqlite3.ProgrammingError("the storage is closed")
            return work(self._writing)

        return asyncio.get_running_loop().run_in_executor(self._writer, run)

    def _compact(self, connection: sqlite3.Connection, upto: int) -> None:
        self.compacted = upto  # first, so that no reader misses what is about to go
        with _transaction(connection):
            connection.execute(
                "DELETE FROM revisions WHERE revision <= ? AND revision NOT IN (SELECT revision FROM objects)", (upto,)
            )
            connection.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (str(upto),))


_CURRENT = """
    SELECT o.resource, o.namespace, o.name, o.uid, o.revision, r.labels, r.body
    FROM objects o JOIN revisions r ON r.revision = o.revision"""


def _values(key: Key) -> tuple[str, str, str]:
    return key.resource, key.namespace, key.name


def _scope(resource: str, namespace: str | None) -> tuple[str, tuple[str, ...]]:
    if namespace is None:
        return "o.resource = ?", (resource,)
    return "o.resource = ? AND o.namespace = ?", (resource, namespace)


def _record(row: Any) -> Record:
    resource, namespace, name, uid, revision, labels, body = row[:7]
    return Record(Key(resource, namespace, name), uid, revision, json.loads(labels), body)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _current(connection: sqlite3.Connection, key: Key) -> Record | None:
    query = f"{_CURRENT} WHERE o.resource = ? AND o.namespace = ? AND o.name = ?"
    row = connection.execute(query, _values(key)).fetchone()
    return _record(row) if row else None


def _write(connection: sqlite3.Connection, revision: int, draft: Draft, expected: int | None) -> Event:
    before = _current(connection, draft.key)
    if (before.revision if before else None) != expected:
        raise Moved
    change: Change = "MODIFIED" if before else "ADDED"
    record = Record(draft.key, draft.uid, revision, draft.labels, draft.body)
    _insert(connection, record, change, before)
    connection.execute(
        "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)", (*_values(draft.key), draft.uid, revision)
    )
    connection.execute("DELETE FROM owned WHERE resource = ? AND namespace = ? AND name = ?", _values(draft.key))
    connection.executemany(
        "INSERT INTO owned VALUES (?, ?, ?, ?)", [(owner, *_values(draft.key)) for owner in draft.owners]
    )
    return Event(change, record, before.labels if before else None)


def _delete(connection: sqlite3.Connection, revision: int, key: Key, expected: int, body: str | None) -> Event:
    before = _current(connection, key)
    if before is None or before.revision != expected:
        raise Moved
    record = Record(key, before.uid, revision, before.labels, before.body if body is None else body)
    _insert(connection, record, "DELETED", before)
    connection.execute("DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?", _values(key))
    connection.execute("DELETE FROM owned WHERE resource = ? AND namespace = ? AND name = ?", _values(key))
    return Event("DELETED", record, before.labels)


def _insert(connection: sqlite3.Connection, record: Record, change: Change, before: Record | None) -> None:
    connection.execute(
        "INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.revision,
            *_values(record.key),
            record.uid,
            change,
            json.dumps(dict(record.labels)),
            json.dumps(dict(before.labels)) if before else None,
            record.body,
        ),
    )
