"""From any style to any other: the terminal ends in the wanted one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.terminal.sgr import canonical, erases_alike, transition, without_link

attributes = st.sets(st.sampled_from(["1", "2", "3", "4", "5", "7", "8", "9", "21", "53"]))
colours = st.sampled_from(["", "31", "97", "38;5;7", "38;2;1;2;3"])
grounds = st.sampled_from(["", "41", "107", "48;5;7", "48;2;1;2;3"])
links = st.sampled_from(["", "https://example.com/"])
styles = st.builds(
    lambda a, f, b, link: canonical(";".join(filter(None, [*a, f, b])), link), attributes, colours, grounds, links
)

ENDS = {"22": "12", "23": "3", "24": ("4", "21"), "25": "5", "27": "7", "28": "8", "29": "9", "55": ("53",)}


class Model:
    """What a terminal makes of SGR and OSC 8, written down independently."""

    def __init__(self) -> None:
        self.on: set[str] = set()
        self.fg = self.bg = self.link = ""

    def feed(self, text: str) -> None:
        if text.startswith("\x1b]8;"):
            head, _, text = text.partition("\x1b\\")
            self.link = head.split(";", 2)[2]
        if not text:
            return
        assert text.startswith("\x1b[")
        assert text.endswith("m")
        codes = text[2:-1].split(";") if text != "\x1b[m" else ["0"]
        while codes:
            code = codes.pop(0)
            if code == "0":
                self.on, self.fg, self.bg = set(), "", ""
            elif code in ENDS:
                self.on -= set(ENDS[code])
            elif code in ("38", "48"):
                count = 2 if codes[0] == "5" else 4
                colour = ";".join([code, *(codes.pop(0) for _ in range(count))])
                if code == "38":
                    self.fg = colour
                else:
                    self.bg = colour
            elif code in ("39", "49"):
                setattr(self, "fg" if code == "39" else "bg", "")
            elif int(code) in (*range(30, 38), *range(90, 98)):
                self.fg = code
            elif int(code) in (*range(40, 48), *range(100, 108)):
                self.bg = code
            else:
                self.on.add(code)

    def style(self) -> str:
        return canonical(";".join(filter(None, [*self.on, self.fg, self.bg])), self.link)


@given(st.lists(styles, min_size=1, max_size=8))
def test_a_chain_of_styles_ends_in_each_of_them(chain: list[str]) -> None:
    model = Model()
    before = None
    for style in chain:
        model.feed(transition(before, style))
        assert model.style() == style
        before = style


@given(styles, styles)
def test_a_step_is_never_longer_than_starting_over(before: str, after: str) -> None:
    step = len(transition(without_link(before), without_link(after)))
    assert step <= len(transition(None, without_link(after)))


def test_plain_is_three_bytes_and_nothing_is_none() -> None:
    assert transition("31", "") == "\x1b[m"
    assert transition("31", "31") == ""
    assert transition(None, "") == "\x1b[m"


def test_what_is_written_differently_is_one_style() -> None:
    assert canonical("39;49") == canonical("") == ""
    assert canonical("4;1;31") == canonical("1;31;4")


def test_a_link_that_steers_is_no_link() -> None:
    assert canonical("1", "https://x/\x1b]52;c;eA==\x07") == "1"


def test_what_is_not_a_style_is_refused() -> None:
    with pytest.raises(ValueError, match="not an SGR parameter"):
        canonical("77")


def test_where_erasing_looks_like_blanks() -> None:
    assert erases_alike("1;31", with_background=False)
    assert not erases_alike(canonical("44"), with_background=False)
    assert erases_alike(canonical("44"), with_background=True)
    assert not erases_alike(canonical("7"), with_background=True)
    assert not erases_alike(canonical("", "https://x/"), with_background=True)
