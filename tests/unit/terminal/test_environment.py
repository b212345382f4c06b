"""What is concluded about a terminal, and who wins where there are several wishes."""

from __future__ import annotations

import pytest

from console.outcome import Refusal
from console.terminal.environment import (
    ClipboardMode,
    ColourMode,
    MouseMode,
    Multiplexer,
    RenderMode,
    Terminal,
    TerminalSettings,
    prepare,
    refuse_without_screen,
)

XTERM = {"TERM": "xterm-256color"}
SSH = XTERM | {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}


def test_over_ssh_the_mouse_is_off_unless_asked_for() -> None:
    assert Terminal.found(SSH).mouse is MouseMode.OFF
    assert Terminal.found(XTERM).mouse is MouseMode.CLICKS
    assert Terminal.found(SSH, TerminalSettings(mouse=MouseMode.CLICKS)).mouse is MouseMode.CLICKS


def test_the_environment_wins_over_the_profile() -> None:
    settings = TerminalSettings(mouse=MouseMode.MOTION, render=RenderMode.STOCK, colours=ColourMode.SIXTEEN)
    found = Terminal.found(SSH | {"MODELDECK_MOUSE": "Off", "MODELDECK_COLOURS": "256"}, settings)
    assert (found.mouse, found.render, found.colours) == (MouseMode.OFF, RenderMode.STOCK, ColourMode.MANY)


def test_a_word_that_is_no_setting_changes_nothing() -> None:
    assert Terminal.found(SSH | {"MODELDECK_RENDER": "thinn"}).render is RenderMode.THIN


@pytest.mark.parametrize(
    ("environ", "colours"),
    [
        (XTERM, ColourMode.MANY),
        (XTERM | {"COLORTERM": "truecolor"}, ColourMode.TRUE),
        (XTERM | {"COLORTERM": "truecolor", "NO_COLOR": "1"}, ColourMode.NONE),
        (XTERM | {"NO_COLOR": ""}, ColourMode.MANY),
        (XTERM | {"NO_COLOR": "1", "MODELDECK_COLOURS": "16"}, ColourMode.SIXTEEN),
        ({"TERM": "xterm"}, ColourMode.SIXTEEN),
        ({"TERM": "linux"}, ColourMode.SIXTEEN),
        ({"TERM": "xterm-kitty"}, ColourMode.MANY),
    ],
)
def test_colours(environ: dict[str, str], colours: ColourMode) -> None:
    assert Terminal.found(environ).colours is colours


@pytest.mark.parametrize(
    ("term", "render"),
    [
        ("xterm-256color", RenderMode.THIN),
        ("tmux-256color", RenderMode.THIN),
        ("linux", RenderMode.THIN),
        ("wyse50", RenderMode.STOCK),
        ("", RenderMode.STOCK),
    ],
)
def test_a_terminal_that_nobody_knows_is_drawn_by_textual(term: str, render: RenderMode) -> None:
    assert Terminal.found({"TERM": term}).render is render


def test_multiplexers() -> None:
    assert Terminal.found({"TERM": "tmux-256color"}).multiplexer is Multiplexer.TMUX
    assert (
        Terminal.found({"TERM": "screen-256color", "TMUX": "/tmp/tmux-0/default,1,0"}).multiplexer is Multiplexer.TMUX
    )
    screen = Terminal.found({"TERM": "screen.xterm-256color"})
    assert screen.multiplexer is Multiplexer.SCREEN
    assert not screen.erases_with_background


def test_a_terminal_that_takes_no_copies_gets_a_file() -> None:
    assert Terminal.found(SSH).clipboard is ClipboardMode.OSC52
    assert Terminal.found({"TERM": "linux"}).clipboard is ClipboardMode.FILE
    assert Terminal.found(XTERM | {"TERM_PROGRAM": "Apple_Terminal"}).clipboard is ClipboardMode.FILE
    assert Terminal.found(SSH | {"MODELDECK_CLIPBOARD": "file"}).clipboard is ClipboardMode.FILE


def test_preparing_sets_what_textual_reads_and_leaves_what_is_set() -> None:
    environ = SSH | {"TEXTUAL_FPS": "7", "NO_COLOR": ""}
    prepare(environ=environ)
    assert environ["TEXTUAL_FPS"] == "7"
    assert environ["TEXTUAL_ANIMATIONS"] == "none"
    assert environ["TEXTUAL_COLOR_SYSTEM"] == "256"
    assert "NO_COLOR" not in environ


def test_without_a_terminal_the_console_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEXTUAL_DRIVER", raising=False)
    monkeypatch.setattr("sys.__stdin__", None)
    with pytest.raises(Refusal, match="needs a terminal"):
        refuse_without_screen(Terminal.found(XTERM))
    monkeypatch.setenv("TEXTUAL_DRIVER", "textual.drivers.web_driver:WebDriver")
    refuse_without_screen(Terminal.found({}))
