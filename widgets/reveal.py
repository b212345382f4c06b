"""Shows a secret once. Its text is nowhere but in this dialog, and gone when that is closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from console.outcome import Revealed
from widgets.confirm import Fact, fact_lines
from widgets.dialog import Dialog, box_width
from widgets.fit import shown, wrapped
from widgets.note import Note
from widgets.paint import Painted
from widgets.theme import State


class _Held(Painted):
    """Draws the text straight from where it is held; keeps no line of it, and does not say it."""

    DEFAULT_CSS = "_Held { height: auto; margin: 1 0; background: $panel; }"

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self._text = text

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, -(-len(self._text()) // max(1, width - 2)))

    def render_line(self, y: int) -> Strip:
        room = max(1, self.size.width - 2)
        return self.strip([(f" {self._text()[y * room : (y + 1) * room]}", "strong")], self.size.width, ground="quiet")

    def forget(self) -> None:
        """Drop what Textual keeps of the lines that were drawn."""
        self._text = str
        self._styles_cache.clear()
        self.refresh()


class Reveal(Dialog[None]):
    """A secret, to be copied or written down now. Only `y`, or enter twice in a row, closes it.

    secret  taken out of it when the dialog is made, so nobody can show it again
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "copy", id="reveal.copy"),
        Binding("y", "close", "I have it, close", id="reveal.close"),
        Binding("enter", "enter", "twice: close", id="reveal.enter"),
    ]
    HELP_TITLE = "Shown once"

    @dataclass
    class CopyAsked(Message):
        """The operator wants the text in the clipboard: whoever can, calls ``reveal.hand_to(copy)``."""

        reveal: Reveal

    def __init__(self, secret: Revealed, *, title: str = "Shown this once", facts: Sequence[Fact] = ()) -> None:
        super().__init__()
        self.__text = secret.take() or ""
        self._heading = title
        self._facts = tuple(facts)
        self._enters = 0
        self._held = _Held(lambda: self.__text)
        self._note = Note()

    def compose(self) -> ComposeResult:
        width = box_width(self.app.size.width)
        with Vertical(classes="dialog--box"):
            yield Note(*[[(line, "strong")] for line in wrapped(self._heading, width)])
            yield self._held
            if self._facts:
                yield Note(*fact_lines(self._facts, width), [])
            once = "It is kept nowhere and will not be shown again: copy it or write it down now."
            yield Note(*[[(line, "warn")] for line in wrapped(f"{State.DRIFT.glyph} {once}", width)])
            yield Note([], [("c", "key"), (" copy   ", ""), ("y", "key"), (" I have it, close", "")])
            yield self._note

    def hand_to(self, copy: Callable[[str], object]) -> None:
        """Give the text to a function that copies it; it keeps nothing of what that returns."""
        if self.__text:
            copy(self.__text)

    def say(self, sentence: str) -> None:
        """What came of the copy."""
        width = box_width(self.app.size.width)
        self._note.show(*[[(line, "accent")] for line in wrapped(shown(sentence), width)])

    def action_copy(self) -> None:
        self._enters = 0
        self.post_message(self.CopyAsked(self))

    def action_enter(self) -> None:
        self._enters += 1
        if self._enters == 2:
            self.action_close()
        else:
            self.say("once more closes it, and the text is gone")

    def action_close(self) -> None:
        self._wipe()
        self.dismiss(None)

    def on_key(self, event: events.Key) -> None:
        if event.key != "enter":
            self._enters = 0

    def on_unmount(self) -> None:
        self._wipe()

    def _wipe(self) -> None:
        self.__text = ""
        self._held.forget()
