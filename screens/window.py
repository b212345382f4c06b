"""The frame of a window over a view: a title, what it shows, the errors, its keys; esc comes back to the same row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.worker import Worker, WorkerState

from console.terminal.text import safe
from widgets.error_bar import ErrorBar
from widgets.key_footer import KeyFooter

if TYPE_CHECKING:
    from textual.widget import Widget

    from screens.frame import Deck


Wish = tuple[str, str]
"""What the view below is to do, and with which row."""


class Window(ModalScreen["Wish | None"]):
    """Nearly the whole screen, for a list or a diff that needs it; on a narrow one all of it.

    A subclass yields its widgets (`body`); the one that has the focus first is called ``main``. What it cannot do
    itself, because it belongs to the view below, is what it answers.
    """

    AUTO_FOCUS: ClassVar[str | None] = "#main"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "back", id="window.back"),
        Binding("question_mark", "app.help", "help", id="window.help", key_display="?"),
        Binding("exclamation_mark", "app.errors", "errors", show=False, id="window.errors"),
        Binding("full_stop", "details(1)", "details down", show=False, id="window.details_down", key_display="."),
        Binding("comma", "details(-1)", "details up", show=False, id="window.details_up", key_display=","),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - as Textual declares it
    DEFAULT_CSS = """
    Window { align: center middle; background: transparent; }
    Window > .window--box {
        width: 96%; height: 90%; border: round $accent; padding: 0 1; background: $background;
    }
    Window.-narrow > .window--box { width: 100%; height: 100%; padding: 0; }
    Window #details { height: 8; border-top: solid $foreground 30%; }
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self._heading = title

    @property
    def deck(self) -> Deck:
        return cast("Deck", self.app)

    def compose(self) -> ComposeResult:
        with Vertical(classes="window--box"):
            yield from self.body()
            yield ErrorBar(self.deck.faults)
            yield KeyFooter(always=("window.back", "window.help"))

    def body(self) -> Iterable[Widget]:
        raise NotImplementedError

    def on_mount(self) -> None:
        self.entitle(self._heading)
        self.opened()

    def opened(self) -> None:
        """It is there: begin to read what it shows."""

    def entitle(self, title: str) -> None:
        """Say in the frame what is shown. As a text of its own, for what is in it may look like markup."""
        self.query_one(".window--box").border_title = Text(safe(title))

    async def ask(self, identifier: str, values: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
        """The rows that a listing action answers; None where it failed, which is told."""
        outcome = await self.deck.bridge.ask(identifier, values)
        if outcome.data is None:
            self.deck.tell(outcome, read=True)
            return None
        return list(outcome.data["rows"] if isinstance(outcome.data, Mapping) else outcome.data)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            self.deck.worker_failed(event.worker)

    def allows(self, action: str) -> bool:
        """Whether a key of the window's own does something now."""
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # A footer asks already while the window is being made.
        return self.is_mounted and self.allows(action) if hasattr(type(self), f"action_{action}") else True

    def action_back(self) -> None:
        self.dismiss(None)

    def action_details(self, direction: int) -> None:
        """Scroll what stands below the list."""
        for details in self.query("#details").results():
            page = max(1, details.size.height - 1)
            details.scroll_relative(y=direction * page, animate=False, force=True, immediate=True)
