"""Keeping the gateway's table (console/access/table.py) true, and reading what the gateway let through by it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from redis.exceptions import RedisError

from console.access.decision import Allowed
from console.access.table import LEASE_SECONDS, USES_FILE, KeyTable
from console.access.types import Snapshot
from console.access.used import Tally
from console.config import AccessRules

log = logging.getLogger("modeldeck.access")

_EXTEND_SECONDS = 0.5
_PROBES = 256


class TableKeeper:
    """The table and the notes of one worker.

    Args:
        tally: where what the gateway let through is counted
        usable: whether the view may be decided on at a time (Unix seconds)
        budgets: reads which keys and tenants have a budget: ``key:ID``, ``tenant:NAME``
    """

    def __init__(
        self,
        directory: Path,
        rules: AccessRules,
        tally: Tally,
        *,
        usable: Callable[[float], bool],
        budgets: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self._directory = directory
        self._rules = rules
        self._tally = tally
        self._usable = usable
        self._read_budgets = budgets
        self._charged: frozenset[str] | None = None
        self._table = KeyTable(directory, rules)
        self._uses = _Uses(directory)
        self._snapshot = Snapshot()
        self._probes: deque[str] = deque(maxlen=_PROBES)
        """Digests of Modeldeck's own probes, which are gone before what they did is read."""

    async def follow(self, snapshot: Snapshot, digests: Iterable[str] | None) -> None:
        """Have the gateway decide by this view; returns when it does.

        Where the table cannot be written, that is when it goes by the table no more.
        """
        self._snapshot = snapshot
        if digests is not None:
            digests = list(digests)
            entries = map(snapshot.keys.get, digests)
            self._probes.extend(entry.digest for entry in entries if entry is not None and entry.is_probe)
        if not self._table.writes and not self._usable(time.time()):
            return
        if not self._write(digests):
            await asyncio.sleep(LEASE_SECONDS)

    async def keep(self) -> None:
        """Extend the table's time while the view may be decided on; take it over when its writer has gone."""
        while True:
            with contextlib.suppress(RedisError, OSError):
                self._charged = frozenset(await self._read_budgets())
            now = time.time()
            if self._usable(now):
                self._write((), extend=now)
            await asyncio.sleep(_EXTEND_SECONDS)

    def count(self, now: float) -> None:
        """Count what the gateway has let through since the last time. ``now``: Unix seconds."""
        if self._table.writes:
            for digest, client, model in self._uses.read():
                if digest in self._probes:
                    continue
                self._tally.saw(Allowed({}, None, digest, model), client, now)

    def close(self) -> None:
        self._table.close()

    def _write(self, digests: Iterable[str] | None, *, extend: float | None = None) -> bool:
        """Whether the table says what the view says, or is another worker's business."""
        if self._charged is None:
            return True  # until budgets are known, everything is asked about
        had_it = self._table.writes
        try:
            self._table.follow(self._snapshot, digests, charged=self._charged)
            if self._table.writes and not had_it:
                extend = time.time()
            if extend is not None:
                self._table.extend(extend)
        except OSError as problem:
            log.warning("the gateway's table of keys cannot be written: %s", problem.strerror)
            self._table.close()
            self._table = KeyTable(self._directory, self._rules)
            return False
        return True


class _Uses:
    """What the gateway notes, followed as it grows and as it is replaced.

    How far it was read is kept beside it, so that the next worker goes on there.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / USES_FILE
        self._mark = directory / "uses.read"
        self._file: BinaryIO | None = None
        self._position = 0

    def read(self) -> Iterator[tuple[str, str | None, str]]:
        """What is new: digest, client's address, model."""
        while True:
            if self._file is None and not self._open():
                return
            for line in self._lines():
                digest, _, rest = line.partition("\t")
                model, tab, client = rest.partition("\t")
                if tab:
                    yield digest, None if client == "-" else client, model
            if not self._was_replaced():
                return
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            self._file = self._path.open("rb")
        except OSError:
            return False
        self._position = self._marked()
        return True

    def _marked(self) -> int:
        """How far a worker has read this very file."""
        assert self._file is not None
        try:
            inode, _, position = self._mark.read_text("ascii").partition(" ")
            return int(position) if int(inode) == os.fstat(self._file.fileno()).st_ino else 0
        except (OSError, ValueError):
            return 0

    def _lines(self) -> list[str]:
        """The whole lines that are new."""
        assert self._file is not None
        self._file.seek(self._position)
        text = self._file.read()
        whole = text[: text.rfind(b"\n") + 1]
        if whole:
            self._position += len(whole)
            fresh = self._mark.with_suffix(".new")
            fresh.write_text(f"{os.fstat(self._file.fileno()).st_ino} {self._position}", "ascii")
            fresh.replace(self._mark)
        return whole.decode("utf-8", "replace").splitlines()

    def _was_replaced(self) -> bool:
        """Whether Envoy notes in another file by now, and has written this one to its end."""
        assert self._file is not None
        try:
            there = self._path.stat()
        except OSError:
            return False
        ours = os.fstat(self._file.fileno())
        return (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev) and self._position == ours.st_size
