"""All keys that work now, grouped by where they come from; made from the live bindings, so it cannot be out of date."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import Screen

from widgets.dialog import Dialog
from widgets.fit import cells, shown
from widgets.key_footer import KeyHint, live_keys
from widgets.listing import Listing
from widgets.paint import Part
from widgets.prompt import Prompt


def title_of(owner: DOMNode) -> str:
    """Where keys come from, in words: ``HELP_TITLE`` of the class, or its name."""
    named = getattr(owner, "HELP_TITLE", "")
    if named:
        return str(named)
    if isinstance(owner, App):
        return "Everywhere"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(owner).__name__).removesuffix(" Screen")


class _Keys(Listing):
    """The keys in lines, with a heading for each place that they come from."""

    HELP_TITLE = "Help"

    def __init__(self, hints: Sequence[KeyHint]) -> None:
        super().__init__(classes="dialog--focus")
        self._hints = tuple(hints)
        self._wanted = ""

    def on_mount(self) -> None:
        self.rebuild()

    def filter(self, wanted: str) -> None:
        self._wanted = wanted.casefold().strip()
        self.rebuild()
        self.refresh()

    def can_stand(self, line: int) -> bool:
        return len(self._lines[line]) > 1

    def make_lines(self) -> list[Sequence[Part]]:
        groups: dict[str, list[KeyHint]] = {}
        for hint in self._hints:
            searched = " ".join((*hint.keys, hint.description, hint.id)).casefold()
            if self._wanted in searched:
                groups.setdefault(title_of(hint.owner), []).append(hint)
        column = max((cells(" ".join(hint.keys)) for hint in self._hints), default=0) + 2
        lines: list[Sequence[Part]] = []
        for title, hints in groups.items():
            lines += [[]] if lines else []
            lines.append([(shown(title), "heading")])
            for hint in hints:
                keys = " ".join(hint.keys)
                parts: list[Part] = [(f" {keys}" + " " * (column - cells(keys)), "key" if hint.enabled else "muted")]
                parts.append((shown(hint.description), "" if hint.enabled else "muted"))
                if self.width >= 60:
                    taken = sum(cells(text) for text, _ in parts) + 1
                    parts.append((shown(hint.id).rjust(max(0, self.width - taken - 1)), "muted"))
                lines.append(parts)
        return lines or [[(" no key does anything like that", "muted")]]


class HelpOverlay(Dialog[None]):
    """``app.push_screen(HelpOverlay(app.screen))``: the keys of that screen, its focus and the app; typing filters."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", id="help.filter"),
        Binding("escape,q,question_mark", "close", "close", id="help.close"),
    ]
    HELP_TITLE = "Help"
    DEFAULT_CSS = """
    HelpOverlay > .dialog--box { height: 100%; padding: 0 1; }
    """

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._keys = _Keys(live_keys(screen))
        self._prompt = Prompt(lead=" / ", placeholder="a key, or what it does")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            yield self._prompt
            yield self._keys

    def action_filter(self) -> None:
        self._prompt.focus()

    def action_close(self) -> None:
        self.dismiss(None)

    def on_prompt_changed(self, event: Prompt.Changed) -> None:
        event.stop()
        self._keys.filter(event.text)

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        event.stop()
        self._keys.focus()

    def on_prompt_left(self, event: Prompt.Left) -> None:
        event.stop()
        if event.prompt.text:
            event.prompt.set_text("")
            self._keys.focus()
        else:
            self.dismiss(None)
