"""Text on its way to a terminal or a log: nothing from outside may steer it, and any encoding must do."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Mapping
from typing import TextIO

_ASCII = {
    "✓": "ok",
    "✗": "x",
    "✖": "x",
    "●": "*",
    "◐": "~",
    "▲": "!",
    "○": "o",
    "·": "-",
    "•": "*",
    "…": "...",
    "−": "-",
    "–": "-",
    "—": "-",
    "→": "->",
    "×": "x",
    "Δ": "d",
    "≤": "<=",
    "▸": ">",
}
# The same for a screen, where every glyph has to keep its width.
_ASCII_CELLS = str.maketrans(
    {
        **dict.fromkeys("─━", "-"),
        **dict.fromkeys("│┃▎", "|"),
        **dict.fromkeys("┌┐└┘├┤┬┴┼", "+"),
        **dict(zip("▁▂▃▄▅▆▇█", "__--==##", strict=True)),
        **dict(zip("●◐▲✖○…▸▾✓·−→↑↓Δ", "*~!xo.>v+.->^vd", strict=True)),
    }
)
_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def safe(text: str, *, limit: int | None = None) -> str:
    """Text from outside (a model's name, a header, an error) with everything that could steer a terminal made visible.

    Control and format characters, bidirectional overrides among them, become ``\\x1b`` or ``\\u202e``.
    """
    shown = "".join(_visible(c) if unicodedata.category(c) in _STEERING else c for c in text)
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"


def _visible(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _to_ascii(problem: UnicodeError) -> tuple[str, int]:
    assert isinstance(problem, UnicodeEncodeError)
    text = problem.object[problem.start : problem.end]
    return "".join(_ASCII.get(c, "?") for c in text), problem.end


def _to_ascii_cells(problem: UnicodeError) -> tuple[str, int]:
    assert isinstance(problem, UnicodeEncodeError)
    text = problem.object[problem.start : problem.end].translate(_ASCII_CELLS)
    return "".join(c if c.isascii() else "?" * width(c) for c in text), problem.end


codecs.register_error("modeldeck-ascii", _to_ascii)
codecs.register_error("modeldeck-ascii-cells", _to_ascii_cells)


class Unwritten(OSError):
    """Standard output does not take what is written to it; ``errno`` says why, and EPIPE that nobody reads any more."""


def say(line: str) -> None:
    """A line of data, to standard output. (click's own echo turns an ASCII stream into UTF-8 behind our back.)

    Raises:
        Unwritten: so that no other OSError, of a database say, is taken for one of the output.
    """
    try:
        print(line, flush=True)
    except OSError as problem:
        raise Unwritten(problem.errno, problem.strerror) from problem


def narrate(line: str) -> None:
    """A line of narration, to standard error. After a hang-up there is nobody to tell, and work goes on."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def let_output_go() -> None:
    """What could not be written must not be tried again when the interpreter ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def have_streams() -> None:
    """Give a process that was started with a closed stream (``>&-``) one in its place.

    Python has None for it, which ``print`` passes over without a word or takes for the other stream; and the next file
    to be opened, a database say, would get its number. What is written to the standard output then fails, as it must:
    a key's text may be among it. Narration goes nowhere.
    """
    for number, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, flags)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            stream = open(number, "r" if name == "stdin" else "w", closefd=False)  # noqa: SIM115 - as long as the process
            setattr(sys, name, stream)


def speak_any_encoding() -> None:
    """Let standard output and error replace what their encoding lacks (LANG=C, a serial console) instead of failing.

    Python takes the C locale for UTF-8 (PEP 538); the terminal behind it does not.
    """
    plain = not speaks_unicode(os.environ)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = "ascii" if plain and is_terminal(stream) else stream.encoding
            stream.reconfigure(encoding=encoding, errors="modeldeck-ascii")


def speaks_unicode(environ: Mapping[str, str]) -> bool:
    """Whether the locale is one of UTF-8, as a terminal's user has set it."""
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    return "UTF-8" in locale.upper() or "UTF8" in locale.upper()


def table(headings: list[str], rows: list[list[str]], *, right: frozenset[int] = frozenset(), gap: str = "  ") -> str:
    """Aligned columns; numbers (``right``) end in line. Cells are made safe, and wide characters count double."""
    cells = [headings, *[[safe(cell) for cell in row] for row in rows]]
    widths = [max(width(row[at]) for row in cells) for at in range(len(headings))]
    lines = []
    for row in cells:
        parts = []
        for at, cell in enumerate(row):
            padding = " " * (widths[at] - width(cell))
            parts.append(padding + cell if at in right else cell + padding)
        lines.append(gap.join(parts).rstrip())
    return "\n".join(lines)


def share(percent: int) -> str:
    """``82 % of``, and ``490 times`` where per cent are no measure any more."""
    return f"{percent} % of" if percent < 1000 else f"{percent // 100:,} times"


def width(text: str) -> int:
    """Cells that a text takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
