"""Audit: who did what to what, from where, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.bridge import Job
from screens.details import Details, Fact, Title, local_time
from screens.frame import ENDINGS, DeckScreen
from screens.no_keys import refuse_key
from screens.split import Split
from widgets.filter_bar import FilterBar
from widgets.table_rows import Column, ListRows
from widgets.theme import State
from widgets.virtual_table import VirtualTable

_ROWS = 1000
COLUMNS = (
    Column("at", "AT", 14, priority=7),
    Column("actor", "WHO", 14, grow=1, priority=6),
    Column("via", "VIA", 7, priority=2),
    Column("action", "ACTION", 14, priority=8),
    Column("target", "TARGET", 14, grow=3, priority=5, middle=True),
    Column("outcome", "OUTCOME", 13, priority=9),
)


class AuditScreen(DeckScreen):
    """The newest rows of the audit, and the one under the cursor in full."""

    VIEW = "audit"
    ACTIONS = ("publish", "update", "unpublish", "keys.", "sync.", "operations.")
    EMPTY = "nothing was done yet"
    NONE_FOUND = "no row has all of these words: / and esc shows all"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", id="audit.filter", key_display="/"),
        Binding("v", "verify", "verify chain", id="audit.verify"),
        Binding("C", "copy_command", "copy command", show=False, id="audit.copy_command"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Mapping[str, Any]] = []
        self._wanted_words: list[str] = []

    def body(self) -> Iterable[Widget]:
        yield FilterBar(placeholder="who, what, or how it ended", things="rows", refuse=refuse_key, id="filter")
        table = VirtualTable(COLUMNS, empty="reading …", can_mark=False, id="main")
        yield Split(table, Details(id="details"))

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    async def load(self) -> None:
        rows = await self.listed("audit", {"limit": _ROWS})
        if rows is not None:
            self._rows = rows
            self._show()

    def _show(self) -> None:
        found = [row for row in self._rows if all(word in _text(row) for word in self._wanted_words)]
        self.query_one(FilterBar).show_count(len(found), len(self._rows))
        self.table.set_empty(self.NONE_FOUND if self._rows else self.EMPTY)
        self.table.show(ListRows((row["seq"], _cells(row)) for row in found))
        self._show_details()

    def _show_details(self) -> None:
        row = next((row for row in self._rows if row["seq"] == self.table.cursor_key), None)
        self.query_one("#details", Details).show(_facts(row) if row else ())

    def on_virtual_table_moved(self) -> None:
        self._show_details()

    def on_prompt_changed(self, event: FilterBar.Changed) -> None:
        self._wanted_words = event.text.casefold().split()
        self._show()

    def on_prompt_submitted(self) -> None:
        self.table.focus()

    def on_prompt_left(self) -> None:
        self.query_one(FilterBar).set_text("")
        self.table.focus()

    def action_filter(self) -> None:
        self.query_one(FilterBar).focus()

    def action_verify(self) -> None:
        def heard(job: Job) -> None:
            if job.outcome is not None:
                self.deck.tell(job.outcome)

        self.deck.act("audit", {"verify": True}, heard)

    def action_copy_command(self) -> None:
        self.deck.copy_command("audit", {})


def _text(row: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in row.values()).casefold()


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    at = datetime.fromisoformat(row["at"]).astimezone()
    ending = ENDINGS.get(row["outcome"], State.UNKNOWN)
    return f"{at:%m-%d %H:%M:%S}", row["actor"], row["via"], row["action"], row["target"], ending.text(row["outcome"])


def _facts(row: Mapping[str, Any]) -> Iterable[Fact]:
    yield Title(f"{row['action']} {row['target']}")
    yield Fact("outcome", row["outcome"])
    yield Fact("at", local_time(row["at"]))
    words = {"actor": "", "via": "via ", "origin": "from ", "tenant": "for "}
    yield Fact("by", " ".join(f"{word}{row[name]}" for name, word in words.items() if row[name]))
    for name, value in row["detail"].items():
        if name != "items":
            yield Fact(name, value)
    for number, (item, state) in enumerate(row["detail"].get("items", ())):
        yield Fact("parts" if not number else "", f"{state:<10} {item}")
    yield Fact("row", f"{row['seq']}, {row['hash'][:16]}", "muted")
