"""A line for a secret: a dot for each letter, and out of it comes only what was made of the secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from widgets.paint import Painted
from widgets.theme import sign

_LONGEST = 512


class SecretLine(Painted, can_focus=True):
    """What is pasted is handed over at once, what is typed with enter. No text is kept, shown or told.

    Args:
        make: from the secret to what is told in its place, such as a digest
    """

    DEFAULT_CSS = "SecretLine { height: 1; background: $panel; }"

    @dataclass
    class Given(Message):
        """``made`` of the secret."""

        made: str

    def __init__(self, make: Callable[[str], str], *, classes: str | None = None) -> None:
        super().__init__(classes=classes)
        self._make = make
        self.__typed: list[str] = []

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        dots = sign("mark") * min(len(self.__typed), max(0, width - 3))
        return self.strip([(f" {dots}", "strong"), ("▏", "accent")], width, ground="quiet")

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.__typed.clear()
        self._give(event.text)

    def on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            text = "".join(self.__typed)
            self.__typed.clear()
            self._give(text)
        elif event.key in ("backspace", "ctrl+u"):
            del self.__typed[-1 if event.key == "backspace" else 0 :]
        elif event.is_printable and event.character and len(self.__typed) < _LONGEST:
            self.__typed.append(event.character)
        else:
            return
        event.stop()
        event.prevent_default()
        self.refresh()

    def on_unmount(self) -> None:
        self.__typed.clear()

    def _give(self, text: str) -> None:
        if made := made_of(text, self._make):
            self.post_message(self.Given(made))


def made_of(pasted: str, make: Callable[[str], str]) -> str:
    """What is made of a secret that was pasted, as a line of its own or behind ``Bearer``; empty where it is none."""
    words = pasted.split()
    if not words or len(words[-1]) > _LONGEST or (len(words) > 1 and words[-2].lower() != "bearer"):
        return ""
    return make(words[-1])
