"""Overview: what needs somebody, how every part is, and how much there is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from console.bridge import Live
from screens.details import Details, Fact, Line, Title
from screens.frame import DeckScreen
from widgets.meter_text import age, grouped
from widgets.spark import spark
from widgets.table_rows import Column, ListRows
from widgets.theme import State, sign
from widgets.virtual_table import VirtualTable

NEEDS = {
    "drift": State.DRIFT,
    "pending": State.PENDING,
    "rotating": State.PENDING,
    "expiring": State.PENDING,
    "lost": State.DRIFT,
    "suspended": State.OFF,
    "unwritten": State.DRIFT,
    "spending": State.PENDING,
    "spent": State.DRIFT,
    "interrupted": State.DRIFT,
    "down": State.FAILED,
}
COLUMNS = (
    Column("state", "NEEDS YOU", 13, priority=9),
    Column("what", "WHAT", 18, grow=1, priority=8),
    Column("detail", "WHY", 20, grow=3, priority=5),
)
_READ_AGAIN_SECONDS = 30


class OverviewScreen(DeckScreen):
    """The screen to leave open."""

    VIEW = "overview"
    PREFIXES = frozenset({"api_key", "published_model_info"})
    ACTIONS = ("publish", "update", "unpublish", "keys.", "sync.", "budgets.", "operations.", "tenants.")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "look", "look again", id="overview.look"),
        Binding("R", "recover", "recover", id="overview.recover"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - as Textual declares it
    DEFAULT_CSS = """
    OverviewScreen #main { height: 2fr; min-height: 5; }
    OverviewScreen Horizontal { height: 3fr; border-top: solid $foreground 30%; }
    OverviewScreen #figures { width: 3fr; }
    OverviewScreen #health { width: 2fr; padding: 0 0 0 2; }
    OverviewScreen.-narrow Horizontal { layout: vertical; }
    OverviewScreen.-narrow #figures { width: 100%; height: auto; }
    OverviewScreen.-narrow #health { width: 100%; height: 1fr; padding: 0; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._data: Mapping[str, Any] = {}
        self._needs: dict[str, Mapping[str, str]] = {}
        self._ticks = 0

    def body(self) -> Iterable[Widget]:
        yield VirtualTable(COLUMNS, empty="reading …", can_mark=False, id="main")
        yield Horizontal(Details(id="figures"), Details(id="health"))

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    async def load(self) -> None:
        outcome = await self.bridge.ask("overview")
        if outcome.data is None:
            self.deck.tell(outcome, read=True)
            return
        self._data = outcome.data
        self._show()

    def live_changed(self) -> None:
        super().live_changed()
        self._show()

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _READ_AGAIN_SECONDS == 0:
            self.reload()
        self._show()

    def _show(self) -> None:
        health = self.bridge.live.health
        down = [row for row in health.rows if row["state"] != "ok"]
        needs = [
            {"state": "down", "what": row["part"], "detail": row["detail"], "view": "overview", "key": row["part"]}
            for row in down
        ]
        needs += [need for need in self._data.get("needs", ()) if need["state"] != "down" or not down]
        self._needs = {f"{need['view']}/{need['key']}/{need['state']}": need for need in needs}
        self.table.set_empty(f"{State.READY.glyph} nothing needs you" if self._data else "reading …")
        self.table.show(ListRows((key, _need_cells(need)) for key, need in self._needs.items()))
        self.query_one("#figures", Details).show(_figures(self._data, self.bridge.live))
        self.query_one("#health", Details).show(_health(self.bridge.live))

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        need = self._needs[str(event.key)]
        if need["view"] != self.VIEW:
            self.deck.open_view(need["view"], need["key"])

    def action_look(self) -> None:
        self.bridge.look_again()
        self.reload()

    def action_recover(self) -> None:
        self.deck.act("operations.recover", {})

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "recover":
            return bool((self._data.get("operations") or {}).get("interrupted"))
        return True


def _need_cells(need: Mapping[str, str]) -> tuple[Any, ...]:
    return NEEDS.get(need["state"], State.REFUSED).text(need["state"]), need["what"], need["detail"]


def _figures(data: Mapping[str, Any], live: Live) -> Iterable[Fact]:
    catalog = data.get("catalog")
    if catalog:
        trouble = f"  {catalog['in_trouble']} in trouble" if catalog["in_trouble"] else ""
        newest = datetime.fromisoformat(catalog["newest"]).timestamp() if catalog["newest"] else None
        when = f", the newest list {age(time.time() - newest)}" if newest else ""
        late = f"  {catalog['late']} late" if catalog["late"] else ""
        yield Line(
            ("Catalog    ", "strong"),
            f"{grouped(catalog['models'])} models  {catalog['providers']} providers  {catalog['fresh']} fresh",
            (late + trouble, "warn"),
            (when, "muted"),
        )
    else:
        yield Line(("Catalog    ", "strong"), (f"{sign('more')} not known", "muted"))
    published = data.get("published")
    if published:
        yield Line(
            ("Published  ", "strong"),
            (f"{State.READY.glyph} {published['ready']} ready", State.READY.paint),
            (f"  {State.DRIFT.glyph} {published['not_ready']} not ready" if published["not_ready"] else "", "warn"),
        )
    else:
        yield Line(("Published  ", "strong"), (f"{sign('more')} not known", "muted"))
    keys = data.get("keys")
    if keys:
        yield Line(
            ("Keys       ", "strong"),
            f"{keys['active']} active",
            (f"  {keys['rotating']} rotating" if keys["rotating"] else "", "warn"),
            (f"  {keys['expiring']} expire this week" if keys["expiring"] else "", "warn"),
        )
    else:
        yield Line(("Keys       ", "strong"), (f"{sign('more')} not known", "muted"))
    rates = live.rates()
    last: Counter[str] = sum(rates[-10:], Counter())
    yield Line(
        ("Feed       ", "strong"),
        (spark([sum(counts.values()) for counts in rates], 15), "accent"),
        f" {sum(last.values()) / 10:.1f} ev/s",
    )
    event = live.events.get(live.events.end - 1)
    if event is not None:
        ago = age(time.time() - event.at.timestamp())
        yield Line(
            "           ", (f"last: {ago}  {event.event.upper()} {event.key}  ", "muted"), ", ".join(event.changes)
        )


def _health(live: Live) -> Iterable[Fact]:
    yield Title("Health")
    if not live.health.rows:
        yield Line(("asking every part …", "muted"))
    for row in live.health.rows:
        state = State.READY if row["state"] == "ok" else State.FAILED
        yield Line(
            (f"{state.glyph} ", state.paint),
            f"{row['part']:<17} ",
            (row["detail"], "muted" if row["state"] == "ok" else "bad"),
        )
