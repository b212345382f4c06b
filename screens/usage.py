"""Usage: who used what, over time; what it cost, what was refused, and what nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.terminal.text import share
from screens.details import Details, Fact, Line, Title
from screens.frame import DeckScreen
from screens.split import Split
from widgets.latest import Latest
from widgets.meter_text import compact
from widgets.paint import Part
from widgets.plot import bars
from widgets.table_rows import Column, ListRows
from widgets.virtual_table import VirtualTable

BY = ("model", "tenant", "key")
WINDOWS = ("1h", "24h", "7d", "30d", "365d")
SHOWN = ("requests", "tokens", "cost", "refused")
_READ_AGAIN_SECONDS = 10
_AXIS = 7
COLUMNS = (
    Column("label", "WHAT", 16, grow=3, priority=9, middle=True),
    Column("requests", "REQS", 6, right=True, priority=8),
    Column("refused", "4XX", 5, right=True, priority=5),
    Column("failed", "5XX", 5, right=True, priority=5),
    Column("input_tokens", "IN", 6, right=True, priority=6),
    Column("output_tokens", "OUT", 6, right=True, priority=6),
    Column("cost", "COST", 12, right=True, priority=7),
    Column("p95_ms", "P95 ms", 6, right=True, priority=4),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked at: ``narrowed`` are the filters, the newest last."""

    by: str = "model"
    since: str = "24h"
    shown: str = "requests"
    narrowed: tuple[tuple[str, str], ...] = ()

    def values(self) -> dict[str, Any]:
        return {"since": self.since, **dict(self.narrowed)}


class Plot(Details):
    """Lines that are made anew for the size that it has, whenever that changes."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._make: Callable[[int, int], Iterable[Fact]] = lambda _width, _height: ()

    def plot(self, make: Callable[[int, int], Iterable[Fact]]) -> None:
        """``make``: the lines for a width and a height in cells."""
        self._make = make
        if self.is_mounted:
            self.rebuild()

    def make_lines(self) -> list[Sequence[Part]]:
        return [line for fact in self._make(self.size.width, self.size.height) for line in fact.lines(self.size.width)]


class UsageScreen(DeckScreen):
    """A plot over time above a line for each model, tenant or key; the details say what the numbers leave out."""

    VIEW = "usage"
    ACTIONS = ("budgets.",)
    EMPTY = "nothing was called in this time"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "by", "by …", id="usage.by"),
        Binding("w", "window", "how far back", id="usage.window"),
        Binding("x", "shown", "plot", id="usage.plot"),
        Binding("escape", "widen", "all", id="usage.widen"),
        Binding("C", "copy_command", "copy command", show=False, id="usage.copy_command"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (18, "-high")]  # noqa: RUF012 - as Textual declares it
    DEFAULT_CSS = """
    UsageScreen #plot { height: 10; border-bottom: solid $foreground 30%; }
    UsageScreen.-narrow #plot { height: 7; }
    UsageScreen.-narrow .split--list { height: 1fr; }
    UsageScreen.-narrow .split--details { height: 5; }
    UsageScreen.-short #plot { display: none; }
    UsageScreen.-short.-narrow .split--details { height: 3; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked = Asked()
        self._ticks = 0
        self._read_by = ""
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._total: Mapping[str, Any] | None = None
        self._notes: list[str] = []
        self._budgets: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._refusals: list[Mapping[str, Any]] = []
        self._times: list[Mapping[str, Any]] = []
        self._one: Latest[str] = Latest(self._read_refusals)

    def body(self) -> Iterable[Widget]:
        yield Plot(id="plot")
        table = VirtualTable(COLUMNS, empty="reading …", can_mark=False, id="main")
        yield Split(table, Details(id="details"))

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    @property
    def row(self) -> Mapping[str, Any] | None:
        key = self.table.cursor_key
        return self._rows.get(str(key)) if key is not None else None

    async def load(self) -> None:
        asked = self._asked
        outcome = await self.bridge.ask("usage", {"by": asked.by, **asked.values(), **self._tenant()})
        if not isinstance(outcome.data, Mapping):
            self.table.set_empty("not known: it could not be read (! says why)")
            self.deck.tell(outcome, read=True)
            return
        budgets = await self.bridge.ask("budgets.list")
        times = await self.rows("usage", {"by": "time", **asked.values(), **self._tenant()})
        if asked != self._asked:
            return  # something else is looked at by now
        data = outcome.data
        if data["by"] != self._read_by and self._wanted is None and data["rows"]:
            self.select(str(data["rows"][0]["name"] or ""))
        self._read_by = data["by"]
        self._rows = {str(row["name"] or ""): row for row in data["rows"]}
        self._total, self._notes, self._times = data["total"], list(data["notes"]), times or []
        if isinstance(budgets.data, list):
            self._budgets = {(row["scope"], row["name"]): row for row in budgets.data}
        self._show()

    def select(self, key: str) -> None:
        """A row by its name; ``key:…`` and ``tenant:…`` among those of their kind."""
        by, colon, name = key.partition(":")
        if colon and by in ("key", "tenant"):
            self._asked, key = replace(self._asked, by=by, narrowed=()), name
        super().select(key)

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _READ_AGAIN_SECONDS == 0:
            self.stale()

    def _tenant(self) -> dict[str, Any]:
        return {} if any(name == "tenant" for name, _ in self._asked.narrowed) else self.in_tenant()

    def _show(self) -> None:
        self.table.set_empty(self.EMPTY)
        self.table.show(ListRows((key, _cells(row)) for key, row in self._rows.items()))
        if (wanted := self.take_wanted()) is not None:
            self.table.move_to(wanted)
        self._show_plot()
        self._show_details()

    def _show_plot(self) -> None:
        self.query_one(Plot).plot(partial(_plot, self._asked, self._times, self._total))

    def _show_details(self) -> None:
        self.query_one("#details", Details).show(self._facts())
        if self.row is not None:
            self._one.wish(str(self.row["name"] or ""))

    async def _read_refusals(self, name: str) -> None:
        """Why requests of the row under the cursor were refused."""
        self._refusals = []
        if name:
            values = {**self._asked.values(), **self._tenant(), self._asked.by: name}
            outcome = await self.bridge.ask("usage", {"by": "reason", **values})
            if isinstance(outcome.data, Mapping):
                self._refusals = list(outcome.data["rows"])
        if self.row is not None and str(self.row["name"] or "") == name:
            self.query_one("#details", Details).show(self._facts())

    def _facts(self) -> Iterable[Fact]:
        name = str(self.row["name"] or "") if self.row is not None else ""
        return _facts(self.row, self._budgets.get((self._asked.by, name)), self._refusals, self._notes)

    def on_virtual_table_moved(self) -> None:
        self._show_details()

    def on_virtual_table_opened(self) -> None:
        """Look at the parts of one row: the keys of a model or tenant, the models of a key."""
        row, asked = self.row, self._asked
        if row is None or not row["name"]:
            return
        narrowed = tuple(one for one in asked.narrowed if one[0] != asked.by)
        following = "model" if asked.by == "key" else "key"
        self._ask(replace(asked, by=following, narrowed=(*narrowed, (asked.by, row["name"]))))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "widen":
            return bool(self._asked.narrowed)
        return True

    def action_by(self) -> None:
        self._ask(replace(self._asked, by=_next(BY, self._asked.by)))

    def action_window(self) -> None:
        self._ask(replace(self._asked, since=_next(WINDOWS, self._asked.since)))

    def action_shown(self) -> None:
        self._asked = replace(self._asked, shown=_next(SHOWN, self._asked.shown))
        self._show_plot()

    def action_widen(self) -> None:
        """Take the newest filter back, and stand on the row that it was."""
        (by, name), narrowed = self._asked.narrowed[-1], self._asked.narrowed[:-1]
        self.select(name)
        self._ask(replace(self._asked, by=by, narrowed=narrowed))

    def action_copy_command(self) -> None:
        self.deck.copy_command("usage", {"by": self._asked.by, **self._asked.values()})

    def _ask(self, asked: Asked) -> None:
        self._asked = asked
        self.refresh_bindings()
        self.reload()


def _next(choices: tuple[str, ...], now: str) -> str:
    return choices[(choices.index(now) + 1) % len(choices)]


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    p95 = row["p95_ms"]
    return (
        row["label"],
        compact(row["requests"]),
        compact(row["refused"]) if row["refused"] else "",
        compact(row["failed"]) if row["failed"] else "",
        compact(row["input_tokens"]),
        compact(row["output_tokens"]),
        row["cost"],
        "" if p95 is None else compact(p95),
    )


def _number(row: Mapping[str, Any], shown: str) -> float:
    if shown == "tokens":
        return float(row["input_tokens"] + row["output_tokens"])
    return float(row["cost_usd"] or 0) if shown == "cost" else float(row[shown])


def _plot(
    asked: Asked, times: list[Mapping[str, Any]], total: Mapping[str, Any] | None, width: int, height: int
) -> Iterable[Fact]:
    narrowed = "".join(f" · {name} {value}" for name, value in asked.narrowed)
    told = "" if total is None else _told(total, asked.shown)
    yield Line((f"{asked.shown}, last {asked.since}{narrowed}", "strong"), (f"   {told}", "muted"))
    values = [_number(row, asked.shown) for row in times]
    if not any(values):
        yield Line(("nothing to plot", "muted"))
        return
    highest = max(values)
    top = f"${highest:.2g}" if asked.shown == "cost" else compact(highest)
    rows = bars(values, width - _AXIS - 2, height - 3)
    for number, row in enumerate(rows):
        label = top if not number else "0" if number == len(rows) - 1 else ""
        yield Line((f"{label:>{_AXIS}} ", "muted"), (row, "accent"))
    ends = [_short(times[0]["name"], asked), _short(times[-1]["name"], asked)]
    cells = max(len(row) for row in rows)
    yield Line((f"{'':{_AXIS}} {ends[0]}{ends[1]:>{max(1, cells - len(ends[0]))}}", "muted"))


def _told(total: Mapping[str, Any], shown: str) -> str:
    """The sum of what is plotted."""
    if shown == "tokens":
        return f"{total['input_tokens']:,} in, {total['output_tokens']:,} out  {total['cost']}"
    if shown == "refused":
        return f"{total['refused']:,} of {total['requests']:,} requests"
    return f"{total['requests']:,} requests  {total['cost']}"


def _short(moment: str, asked: Asked) -> str:
    """A moment at an end of the axis; the time of day alone would be the same at both ends of a day."""
    at = datetime.fromisoformat(moment).astimezone()
    return f"{at:%H:%M}" if asked.since == "1h" else f"{at:%a %H:%M}" if asked.since == "24h" else f"{at:%Y-%m-%d}"


def _facts(
    row: Mapping[str, Any] | None,
    budget: Mapping[str, Any] | None,
    refusals: list[Mapping[str, Any]],
    notes: list[str],
) -> Iterable[Fact]:
    for note in notes:
        yield Fact("note", note, "warn")
    if row is None:
        return
    yield Title(row["label"])
    if budget is not None:
        paint = "bad" if budget["percent"] >= 100 else "warn" if budget["percent"] >= 80 else ""
        yield Fact("budget", f"{share(budget['percent'])} {budget['budget']} is used", paint)
    ended = [f"{row[name]:,} {name}" for name in ("answered", "refused", "failed", "aborted") if row[name]]
    yield Fact("requests", f"{row['requests']:,}: {', '.join(ended)}")
    yield Fact("tokens", f"{row['input_tokens']:,} in, {row['output_tokens']:,} out of {row['metered']:,} requests")
    if row["unmetered"]:
        yield Fact("unmetered", f"{row['unmetered']:,} requests: what they cost nobody knows", "warn")
    if row["unpriced"]:
        yield Fact("unpriced", f"{row['unpriced']:,} requests: their price is not known", "warn")
    yield Fact("cost", row["cost"] or "nothing that is known")
    if row["p50_ms"] is not None:
        yield Fact("latency", f"half within {row['p50_ms']:,} ms, 95 % within {row['p95_ms']:,} ms")
    for number, one in enumerate(refusals):
        yield Fact("refused" if not number else "", f"{one['requests']:,} {one['name']}", "muted")
