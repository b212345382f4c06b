"""A terminal in memory (pyte), and programs in a real pseudo-terminal that it shows.

with Pty([sys.executable, "-m", "console", "console"], size=(80, 24), environ=environ) as program:
    program.wait_for("Catalog")
    program.press("2", "/").type("llama")
    mark = program.mark()
    program.press("down")
    program.quiet()
    assert len(program.since(mark)) < 600
    assert program.count(key_text) == 1
"""

from __future__ import annotations

import codecs
import contextlib
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from typing import Any, Self

import pyte

Cell = tuple[str, str, str, bool, bool, bool, bool, bool, bool]
Picture = list[list[Cell]]

_KEYS = {
    "enter": "\r",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "escape": "\x1b",
    "space": " ",
    "backspace": "\x7f",
    "delete": "\x1b[3~",
    "insert": "\x1b[2~",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "f1": "\x1bOP",
    "f2": "\x1bOQ",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
    "f5": "\x1b[15~",
    "ctrl+@": "\x00",
    "ctrl+backslash": "\x1c",
}


def bytes_of_key(name: str) -> bytes:
    """What a terminal sends for a key, by Textual's name for it (``down``, ``ctrl+s``, ``a``)."""
    if name in _KEYS:
        return _KEYS[name].encode()
    if name.startswith("ctrl+") and len(name) == 6 and name[5].isalpha():
        return bytes([ord(name[5].lower()) & 0x1F])
    if len(name) == 1:
        return name.encode()
    raise ValueError(f"no terminal key is called {name!r}")


class Terminal:
    """A pyte screen that says what it shows, cell for cell."""

    def __init__(self, width: int, height: int) -> None:
        self.screen = pyte.Screen(width, height)
        # Textual switches automatic wrapping off.
        self.screen.reset_mode(pyte.modes.DECAWM >> 5, private=True)
        self._stream = pyte.Stream(self.screen)

    def feed(self, text: str) -> None:
        self._stream.feed(text)

    @property
    def lines(self) -> list[str]:
        """The text, without the blanks at the ends of the lines."""
        return [line.rstrip() for line in self.screen.display]

    def picture(self) -> Picture:
        """Every cell with its style, by row."""
        return [[_cell(self.screen.buffer[y][x]) for x in range(self.screen.columns)] for y in range(self.screen.lines)]


def _cell(c: Any) -> Cell:
    return (c.data, c.fg, c.bg, c.bold, c.italics, c.underscore, c.strikethrough, c.reverse, c.blink)


def differences(one: Picture, other: Picture) -> list[str]:
    """Where two pictures differ; empty where they are the same."""
    return [
        f"({x}, {y}): {a} is not {b}"
        for y, (row, other_row) in enumerate(zip(one, other, strict=True))
        for x, (a, b) in enumerate(zip(row, other_row, strict=True))
        if a != b
    ]


class Pty:
    """A program in a real pseudo-terminal of its own, as under sshd.

    Nothing is read by itself: `read`, `wait_for`, `until` and `quiet` do, and in between the line is stalled.

    terminal   what the program has drawn, as far as it was read
    received   every byte that was read, from the start
    process    the program
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = (80, 24),
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ignored: Sequence[signal.Signals] = (),
    ) -> None:
        """Start a command.

        Args:
            command: The program and its arguments.
            size: Columns and rows.
            environ: Its whole environment; ours by default.
            cwd: Where it starts.
            ignored: Signals that a parent made it ignore, as nohup does with SIGHUP.
        """
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.terminal = Terminal(*size)
        self.received = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

        def take_terminal() -> None:
            ioctl(0, termios.TIOCSCTTY, 0)
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)

        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(environ) if environ is not None else None,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def press(self, *names: str) -> Self:
        """Press keys, by Textual's names; an escape is sent apart from what follows it."""
        for name in names:
            os.write(self._master, bytes_of_key(name))
            if name == "escape":
                self.read(within=0.2)
        return self

    def type(self, text: str) -> Self:
        """Type a text, all at once as a paste without bracketing."""
        os.write(self._master, text.encode())
        return self

    def read(self, *, within: float) -> bytes:
        """What arrives next; empty after so many seconds of silence, and when the program has gone."""
        if not select.select([self._master], [], [], within)[0]:
            return b""
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return b""
        self.received += data
        self.terminal.feed(self._decoder.decode(data))
        return data

    def screen(self) -> str:
        """The text on the screen, as far as it was read."""
        return "\n".join(self.terminal.lines)

    def until(self, condition: Callable[[], bool], *, timeout: float = 60.0) -> Self:
        """Read until a condition holds; the test fails with the screen when it does not within the time."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"after {timeout:g} s the terminal shows:\n{self.screen()}")
            if not self.read(within=0.05) and self.process.poll() is not None and not condition():
                raise AssertionError(f"the program ended ({self.process.returncode}) and left:\n{self.screen()}")
        return self

    def wait_for(self, text: str, timeout: float = 60.0) -> Self:
        """Read until a line of the screen holds a text."""
        return self.until(lambda: any(text in line for line in self.terminal.lines), timeout=timeout)

    def wait_gone(self, text: str, timeout: float = 60.0) -> Self:
        """Read until no line of the screen holds a text."""
        return self.until(lambda: not any(text in line for line in self.terminal.lines), timeout=timeout)

    def quiet(self, *, silence: float = 0.3, timeout: float = 60.0) -> Self:
        """Read until nothing came for so long."""
        deadline = time.monotonic() + timeout
        while self.read(within=silence):
            assert time.monotonic() < deadline, "the program never stops writing"
        return self

    def ended(self, *, timeout: float = 60.0) -> int:
        """Read until the program ends; its exit code."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"the program goes on:\n{self.screen()}"
            self.read(within=0.05)
        while self._master >= 0 and self.read(within=0.0):
            pass
        return self.process.returncode

    def mark(self) -> int:
        """A place in what was received, for `since`."""
        return len(self.received)

    def since(self, mark: int) -> bytes:
        """Every byte that was read after a mark."""
        return self.received[mark:]

    def count(self, text: str) -> int:
        """How often a text stands in all the bytes that were ever read. Text that is drawn cell by cell over several
        frames is not found; what is drawn at once is."""
        return self.received.count(text.encode())

    def resize(self, width: int, height: int) -> None:
        self.terminal.screen.resize(height, width)
        ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def hang_up(self) -> None:
        """Close the line, as a lost SSH session does."""
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        """End the program, if need be by force, and close the line."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        self.process.wait()
        if self._master >= 0:
            self.hang_up()
