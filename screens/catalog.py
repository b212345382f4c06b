"""Catalog: every model of every provider, filtered as one types; its details, its history, and what we decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.bridge import Job
from console.catalog.completion import Vocabulary, complete
from console.catalog.index import CatalogIndex, Row
from console.catalog.query import About, BadTerm, Flag, Query, parse, tokens
from console.outcome import ModeldeckError
from screens.catalog_rows import COLUMNS, CatalogRows
from screens.details import Details, Line
from screens.forms import ask_values
from screens.frame import DeckScreen, done_of
from screens.model_facts import facts_of
from screens.no_keys import refuse_key
from screens.split import Split
from widgets.filter_bar import FilterBar
from widgets.latest import Latest
from widgets.meter_text import grouped
from widgets.virtual_table import VirtualTable

_ALL = "any"
_MOST = 1_000
"""Models of a search in descriptions: they are not in memory, so it is a page of the database's answer."""
_LOOK_AGAIN_SECONDS = 30
_NOT_ASKED = ("plan", "take_over", "stop", "hostname", "access")
"""Of what is published together."""


@dataclass(frozen=True, slots=True)
class _Search:
    """A question to the database."""

    text: str
    sort: str
    descending: bool


class CatalogScreen(DeckScreen):
    """The database is the truth; filtering and sorting work on columns in memory, at every key."""

    VIEW = "catalog"
    ACTIONS = ("sync.", "models.", "publish", "unpublish")
    PREFIXES = frozenset({"published_model_info"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", id="catalog.filter", key_display="/"),
        Binding("escape", "clear", "all models", id="catalog.clear"),
        Binding("p", "publish", "publish", id="catalog.publish"),
        Binding("m", "same", "same model", id="catalog.same"),
        Binding("h", "history", "history", id="catalog.history"),
        Binding("o", "decide", "decide", id="catalog.decide"),
        Binding("v", "hidden", "hidden too", id="catalog.hidden"),
        Binding("c", "copy", "copy id", id="catalog.copy"),
        Binding("C", "copy_command", "copy command", show=False, id="catalog.copy_command"),
        Binding("R", "sync", "sync all", id="catalog.sync"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._index: CatalogIndex | None = None
        self._fresh = False
        self._changed_at = ""
        self._ticks = 0
        self._query = Query()
        self._sort = ("name", False)
        self._vocabulary = Vocabulary()
        self._detailed: Latest[str] = Latest(self._load_details)
        self._searched: Latest[_Search] = Latest(self._search)
        self._search_wanted: _Search | None = None

    def body(self) -> Iterable[Widget]:
        yield FilterBar(
            placeholder="provider:groq ctx>=128k in<0.5 vision free -preview llama", refuse=refuse_key, id="filter"
        )
        yield Split(VirtualTable(COLUMNS, empty="reading the catalog …", id="main"), Details(id="details"))

    def on_mount(self) -> None:
        self.filter.set_suggest(lambda text, cursor: complete(text, cursor, self._vocabulary))
        self.table.sorted_by(*self._sort)

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    @property
    def filter(self) -> FilterBar:
        return self.query_one(FilterBar)

    @property
    def row(self) -> Row | None:
        """The model under the cursor."""
        return self._row_of(self.table.cursor_key)

    def _row_of(self, key: object) -> Row | None:
        if self._index is None or key is None:
            return None
        position = self._index.position_of(int(str(key)))
        return None if position is None else self._index.row(position)

    async def load(self) -> None:
        changed_at = await self._last_change()
        if self._index is None or not self._fresh or changed_at != self._changed_at:
            try:
                index, self._vocabulary = await self.bridge.catalog()
            except ModeldeckError as problem:
                self.table.set_empty(f"the catalog cannot be read: {problem}")
                self.deck.tell(problem.outcome(), read=True)
                return
            before, self._index, self._fresh = self._index, index, True
            self._changed_at = changed_at
            self._find()
            if before is not None:
                self.table.mark_changed(index.news(before))
                self._wish_details()  # the cursor has not moved, and what it is at may be otherwise
        if (wanted := self.take_wanted()) is not None:
            self._go_to(wanted)
        await self._load_published()

    async def _last_change(self) -> str:
        """When the catalog last changed, also by the schedule or another operator; it is read again for that only."""
        outcome = await self.bridge.ask("sync.status")
        rows = outcome.data if isinstance(outcome.data, list) else []
        return max((row.get("changed_at") or "" for row in rows), default="")

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _LOOK_AGAIN_SECONDS == 0:
            self.stale()

    async def _load_published(self) -> None:
        rows = await self.rows("published")
        index = self._index
        if rows is None or index is None:
            return
        ids: set[int] = set()
        for row in rows:
            source, _, reference = row["source"].partition(" ")
            if source == "catalog" and (number := _number_of(index, reference)) is not None:
                ids.add(number)
        differing = [key for key in ids if not index.published(key)]
        index.set_published(ids)
        self.table.refresh_keys(differing)
        self.table.refresh()

    def job_ended(self, job: Job) -> None:
        if job.action.id.startswith(("sync.", "models.")):
            self._fresh = False
        super().job_ended(job)

    # What the filter finds

    def _find(self) -> None:
        if self._index is None:
            return
        sort, descending = self._sort
        if any(isinstance(term, About) for term in self._query.terms):
            self._search_wanted = _Search(self.filter.text, sort, descending)
            self.filter.say([(f"   descriptions are searched in the database; at most {_MOST:,} are shown", "muted")])
            self._searched.wish(self._search_wanted)
            return
        self._search_wanted = None
        found = self._index.find(self._query, sort, descending=descending)
        self._show(self._index, found, len(found))

    def _show(self, index: CatalogIndex, found: list[int], total: int) -> None:
        if not found:
            self.table.set_empty(self._why_none(index))
        self.table.show(CatalogRows(index, found))
        everything = len(index) if self._query.asks_for(_ALL, "hidden", "retired") else index.listed
        self.filter.show_count(total, everything)

    def _why_none(self, index: CatalogIndex) -> str:
        if not len(index):
            return "the catalog is empty: R syncs it"
        if self._search_wanted is not None:
            return "no name and no description has these words one behind the other: esc shows all"
        left_out = len(index.find(replace(self._query, terms=(*self._query.terms, Flag(_ALL)))))
        if left_out and not self._query.asks_for(_ALL):
            return f"no model is like that; {grouped(left_out)} hidden or retired: v shows them, esc all others"
        return "no model is like that: esc shows all"

    async def _search(self, wish: _Search) -> None:
        values = {"query": wish.text, "sort": wish.sort, "descending": wish.descending, "limit": _MOST}
        outcome = await self.bridge.ask("models.search", values)
        index = self._index
        if index is None or wish != self._search_wanted or not self.is_attached:
            return
        if not isinstance(outcome.data, Mapping):
            self.filter.show_error(outcome.summary)
            return
        positions = (index.position_of(row["number"]) for row in outcome.data["rows"])
        self._show(index, [position for position in positions if position is not None], outcome.data["total"])

    def on_prompt_changed(self, event: FilterBar.Changed) -> None:
        try:
            self._query = parse(event.text)
        except BadTerm as problem:
            self.filter.show_error(str(problem), problem.start, problem.end)
            return
        self.filter.clear_error()
        self._find()
        self.refresh_bindings()

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
        self._wish_details()
        self.refresh_bindings()

    def _wish_details(self) -> None:
        row = self.row
        if row is None:
            self.query_one("#details", Details).show(())
        else:
            self._detailed.wish(_reference(row))

    async def _load_details(self, reference: str) -> None:
        shown = await self.bridge.ask("models.show", {"model": reference})
        details = self.query_one("#details", Details)
        if not isinstance(shown.data, Mapping):
            details.show([Line((shown.summary, "bad"))])
            return
        same = await self.bridge.ask("models.compare", {"model": reference})
        details.show(facts_of(shown.data, same.data if isinstance(same.data, list) else []))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("publish", "same", "history", "decide", "copy"):
            return self.row is not None
        return bool(self.filter.text) if action == "clear" else True

    def action_filter(self) -> None:
        self.filter.focus()

    def action_clear(self) -> None:
        self.filter.set_text("")

    def action_hidden(self) -> None:
        """With the hidden and retired ones, or without them again: a word of the filter, for all to see."""
        found = list(tokens(self.filter.text))
        kept = [token.text for token in found if token.text.lower() != _ALL]
        self.filter.set_text(" ".join(kept if len(kept) < len(found) else [_ALL, *kept]))

    def action_publish(self) -> None:
        """The marked ones together, each under the last part of its name; or the one under the cursor."""
        marked = [row for mark in self.table.marks if (row := self._row_of(mark)) is not None]
        if marked:
            models = tuple(sorted(_reference(row) for row in marked))
            shown = f"{len(models)}: {', '.join(models)}"
            given = {"model": models} | self.in_tenant()
            ask_values(
                self, "publications.publish", given, self._published, shown=shown, hide=_NOT_ASKED, needs=("tenant",)
            )
        elif row := self.row:
            self.deck.open_view("publish", _reference(row))

    def _published(self, job: Job) -> None:
        """What was published is marked no more; what was not stays marked."""
        if job.outcome is not None:
            done = done_of(job.outcome)
            rows = {mark: self._row_of(mark) for mark in self.table.marks}
            self.table.set_marks(mark for mark, row in rows.items() if row is None or _public_name(row) not in done)

    def on_virtual_table_opened(self) -> None:
        self.action_publish()

    def action_same(self) -> None:
        """What every provider asks for this model."""
        from screens.same_model import SameModelWindow

        if row := self.row:
            self.app.push_screen(SameModelWindow(_reference(row), row.canonical_key), self._wished)

    def _wished(self, wish: tuple[str, str] | None) -> None:
        match wish:
            case ("only", key):
                self.filter.set_text(f"key:{key}")
            case ("publish", reference):
                self.deck.open_view("publish", reference)
            case ("go", reference):
                self._go_to(reference)

    def _go_to(self, reference: str) -> None:
        """Put the cursor at a model; where the filter leaves it out, that goes first."""
        number = _number_of(self._index, reference) if self._index is not None else None
        if number is None or self.table.move_to(number):
            return
        self.filter.set_text(f'{_ALL} "{reference.partition("/")[2]}"')
        self._query = parse(self.filter.text)
        self._find()
        self.table.move_to(number)

    def action_history(self) -> None:
        from screens.history import HistoryWindow

        if row := self.row:
            self.app.push_screen(HistoryWindow(model=_reference(row)))

    def action_decide(self) -> None:
        from screens.override import decide

        if row := self.row:
            decide(self, _reference(row))

    def action_copy(self) -> None:
        rows = [row for key in self.table.targets if (row := self._row_of(key)) is not None]
        if rows:
            what = "model id" if len(rows) == 1 else f"{len(rows)} model ids"
            self.deck.copy_text("\n".join(sorted(_reference(row) for row in rows)), what)

    def action_copy_command(self) -> None:
        name, descending = self._sort
        self.deck.copy_command("models.search", {"query": self.filter.text, "sort": name, "descending": descending})

    def action_sync(self) -> None:
        self.deck.act("sync.run", {})


def _reference(row: Row) -> str:
    return f"{row.provider}/{row.native_id}"


def _public_name(row: Row) -> str:
    """As a model is called that is published without a name of its own."""
    return row.native_id.rpartition("/")[2]


def _number_of(index: CatalogIndex, reference: str) -> int | None:
    """The row id of ``provider/native id``."""
    provider, _, native_id = reference.partition("/")
    if not provider or not native_id or '"' in native_id:
        return None
    found = index.find(parse(f'provider:{provider} any "{native_id}"'))
    return next((index.id_at(at) for at in found if index.row(at).native_id == native_id), None)
