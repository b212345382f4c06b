"""Catalog: every model of every provider, filtered as one types; its details; the same model elsewhere."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.bridge import Job
from console.catalog.completion import Vocabulary, complete
from console.catalog.index import CatalogIndex, Found, Row
from console.catalog.query import BadTerm, Query, parse
from console.outcome import ModeldeckError
from screens.details import Details, Fact, Line, Title
from screens.frame import DeckScreen
from screens.split import Split
from widgets.filter_bar import FilterBar
from widgets.latest import Latest
from widgets.meter_text import age, compact, price
from widgets.table_rows import Column
from widgets.theme import State, sign
from widgets.virtual_table import VirtualTable

COLUMNS = (
    Column("name", "MODEL", 24, grow=3, middle=True, priority=9, sortable=True),
    Column("provider", "PROVIDER", 10, grow=1, priority=8, sortable=True),
    Column("context", "CTX", 5, right=True, priority=6, sortable=True),
    Column("input", "IN $/M", 7, right=True, priority=7, sortable=True),
    Column("output", "OUT $/M", 7, right=True, priority=5, sortable=True),
    Column("caps", "CAPS", 5, priority=3),
    Column("changed", "CHANGED", 7, right=True, priority=2, sortable=True),
    Column("state", "STATE", 9, priority=4),
)
_CAPS = (("tools", "f"), ("streaming", "s"), ("vision", "v"), ("json_mode", "j"), ("reasoning", "r"))
_PER_MILLION = 10**9
"""The index keeps femto-dollars a token; a million of them are so many of a dollar."""


class CatalogRows:
    """What a query found, as the table asks for it."""

    def __init__(self, index: CatalogIndex, positions: list[int]) -> None:
        self._index = index
        self._positions = Found(positions)

    def __len__(self) -> int:
        return len(self._positions)

    def key(self, position: int) -> Hashable:
        return self._index.id_at(self._positions[position])

    def position(self, key: Hashable) -> int | None:
        at = self._index.position_of(int(str(key)))
        return None if at is None else self._positions.place_of(at)

    def cells(self, position: int) -> Sequence[str | Text]:
        row = self._index.row(self._positions[position])
        return (
            row.native_id,
            row.provider,
            compact(row.context_tokens),
            _price(row.price_in, row.price_state),
            _price(row.price_out, row.price_state),
            "".join(letter if getattr(row, name) else sign("dot") for name, letter in _CAPS),
            age(time.time() - row.changed_at / 1e6),
            _state(row, published=self._index.published(row.id)),
        )


class CatalogScreen(DeckScreen):
    """The database is the truth; filtering and sorting work on columns in memory, at every key."""

    VIEW = "catalog"
    ACTIONS = ("sync.", "models.", "publish", "unpublish")
    PREFIXES = frozenset({"published_model_info"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", id="catalog.filter", key_display="/"),
        Binding("p", "publish", "publish", id="catalog.publish"),
        Binding("m", "same", "same model", id="catalog.same"),
        Binding("c", "copy", "copy id", id="catalog.copy"),
        Binding("C", "copy_command", "copy command", show=False, id="catalog.copy_command"),
        Binding("escape", "clear", "all models", id="catalog.clear", show=False),
        Binding("R", "sync", "sync all", id="catalog.sync"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._index: CatalogIndex | None = None
        self._fresh = False
        self._query = Query()
        self._sort = ("name", False)
        self._vocabulary = Vocabulary()
        self._detailed: Latest[str] = Latest(self._load_details)

    def body(self) -> Iterable[Widget]:
        yield FilterBar(placeholder="provider:groq ctx>=128k in<0.5 vision free -preview llama", id="filter")
        yield Split(VirtualTable(COLUMNS, empty="reading the catalog …", id="main"), Details(id="details"))

    def on_mount(self) -> None:
        self.query_one(FilterBar).set_suggest(lambda text, cursor: complete(text, cursor, self._vocabulary))
        self.table.sorted_by(*self._sort)

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    @property
    def row(self) -> Row | None:
        """The model under the cursor."""
        key = self.table.cursor_key
        if self._index is None or key is None:
            return None
        position = self._index.position_of(int(str(key)))
        return None if position is None else self._index.row(position)

    async def load(self) -> None:
        if self._index is None or not self._fresh:
            try:
                index, self._vocabulary = await self.bridge.catalog()
            except ModeldeckError as problem:
                self.table.set_empty(f"the catalog cannot be read: {problem}")
                self.deck.tell(problem.outcome())
                return
            before, self._index, self._fresh = self._index, index, True
            self.table.set_empty(
                "no model is like that: esc shows all" if len(index) else "the catalog is empty: R syncs it"
            )
            self._find()
            if before is not None:
                self.table.mark_changed(_changed(before, index))
        await self._load_published()

    async def _load_published(self) -> None:
        rows = await self.rows("published")
        index = self._index
        if rows is None or index is None:
            return
        ids: set[int] = set()
        for row in rows:
            source, _, reference = row["source"].partition(" ")
            provider, _, native_id = reference.partition("/")
            if source == "catalog":
                found = index.find(parse(f'provider:{provider} any "{native_id}"'))
                ids |= {index.id_at(at) for at in found if index.row(at).native_id == native_id}
        differing = [key for key in ids if not index.published(key)]
        index.set_published(ids)
        self.table.refresh_keys(differing)
        self.table.refresh()

    def job_ended(self, job: Job) -> None:
        if job.action.id.startswith(("sync.", "models.")):
            self._fresh = False
        super().job_ended(job)

    def _find(self) -> None:
        if self._index is None:
            return
        sort, descending = self._sort
        found = self._index.find(self._query, sort, descending=descending)
        self.table.show(CatalogRows(self._index, found))
        self.query_one(FilterBar).show_count(len(found), self._index.listed)

    # The filter

    def on_prompt_changed(self, event: FilterBar.Changed) -> None:
        bar = self.query_one(FilterBar)
        try:
            self._query = parse(event.text)
        except BadTerm as problem:
            bar.show_error(str(problem), problem.start, problem.end)
            return
        bar.clear_error()
        self._find()

    def on_prompt_submitted(self) -> None:
        self.table.focus()

    def on_prompt_left(self) -> None:
        self.table.focus()

    def on_virtual_table_sort_asked(self, event: VirtualTable.SortAsked) -> None:
        self._sort = (event.column, event.descending)
        self.table.sorted_by(*self._sort)
        self._find()

    # Details

    def on_virtual_table_moved(self) -> None:
        row = self.row
        if row is None:
            self.query_one("#details", Details).show(())
        else:
            self._detailed.wish(f"{row.provider}/{row.native_id}")
        self.refresh_bindings()

    async def _load_details(self, reference: str) -> None:
        shown = await self.bridge.ask("models.show", {"model": reference})
        details = self.query_one("#details", Details)
        if not isinstance(shown.data, Mapping):
            details.show([Line((shown.summary, "bad"))])
            return
        same = await self.bridge.ask("models.compare", {"model": reference})
        details.show(_facts(shown.data, same.data if isinstance(same.data, list) else []))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("publish", "same", "copy"):
            return self.row is not None
        return True

    def action_filter(self) -> None:
        self.query_one(FilterBar).focus()

    def action_clear(self) -> None:
        self.query_one(FilterBar).set_text("")

    def action_publish(self) -> None:
        if row := self.row:
            self.deck.open_view("publish", f"{row.provider}/{row.native_id}")

    def on_virtual_table_opened(self) -> None:
        self.action_publish()

    def action_same(self) -> None:
        """Only this model, at every provider."""
        if row := self.row:
            self.query_one(FilterBar).set_text(f"key:{row.canonical_key}")

    def action_copy(self) -> None:
        if row := self.row:
            self.deck.copy_text(f"{row.provider}/{row.native_id}", "model id")

    def action_copy_command(self) -> None:
        bar = self.query_one(FilterBar)
        name, descending = self._sort
        self.deck.copy_command("models.search", {"query": bar.text, "sort": name, "descending": descending})

    def action_sync(self) -> None:
        self.deck.act("sync.run", {})


def _price(femto: int | None, state: str) -> str:
    if femto is None:
        return price(None, "dynamic" if state == "dynamic" else "unknown")
    return price(Decimal(femto) / _PER_MILLION, "known" if femto else "free")


def _state(row: Row, *, published: bool) -> Text:
    if published:
        return State.READY.text("pub")
    if row.retired:
        return State.OFF.text("retired")
    if row.hidden:
        return State.OFF.text("hidden")
    if row.missing:
        return State.PENDING.text("missing")
    if row.deprecated:
        return State.DRIFT.text("leaves")
    return Text(f"{sign('chosen')} pinned" if row.pinned else "", style="accent")


def _changed(before: CatalogIndex, now: CatalogIndex) -> list[int]:
    """The models that are new, or otherwise than before."""
    moments = {before.id_at(at): before.row(at).changed_at for at in before.find(Query())}
    rows = (now.row(at) for at in now.find(parse("any")))
    return [row.id for row in rows if moments.get(row.id) != row.changed_at]


def _facts(model: Mapping[str, Any], same: Sequence[Mapping[str, Any]]) -> Iterable[Fact]:
    yield Title(model["id"])
    if model["name"] != model["native_id"]:
        yield Fact("name", model["name"])
    for name, value in (
        ("author", model["author"]),
        ("kind", model["kind"]),
        ("modality", model["modality"]),
        ("context", compact(model["context"]) + _output(model)),
        ("can", ", ".join(name for name, _ in _CAPS if model[name]) or sign("more")),
    ):
        if value:
            yield Fact(name, value)
    for kind, known in model["prices"].items():
        if kind not in ("input", "output"):
            continue
        sent = f"sent as {known['raw']} {known['raw_unit']}" if known["raw"] else "nothing sent"
        yield Fact(kind, f"{_spelled(model[kind], known)}   {sent}")
    first = datetime.fromisoformat(model["first_seen_at"]).astimezone()
    changed = datetime.fromisoformat(model["changed_at"]).astimezone()
    yield Fact("seen", f"since {first:%Y-%m-%d}, changed {changed:%Y-%m-%d %H:%M}")
    if model["note"]:
        yield Fact("note", model["note"], "accent")
    others = [offer for offer in same if offer["id"] != model["id"]]
    if others:
        yield Line("")
        yield Line(("the same model elsewhere, $ per million in / out", "muted"))
        for offer in others[:12]:
            paint = "good" if _cheaper(offer, model) else ""
            amounts = f"{_offered(offer, 'input'):>8} / {_offered(offer, 'output'):<8}"
            yield Line(f"  {offer['provider']:<14} ", (amounts, paint), (f" {compact(offer['context'])}", "muted"))
    if model["description"]:
        yield Line("")
        yield Fact("", model["description"][:600], "muted")


def _output(model: Mapping[str, Any]) -> str:
    return f", at most {compact(model['max_output'])} out" if model["max_output"] else ""


def _spelled(million: str | None, known: Mapping[str, Any]) -> str:
    if known["state"] != "known":
        return str(known["state"])
    return f"{million} $/M" if million is not None else f"{known['usd']} $ per {known['per']}"


def _offered(offer: Mapping[str, Any], kind: str) -> str:
    amount = offer[kind]
    if amount is None:
        return price(None, "dynamic" if offer["price_state"] == "dynamic" else "unknown")
    return price(Decimal(amount), "known" if Decimal(amount) else "free")


def _cheaper(offer: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    try:
        return Decimal(offer["input"]) < Decimal(model["input"])
    except (TypeError, ArithmeticError):
        return False
