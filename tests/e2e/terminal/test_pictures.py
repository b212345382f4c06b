"""In a real pty, through both drivers' life, the thin display and Textual's own leave the same picture."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.terminal import Pty, differences

Start = Callable[..., Pty]


@pytest.fixture
def both(ready: Start) -> tuple[Pty, Pty]:
    return ready(MODELDECK_RENDER="thin"), ready(MODELDECK_RENDER="stock")


def same(both: tuple[Pty, Pty], text: str) -> None:
    """Both show a text, and then the same picture."""
    for program in both:
        program.wait_for(text)
        program.quiet(silence=0.15)

    thin, stock = both
    deadline = time.monotonic() + 10
    while found := differences(thin.terminal.picture(), stock.terminal.picture()):
        assert time.monotonic() < deadline, "\n".join(found[:6])
        thin.read(within=0.05)
        stock.read(within=0.05)


def press(both: tuple[Pty, Pty], *keys: str) -> None:
    for program in both:
        program.press(*keys)


def test_moving_dialogs_toasts_and_lists(both: tuple[Pty, Pty]) -> None:
    same(both, "model-003")
    press(both, *["down"] * 25)
    same(both, "model-025")
    press(both, "m")
    same(both, "line 3 of the question 質問")
    press(both, "pagedown")
    same(both, "line 8 of the question 質問")
    press(both, "escape", "t")
    same(both, "Something happened: 模型")
    press(both, "o")
    same(both, "option 003")
    press(both, "end", "up", "up")
    same(both, "option 057")
    press(both, "shift+tab")
    same(both, "the field")
    press(both, *"日本x")
    same(both, "日本x")
    press(both, "escape")
    same(both, "model-025")
    press(both, "ctrl+p")
    same(both, "Search for commands")
    press(both, *"theme")
    same(both, "Change the current theme")
    press(both, "escape")
    same(both, "model-025")


def test_resizing(both: tuple[Pty, Pty]) -> None:
    for size, last in (((120, 40), "model-035"), ((60, 10), "model-007"), ((81, 24), "model-020")):
        for program in both:
            program.resize(*size)
        same(both, last)
    press(both, "down", "u")
    same(both, "9.01")


def test_another_program_and_the_shell(both: tuple[Pty, Pty]) -> None:
    press(both, "down", "e")
    for program in both:
        program.wait_for("EDITOR").press("enter").wait_gone("EDITOR")
    same(both, "model-003")
    press(both, "z")
    for program in both:
        stopped = Path(f"/proc/{program.process.pid}/stat")
        program.until(lambda stopped=stopped: stopped.read_text().rpartition(")")[2].split()[0] == "T")
        program.quiet().terminal.feed("\x1b[2J\x1b[H\x1b[31mwhat the shell printed\r\n\x1b[0m$ fg")
        program.process.send_signal(signal.SIGCONT)
        program.wait_gone("$ fg")
    same(both, "model-003")
    press(both, "u")
    same(both, "9.01")


def test_when_the_thin_display_fails_textuals_own_goes_on(both: tuple[Pty, Pty]) -> None:
    thin, _ = both
    thin.press("x").wait_for("still here, without the thin display").press("X").wait_for("ready: the sample")
    press(both, "u", "down", "down")
    same(both, "9.01")
