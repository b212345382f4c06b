"""Doing anything by name: the ``:`` line, the palette, and the window that shows what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.containers import Vertical
from textual.screen import ModalScreen

from console.actions import REGISTRY, Action
from console.actions.registry import Kind
from console.outcome import Outcome
from console.terminal.text import safe
from screens.details import Details, Line
from screens.frame import Deck
from screens.no_keys import refuse_key
from screens.views import VIEWS
from widgets.command_line import CommandLine
from widgets.dialog import Dialog
from widgets.key_footer import KeyFooter
from widgets.prompt import Suggested


def suggestions(text: str, cursor: int) -> list[Suggested]:
    """What the line can go on with: actions and views while they are named, then an action's options."""
    typed = text[:cursor]
    action = named_action(typed)
    if action is not None and typed.startswith(" ".join(action.words) + " "):
        start = typed.rfind(" ") + 1
        word = typed[start:]
        options = [(f"--{p.name.replace('_', '-')}", p) for p in action.parameters if not p.positional]
        return [
            Suggested(flag + ("" if p.kind is Kind.FLAG else " "), start, cursor, p.help)
            for flag, p in options
            if flag.startswith(word) and flag not in typed[:start].split()
        ]
    found = [Suggested(view.name, 0, cursor, f"go to {view.title}") for view in VIEWS if view.name.startswith(typed)]
    names = [(" ".join(action.words), action) for action in REGISTRY]
    found += [Suggested(f"{name} ", 0, cursor, action.title) for name, action in names if name.startswith(typed)]
    return found


def named_action(line: str) -> Action | None:
    """The action that the words of a line begin with; the longest name wins."""
    words = line.split()
    fitting = [action for action in REGISTRY if tuple(words[: len(action.words)]) == action.words]
    return max(fitting, key=lambda action: len(action.words), default=None)


class CommandWindow(ModalScreen[str | None]):
    """One line at the bottom; answers what was typed."""

    DEFAULT_CSS = """
    CommandWindow { align: left bottom; background: $background 0%; }
    CommandWindow CommandLine { dock: bottom; background: $background; }
    """

    def __init__(self, history: Sequence[str]) -> None:
        super().__init__()
        self._line = CommandLine(
            suggest=suggestions,
            refuse=refuse_key,
            history=history,
            placeholder="a view, or a command without modeldeck",
        )

    def compose(self) -> ComposeResult:
        yield self._line

    def on_mount(self) -> None:
        self._line.open()

    def on_prompt_submitted(self, event: CommandLine.Submitted) -> None:
        event.stop()
        self.dismiss(event.text.strip() or None)

    def on_prompt_left(self, event: CommandLine.Left) -> None:
        event.stop()
        self.dismiss(None)


class ResultWindow(Dialog[None]):
    """What a command answered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "close", "close", id="result.close"),
        Binding("c", "copy", "copy", id="result.copy"),
    ]
    DEFAULT_CSS = """
    ResultWindow > .dialog--box { width: 100%; height: 100%; padding: 0 1; }
    """

    def __init__(self, action: Action, outcome: Outcome) -> None:
        super().__init__()
        self._action = action
        self._outcome = outcome
        self._text = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box") as box:
            box.border_title = Text(safe(f"{self._action.title}: {self._outcome.summary}"))
            yield Lines(id="result", classes="dialog--focus")
            yield KeyFooter()

    def on_mount(self) -> None:
        from console.rendering import data_text

        self._text = data_text(self._action, self._outcome.data)
        lines = [Line(line) for line in self._text.splitlines()]
        lines += [
            Line((f"{item.state:10} ", "muted"), f"{item.name}  ", (item.detail, "muted"))
            for item in self._outcome.items
        ]
        self.query_one(Lines).show(lines or [Line(self._outcome.summary)])

    def action_close(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        cast("Deck", self.app).copy_text(self._text, "answer")


class Lines(Details, can_focus=True):
    """Lines that one can go through."""

    def can_stand(self, line: int) -> bool:
        return True


class Performer(Deck):
    """What the palette needs of the app beside the rest."""

    def perform(self, action: Action, values: Mapping[str, Any]) -> None: ...


class ActionPalette(Provider):
    """Everything in the registry, and the views, by name or title."""

    async def discover(self) -> Hits:
        for view in VIEWS:
            yield DiscoveryHit(f"go to {view.title}", lambda name=view.name: self._deck.open_view(name), help=view.key)
        for action in REGISTRY:
            yield DiscoveryHit(action.title, lambda action=action: self._deck.perform(action, {}), help=action.id)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for view in VIEWS:
            if score := matcher.match(f"go to {view.title}"):
                hit = matcher.highlight(f"go to {view.title}")
                yield Hit(score, hit, lambda name=view.name: self._deck.open_view(name), help=view.key)
        for action in REGISTRY:
            text = f"{action.title}  {' '.join(action.words)}"
            if score := matcher.match(text):
                hit = matcher.highlight(text)
                yield Hit(score, hit, lambda action=action: self._deck.perform(action, {}), help=action.details or None)

    @property
    def _deck(self) -> Performer:
        return cast("Performer", self.app)
