"""Numbers, texts and bars look as an operator compares them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from widgets import theme
from widgets.fit import clip, clip_middle, padded, shown, wrapped
from widgets.meter_text import age, bar, clock, compact, elapsed, grouped, next_age_step, percent, price
from widgets.paint import fitted, length_of, parts_of
from widgets.spark import spark


@pytest.fixture(autouse=True)
def _glyphs() -> Any:
    yield
    theme.use_plain_glyphs(False)


@pytest.mark.parametrize(
    ("usd", "state", "expected"),
    [
        ("0.59", "known", "0.59"), ("0.05", "known", "0.05"), ("0.0375", "known", "0.0375"), ("0.1", "known", "0.10"),
        ("15", "known", "15.00"), ("150.4", "known", "150"), ("2500", "known", "2,500"),
        ("0.00000004", "known", "<0.0001"), (None, "unknown", "…"), (None, "dynamic", "dyn"), ("0", "free", "free"),
        (None, "known", "…"),
    ],
)  # fmt: skip
def test_a_price_is_never_shown_as_nothing(usd: str | None, state: str, expected: str) -> None:
    assert price(None if usd is None else Decimal(usd), state) == expected


@given(st.decimals(min_value=Decimal("1e-12"), max_value=Decimal("1e6"), allow_nan=False))
def test_no_known_price_looks_like_zero(usd: Decimal) -> None:
    text = price(usd, "known")
    assert text.strip("<0.,") != ""


def test_counts_keep_to_five_cells() -> None:
    assert [compact(n) for n in (0, 999, 1000, 131_072, 1_000_000, 2_040_000, 12e6, 999_600, 1.2e9)] == [
        "0", "999", "1k", "131k", "1.0M", "2.0M", "12M", "1.0M", "1.2B",
    ]  # fmt: skip
    assert (compact(None), grouped(None), grouped(4812)) == ("…", "…", "4,812")
    assert (percent(2, 1000), percent(0, 10), percent(1, 0), percent(50, 100)) == ("0.2 %", "0 %", "…", "50 %")


@given(st.integers(0, 10**12))
def test_compact_counts_are_short(number: int) -> None:
    assert len(compact(number)) <= 5


def test_ages_move_in_steps() -> None:
    assert [age(s) for s in (0, 9, 12, 59, 60, 3599, 3600, 86_400, 2 * 86_400, None)] == [
        "now", "now", "10 s", "50 s", "1 m", "59 m", "1 h", "24 h", "2 d", "…",
    ]  # fmt: skip


@given(st.integers(0, 400_000))
def test_an_age_changes_at_its_next_step_and_not_before(seconds: int) -> None:
    step = next_age_step(seconds)
    assert age(seconds + step) != age(seconds)
    assert age(seconds + step - 0.001) == age(seconds)


def test_durations_and_waits() -> None:
    assert [elapsed(s) for s in (0.12, 9.97, 59, 200, 3725)] == ["0.1 s", "10 s", "59 s", "3:20", "1:02:05"]
    assert (clock(581), clock(-3), clock(3725)) == ("9:41", "0:00", "1:02:05")
    assert (bar(3, 10, 10), bar(0, None, 4), bar(99, 10, 4)) == ("███░░░░░░░", "░░░░", "████")


def test_sparks_stand_above_the_floor_when_there_is_something() -> None:
    assert spark([0, 1, 100, None, 50], 7) == "  ▁▂█ ▅"
    assert spark([], 3) == "   "
    theme.use_plain_glyphs()
    assert spark([0, 100], 2) == "_#"


@given(st.text(max_size=30), st.integers(1, 12))
def test_texts_fit_in_their_cells(text: str, width: int) -> None:
    safe = shown(text)
    assert cell_len(clip(safe, width)) <= width
    assert cell_len(clip_middle(safe, width)) <= width
    assert cell_len(padded(clip(safe, width), width)) == width
    assert all(cell_len(line) <= max(2, width) for line in wrapped(text, width))
    # Nothing is lost but blanks, where lines end.
    assert "".join("".join(wrapped(text, width)).split()) == "".join(shown(text.replace("\n", " ")).split())


@given(st.text(max_size=20), st.integers(1, 15), st.booleans())
def test_painted_cells_take_exactly_their_width(text: str, width: int, right: bool) -> None:
    painted = Text(text)
    painted.stylize("good", 1, 3)
    for cell in (text, painted):
        assert length_of(fitted(cell, width, right=right)) == width


def test_spans_keep_their_paints_and_markup_stays_text() -> None:
    text = Text.assemble(("[b]a", "good"), " plain ", ("x", "bad"))
    assert parts_of(text) == [("[b]a", "good"), (" plain ", ""), ("x", "bad")]
    assert parts_of("\x1b[31mred") == [("\\x1b[31mred", "")]


def test_every_state_has_a_glyph_of_one_cell_in_both_alphabets_and_a_word() -> None:
    for state in theme.State:
        assert cell_len(state.glyph) == 1
        assert state.value.plain.isascii()
        assert state.word
    theme.use_plain_glyphs()
    assert theme.State.READY.text().plain == "* ready"
    assert theme.sign("changed") == "d"
