"""Watches: what happened since a resourceVersion, and what happens from now on."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from console.local.kube import status
from console.local.kube.reading import Selection
from console.local.kube.state import State, Target
from console.local.kube.storage import Compacted, Event, Record
from console.local.kube.tables import table

MOST_PENDING = 10_000
"""A watch that is this many events behind is ended: its client lists again."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """``since`` None: begin with what is there. ``initial`` asks for that explicitly (sendInitialEvents)."""

    since: int | None = None
    bookmarks: bool = False
    timeout: float = 3600.0
    initial: bool = False
    as_table: bool = False


@dataclass(eq=False)
class _Subscriber:
    resource: str
    events: deque[Event] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def end(self) -> None:
        self.ended = True
        self.woken.set()


class Hub:
    """Hands committed events to the watches of their kind."""

    def __init__(self) -> None:
        self._subscribers: set[_Subscriber] = set()

    def publish(self, event: Event) -> None:
        for one in self._subscribers:
            if one.resource == event.record.key.resource:
                if len(one.events) >= MOST_PENDING:
                    one.ended = True
                else:
                    one.events.append(event)
                one.woken.set()

    def end_all(self) -> None:
        """End every watch now; the clients come back."""
        for one in self._subscribers:
            one.end()

    def __len__(self) -> int:
        return len(self._subscribers)

    def subscribe(self, resource: str) -> _Subscriber:
        subscriber = _Subscriber(resource)
        self._subscribers.add(subscriber)
        return subscriber

    def leave(self, subscriber: _Subscriber) -> None:
        self._subscribers.discard(subscriber)


class Watch:
    """One watch; `lines` is what goes over the wire, a JSON document a line.

    A resourceVersion that is compacted ends it with an ERROR event that carries a 410 `Status`.
    """

    def __init__(
        self,
        state: State,
        hub: Hub,
        target: Target,
        selection: Selection,
        options: WatchOptions,
        *,
        bookmark_every: float,
    ) -> None:
        self._state = state
        self._hub = hub
        self._target = target
        self._selection = selection
        self._options = options
        self._bookmark_every = bookmark_every
        self._columns_sent = False

    async def lines(self) -> AsyncIterator[bytes]:
        subscriber = self._hub.subscribe(self._target.resource.key)
        try:
            async for line in self._lines(subscriber):
                yield line
        finally:
            self._hub.leave(subscriber)

    async def _lines(self, subscriber: _Subscriber) -> AsyncIterator[bytes]:
        options, storage = self._options, self._state.storage
        namespace = self._target.namespace or None
        if options.since is None or options.initial:
            records, seen = storage.collection(self._target.resource.key, namespace)
            for record in records:
                if self._selection.matches(self._target, record):
                    yield self._line("ADDED", record)
            if options.initial and options.bookmarks:
                yield self._bookmark(seen, initial=True)
        else:
            seen = options.since
            try:
                missed = storage.events_after(seen, self._target.resource.key, namespace)
            except Compacted:
                message = f"too old resource version: {seen} ({storage.revision})"
                yield _encode("ERROR", json.dumps(status.expired(message).status()))
                return
            for event in missed:
                seen = event.record.revision
                for line in self._of(event):
                    yield line
        loop = asyncio.get_running_loop()
        deadline = loop.time() + options.timeout
        next_bookmark = loop.time() + self._bookmark_every
        while not subscriber.ended:
            while subscriber.events:
                event = subscriber.events.popleft()
                if event.record.revision > seen:
                    seen = event.record.revision
                    for line in self._of(event):
                        yield line
            # No await between here and the wait: everything published is in `events` or will wake us.
            current = storage.revision
            subscriber.woken.clear()
            if subscriber.events:
                continue
            now = loop.time()
            if now >= deadline:
                if options.bookmarks:
                    yield self._bookmark(current)
                return
            try:
                async with asyncio.timeout(min(deadline, next_bookmark) - now):
                    await subscriber.woken.wait()
            except TimeoutError:
                if options.bookmarks and loop.time() >= next_bookmark:
                    yield self._bookmark(current)
                next_bookmark = loop.time() + self._bookmark_every

    def _of(self, event: Event) -> list[bytes]:
        """The line that an event is to this watch: what leaves a selection is deleted from it, and the reverse."""
        record = event.record
        if self._target.namespace and record.key.namespace != self._target.namespace:
            return []
        matches = self._selection.matches(self._target, record)
        before = event.labels_before
        matched = before is not None and self._matched(record, before)
        if event.change == "DELETED":
            return [self._line("DELETED", record)] if matched or matches else []
        if matches:
            return [self._line("MODIFIED" if matched else "ADDED", record)]
        return [self._line("DELETED", record)] if matched else []

    def _matched(self, record: Record, labels: Any) -> bool:
        earlier = Record(record.key, record.uid, record.revision, labels, record.body)
        return self._selection.matches(self._target, earlier)

    def _line(self, kind: str, record: Record) -> bytes:
        if not self._options.as_table:
            return _encode(kind, self._target.text(record))
        content = table(
            self._target,
            [self._target.object(record)],
            {"resourceVersion": str(record.revision)},
            with_columns=not self._columns_sent,
        )
        self._columns_sent = True
        return _encode(kind, json.dumps(content))

    def _bookmark(self, revision: int, *, initial: bool = False) -> bytes:
        own: dict[str, Any] = {"resourceVersion": str(revision)}
        if initial:
            own["annotations"] = {"k8s.io/initial-events-end": "true"}
        content: dict[str, Any] = {"kind": self._target.kind, "apiVersion": self._target.api_version, "metadata": own}
        if self._options.as_table:
            content = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": own,
                "columnDefinitions": [],
                "rows": [],
            }
        return _encode("BOOKMARK", json.dumps(content))


def _encode(kind: str, text: str) -> bytes:
    return f'{{"type":"{kind}","object":{text}}}\n'.encode()
