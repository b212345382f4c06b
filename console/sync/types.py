"""What a sync can say: of one provider, of a run, of a record that it left out. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from console.catalog.types import ModelChange
from console.outcome import Ending, Item, Outcome, counted

if TYPE_CHECKING:
    from console.sync.providers.base import ProviderSpec


class ProviderOutcome(StrEnum):
    """How the sync of one provider ended (DESIGN.md §4), and three endings of Modeldeck's own."""

    OK = "ok"  # the list was taken over
    UNCHANGED = "unchanged"  # the list says what the catalog said
    EMPTY = "empty"  # a proper list without a model: nothing was changed
    NO_CREDENTIALS = "no credentials"  # it needs one and there is none: it was not asked
    UNREACHABLE = "unreachable"  # no answer, or none that is an answer
    REFUSED = "refused"  # it said no, or another run is syncing it
    UNPARSEABLE = "unparseable"  # an answer, but no list of models
    NO_LIST = "no list"  # it publishes none: there is nothing to ask for
    SUSPICIOUS = "suspicious"  # something is held for an operator to decide
    FAILED = "failed"  # the list was good, the database would not take it: rolled back
    CANCELLED = "cancelled"

    @property
    def good(self) -> bool:
        return self in (ProviderOutcome.OK, ProviderOutcome.UNCHANGED)


class RunState(StrEnum):
    """Where a run is. A run whose process died is found by the next one and called interrupted."""

    RUNNING = "running"
    DONE = "done"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class HeldState(StrEnum):
    """What became of a change that was held back."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"  # a later list no longer says so


@dataclass(frozen=True, slots=True)
class ProviderTarget:
    """One provider to sync.

    base_url    stands in for scheme, host and base path of its list, e.g. a sample server
    credential  where its credential is from, in words; "": the provider's own variable
    """

    spec: ProviderSpec
    base_url: str | None = None
    credential: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a provider may cost.

    body_bytes        of one list, after decompression
    records           of one list
    provider_seconds  from the first connection to the last record, retries and waits in between included
    connect_seconds, silence_seconds  until a connection stands; between two pieces of an answer
    attempts          for what a second try can mend
    retry_after_seconds  the longest wait that a provider may ask for within a run; beyond it the run goes on without
    parallel          providers at a time
    rejects_kept      records that are stored with their reason, per provider and run; all are counted
    lease_seconds     after which the work of a dead process may be taken over
    """

    body_bytes: int = 128 * 1024 * 1024
    records: int = 250_000
    provider_seconds: float = 180.0
    connect_seconds: float = 10.0
    silence_seconds: float = 30.0
    attempts: int = 3
    retry_after_seconds: float = 30.0
    parallel: int = 6
    rejects_kept: int = 200
    lease_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that was left out, or a field that was.

    position   in the list, from 1
    costs      ``record``: it is not in the catalog; ``field``: it is, without this field
    record     the offending JSON, cut to size, without secrets
    """

    position: int
    native_id: str
    reason: str
    record: str
    costs: str = "record"


@dataclass(frozen=True, slots=True)
class Held:
    """A change that looks wrong and waits for an operator. ``id`` 0: a dry run would hold it."""

    provider: str
    native_id: str  # "" for the whole list
    field: str  # "price.input"; "list" for a list that shrank
    before: Any
    proposed: Any
    reason: str
    id: int = 0
    state: HeldState = HeldState.OPEN
    created_at: datetime | None = None
    decided_by: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened to the records and the models of one provider.

    fetched = normalised + rejected. ``written`` rows were added or changed, ``missing`` are in the catalog and not
    in the list. A list that was not sent again (HTTP 304) counts 0 fetched, and what it holds as unchanged.
    """

    fetched: int = 0
    normalised: int = 0
    rejected: int = 0
    written: int = 0
    unchanged: int = 0
    missing: int = 0
    added: int = 0
    changed: int = 0
    returned: int = 0
    retired: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """What came of one provider.

    code      a stable machine name for anything but ok (``RATE_LIMITED``)
    sentence  for an operator: what happened, what state things are in
    baseline  this was its first list: there was nothing to compare with
    changes   field by field
    retry_at  when the provider asked to be left alone until then
    """

    provider: str
    outcome: ProviderOutcome
    sentence: str
    code: str = ""
    counts: Counts = Counts()
    baseline: bool = False
    changes: tuple[ModelChange, ...] = ()
    held: tuple[Held, ...] = ()
    rejects: tuple[Reject, ...] = ()
    body_bytes: int = 0
    milliseconds: int = 0
    retry_at: datetime | None = None


class Stage(StrEnum):
    FETCHING = "fetching"
    RETRYING = "retrying"  # it waits for another try
    WRITING = "writing"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the sync of one provider is.

    outcome  set when it has finished
    why      why there is another try, which begins in ``seconds``
    seconds  else: how long it has been read, set from time to time where that takes longer

    Its text is a line for who reads along; empty while there is nothing to say yet.
    """

    provider: str
    stage: Stage
    records: int = 0
    body_bytes: int = 0
    outcome: ProviderOutcome | None = None
    seconds: float = 0.0
    why: str = ""

    def __str__(self) -> str:
        if self.outcome is not None:
            return f"{self.provider}: {self.outcome.value}, {counted(self.records, 'record')}"
        if self.stage is Stage.RETRYING:
            return f"{self.provider}: {self.why}; another try in {self.seconds:.1f} s"
        if not self.seconds:
            return ""
        read = f"{counted(self.records, 'record')}, {_size(self.body_bytes)} so far" if self.body_bytes else "no answer"
        return f"{self.provider}: {read} after {self.seconds:.0f} s"


_NAMED = 4
"""Providers that a sentence names."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What came of a run. ``run_id`` None: a dry run, which leaves no trace."""

    run_id: int | None
    dry_run: bool
    started_at: datetime
    finished_at: datetime
    providers: tuple[ProviderReport, ...]
    cancelled: bool = False
    untold: str = ""
    """Why caches were not told of what changed, "" where they were."""

    @property
    def total(self) -> Counts:
        """The counts of all providers together."""
        names = [item.name for item in dataclasses.fields(Counts)]
        return Counts(**{name: sum(getattr(report.counts, name) for report in self.providers) for name in names})

    @property
    def ending(self) -> Ending:
        good = sum(report.outcome.good for report in self.providers)
        if self.cancelled:
            return Ending.CANCELLED
        if good == 0:
            return Ending.FAILED
        if good < len(self.providers):
            return Ending.PARTIAL
        if all(report.outcome is ProviderOutcome.UNCHANGED for report in self.providers):
            return Ending.UNCHANGED
        return Ending.DONE

    @property
    def exit_code(self) -> int:
        """0, 130 when cancelled, else 1: a partial sync is 1 as well, as the seed documents say (DESIGN.md §4)."""
        return 1 if self.ending is Ending.PARTIAL else self.ending.exit_code

    @property
    def summary(self) -> str:
        total, good = self.total, sum(report.outcome.good for report in self.providers)
        parts = [f"{good} of {counted(len(self.providers), 'provider')} in order", counted(total.fetched, "record")]
        parts.append(f"{counted(total.written, 'model')} {'to write' if self.dry_run else 'written'}")
        told = ((name, getattr(total, name)) for name in ("rejected", "missing", "held"))
        parts += [f"{count:,} {name}" for name, count in told if count]
        text = ", ".join(parts)
        if bad := [f"{report.provider} {report.outcome}" for report in self.providers if not report.outcome.good]:
            more = f", and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
            text = f"{text}; not in order: {', '.join(bad[:_NAMED])}{more}"
        if self.untold:
            text = f"{text}; {self.untold}"
        return f"dry run, nothing was written: {text}" if self.dry_run else text

    def outcome(self) -> Outcome:
        """The typed outcome; its own exit code is 4 for a partial run, the seed's is `exit_code`."""
        return Outcome(
            self.ending,
            self.summary,
            proof=tuple(f"{r.provider}: {r.sentence}" for r in self.providers if r.outcome.good),
            items=tuple(Item(r.provider, r.outcome.value, r.sentence) for r in self.providers),
            data=self.as_json(),
            then=self.next_step(),
        )

    def next_step(self, *, verbose: bool = False) -> str:
        """The next command, which asks no provider that was not asked, and of a dry run is another one.

        ``verbose``: what is held and what was left out has been told already.
        """
        held = [report.provider for report in self.providers if report.held]
        rejected = [report.provider for report in self.providers if report.rejects]
        bad = [report.provider for report in self.providers if not report.outcome.good and not report.held]
        if self.dry_run:
            told = verbose or not (held or rejected)
            return (
                "" if told else f"modeldeck sync run {' '.join(dict.fromkeys([*held, *rejected]))} --dry-run --verbose"
            )
        steps = []
        if held:
            only = f" --provider {held[0]}" if len(held) == 1 else ""
            steps.append(f"modeldeck sync held{only}, and modeldeck sync accept or refuse what it lists")
        if rejected and not verbose:
            steps.append(f"modeldeck sync rejects {' '.join(rejected[:_NAMED])} --run {self.run_id}")
        if bad:
            steps.append(f"mend what modeldeck sync status says, then modeldeck sync run {' '.join(bad)}")
        if self.untold:
            steps.append("modeldeck cache invalidate --kind all, once Redis is back")
        return "; ".join(steps)

    def as_json(self) -> dict[str, Any]:
        """The report in JSON-ready form: the counts in full, changes and rejects as they are kept."""
        return {
            "run": self.run_id,
            "dry_run": self.dry_run,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "total": dataclasses.asdict(self.total),
            "caches_told": not self.untold,
            "providers": [_report_json(report) for report in self.providers],
        }


def _size(count: int) -> str:
    return (
        f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 1024:.0f} KiB" if count >= 1024 else f"{count} B"
    )


def _report_json(report: ProviderReport) -> dict[str, Any]:
    return {
        "provider": report.provider,
        "outcome": report.outcome.value,
        "code": report.code,
        "sentence": report.sentence,
        "baseline": report.baseline,
        **dataclasses.asdict(report.counts),
        "body_bytes": report.body_bytes,
        "milliseconds": report.milliseconds,
        "retry_at": report.retry_at.isoformat() if report.retry_at else None,
        "changes": [
            {"model": c.native_id, "kind": c.kind.value, "field": c.field, "before": c.before, "after": c.after}
            for c in report.changes
        ],
        "held_changes": [
            {
                "id": h.id,
                "model": h.native_id,
                "field": h.field,
                "before": h.before,
                "proposed": h.proposed,
                "reason": h.reason,
            }
            for h in report.held
        ],
        "rejected_records": [
            {"position": r.position, "model": r.native_id, "costs": r.costs, "reason": r.reason, "record": r.record}
            for r in report.rejects
        ],
    }
