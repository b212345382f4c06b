"""Gathers what becomes of the records of one list while it arrives."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from console.catalog import rows
from console.catalog.write import Entry
from console.sync.normalise import normalise, rejected
from console.sync.providers.base import ProviderSpec, RecordRefused
from console.sync.types import Counts, Reject

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collected:
    """A list that was read to its end. ``rejects`` may be cut short; ``counts`` are complete."""

    entries: dict[str, Entry]
    rejects: tuple[Reject, ...]
    counts: Counts


class Collector:
    """A sink for the records of one attempt.

    Args:
        secrets: what was sent as a credential: it is taken out of rejected records, should the provider repeat it
        keep: how many rejects are kept with their record
    """

    def __init__(self, spec: ProviderSpec, *, secrets: tuple[str, ...], keep: int) -> None:
        self._spec = spec
        self._secrets = secrets
        self._keep = keep
        self._entries: dict[str, Entry] = {}
        self._rejects: list[Reject] = []
        self._rejected = 0
        self._faults = 0  # of ours; only the first is logged
        self.records = 0

    def take(self, record: Any) -> None:
        self.records += 1
        try:
            listing, flaws = normalise(self._spec, record)
        except RecordRefused as why:
            self._reject(record, str(why))
            return
        except Exception as problem:
            # A fault of ours in reading this record: it must not cost the other ones.
            if not self._faults:
                _log.exception("%s: record %d could not be read", self._spec.slug, self.records)
            self._faults += 1
            self._reject(record, f"it could not be read ({type(problem).__name__})")
            return
        for flaw in flaws:
            self._keep_reject(record, flaw, costs="field")
        entry = Entry(listing, rows.content_hash(listing))
        twin = self._entries.get(listing.native_id)
        if twin is None:
            self._entries[listing.native_id] = entry
            return
        # Whichever comes first would change with the order of the list; the smaller hash does not.
        self._entries[listing.native_id] = min(twin, entry, key=lambda found: found.digest)
        same = "with the same content" if twin.digest == entry.digest else "with another content"
        self._reject(record, f"it is in the list twice, {same}; one of them was taken")

    def collected(self) -> Collected:
        counts = Counts(fetched=self.records, normalised=len(self._entries), rejected=self._rejected)
        return Collected(self._entries, tuple(self._rejects), counts)

    def _reject(self, record: Any, reason: str) -> None:
        self._rejected += 1
        self._keep_reject(record, reason, costs="record")

    def _keep_reject(self, record: Any, reason: str, *, costs: str) -> None:
        if len(self._rejects) < self._keep:
            self._rejects.append(rejected(self.records, record, reason, costs=costs, secrets=self._secrets))
