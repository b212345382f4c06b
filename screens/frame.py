"""What every screen has: the row of truth above, the row of keys below, errors between, and a way to ask for things."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import Worker, WorkerState

from console.outcome import Ending, Outcome
from widgets.books import FaultBook, JobBook
from widgets.error_bar import ErrorBar
from widgets.jobs import JobsDrawer
from widgets.key_footer import KeyFooter
from widgets.status_line import StatusLine
from widgets.theme import State
from widgets.virtual_table import VirtualTable

if TYPE_CHECKING:
    from textual.widget import Widget

    from console.bridge import Bridge, Job

ENDINGS = {
    Ending.DONE: State.DONE,
    Ending.UNCHANGED: State.DONE,
    Ending.PENDING: State.PENDING,
    Ending.PARTIAL: State.PARTIAL,
    Ending.REFUSED: State.REFUSED,
    Ending.FAILED: State.FAILED,
    Ending.INTERRUPTED: State.DRIFT,
    Ending.CANCELLED: State.UNDONE,
}
"""How each ending of an outcome is shown."""
_SETTLE_SECONDS = 0.25
"""A burst of changes reads a list again once, not for each of them."""


def done_of(outcome: Outcome) -> frozenset[str]:
    """Of an outcome for several: the names of those that are as they were to be."""
    good = (Ending.DONE.value, Ending.UNCHANGED.value)
    return frozenset(item.name for item in outcome.items if item.state in good)


def begin(node: DOMNode, work: Callable[[], Awaitable[None]], name: str, group: str) -> None:
    """Begin something on the UI's loop, in place of what runs in its group. Where it fails, its owner is told."""
    node.run_worker(cast("Any", work), name=name, group=group, exclusive=True, exit_on_error=False)


class Deck(Protocol):
    """What a screen may ask of the app."""

    @property
    def bridge(self) -> Bridge: ...
    @property
    def faults(self) -> FaultBook: ...
    @property
    def job_book(self) -> JobBook: ...
    @property
    def tenant(self) -> str | None:
        """The tenant that lists are narrowed to; None for all."""
        ...

    def act(
        self, identifier: str, values: Mapping[str, Any], then: Callable[[Job], None] = ..., *, shown: str = ""
    ) -> None:
        """Ask for what must be confirmed, then begin; ``then`` hears of progress and of the end.

        ``shown``: what it is done to, for the question, where people call it otherwise than the action does.
        """
        ...

    def tell(self, outcome: Outcome, *, read: bool = False) -> None:
        """Show how something ended: good ends pass by, others stay until they are read."""
        ...

    def copy_text(self, text: str, what: str) -> None: ...
    def copy_command(self, identifier: str, values: Mapping[str, Any]) -> None: ...
    def open_view(self, view: str, key: str | None = None) -> None:
        """Go to a view, and there to a row."""
        ...

    def status_facts(self, line: StatusLine) -> None: ...
    def worker_failed(self, worker: Worker[Any]) -> None: ...


class DeckScreen(Screen[None]):
    """One view of the console.

    A screen reads when it comes to the front and when something that it shows has changed; it keeps what it showed when
    reading fails, and says so.
    """

    VIEW: ClassVar[str] = ""
    PREFIXES: ClassVar[frozenset[str]] = frozenset()
    """Events of the feed that make what is shown stale: ``api_key``, ``published_model_info``."""
    ACTIONS: ClassVar[tuple[str, ...]] = ()
    """Prefixes of actions that do so when one of this session's ends: ``keys.``."""
    EMPTY: ClassVar[str] = ""
    """What the list says where there is truly nothing, which is known only after it was read."""
    DEFAULT_CSS = """
    DeckScreen { layout: vertical; overflow-x: hidden; overflow-y: hidden; }
    """
    # Where a list with all of its columns fits beside its details.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-wide")]  # noqa: RUF012 - as Textual declares it
    AUTO_FOCUS: ClassVar[str | None] = "#main"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("full_stop", "details(1)", "details down", show=False, id="details.down", key_display="."),
        Binding("comma", "details(-1)", "details up", show=False, id="details.up", key_display=","),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0
        self._settling: Timer | None = None
        self._wanted: str | None = None

    @property
    def deck(self) -> Deck:
        return cast("Deck", self.app)

    @property
    def bridge(self) -> Bridge:
        return self.deck.bridge

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield from self.body()
        book = self.deck.job_book
        yield JobsDrawer(book)
        yield ErrorBar(self.deck.faults)
        yield KeyFooter(always=("app.help",), jobs=lambda: book.running)

    def body(self) -> Iterable[Widget]:
        """What is between the two rows; the widget that has the focus first is called ``main``."""
        raise NotImplementedError

    async def load(self) -> None:
        """Read what is shown. Runs whenever it may be stale; a newer call cancels the one before."""

    def tick(self) -> None:
        """A second has passed: ages and countdowns."""

    def select(self, key: str) -> None:
        """Go to the row with this key, now or when it is there."""
        self._wanted = key

    def take_wanted(self) -> str | None:
        """The key that `select` asked for, once."""
        wanted, self._wanted = self._wanted, None
        return wanted

    def on_screen_suspend(self) -> None:
        # Behind a window none of these keys does anything.
        self._show_keys(False)

    def on_screen_resume(self) -> None:
        self._show_keys(True)
        self.refresh_facts()
        self.reload()

    def _show_keys(self, shown: bool) -> None:
        for footer in self.query(KeyFooter):
            footer.visible = shown

    def reload(self) -> None:
        # Before it is mounted there is nothing to show it in; when it has been, it comes to the front and reads.
        if self.bridge.ready and self.is_mounted:
            self._seen = self.bridge.live.events.end  # what is read now is as new as any event before
            begin(self, self.load, f"reading {self.VIEW}", "load")

    def stale(self) -> None:
        """Read again soon."""
        if self._settling is None:
            self._settling = self.set_timer(_SETTLE_SECONDS, self._settled)

    def _settled(self) -> None:
        self._settling = None
        if self.is_current:
            self.reload()

    def live_changed(self) -> None:
        """Something live is new (at most some times a second, and only while this screen is at the front)."""
        self.refresh_facts()
        events = self.bridge.live.events
        if self.PREFIXES and any(event.prefix in self.PREFIXES for _, event in events.since(self._seen)):
            self.stale()
        self._seen = events.end

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            self.deck.worker_failed(event.worker)

    def shows(self, job: Job) -> bool:
        """Whether this screen says itself how a job ended, so that no toast has to."""
        return False

    def job_ended(self, job: Job) -> None:
        """An action of this session has come to its end."""
        if job.action.id.startswith(self.ACTIONS) and self.ACTIONS:
            self.stale()

    def action_details(self, direction: int) -> None:
        """Scroll what stands beside the list."""
        for details in self.query("#details").results():
            page = max(1, details.size.height - 1)
            details.scroll_relative(y=direction * page, animate=False, force=True, immediate=True)

    def jobs_changed(self) -> None:
        for footer in self.query(KeyFooter):
            footer.update()

    def toggle_jobs(self) -> None:
        self.query_one(JobsDrawer).toggle()

    def on_jobs_drawer_closed(self) -> None:
        for widget in self.query("#main").results():
            widget.focus()

    def refresh_facts(self) -> None:
        for line in self.query(StatusLine):
            self.deck.status_facts(line)

    async def rows(self, identifier: str, values: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]] | None:
        """The rows that a listing action answers; None where it failed, which is told."""
        outcome = await self.bridge.ask(identifier, values)
        if outcome.data is None:
            self.deck.tell(outcome, read=True)
            return None
        data = outcome.data
        return list(data["rows"] if isinstance(data, Mapping) and "rows" in data else data)

    async def listed(self, identifier: str, values: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]] | None:
        """As `rows`, for the list called ``main``: where it stays empty, it says whether that is so or not known."""
        found = await self.rows(identifier, values)
        table = self.query_one("#main", VirtualTable)
        table.set_empty(self.EMPTY if found is not None else "not known: it could not be read (! says why)")
        return found

    def in_tenant(self) -> dict[str, Any]:
        """The parameter that narrows a list to the tenant that is chosen."""
        return {"tenant": self.deck.tenant} if self.deck.tenant else {}
