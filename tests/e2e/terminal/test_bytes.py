"""What gestures cost on the line. Bytes repeat exactly, so ceilings can be a test; milliseconds cannot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.terminal import Pty

Start = Callable[..., Pty]
SIZES = [(80, 24), (120, 40)]


SETTLED = "\x1b]2;settled\x07"


def cost(program: Pty, *keys: str) -> int:
    """Bytes that the keys cost, until the sample says that all they did is on the screen."""
    mark = program.mark()
    settled = program.count(SETTLED) + 1
    program.press(*keys, ".").until(lambda: program.count(SETTLED) == settled)
    return len(program.since(mark)) - len(SETTLED)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_nothing_is_sent_while_nothing_changes(ready: Start, size: tuple[int, int]) -> None:
    program = ready(size=size).quiet(silence=1.0)
    assert program.read(within=2.0) == b""


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_one_changed_cell_costs_no_more_than_300_bytes(ready: Start, size: tuple[int, int]) -> None:
    program = ready(size=size)
    assert 0 < cost(program, "u") <= 300
    assert 0 < cost(program, "u") <= 300
    program.wait_for("9.02")


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("list_", ["table", "options"])
def test_a_move_of_the_cursor_costs_no_more_than_600_bytes(ready: Start, size: tuple[int, int], list_: str) -> None:
    """Also where the list scrolls with it."""
    program = ready(size=size)
    if list_ == "options":
        program.press("o").wait_for("option 003").quiet()
    steps = [cost(program, "down") for _ in range(3)]
    cost(program, *["down"] * size[1])
    steps += [cost(program, "down") for _ in range(3)]
    cost(program, *["up"] * size[1])
    steps += [cost(program, "up") for _ in range(3)]
    assert all(0 < found <= 600 for found in steps), steps


def test_a_dialog_or_a_toast_costs_less_than_the_screen_that_it_covers(ready: Start) -> None:
    program = ready(size=(120, 40))
    whole = cost(program, "ctrl+l")
    assert cost(program, "t") < whole / 4
    assert cost(program, "down") <= 600
