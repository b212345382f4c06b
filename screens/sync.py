"""Sync: how true the catalog is, provider by provider; run, dry run, cancel."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.bridge import Job
from screens.details import Details, Fact, Line, Title, local_time
from screens.frame import DeckScreen
from screens.split import Split
from widgets.meter_text import age, elapsed
from widgets.table_rows import Column, ListRows
from widgets.theme import State
from widgets.virtual_table import VirtualTable

OUTCOMES = {
    "ok": State.READY,
    "unchanged": State.READY,
    "empty": State.PARTIAL,
    "suspicious": State.DRIFT,
    "never synced": State.OFF,
    "no credentials": State.OFF,
}
COLUMNS = (
    Column("provider", "PROVIDER", 14, grow=1, priority=9),
    Column("outcome", "OUTCOME", 16, priority=8),
    Column("age", "LAST", 6, right=True, priority=7),
    Column("sentence", "WHAT HAPPENED", 20, grow=3, priority=3),
)
_AGE_SECONDS = 10


class SyncScreen(DeckScreen):
    """Every provider with its last word, and what runs now."""

    VIEW = "sync"
    ACTIONS = ("sync.",)
    EMPTY = "no provider is set up"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run(False)", "sync", id="sync.run"),
        Binding("d", "run(True)", "dry run", id="sync.dry_run"),
        Binding("R", "run_all", "sync all", id="sync.run_all"),
        Binding("x", "cancel", "cancel", id="sync.cancel"),
        Binding("C", "copy_command", "copy command", show=False, id="sync.copy_command"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._ticks = 0
        self._job: Job | None = None

    def body(self) -> Iterable[Widget]:
        yield Split(VirtualTable(COLUMNS, empty="reading …", id="main"), Details(id="details"))

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    async def load(self) -> None:
        rows = await self.listed("sync.status")
        if rows is None:
            return
        before, self._rows = self._rows, {row["provider"]: row for row in rows}
        self._show()
        self.table.mark_changed([slug for slug, row in self._rows.items() if before and before.get(slug) != row])
        if (wanted := self.take_wanted()) is not None:
            self.table.move_to(wanted)

    def tick(self) -> None:
        self._ticks += 1
        if self._job is not None and self._job.running:
            self._show_details()
        if self._ticks % _AGE_SECONDS == 0:
            self._show()

    def _show(self) -> None:
        self.table.show(ListRows((slug, _cells(row)) for slug, row in self._rows.items()))
        self._show_details()

    def _show_details(self) -> None:
        self.query_one("#details", Details).show(self._facts())

    def _facts(self) -> Iterable[Fact]:
        job = self._job
        if job is not None:
            state = (
                State.RUNNING
                if job.running
                else State.DONE
                if job.outcome and job.outcome.ending.good
                else State.FAILED
            )
            word = "cancelling" if job.cancelling and job.running else "running" if job.running else "over"
            yield Line((f"{state.glyph} {job.title}  ", state.paint), (f"{word}  {elapsed(job.seconds)}", "muted"))
            if job.outcome is not None:
                yield Fact("outcome", job.outcome.summary)
            for item in reversed(job.progress[-12:]):
                yield Line("  ", str(item))
            yield Line("")
        row = self._rows.get(str(self.table.cursor_key))
        if row is not None:
            yield Title(row["provider"])
            yield Fact("outcome", row["outcome"])
            yield Fact("last", local_time(row["finished_at"]) if row["finished_at"] else "never")
            yield Fact("", row["sentence"])

    def on_virtual_table_moved(self) -> None:
        self._show_details()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        running = self._job is not None and self._job.running
        if action in ("run", "run_all"):
            return not running and bool(self._rows)
        return running if action == "cancel" else True

    def action_run(self, dry: bool) -> None:
        self._begin([str(slug) for slug in self.table.targets], dry)

    def action_run_all(self) -> None:
        self._begin([], dry=False)

    def _begin(self, providers: list[str], dry: bool) -> None:
        values: dict[str, Any] = {"provider": tuple(providers), "verbose": True}
        if dry:
            values["dry_run"] = True
        self.deck.act("sync.run", values, self._heard)

    def shows(self, job: Job) -> bool:
        return job is self._job

    def _heard(self, job: Job) -> None:
        self._job = job
        if self.is_attached:
            self._show_details()
            self.refresh_bindings()

    def action_cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._show_details()

    def action_copy_command(self) -> None:
        self.deck.copy_command("sync.run", {"provider": tuple(str(slug) for slug in self.table.targets)})


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    state = OUTCOMES.get(row["outcome"], State.FAILED)
    at = row["finished_at"]
    ago = age(time.time() - datetime.fromisoformat(at).timestamp()) if at else "never"
    return row["provider"], state.text(row["outcome"]), ago, row["sentence"]
