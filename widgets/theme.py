"""Two calm themes, and the one table that says how a state looks: glyph, word and paint.

A paint is a word such as ``ready`` or ``muted``; `widgets.paint` turns it into the colours of the theme in use. So
data carries no colours, and a state is never told by hue alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rich.text import Text
from textual.theme import Theme

from console.terminal.text import safe

DARK = Theme(
    name="modeldeck-dark",
    primary="#6cb2d6",
    secondary="#5a7f96",
    accent="#6cb2d6",
    success="#86c08a",
    warning="#dcb662",
    error="#e8757d",
    foreground="#d3d8df",
    background="#13161a",
    surface="#181c21",
    panel="#20262d",
    dark=True,
)
LIGHT = Theme(
    name="modeldeck-light",
    primary="#0b63a0",
    secondary="#456a82",
    accent="#0b63a0",
    success="#19692c",
    warning="#7d5600",
    error="#b3202c",
    foreground="#1f252b",
    background="#fbfbf9",
    surface="#f3f3f0",
    panel="#e7e8e4",
    dark=False,
)
THEMES = (DARK, LIGHT)


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown: ``glyph`` (one cell), its ASCII stand-in, a word, and the paint of both."""

    glyph: str
    plain: str
    word: str
    paint: str


class State(Enum):
    """What anything on the screen can be in. Other words (``late``, ``rotating``) go with the nearest of these."""

    READY = Look("●", "*", "ready", "good")
    DONE = Look("✓", "+", "done", "good")
    RUNNING = Look("▶", ">", "running", "accent")
    PENDING = Look("◐", "~", "pending", "warn")
    DRIFT = Look("▲", "!", "drift", "warn")
    PARTIAL = Look("◑", "%", "partial", "warn")
    REFUSED = Look("✖", "x", "refused", "bad")
    FAILED = Look("✖", "x", "failed", "bad")
    UNDONE = Look("↶", "<", "undone", "warn")
    OFF = Look("○", "o", "off", "muted")
    WAITING = Look("·", ".", "waiting", "muted")
    UNKNOWN = Look("…", "?", "unknown", "muted")

    @property
    def glyph(self) -> str:
        return self.value.plain if _plain else self.value.glyph

    @property
    def word(self) -> str:
        return self.value.word

    @property
    def paint(self) -> str:
        return self.value.paint

    def text(self, word: str = "") -> Text:
        """``● ready``, painted; with another word where one is given."""
        return Text(f"{self.glyph} {safe(word or self.word)}", style=self.paint)


# What else is drawn beside words; each takes as many cells as its stand-in.
_SIGNS = {
    "cursor": ("▸", ">"),
    "mark": ("•", "*"),
    "changed": ("Δ", "d"),
    "up": ("▲", "^"),
    "down": ("▼", "v"),
    "folded": ("▹", ">"),
    "unfolded": ("▿", "v"),
    "more": ("…", "~"),
    "arrow": ("→", ">"),
    "minus": ("−", "-"),
    "pause": ("‖", "="),
    "chosen": ("•", "*"),
    "block": ("▮", "|"),
    "filled": ("█", "#"),
    "empty": ("░", "."),
    "rule": ("─", "-"),
    "caret": ("^", "^"),
    "drop": ("▾", "v"),
    "dot": ("·", "-"),
}
_plain = False


def use_plain_glyphs(wanted: bool = True) -> None:
    """Draw with ASCII only, from now on: for a terminal that is not known to speak UTF-8."""
    global _plain
    _plain = wanted


def plain_glyphs() -> bool:
    return _plain


def sign(name: str) -> str:
    """A sign by its name: ``cursor``, ``mark``, ``changed``, …; one cell."""
    return _SIGNS[name][_plain]
