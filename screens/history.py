"""The history of a provider or a model: what changed when, field by field; in whose run, or by whose hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.catalog.types import ChangeKind
from screens.details import Details, Fact, Line, Title, local_time
from screens.difference import fields_of
from screens.frame import begin
from screens.no_keys import refuse_key
from screens.window import Window
from widgets.filter_bar import FilterBar
from widgets.table_rows import Column, ListRows
from widgets.theme import State, sign
from widgets.virtual_table import VirtualTable

_ROWS = 2000
_AT = Column("at", "AT", 11, priority=8)
_MODEL = Column("model", "MODEL", 22, grow=2, middle=True, priority=7)
_FIELD = Column("field", "WHAT", 14, grow=1, priority=9)
_CHANGE = Column("change", "WAS → IS", 22, grow=3, priority=6)
_BY = Column("by", "BY", 9, grow=1, priority=2)
_RUN = Column("run", "RUN", 5, right=True, priority=1)
_KINDS = {
    ChangeKind.ADDED: State.DONE,
    ChangeKind.RETURNED: State.DONE,
    ChangeKind.BASELINE: State.DONE,
    ChangeKind.MISSING: State.PENDING,
    ChangeKind.RETIRED: State.OFF,
}


class HistoryWindow(Window):
    """Changes, the newest first; a filter for models, fields and values; the one under the cursor in full.

    Args:
        provider, model: whose changes; a model as ``provider/native id``
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", id="history.filter", key_display="/"),
        Binding("h", "model", "this model", id="history.model"),
        Binding("c", "copy", "copy", id="history.copy"),
        Binding("C", "copy_command", "copy command", show=False, id="history.copy_command"),
    ]

    def __init__(self, *, provider: str = "", model: str = "") -> None:
        super().__init__(f"What changed {'of ' + model if model else 'at ' + provider}")
        self._asked = {"model": model} if model else {"provider": provider}
        self._rows: list[Mapping[str, Any]] = []
        self._found: dict[int, Mapping[str, Any]] = {}
        self._words: list[str] = []

    def body(self) -> Iterable[Widget]:
        hint = "price, context" if "model" in self._asked else "a model, a field: gpt-4o price"
        yield FilterBar(placeholder=hint, things="changes", refuse=refuse_key, id="filter")
        columns = (_AT, _FIELD, _CHANGE, _BY, _RUN) if "model" in self._asked else (_AT, _MODEL, _FIELD, _CHANGE, _RUN)
        yield VirtualTable(columns, empty="reading …", can_mark=False, id="main")
        yield Details(id="details")

    def opened(self) -> None:
        begin(self, self._load, "reading the history", "load")

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    @property
    def row(self) -> Mapping[str, Any] | None:
        """The change under the cursor."""
        key = self.table.cursor_key
        return None if key is None else self._found.get(int(str(key)))

    async def _load(self) -> None:
        rows = await self.ask("sync.history", {**self._asked, "limit": _ROWS})
        if rows is None:
            self.table.set_empty("not known: it could not be read (! says why)")
            return
        self._rows = rows
        if len(rows) == _ROWS:
            self.query_one(FilterBar).say([(f"   the newest {_ROWS:,}; C copies the command for more", "muted")])
        self._show()

    def _show(self) -> None:
        found = self._found = {
            number: row for number, row in enumerate(self._rows) if all(word in _searched(row) for word in self._words)
        }
        self.table.set_empty("no change is like that: esc in the filter shows all" if self._rows else _nothing())
        self.table.show(ListRows((number, self._cells(row)) for number, row in self._found.items()))
        self.query_one(FilterBar).show_count(len(found), len(self._rows))
        self._show_details()

    def _cells(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        at = datetime.fromisoformat(row["at"]).astimezone()
        kind = _KINDS.get(row["kind"])
        what = row["field"] if kind is None else kind.text(row["kind"])
        run = str(row["run"]) if row["run"] is not None else ""
        change = row["detail"] if row["field"] or row["after"] else ""
        if "model" in self._asked:
            return f"{at:%m-%d %H:%M}", what, change, row["actor"], run
        return f"{at:%m-%d %H:%M}", row["model"] or "(the whole list)", what, change, run

    def _show_details(self) -> None:
        row = self.row
        self.query_one("#details", Details).show(_facts(row) if row is not None else ())
        self.refresh_bindings()

    def on_virtual_table_moved(self) -> None:
        self._show_details()

    def on_virtual_table_opened(self) -> None:
        self.action_model()

    def on_prompt_changed(self, event: FilterBar.Changed) -> None:
        self._words = event.text.casefold().split()
        self._show()

    def on_prompt_submitted(self) -> None:
        self.table.focus()

    def on_prompt_left(self) -> None:
        self.query_one(FilterBar).set_text("")
        self.table.focus()

    # Keys

    def allows(self, action: str) -> bool:
        if action == "model":
            return "provider" in self._asked and bool(self.row and self.row["model"])
        return self.row is not None if action == "copy" else True

    def action_filter(self) -> None:
        self.query_one(FilterBar).focus()

    def action_model(self) -> None:
        """All that is known of the model under the cursor, also what was filtered out."""
        row = self.row
        if row is not None and row["model"] and "provider" in self._asked:
            self.app.push_screen(HistoryWindow(model=f"{row['provider']}/{row['model']}"))

    def action_copy(self) -> None:
        if (row := self.row) is not None:
            self.deck.copy_text(f"{local_time(row['at'])}  {row['what']}: {row['detail']}", "change")

    def action_copy_command(self) -> None:
        self.deck.copy_command("sync.history", {**self._asked, "limit": 10_000})


def _searched(row: Mapping[str, Any]) -> str:
    return f"{row['model']} {row['field']} {row['kind']} {row['detail']} {row['actor']}".casefold()


def _nothing() -> str:
    return "nothing has changed since it was first seen"


def _facts(row: Mapping[str, Any]) -> Iterable[Fact]:
    yield Title(f"{row['provider']}/{row['model']}" if row["model"] else row["provider"])
    run = f"run {row['run']}" if row["run"] is not None else "by hand"
    yield Fact("at", f"{local_time(row['at'])}, {run}, {row['actor']}")
    fields = fields_of(row)
    for field in fields:
        if field.before is None or field.after is None:
            glyph, paint = ("+", "good") if field.before is None else (sign("minus"), "bad")
            yield Fact(field.path, f"{glyph} {field.after if field.before is None else field.before}", paint)
        else:
            before, after = (field.before, "bad"), (field.after, "good")
            yield Line((f"{field.path:<11} ", "muted"), before, (f" {sign('arrow')} ", "muted"), after)
    if not fields:
        yield Fact("what", row["detail"])
