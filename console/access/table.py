"""What the gateway may allow without asking: the authorizer's view, written as a table that Envoy reads by itself.

One file of lines, which only grows; a Lua filter in Envoy (console/local/gateway/translate/native.lua) reads what is
new before each request, so a change holds from the moment at which it is written. No key is in it, only digests. Only
what is certain is in it: a suspended key, or one that is bound to networks, is left out, and so asked about.

    rule SALT PREFIX BEGINNING…                   how digests are made, how headers are called, which texts are clients'
    until SECONDS                                 the table may be gone by up to then; the authorizer keeps extending it
    key DIGEST NOT_AFTER ID TENANT PROJECT TENANTS (MODEL ENDPOINT MODEL_ID PROJECT)…
    drop DIGEST
    shared MODEL ENDPOINT MODEL_ID PROJECT        published, for keys of clients
    unshared MODEL
    suspended TENANT…                             all of them
    charged BUDGET…                               all keys and tenants with a budget, key:ID and tenant:NAME: these are
                                                  asked about, for each request has to find room in it
    own MODEL…                                    all that are for keys of their own project
    next FILE                                     this table ends here, and goes on there

Fields end in a tab, lines in a point: one that was cut off says nothing. Of several workers on a machine one writes,
the one that holds the lock; when it dies another takes the lock and starts a new file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from console.access.forms import GET_PUBLISHED
from console.access.types import Grant, KeyEntry, Restrictions, Snapshot
from console.config import AccessRules

LEASE_SECONDS = 3.0
"""How long the gateway goes by a table that nobody extends any more."""
USES_FILE = "uses.log"
"""Beside the table: where the gateway notes what it let through by it, ``DIGEST\tMODEL\tCLIENT`` a line."""
_CURRENT = "current"
_LARGEST_GROWTH_BYTES = 16 * 1024 * 1024
_ESCAPED = re.compile(r"[\x00-\x1f%\x7f]")
_TENANTS_SEPARATOR = "\x1f"


class KeyTable:
    """One worker's hand on the table; it writes only while it holds the lock.

    Args:
        directory: of the table, on the gateway's machine; made with mode 0700
    """

    def __init__(self, directory: Path, rules: AccessRules) -> None:
        self._directory = directory
        self._rules = rules
        self._lock: int | None = None
        self._file: int | None = None
        self._size = self._first_size = 0
        self._entries: dict[str, KeyEntry] = {}
        self._published: Mapping[str, Grant] = {}
        self._restrictions = Restrictions()
        self._charged: frozenset[str] = frozenset()

    @property
    def writes(self) -> bool:
        """Whether this worker is the one that writes."""
        return self._file is not None

    def follow(
        self, snapshot: Snapshot, digests: Iterable[str] | None = None, *, charged: frozenset[str] = frozenset()
    ) -> None:
        """Have the table say what a view says.

        Args:
            digests: of the entries that may differ from the last view; None for all
            charged: which keys and tenants have a budget

        Raises:
            OSError: it cannot be written.
        """
        if not self.writes:
            if self._take_lock():
                self._begin(snapshot, charged)
            return
        lines = list(self._changes(snapshot, digests, charged))
        if lines:
            self._append(lines)
        if self._size - self._first_size > _LARGEST_GROWTH_BYTES:
            self._begin(snapshot, charged)

    def extend(self, now: float) -> None:
        """The view may be decided on: let the gateway go by the table for a while longer.

        Raises:
            OSError: it cannot be written.
        """
        if self.writes:
            self._append([_line("until", f"{now + LEASE_SECONDS:.0f}")])

    def close(self) -> None:
        """Let the gateway ask about everything again, and another worker write."""
        with contextlib.suppress(OSError):
            if self.writes:
                self._append([_line("until", "0")])
        for held in (self._file, self._lock):
            if held is not None:
                os.close(held)
        self._file = self._lock = None

    # --- files -------------------------------------------------------------------------------------------------

    def _take_lock(self) -> bool:
        """Whether it is ours; it is given up with the process, however that ends."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = os.open(self._directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return False
        self._lock = held
        return True

    def _begin(self, snapshot: Snapshot, charged: frozenset[str]) -> None:
        """A new file with all that is known; whoever reads an older one is sent to it."""
        older = sorted(self._directory.glob("keys-*.table"))
        number = max((_number_of(path) for path in older), default=0) + 1
        path = self._directory / f"keys-{number}.table"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._entries, self._published, self._restrictions, self._charged = {}, {}, Restrictions(), frozenset()
        lines = [_line("rule", self._rules.salt, self._rules.header_prefix, *GET_PUBLISHED)]
        lines += self._changes(snapshot, None, charged)
        text = _bytes(lines)
        _write(descriptor, text)
        fresh = self._directory / f".{_CURRENT}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(path.name)
        # A reader of any older file finds its way, wherever we are stopped; only then are those files removed.
        for one in older:
            with contextlib.suppress(FileNotFoundError):
                _append_to(one, "\n" + _line("next", path.name))
        fresh.replace(self._directory / _CURRENT)
        for one in older:
            one.unlink(missing_ok=True)
        if self._file is not None:
            os.close(self._file)
        self._file = descriptor
        self._size = self._first_size = len(text)

    def _append(self, lines: Iterable[str]) -> None:
        assert self._file is not None
        text = _bytes(lines)
        _write(self._file, text)
        self._size += len(text)

    # --- what is said ------------------------------------------------------------------------------------------

    def _changes(self, snapshot: Snapshot, digests: Iterable[str] | None, charged: frozenset[str]) -> Iterator[str]:
        """The lines that make of what was written last what a view says. What takes away comes first."""
        if charged != self._charged:
            self._charged = charged
            yield _line("charged", *sorted(charged))
        if snapshot.restrictions != self._restrictions:
            self._restrictions = snapshot.restrictions
            yield _line("suspended", *sorted(self._restrictions.suspended_tenants))
            yield _line("own", *sorted(self._restrictions.own_project))
        if digests is None:
            gone = [digest for digest in self._entries if snapshot.keys.get(digest) is None]
            yield from self._entry_changes(snapshot, gone)
            yield from self._entry_changes(snapshot, (entry.digest for entry in snapshot.keys))
        else:
            yield from self._entry_changes(snapshot, digests)
        before, after = self._published, snapshot.published
        if before is not after:
            self._published = after
            for name in before:
                if name not in after:
                    yield _line("unshared", name)
            for name, grant in after.items():
                if before.get(name) != grant:
                    yield _line("shared", *_grant(name, grant))

    def _entry_changes(self, snapshot: Snapshot, digests: Iterable[str]) -> Iterator[str]:
        for digest in digests:
            before, after = self._entries.get(digest), snapshot.keys.get(digest)
            if after is not None and not _is_certain(after):
                after = None
            if after is before:
                continue
            if after is None:
                del self._entries[digest]
                yield _line("drop", digest)
            else:
                self._entries[digest] = after
                if before is None or after != before:
                    yield _entry(after)


def _is_certain(entry: KeyEntry) -> bool:
    """Whether the gateway can decide on a key by its table; about any other it asks."""
    plain = all(tenant and not _ESCAPED.search(tenant) for tenant in entry.tenants)
    return plain and not entry.suspended and not entry.networks


def _entry(entry: KeyEntry) -> str:
    ends = "" if entry.not_after is None else repr(entry.not_after)
    tenants = _TENANTS_SEPARATOR.join(sorted(entry.tenants))
    about = (entry.digest, ends, entry.key_id or "", entry.tenant or "", entry.project_id or "")
    grants = [field for name, grant in entry.models.items() for field in _grant(name, grant)]
    # The tenants are a list in one field: their separator stands as it is.
    return f"key\t{_fields(about)}{tenants}\t{_fields(grants)}.\n"


def _grant(name: str, grant: Grant) -> tuple[str, str, str, str]:
    return name, grant.endpoint_id or "", grant.model_id or "", grant.project_id or ""


def _line(kind: str, *fields: str) -> str:
    return f"{kind}\t{_fields(fields)}.\n"


def _fields(fields: Iterable[str]) -> str:
    return "".join(f"{_ESCAPED.sub(_escape, field)}\t" for field in fields)


def _escape(match: re.Match[str]) -> str:
    return f"%{ord(match[0]):02x}"


def _number_of(path: Path) -> int:
    number = path.stem.removeprefix("keys-")
    return int(number) if number.isdecimal() else 0


def _append_to(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        _write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _bytes(lines: Iterable[str]) -> bytes:
    # Half a surrogate pair is no text, and no header can hold it: it stands for nothing that a client could name.
    return "".join(lines).encode("utf-8", "surrogatepass")


def _write(descriptor: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]
