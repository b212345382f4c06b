"""Published: what clients can call, whether it is served, and why not where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.bridge import Job
from console.publishing.types import LIMIT_OPTIONS, STATUS_STATES, Plan
from screens.details import Details, Fact, Line, Title, local_time
from screens.forms import ask_values
from screens.frame import DeckScreen, begin, done_of
from screens.plans import PlanWindow
from screens.split import Split
from widgets.meter_text import compact
from widgets.table_rows import Column, ListRows
from widgets.theme import State
from widgets.virtual_table import VirtualTable

_WATCH_SECONDS = 5
"""How often a publication that is not ready is looked at again while somebody watches."""
_MOST_DRIFT = 6
"""Of the fields that were changed by hand; `d` shows all."""
_NOT_ASKED = ("plan", "no", "take_over", "stop")
"""Of what is changed of several together."""
COLUMNS = (
    Column("name", "MODEL", 16, grow=3, middle=True, priority=9, sortable=True),
    Column("tenant", "TENANT", 8, grow=1, priority=6, sortable=True),
    Column("kind", "KIND", 11, priority=2, sortable=True),
    Column("rpm", "RPM", 6, right=True, priority=4, sortable=True),
    Column("requests", "REQUESTS", 8, right=True, priority=5, sortable=True),
    Column("source", "SOURCE", 12, grow=2, priority=3, middle=True, sortable=True),
    Column("state", "STATE", 14, priority=8, sortable=True),
)


class PublishedScreen(DeckScreen):
    """Every publication with one verdict, and all that is known about the one under the cursor."""

    VIEW = "published"
    PREFIXES = frozenset({"published_model_info"})
    ACTIONS = ("publish", "publications.", "update", "unpublish", "operations.")
    EMPTY = "nothing is published: p in the catalog publishes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "update", "limits", id="published.update"),
        Binding("d", "diff", "diff", id="published.diff"),
        Binding("a", "adopt", "adopt", show=False, id="published.adopt"),
        Binding("L", "leftovers", "leftovers", show=False, id="published.leftovers"),
        Binding("e", "examples", "examples", id="published.examples"),
        Binding("c", "copy", "copy URL", id="published.copy"),
        Binding("C", "copy_command", "copy command", show=False, id="published.copy_command"),
        Binding("D", "unpublish", "unpublish", id="published.unpublish"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._sort = ("name", False)
        self._ticks = 0
        self._drift = 0

    def body(self) -> Iterable[Widget]:
        table = VirtualTable(COLUMNS, empty="reading …", id="main")
        yield Split(table, Details(id="details"))

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    @property
    def row(self) -> Mapping[str, Any] | None:
        """The publication under the cursor."""
        return self._rows.get(str(self.table.cursor_key))

    async def load(self) -> None:
        rows = await self.listed("published", self.in_tenant())
        if rows is None:
            return
        before, self._rows = self._rows, {row["name"]: row for row in rows}
        self._show()
        self.table.mark_changed([name for name, row in self._rows.items() if before and before.get(name) != row])
        if (wanted := self.take_wanted()) is not None:
            self.table.move_to(wanted)
        self.refresh_bindings()
        self._show_details()

    def live_changed(self) -> None:
        super().live_changed()
        if self.bridge.live.drift != self._drift:
            self._drift = self.bridge.live.drift
            self.stale()

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _WATCH_SECONDS == 0 and any(not row["ready"] for row in self._rows.values()):
            self.stale()

    def _show(self) -> None:
        name, descending = self._sort
        rows = sorted(self._rows.values(), key=lambda row: (*_sort_value(row, name), row["name"]), reverse=descending)
        self.table.sorted_by(name, descending)
        self.table.show(ListRows((row["name"], _cells(row)) for row in rows))

    def _show_details(self) -> None:
        row = self.row
        self.query_one("#details", Details).show(_facts(row) if row is not None else ())

    def on_virtual_table_moved(self) -> None:
        self._show_details()

    def on_virtual_table_opened(self) -> None:
        self.action_diff()

    def on_virtual_table_sort_asked(self, event: VirtualTable.SortAsked) -> None:
        self._sort = (event.column, event.descending)
        self._show()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("update", "diff", "adopt", "examples", "copy", "copy_command", "unpublish"):
            return self.row is not None
        return True

    @property
    def marked(self) -> tuple[str, ...]:
        """The names of the marked ones."""
        return tuple(sorted(str(mark) for mark in self.table.marks if mark in self._rows))

    def action_update(self) -> None:
        """The marked ones alike, or the one under the cursor."""
        if names := self.marked:
            shown = f"{len(names)}: {', '.join(names)}"
            given = {"name": names}
            ask_values(self, "publications.update", given, self._changed_together, shown=shown, hide=_NOT_ASKED)
        elif row := self.row:
            values = {option: row["limits"][field] for option, field in LIMIT_OPTIONS.items()}
            values["hostname"] = row["hostnames"]

            def planned(filled: Mapping[str, Any]) -> None:
                self._show_plan("update", filled, row)

            ask_values(
                self,
                "update",
                {"name": row["name"]},
                defaults=values,
                shown=row["name"],
                hide=("plan", "manifests", "no", "no_rpm", "take_over"),
                lift="no",
                answered=planned,
            )

    def action_diff(self) -> None:
        """What is otherwise than it should be, and a way to repair it."""
        if row := self.row:
            self._show_plan("publications.repair", {"name": row["name"]}, row, "repair", "adopt")

    def action_adopt(self) -> None:
        """Take limits and timeouts that somebody has changed on the cluster over."""
        if row := self.row:
            self._show_plan("publications.adopt", {"name": row["name"]}, row)

    def action_leftovers(self) -> None:
        """What belongs to no publication any more, and a way to remove it."""
        self._show_plan("publications.prune", {}, None)

    def action_unpublish(self) -> None:
        """The marked ones, or the one under the cursor."""
        if names := self.marked:
            self._show_plan("publications.unpublish", {"name": names}, None)
        elif row := self.row:
            self._show_plan("unpublish", {"name": row["name"]}, row)

    def _changed_together(self, job: Job) -> None:
        """What was done is marked no more; what was not stays marked."""
        if job.outcome is not None:
            self.table.set_marks(self.table.marks - done_of(job.outcome))

    def _show_plan(
        self, identifier: str, values: Mapping[str, Any], row: Mapping[str, Any] | None, *offered: str
    ) -> None:
        work = partial(self._plan, identifier, values, row, offered)
        begin(self, work, f"planning {identifier}", "plan")

    async def _plan(
        self, identifier: str, values: Mapping[str, Any], row: Mapping[str, Any] | None, offered: Sequence[str]
    ) -> None:
        job = self.bridge.begin(identifier, {**values, "plan": True})
        outcome = await job.wait()
        if not isinstance(outcome.data, Plan):
            self.deck.tell(outcome, read=True)
            return
        if not self.is_current:  # it came late, and something else is looked at
            return
        note = "" if row is None or row["ready"] else f"not served: {row['reason']}"

        def answered(what: str | None) -> None:
            if what == "adopt":
                self.deck.act("publications.adopt", values)
            elif what:
                asked = {**values, "take_over": True} if what == "take_over" else values
                self.deck.act(identifier, asked, self._changed_together)

        self.app.push_screen(PlanWindow(outcome.data, note=note, offered=offered), answered)

    def action_examples(self) -> None:
        if row := self.row:
            from screens.examples import ExamplesWindow

            self.app.push_screen(ExamplesWindow(row))

    def action_copy(self) -> None:
        if row := self.row:
            self.deck.copy_text(row["url"], "URL")

    def action_copy_command(self) -> None:
        if row := self.row:
            self.deck.copy_command("published", {"name": row["name"]})


def state_of(row: Mapping[str, Any]) -> tuple[State, str]:
    """How a publication is: a state and the word beside it."""
    return State[STATUS_STATES[row["status"]].upper()], row["status"]


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    state, word = state_of(row)
    rpm = row["limits"]["requests_per_minute"]
    limit = "none" if rpm is None else str(rpm)
    return row["name"], row["tenant"], row["kind"], limit, compact(row["requests"]), row["source"], state.text(word)


def _sort_value(row: Mapping[str, Any], column: str) -> tuple[bool, Any]:
    value = row["limits"]["requests_per_minute"] if column == "rpm" else row[column]
    return value is None, value if value is not None else 0


def _limits(limits: Mapping[str, Any]) -> Iterable[Fact]:
    rpm = limits["requests_per_minute"]
    yield Fact("limits", f"{rpm} requests a minute for each key" if rpm else "no request limit")
    for name, value in limits.items():
        if value and name not in ("requests_per_minute", "timeout_seconds"):
            unit = " s" if name.endswith("_seconds") else ""
            shown = ", ".join(value) if isinstance(value, list) else value
            yield Fact("", f"{name.removesuffix('_seconds').replace('_', ' ')} {shown}{unit}")
    yield Fact("timeout", f"{limits['timeout_seconds']} s")


def _facts(row: Mapping[str, Any]) -> Iterable[Fact]:
    state, word = state_of(row)
    yield Title(f"{row['name']}  {row['tenant']}")
    yield Line((f"{state.glyph} {word}", state.paint))
    if row["reason"]:
        yield Fact("why", row["reason"], "warn")
    for one in (row.get("drift") or ())[1:_MOST_DRIFT]:
        by = f", by {one['by']}" if one["by"] else ""
        yield Fact("", f"{one['object']} {one['field']}: {one['found'] or 'absent'}{by}", "muted")
    yield Fact("URL", row["url"], "accent")
    yield Fact("source", row["source"])
    if len(row["backends"]) > 1:
        for number, one in enumerate(row["backends"]):
            place = f"fallback {one['priority']}" if one["priority"] else f"weight {one['weight']}"
            yield Fact("backends" if not number else "", f"{one['source']}  {place}")
    if row["hostnames"]:
        yield Fact("hostnames", ", ".join(row["hostnames"]))
    yield from _limits(row["limits"])
    yield Fact("since", local_time(row["created_at"]))
    yield Fact("endpoint", row["endpoint_id"], "muted")
    for number, target in enumerate(row["objects"]):
        yield Fact("objects" if not number else "", target, "muted")
