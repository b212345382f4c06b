"""What a terminal shows after a frame is what was wanted, whatever came before."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console.terminal.grid import UNKNOWN, Grid
from console.terminal.painter import Painter
from console.terminal.sgr import canonical
from tests.support.terminal import Terminal, differences

STYLES = [
    canonical(parameters)
    for parameters in (
        "", "1", "3", "4", "7", "1;4", "9", "31", "1;31", "38;5;200", "38;2;1;2;3", "38;2;1;2;3;48;2;4;5;6", "44",
        "7;44",
    )
]  # fmt: skip
PIECES = [
    "a",
    "bc",
    "   ",
    " " * 20,
    "─│",
    "●",
    "你好",
    "é",
    "e\u0301",
    "日",
    "x" * 30,
    "🙂",
    "👨\u200d👩\u200d👧",
    "⚠\ufe0f",
    "Δ",
]
WIDTH, HEIGHT = 24, 8


def shown_naively(grid: Grid) -> Terminal:
    """The picture when every cell is sent for itself, at its own place."""
    terminal = Terminal(grid.width, grid.height)
    for y in range(grid.height):
        for x in range(grid.width):
            glyph = grid.glyphs[y][x]
            if glyph not in ("", UNKNOWN):
                place = f"\x1b[{y + 1};{x + 1}H"
                blank = "  " if grid.glyphs[y][x + 1 : x + 2] == [""] else " "
                terminal.feed(f"{place}\x1b[0;{grid.styles[y][x]}m{blank}{place}{glyph}")
    return terminal


def check(painter: Painter, terminal: Terminal) -> str:
    frame = painter.frame()
    terminal.feed(frame)
    assert not differences(terminal.picture(), shown_naively(painter.wanted).picture())
    return frame


def filled(painter: Painter, rows: list[str], style: str = "") -> None:
    for y, row in enumerate(rows):
        painter.wanted.put(0, y, row.ljust(painter.wanted.width), style)


put = st.tuples(
    st.just("put"),
    st.integers(0, WIDTH - 1),
    st.integers(0, HEIGHT - 1),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join),
    st.sampled_from(STYLES),
)
shift = st.tuples(st.just("shift"), st.integers(0, HEIGHT - 1), st.integers(0, HEIGHT - 1), st.integers(-3, 3))
other = st.sampled_from([("frame",), ("frame",), ("scribble",), ("resize",)])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(put, put, put, shift, other), max_size=25), st.booleans())
def test_the_screen_is_the_wanted_picture_after_any_history(steps: list[tuple], bce: bool) -> None:
    painter = Painter(erases_with_background=bce)
    painter.resize(WIDTH, HEIGHT)
    terminal = Terminal(WIDTH, HEIGHT)
    filled(painter, [f"row {y} of the list" for y in range(HEIGHT)])
    check(painter, terminal)
    for step in steps:
        wanted = painter.wanted
        if step[0] == "put" and step[1] < wanted.width and step[2] < wanted.height:
            wanted.put(step[1], step[2], step[3], step[4])
        elif step[0] == "shift":
            top, bottom, lines = min(step[1:3]), min(max(step[1:3]), wanted.height - 1), step[3]
            if lines and bottom - top >= abs(lines):
                wanted.scroll(top, bottom, lines)
                for y in range(wanted.height):
                    if UNKNOWN in wanted.glyphs[y]:
                        wanted.put(0, y, f"new {y}".ljust(wanted.width), STYLES[y])
        elif step[0] == "frame":
            check(painter, terminal)
        elif step[0] == "scribble":
            terminal.feed("\x1b[3;3H\x1b[31mgarbage\r\n\n\n\n\n\n\n\n")
            painter.forget()
        elif step[0] == "resize":
            height = HEIGHT + (wanted.height == HEIGHT)
            terminal = Terminal(WIDTH, height)
            painter.resize(WIDTH, height)
            filled(painter, [f"row {y}" for y in range(height)], STYLES[6])
    check(painter, terminal)
    assert painter.frame() == "", "a second frame of the same picture sends something"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(put, st.just(("frame",))), max_size=25))
def test_frames_that_are_left_out_are_made_up_for(steps: list[tuple]) -> None:
    """A slow line: any frame may be skipped, and the next carries the difference."""
    painter = Painter()
    painter.resize(WIDTH, HEIGHT)
    filled(painter, [""] * HEIGHT)
    terminal = Terminal(WIDTH, HEIGHT)
    check(painter, terminal)
    for at, step in enumerate(steps):
        if step[0] == "put":
            painter.wanted.put(step[1], step[2], step[3], step[4])
        elif at % 2:
            terminal.feed(painter.frame())
    check(painter, terminal)


@pytest.fixture
def painter() -> Painter:
    found = Painter()
    found.resize(120, 40)
    filled(
        found, [f"{y:04d} " + "some text of a row " * 5 for y in range(40)], canonical("38;2;200;200;200;48;2;9;9;9")
    )
    found.frame()
    return found


def test_one_changed_cell_costs_a_few_bytes(painter: Painter) -> None:
    painter.wanted.put(50, 20, "X", painter.wanted.styles[20][50])
    assert len(painter.frame()) < 12


def test_a_list_that_moves_by_a_row_costs_one_row(painter: Painter) -> None:
    painter.wanted.scroll(2, 37, 1)
    painter.wanted.put(0, 37, "a new row".ljust(120), painter.wanted.styles[2][0])
    frame = painter.frame()
    assert "\x1b[3;38r" in frame
    assert len(frame) < 60


def test_a_list_in_a_frame_still_moves(painter: Painter) -> None:
    for y in range(40):
        painter.wanted.put(119, y, "▎" if y == 7 else " ", "31")
    painter.frame()
    painter.wanted.scroll(2, 37, -1)
    painter.wanted.put(0, 2, "came in at the top".ljust(119), painter.wanted.styles[3][0])
    for y in range(40):
        painter.wanted.put(119, y, "▎" if y == 8 else " ", "31")
    assert len(painter.frame()) < 150


def test_control_characters_never_reach_the_terminal() -> None:
    painter = Painter()
    painter.resize(24, 1)
    painter.wanted.put(0, 0, "a\x1b]52;c;eA==\x07b\u202ec\x9bd".ljust(30), "")
    assert painter.frame() == "\x1b[m\x1b[1Ha]52;c;eA==bcd\x1b[K"


def test_half_a_wide_glyph_is_a_blank() -> None:
    grid = Grid(6, 1)
    grid.put(0, 0, "你好吗", "")
    grid.put(1, 0, "x", "")
    assert grid.glyphs[0] == [" ", "x", "好", "", "吗", ""]
    grid.put(2, 0, "y", "")
    assert grid.glyphs[0] == [" ", "x", "y", " ", "吗", ""]
    grid.put(5, 0, "你", "")
    assert grid.glyphs[0] == [" ", "x", "y", " ", " ", " "]


def test_no_link_stays_open_after_a_frame() -> None:
    painter = Painter()
    painter.resize(9, 1)
    painter.wanted.put(0, 0, "read this", canonical("1", "https://example.com/"))
    frame = painter.frame()
    assert "https://example.com/" in frame
    assert frame.endswith("\x1b]8;;\x1b\\")


def test_the_cursor_goes_where_an_input_method_needs_it(painter: Painter) -> None:
    assert painter.frame((3, 4)) == "\x1b[5;4H"
    assert painter.frame((3, 4)) == ""
    painter.wanted.put(0, 0, "Z", "")
    assert painter.frame((3, 4)).endswith("\x1b[5;4H")
