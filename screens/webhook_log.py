"""The webhook log: who told us of a change, what it named, and what it led to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from screens.details import Details, Fact, Title, local_time
from screens.frame import begin
from screens.window import Window
from widgets.table_rows import Column, ListRows
from widgets.virtual_table import VirtualTable

_ROWS = 500
_READ_AGAIN_SECONDS = 5.0
COLUMNS = (
    Column("at", "AT", 14, priority=9),
    Column("event", "EVENT", 14, grow=1, priority=8),
    Column("provider", "PROVIDER", 10, grow=1, priority=7),
    Column("models", "MODELS", 6, right=True, priority=4),
    Column("origin", "FROM", 14, grow=1, priority=3),
    Column("repeats", "REPEATS", 7, right=True, priority=2),
    Column("note", "LED TO", 18, grow=3, priority=6),
)


class WebhookWindow(Window):
    """The newest deliveries; what comes while one looks is shown within seconds."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("C", "copy_command", "copy command", show=False, id="webhooks.copy_command"),
    ]

    def __init__(self) -> None:
        super().__init__("Webhooks")
        self._rows: dict[int, Mapping[str, Any]] = {}

    def body(self) -> Iterable[Widget]:
        yield VirtualTable(COLUMNS, empty="reading …", can_mark=False, id="main")
        yield Details(id="details")

    def opened(self) -> None:
        self._read()
        self.set_interval(_READ_AGAIN_SECONDS, self._read)

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    def _read(self) -> None:
        begin(self, self._load, "reading the webhook log", "load")

    async def _load(self) -> None:
        rows = await self.ask("sync.webhooks", {"limit": _ROWS})
        if rows is None:
            self.table.set_empty("not known: it could not be read (! says why)")
            return
        before, self._rows = self._rows, {row["id"]: row for row in rows}
        self.table.set_empty("no webhook has come yet; POST /api/webhooks/models-updated takes them, signed")
        self.table.show(ListRows((number, _cells(row)) for number, row in self._rows.items()))
        if before:
            self.table.mark_changed([number for number, row in self._rows.items() if before.get(number) != row])
        self._show_details()

    def _show_details(self) -> None:
        key = self.table.cursor_key
        row = None if key is None else self._rows.get(int(str(key)))
        self.query_one("#details", Details).show(_facts(row) if row is not None else ())

    def on_virtual_table_moved(self) -> None:
        self._show_details()

    def action_copy_command(self) -> None:
        self.deck.copy_command("sync.webhooks", {"limit": _ROWS})


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        local_time(row["received_at"])[5:],
        row["event"],
        row["provider"],
        str(row["count"]),
        row["origin"],
        str(row["repeats"]) if row["repeats"] else "",
        row["note"],
    )


def _facts(row: Mapping[str, Any]) -> Iterable[Fact]:
    yield Title(f"{row['event']} {row['provider']}")
    yield Fact("at", f"{local_time(row['received_at'])} from {row['origin']}, signed: {row['signed']}")
    yield Fact("led to", row["note"])
    if row["sentence"]:
        yield Fact("", row["sentence"])
    if row["repeats"]:
        yield Fact("repeats", f"{row['repeats']} times the same came again and was ignored")
    if row["models"]:
        yield Fact("models", ", ".join(str(model) for model in row["models"]))
    if row["tags"]:
        yield Fact("void", ", ".join(row["tags"]))
