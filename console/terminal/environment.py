"""What this terminal can do, what the operator wants of it, and what Textual has to know before it is imported.

`prepare` comes first in every process that draws: Textual reads its constants when it is imported. What is set in the
environment wins over the profile's settings, and those over what the terminal says of itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from console.outcome import Refusal

RENDER = "MODELDECK_RENDER"
MOUSE = "MODELDECK_MOUSE"
COLOURS = "MODELDECK_COLOURS"
CLIPBOARD = "MODELDECK_CLIPBOARD"


class RenderMode(StrEnum):
    """How the screen is sent."""

    AUTO = "auto"
    """Thin, except for terminals that are not known to do what it needs."""
    THIN = "thin"
    """Only the cells that changed."""
    STOCK = "stock"
    """As Textual does it: every dirty region whole."""


class MouseMode(StrEnum):
    """What the mouse may do."""

    AUTO = "auto"
    """Off over SSH, where reports of motion flood a slow line; clicks elsewhere."""
    OFF = "off"
    CLICKS = "clicks"
    """Clicks, drags and the wheel; no reports of plain motion."""
    MOTION = "motion"


class ColourMode(StrEnum):
    """How many colours are sent."""

    AUTO = "auto"
    """What TERM and COLORTERM say, and none where NO_COLOR is set."""
    NONE = "none"
    SIXTEEN = "16"
    MANY = "256"
    TRUE = "truecolor"


class ClipboardMode(StrEnum):
    """Where a copy goes."""

    AUTO = "auto"
    """To the terminal, except where it is known to take none."""
    OSC52 = "osc52"
    FILE = "file"


class Multiplexer(StrEnum):
    """What stands between us and the terminal."""

    TMUX = "tmux"
    SCREEN = "screen"


Mode = TypeVar("Mode", RenderMode, MouseMode, ColourMode, ClipboardMode)

_TEXTUAL_COLOUR_SYSTEMS = {
    ColourMode.NONE: "standard",
    ColourMode.SIXTEEN: "standard",
    ColourMode.MANY: "256",
    ColourMode.TRUE: "truecolor",
}
# Families that follow ECMA-48 closely enough: absolute cursor moves, scroll regions, erase to the end of the line.
_KNOWN_FAMILIES = (
    "alacritty", "contour", "eterm", "foot", "ghostty", "gnome", "iterm", "kitty", "konsole", "linux", "mintty", "ms-",
    "putty", "rio", "rxvt", "screen", "st", "teraterm", "tmux", "vt220", "vte", "wezterm", "xterm", "zellij",
)  # fmt: skip
_OF_MANY_COLOURS = ("alacritty", "foot", "xterm-ghostty", "xterm-kitty")


@dataclass(frozen=True, slots=True)
class TerminalSettings:
    """What an operator wants of the terminal."""

    render: RenderMode = RenderMode.AUTO
    mouse: MouseMode = MouseMode.AUTO
    colours: ColourMode = ColourMode.AUTO
    clipboard: ClipboardMode = ClipboardMode.AUTO

    def overridden_by(self, environ: Mapping[str, str]) -> TerminalSettings:
        """With what the environment says (MODELDECK_RENDER, _MOUSE, _COLOURS, _CLIPBOARD).

        A word that is no setting does as if it were not there: a console that does not start helps nobody.
        """
        return TerminalSettings(
            render=_word(environ, RENDER, self.render),
            mouse=_word(environ, MOUSE, self.mouse),
            colours=_word(environ, COLOURS, self.colours),
            clipboard=_word(environ, CLIPBOARD, self.clipboard),
        )


@dataclass(frozen=True, slots=True)
class Terminal:
    """One terminal: what it is, and what is done with it. Nothing in here is ``auto``.

    name    TERM
    ssh     it is at the other end of an SSH session
    """

    name: str
    ssh: bool
    multiplexer: Multiplexer | None
    render: RenderMode
    mouse: MouseMode
    colours: ColourMode
    clipboard: ClipboardMode

    @classmethod
    def found(cls, environ: Mapping[str, str], settings: TerminalSettings | None = None) -> Terminal:
        """What the environment tells, without asking the terminal anything."""
        wanted = (settings or TerminalSettings()).overridden_by(environ)
        ssh = any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"))
        mouse = MouseMode.OFF if ssh else MouseMode.CLICKS
        return cls(
            name=environ.get("TERM", ""),
            ssh=ssh,
            multiplexer=_multiplexer(environ),
            render=_render(environ) if wanted.render is RenderMode.AUTO else wanted.render,
            mouse=mouse if wanted.mouse is MouseMode.AUTO else wanted.mouse,
            colours=_colours(environ) if wanted.colours is ColourMode.AUTO else wanted.colours,
            clipboard=_clipboard(environ) if wanted.clipboard is ClipboardMode.AUTO else wanted.clipboard,
        )

    @property
    def can_draw(self) -> bool:
        """Whether a screen can be shown on it at all."""
        return self.name not in ("", "dumb", "unknown")

    @property
    def erases_with_background(self) -> bool:
        """Erasing fills with the current background, as everywhere but in GNU screen."""
        return self.multiplexer is not Multiplexer.SCREEN

    @property
    def few_colours(self) -> bool:
        """Only the terminal's own palette, or no colour at all: take an ANSI theme."""
        return self.colours in (ColourMode.NONE, ColourMode.SIXTEEN)


def prepare(settings: TerminalSettings | None = None, environ: MutableMapping[str, str] | None = None) -> Terminal:
    """Find out about the terminal, and set what Textual reads at import where nobody has set it.

    Raises:
        RuntimeError: Textual is imported already.
    """
    if environ is None:
        if "textual" in sys.modules:
            raise RuntimeError("the environment must be prepared before Textual is imported")
        environ = os.environ
    terminal = Terminal.found(environ, settings)
    for name, value in {
        "TEXTUAL_ANIMATIONS": "none",
        "TEXTUAL_SMOOTH_SCROLL": "0",
        "TEXTUAL_FPS": "20" if terminal.ssh else "30",
        "TEXTUAL_COLOR_SYSTEM": _TEXTUAL_COLOUR_SYSTEMS[terminal.colours],
        # The pieces of one escape sequence may arrive apart over a slow line.
        "ESCDELAY": "100" if terminal.ssh else "40",
    }.items():
        environ.setdefault(name, value)
    # Textual takes an empty NO_COLOR for a wish, and does not know that a setting of ours overrides it.
    if terminal.colours is ColourMode.NONE:
        environ["NO_COLOR"] = "1"
    else:
        environ.pop("NO_COLOR", None)
    return terminal


def refuse_without_screen(terminal: Terminal) -> None:
    """Raises Refusal where there is no terminal to draw on, or one that can only print lines.

    Whoever names a driver for Textual (textual-serve does) has a screen somewhere else.
    """
    if os.environ.get("TEXTUAL_DRIVER"):
        return
    then = "use the commands instead: modeldeck --help"
    if not (sys.__stdin__ and sys.__stdin__.isatty() and sys.__stderr__ and sys.__stderr__.isatty()):
        raise Refusal("the console needs a terminal for its keys and its screen", code="NO_TERMINAL", then=then)
    if not terminal.can_draw:
        raise Refusal(
            f"this terminal can only print lines: TERM is {terminal.name or 'not set'}",
            code="NO_TERMINAL",
            then=f"export TERM=xterm-256color if it is better than it says, or {then}",
        )


def _word(environ: Mapping[str, str], name: str, otherwise: Mode) -> Mode:
    try:
        return type(otherwise)(environ.get(name, "").strip().lower())
    except ValueError:
        return otherwise


def _multiplexer(environ: Mapping[str, str]) -> Multiplexer | None:
    """The one that is certainly there; SSH carries only its TERM on."""
    term = environ.get("TERM", "")
    if environ.get("TMUX") or term.startswith("tmux"):
        return Multiplexer.TMUX
    # tmux calls itself "screen-256color" where it is old; GNU screen is "screen.xterm-256color" or plain "screen".
    if environ.get("STY") or term.startswith("screen.") or term == "screen":
        return Multiplexer.SCREEN
    return None


def _render(environ: Mapping[str, str]) -> RenderMode:
    return RenderMode.THIN if environ.get("TERM", "").lower().startswith(_KNOWN_FAMILIES) else RenderMode.STOCK


def _colours(environ: Mapping[str, str]) -> ColourMode:
    term = environ.get("TERM", "")
    if environ.get("NO_COLOR"):
        return ColourMode.NONE
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") or term.endswith("-direct"):
        return ColourMode.TRUE
    return ColourMode.MANY if "256color" in term or term.startswith(_OF_MANY_COLOURS) else ColourMode.SIXTEEN


def _clipboard(environ: Mapping[str, str]) -> ClipboardMode:
    """A file where the terminal is known to take no OSC 52. Most are not known over SSH: they are tried."""
    takes_none = (
        environ.get("TERM", "") in ("", "dumb", "unknown", "linux")
        or environ.get("TERM_PROGRAM") == "Apple_Terminal"
        or "VTE_VERSION" in environ
    )
    return ClipboardMode.FILE if takes_none else ClipboardMode.OSC52
