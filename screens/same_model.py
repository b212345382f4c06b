"""The same model at every provider, side by side: what each asks for it, the cheapest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from screens.catalog_rows import CAPS, offered, usd
from screens.frame import begin
from screens.window import Window
from widgets.meter_text import compact
from widgets.note import Note
from widgets.table_rows import Column, ListRows
from widgets.theme import sign
from widgets.virtual_table import VirtualTable

COLUMNS = (
    Column("provider", "PROVIDER", 14, grow=1, priority=9, sortable=True),
    Column("input", "IN $/M", 8, right=True, priority=8, sortable=True),
    Column("output", "OUT $/M", 8, right=True, priority=7, sortable=True),
    Column("times", "IN ×", 6, right=True, priority=3),
    Column("context", "CTX", 5, right=True, priority=5, sortable=True),
    Column("caps", "CAPS", 5, priority=4),
    Column("id", "MODEL", 20, grow=3, middle=True, priority=6),
)


class SameModelWindow(Window):
    """Answers what the catalog is to do: ``go`` to a model, ``publish`` it, or list ``only`` these."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "wish('publish')", "publish", id="same.publish"),
        Binding("f", "only", "list only these", id="same.only"),
        Binding("c", "copy", "copy id", id="same.copy"),
        Binding("C", "copy_command", "copy command", show=False, id="same.copy_command"),
    ]

    def __init__(self, reference: str, key: str) -> None:
        super().__init__(f"{key} at every provider")
        self._reference = reference
        self._key = key
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._sort = ("input", False)

    def body(self) -> Iterable[Widget]:
        yield VirtualTable(COLUMNS, empty="reading …", can_mark=False, id="main")
        yield Note([(f" the same as far as its name tells; enter goes to it {sign('dot')} s sorts", "muted")])

    def opened(self) -> None:
        self.table.sorted_by(*self._sort)
        begin(self, self._load, "comparing", "load")

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    async def _load(self) -> None:
        rows = await self.ask("models.compare", {"model": self._reference})
        if rows is None:
            self.table.set_empty("not known: it could not be read (! says why)")
            return
        self._rows = {row["id"]: row for row in rows}
        self.table.set_empty("nobody lists it any longer, or it is hidden")
        self._show()
        self.table.move_to(self._reference)
        self.refresh_bindings()

    def _show(self) -> None:
        name, descending = self._sort
        rows = sorted(self._rows.values(), key=lambda row: row["id"])
        known = [row for row in rows if _value(row, name) is not None]
        known.sort(key=lambda row: _value(row, name), reverse=descending)
        unknown = [row for row in rows if _value(row, name) is None]
        cheapest = min((amount for row in rows if (amount := usd(row, "input"))), default=None)
        self.table.sorted_by(name, descending)
        self.table.show(ListRows((row["id"], self._cells(row, cheapest)) for row in (*known, *unknown)))

    def _cells(self, row: Mapping[str, Any], cheapest: Any) -> tuple[Any, ...]:
        amount = usd(row, "input")
        return (
            row["provider"],
            offered(row, "input"),
            offered(row, "output"),
            f"{amount / cheapest:.1f}" if amount and cheapest else "",
            compact(row["context"]),
            "".join(letter if row[name] else sign("dot") for name, letter in CAPS),
            row["id"].removeprefix(f"{row['provider']}/"),
        )

    def on_virtual_table_sort_asked(self, event: VirtualTable.SortAsked) -> None:
        self._sort = (event.column, event.descending)
        self._show()

    def on_virtual_table_opened(self) -> None:
        self.action_wish("go")

    # Keys

    def allows(self, action: str) -> bool:
        return bool(self._rows) if action in ("wish", "only", "copy") else True

    def action_wish(self, what: str) -> None:
        if self.table.cursor_key is not None:
            self.dismiss((what, str(self.table.cursor_key)))

    def action_only(self) -> None:
        self.dismiss(("only", self._key))

    def action_copy(self) -> None:
        if self.table.cursor_key is not None:
            self.deck.copy_text(str(self.table.cursor_key), "model id")

    def action_copy_command(self) -> None:
        self.deck.copy_command("models.compare", {"model": self._reference})


def _value(row: Mapping[str, Any], name: str) -> Any:
    return usd(row, name) if name in ("input", "output") else row[name]
