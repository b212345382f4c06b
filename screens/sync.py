"""Sync: how true the catalog is, provider by provider; runs and dry runs, the schedule, held changes, webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.actions.parameters import spelled_duration
from console.bridge import Job
from console.outcome import Ending, Outcome
from console.sync.types import Progress, Stage
from screens.details import Details, Fact, Line
from screens.forms import FormWindow, Values
from screens.frame import DeckScreen
from screens.split import Split
from screens.sync_rows import COLUMNS, ProviderRow, cells, facts, merged, run_facts
from widgets.field_specs import FieldKind, FieldSpec
from widgets.meter_text import elapsed
from widgets.table_rows import ListRows
from widgets.theme import State
from widgets.virtual_table import VirtualTable

_AGE_SECONDS = 10
_READ_AGAIN_SECONDS = 20  # what the schedule did meanwhile
_SAID = 6
"""Lines of what a run told that stand above a provider's facts."""


class SyncScreen(DeckScreen):
    """Every provider with its last word, when it is due, and where a run of this session is with it."""

    VIEW = "sync"
    ACTIONS = ("sync.",)
    EMPTY = "no provider is set up"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "sync", id="sync.run"),
        Binding("d", "dry_run", "dry run", id="sync.dry_run"),
        Binding("x", "cancel", "cancel", id="sync.cancel"),
        Binding("R", "run_all", "all", id="sync.run_all"),
        # One key; which of the two it is depends on the providers that it is for.
        Binding("p", "pause", "pause", id="sync.pause"),
        Binding("p", "resume", "resume", id="sync.resume"),
        Binding("h", "held", "held", id="sync.held"),
        Binding("i", "interval", "interval", id="sync.every"),
        Binding("w", "webhooks", "webhooks", id="sync.webhooks"),
        Binding("C", "copy_command", "copy command", show=False, id="sync.copy_command"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, ProviderRow] = {}
        self._sort = ("provider", False)
        self._ticks = 0
        self._job: Job | None = None
        self._asked: dict[str, Progress | None] = {}
        """The providers of the run that is under way, and where it is with each."""
        self._difference: tuple[Outcome, list[str]] | None = None
        """A dry run that ended while another view was looked at."""

    def body(self) -> Iterable[Widget]:
        yield Split(VirtualTable(COLUMNS, empty="reading …", id="main"), Details(id="details"))

    def on_mount(self) -> None:
        self.table.sorted_by(*self._sort)

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    @property
    def targets(self) -> list[str]:
        """The marked providers, or the one under the cursor."""
        return [str(slug) for slug in self.table.targets if str(slug) in self._rows]

    @property
    def running(self) -> bool:
        return self._job is not None and self._job.running

    async def load(self) -> None:
        statuses = await self.listed("sync.status")
        if statuses is None:
            return
        lists = await asyncio.gather(*(self.rows(name) for name in ("sync.schedule", "sync.providers", "sync.held")))
        schedule, providers, held = (found or [] for found in lists)
        before, self._rows = self._rows, merged(statuses, schedule, providers, held)
        if not self.running:
            self._asked = {}
        self._show()
        finished = {slug: row.status["finished_at"] for slug, row in before.items()}
        news = [slug for slug, row in self._rows.items() if finished.get(slug) != row.status["finished_at"]]
        self.table.mark_changed(news if before else [])
        if (wanted := self.take_wanted()) is not None:
            self.table.move_to(wanted)
        self.refresh_bindings()

    def tick(self) -> None:
        self._ticks += 1
        if self.running:
            self._show_details()
        if self._ticks % _READ_AGAIN_SECONDS == 0:
            self.stale()
        elif self._ticks % _AGE_SECONDS == 0:
            self._show()

    def _show(self) -> None:
        name, descending = self._sort
        valued = [(row.sort_value(name), row) for row in self._rows.values()]
        known = sorted((pair for pair in valued if pair[0] is not None), key=lambda pair: pair[1].slug)
        known.sort(key=lambda pair: pair[0], reverse=descending)
        rows = [row for _, row in known] + [row for value, row in valued if value is None]
        self.table.show(ListRows((row.slug, self._cells(row)) for row in rows))
        self._show_details()

    def _cells(self, row: ProviderRow) -> tuple[Any, ...]:
        return cells(row, self._asked.get(row.slug), queued=row.slug in self._asked)

    def _show_details(self) -> None:
        self.query_one("#details", Details).show(self._facts())

    def _facts(self) -> Iterable[Fact]:
        job = self._job
        if job is not None:
            if job.outcome is None:
                yield from run_facts(job.title, self._asked, job.seconds, cancelling=job.cancelling)
            else:
                ending = job.outcome.ending
                partly = State.PARTIAL if ending is Ending.PARTIAL else State.FAILED
                state = State.DONE if ending.good else partly
                yield Line((f"{state.glyph} {job.title}  ", state.paint), (elapsed(job.seconds), "muted"))
                yield Fact("outcome", job.outcome.summary)
            told = [text for item in job.progress if not _is_reading(item) and (text := str(item))]
            for text in reversed(told[-_SAID:]):
                yield Line((f"  {text}", "muted"))
            yield Line("")
        row = self._rows.get(str(self.table.cursor_key))
        if row is not None:
            yield from facts(row)

    def on_virtual_table_moved(self) -> None:
        if not self.running:
            self._job = None  # its words are read; each provider has its own
        self._show_details()
        self.refresh_bindings()

    def on_virtual_table_marks_changed(self) -> None:
        self.refresh_bindings()

    def on_virtual_table_sort_asked(self, event: VirtualTable.SortAsked) -> None:
        self._sort = (event.column, event.descending)
        self.table.sorted_by(*self._sort)
        self._show()

    # Runs

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("run", "dry_run"):
            return not self.running and bool(self._rows)
        if action == "run_all":  # also typed ahead, before the list is there
            return not self.running
        if action in ("pause", "resume"):
            return bool(self.targets) and self._all_paused == (action == "resume")
        if action == "interval":
            return bool(self.targets)
        return self.running if action == "cancel" else True

    def action_run(self) -> None:
        self._begin("sync.run", self.targets, {"provider": tuple(self.targets), "verbose": True})

    def action_run_all(self) -> None:
        left = [slug for slug, row in self._rows.items() if not row.paused]
        self._begin("sync.run", left, {"verbose": True})

    def action_dry_run(self) -> None:
        self._begin("sync.diff", self.targets, {"provider": tuple(self.targets)})

    def _begin(self, action: str, asked: list[str], values: dict[str, Any]) -> None:
        def heard(job: Job) -> None:
            if job is not self._job:
                self._job, self._asked = job, dict.fromkeys(asked)
            self._heard(job, asked)

        self.deck.act(action, values, heard)

    def shows(self, job: Job) -> bool:
        return job is self._job

    def _heard(self, job: Job, asked: list[str]) -> None:
        before = dict(self._asked)
        for item in job.progress:
            if isinstance(item, Progress):
                self._asked[item.provider] = item
        if job.outcome is not None and job.action.id == "sync.diff" and job.outcome.data is not None:
            self._difference = (job.outcome, asked)
        if not self.is_attached:
            return
        if before == self._asked and job.outcome is None and job.progress:
            self._show_details()
        else:
            self._show()
        self.refresh_bindings()
        if self.is_current:
            self._open_difference()

    def on_screen_resume(self) -> None:
        self._open_difference()

    def _open_difference(self) -> None:
        from screens.difference import DifferenceWindow

        if self._difference is not None:
            outcome, asked = self._difference
            self._difference = self._job = None
            self.app.push_screen(DifferenceWindow(outcome, asked))

    def action_cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._show_details()

    def action_copy_command(self) -> None:
        self.deck.copy_command("sync.run", {"provider": tuple(self.targets)})

    # The schedule

    @property
    def _all_paused(self) -> bool:
        return all(self._rows[slug].paused for slug in self.targets)

    def action_pause(self) -> None:
        self.deck.act("sync.pause", {"provider": tuple(self.targets)})

    def action_resume(self) -> None:
        self.deck.act("sync.resume", {"provider": tuple(self.targets)})

    def action_interval(self) -> None:
        targets = self.targets
        row = self._rows[targets[0]]
        tier = f"{spelled_duration(row.about['minutes'] * 60)}" if row.about and len(targets) == 1 else "its own time"
        own = spelled_duration(round(row.due["minutes"] * 60)) if row.due.get("own_interval") else ""
        spec = FieldSpec(
            "interval", "every", FieldKind.DURATION, default=own, help=f"1m to 7d; empty: as its tier says, {tier}"
        )

        def answered(values: Values | None) -> None:
            if values is not None:
                wanted = {"interval": values["interval"]} if values.get("interval") else {"tier": True}
                self.deck.act("sync.every", {"provider": tuple(targets), **wanted})

        named = targets[0] if len(targets) == 1 else f"{len(targets)} providers"
        note = "A list that never changes is looked at up to four times less often than that."
        self.app.push_screen(FormWindow(f"How often to look at {named}", [spec], note), answered)

    # Windows

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        from screens.history import HistoryWindow

        self.app.push_screen(HistoryWindow(provider=str(event.key)))

    def action_held(self) -> None:
        from screens.held import HeldWindow

        self.app.push_screen(HeldWindow(first=str(self.table.cursor_key or "")))

    def action_webhooks(self) -> None:
        from screens.webhook_log import WebhookWindow

        self.app.push_screen(WebhookWindow())


def _is_reading(item: object) -> bool:
    """Whether it says how much of a list was read, which its row and the line of the run show."""
    return isinstance(item, Progress) and item.stage is Stage.FETCHING
