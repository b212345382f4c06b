"""What the Sync screen shows of a provider: its row, what is known beside it, and where a run is with it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.text import Text

from console.actions.parameters import spelled_duration
from console.sync.types import Progress, Stage
from screens.details import Fact, Line, Title, local_time
from widgets.meter_text import age, bar, compact, elapsed, grouped
from widgets.spark import spark
from widgets.table_rows import Column
from widgets.theme import State, sign

OUTCOMES = {
    "ok": State.READY,
    "unchanged": State.READY,
    "empty": State.PARTIAL,
    "suspicious": State.DRIFT,
    "never synced": State.OFF,
    "no credentials": State.OFF,
    "no list": State.OFF,
    "cancelled": State.UNDONE,
}
COLUMNS = (
    Column("provider", "PROVIDER", 12, grow=1, middle=True, priority=9, sortable=True),
    Column("outcome", "OUTCOME", 16, priority=8, sortable=True),
    Column("last", "LAST", 5, right=True, priority=7, sortable=True),
    Column("next", "NEXT", 6, right=True, priority=6, sortable=True),
    Column("every", "EVERY", 5, right=True, priority=3, sortable=True),
    Column("models", "MODELS", 6, right=True, priority=4, sortable=True),
    Column("changed", "CHANGED", 7, right=True, priority=5, sortable=True),
    Column("runs", "RUNS", 6, priority=2),
    Column("sentence", "WHAT HAPPENED", 24, grow=3, priority=1),
)
_RUNS = 6
_WORST_FIRST = (State.FAILED, State.DRIFT, State.PARTIAL, State.UNDONE, State.OFF, State.READY)


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One provider, out of four lists.

    status  of ``sync.status``;  due  of ``sync.schedule``;  about  of ``sync.providers``; empty where not known
    held    how many of its changes wait for a decision
    """

    slug: str
    status: Mapping[str, Any]
    due: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    held: int = 0

    @property
    def paused(self) -> bool:
        return bool(self.status.get("paused"))

    @property
    def seconds_until_next(self) -> float | None:
        """None where it is paused, or not known when."""
        moment = self.due.get("next_run_at") if self.due else self.status.get("next_run_at")
        return None if moment is None else -_ago(moment)

    @property
    def interval(self) -> str:
        """``15m``, ``4h×2``; empty where it is not known."""
        if "minutes" not in self.due:
            return ""
        slowed = int(self.due["slowed"])
        return spelled_duration(round(self.due["minutes"] * 60)) + (f"×{slowed}" if slowed > 1 else "")

    def sort_value(self, column: str) -> Any:
        """What it is sorted by; None comes last."""
        match column:
            case "outcome":
                state = State.DRIFT if self.held else OUTCOMES.get(self.status["outcome"], State.FAILED)
                return _WORST_FIRST.index(state)
            case "last" | "changed":
                moment = self.status.get("finished_at" if column == "last" else "changed_at")
                return _ago(moment) if moment else None
            case "next":
                return self.seconds_until_next
            case "every":
                return self.due.get("minutes")
            case "models":
                return self.about.get("models")
            case _:
                return self.slug


def merged(
    statuses: Iterable[Mapping[str, Any]],
    schedule: Iterable[Mapping[str, Any]],
    providers: Iterable[Mapping[str, Any]],
    held: Iterable[Mapping[str, Any]],
) -> dict[str, ProviderRow]:
    """The four lists by provider."""
    due = {row["provider"]: row for row in schedule}
    about = {row["provider"]: row for row in providers}
    waiting = [row["provider"] for row in held]
    rows = {}
    for status in statuses:
        slug = status["provider"]
        rows[slug] = ProviderRow(slug, status, due.get(slug, {}), about.get(slug, {}), waiting.count(slug))
    return rows


def cells(row: ProviderRow, progress: Progress | None, *, queued: bool) -> tuple[str | Text, ...]:
    """The row; while a run has it, where that is stands in place of the outcome."""
    status = row.status
    finished, changed = status.get("finished_at"), status.get("changed_at")
    return (
        row.slug,
        _state(row, progress, queued=queued),
        age(_ago(finished)) if finished else "never",
        _next(row),
        row.interval or sign("more"),
        compact(row.about.get("models")),
        age(_ago(changed)) if changed else "never",
        spark([passed["written"] for passed in status.get("recent", ())], _RUNS).lstrip(),
        status["sentence"],
    )


def facts(row: ProviderRow) -> Iterable[Fact]:
    """All that is known of a provider, beside the list."""
    status, due = row.status, row.due
    state = OUTCOMES.get(status["outcome"], State.FAILED)
    name = row.about.get("name", row.slug)
    yield Title(name if name == row.slug else f"{name} ({row.slug})")
    last = local_time(status["finished_at"]) if status["finished_at"] else "never"
    yield Fact("last", f"{state.glyph} {status['outcome']}  {last}", state.paint)
    if status["sentence"]:
        yield Fact("", status["sentence"])
    if row.held:
        yield Fact("held", f"{row.held} change{'s' if row.held > 1 else ''} wait for a decision: h shows them", "warn")
    if status.get("good_at") and status["good_at"] != status["finished_at"]:
        yield Fact("in order", f"last at {local_time(status['good_at'])}")
    yield Fact("next", _when(row), "warn" if row.paused else "")
    if due:
        yield Fact("every", _how_often(row))
    yield from _runs(status)
    if row.about:
        yield Fact("models", grouped(row.about["models"]))
        yield Fact("credential", row.about["credential"])
        yield Fact("list", row.about["list_url"], "muted")


def run_facts(title: str, asked: Mapping[str, Progress | None], seconds: float, *, cancelling: bool) -> Iterable[Fact]:
    """A run that is under way: how many providers are done, and how much was read."""
    done = sum(at is not None and at.stage is Stage.FINISHED for at in asked.values())
    records = sum(at.records for at in asked.values() if at is not None)
    size = sum(at.body_bytes for at in asked.values() if at is not None)
    word = "cancelling" if cancelling else "x cancels"
    yield Line((f"{State.RUNNING.glyph} {title}  ", State.RUNNING.paint), (f"{elapsed(seconds)}  {word}", "muted"))
    counts = f" {done} of {len(asked)} providers, {grouped(records)} records, {compact(size)}B"
    yield Line((bar(done, len(asked), 20), "accent"), counts)


def _state(row: ProviderRow, progress: Progress | None, *, queued: bool) -> Text:
    if progress is not None:
        match progress.stage:
            case Stage.FETCHING:
                word = f"read {grouped(progress.records)}" if progress.records else "fetching"
                return State.RUNNING.text(word)
            case Stage.RETRYING | Stage.WRITING:
                return State.RUNNING.text(progress.stage.value)
            case Stage.FINISHED:
                word = progress.outcome.value if progress.outcome is not None else "done"
                return OUTCOMES.get(word, State.FAILED).text(word)
    if queued:
        return State.WAITING.text("queued")
    if row.due.get("state") == "running":
        return State.RUNNING.text("syncing")
    if row.held:
        return State.DRIFT.text(f"{row.held} held")
    return OUTCOMES.get(row.status["outcome"], State.FAILED).text(row.status["outcome"])


def _next(row: ProviderRow) -> str | Text:
    if row.paused:
        return Text("paused", style="warn")
    seconds = row.seconds_until_next
    if seconds is None:
        return sign("more")
    return age(seconds) if seconds > 0 else "due"


def _when(row: ProviderRow) -> str:
    by = f" by {row.due['changed_by']}" if row.due.get("changed_by") else ""
    if row.paused:
        return f"paused{by}: p resumes it"
    seconds = row.seconds_until_next
    if seconds is None:
        return "not known"
    moment = row.due.get("next_run_at") or row.status["next_run_at"]
    if seconds <= 0:
        when = "due, as soon as a `modeldeck run` looks"
    else:
        when = f"{local_time(moment)[11:]}, in {age(seconds) if seconds >= 10 else 'seconds'}"
    words = [f"{when}: {row.due['reason']}" if row.due.get("reason") else when]
    if row.due.get("not_before"):
        words.append(f"it asked to be left alone until {local_time(row.due['not_before'])[11:]}")
    return "; ".join(words)


def _how_often(row: ProviderRow) -> str:
    due, about = row.due, row.about
    every = spelled_duration(round(due["minutes"] * 60))
    tier = f"tier {about['tier']}" if about else "its tier"
    if due["own_interval"]:
        usual = f", which says {spelled_duration(about['minutes'] * 60)}" if about else ""
        by = f" by {due['changed_by']}" if due["changed_by"] else ""
        words = f"{every}, set{by} in place of {tier}{usual}"
    else:
        words = f"{every}, {tier}"
    return f"{words}; slowed {due['slowed']} times, for its list does not change" if due["slowed"] > 1 else words


def _runs(status: Mapping[str, Any]) -> Iterable[Fact]:
    recent = status.get("recent") or ()
    if status.get("changed_at"):
        yield Fact("changed", f"{local_time(status['changed_at'])}: enter shows what")
    if recent:
        written = [passed["written"] for passed in recent]
        took = [passed["milliseconds"] for passed in recent]
        yield Fact(
            "written", f"{spark(written, len(written))}  {grouped(written[-1])}, at most {grouped(max(written))}"
        )
        yield Fact("took", f"{spark(took, len(took))}  {_took(took[-1])}, at most {_took(max(took))}")


def _took(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1000 else elapsed(milliseconds / 1000)


def _ago(moment: str) -> float:
    return time.time() - datetime.fromisoformat(moment).timestamp()
