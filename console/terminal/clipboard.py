"""Copying over SSH: the text goes to the operator's own terminal (OSC 52), or to a file that only they can read.

A terminal never says whether it took a copy, so nothing here claims that it did. What is copied is not kept and
appears in no message: it may be a key.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from console.terminal.ending import at_end
from console.terminal.environment import ClipboardMode, Multiplexer, Terminal
from console.terminal.private import write_private

LARGEST = 74_000
"""Bytes of text: about 100,000 encoded, which is where common terminals stop reading."""
_SCREEN_PIECE = 240
"""GNU screen passes on strings of up to 256 bytes."""
_PREFIX = "copy-"


@dataclass(frozen=True, slots=True)
class Sent:
    """To the terminal; whether it took it is not known."""

    size: int
    multiplexer: Multiplexer | None = None

    @property
    def sentence(self) -> str:
        told = f"sent to the terminal's clipboard (OSC 52, {self.size} bytes): not confirmed by it"
        if self.multiplexer is Multiplexer.TMUX:
            return f"{told}; tmux needs set-clipboard on or allow-passthrough on"
        return told


@dataclass(frozen=True, slots=True)
class Written:
    """To a file that is removed when the console ends."""

    path: Path

    @property
    def sentence(self) -> str:
        return f"written to {self.path} (readable by you alone, removed when the console ends)"


@dataclass(frozen=True, slots=True)
class NotCopied:
    """The text is nowhere but where it was."""

    reason: str

    @property
    def sentence(self) -> str:
        return f"not copied: {self.reason}"


Copied = Sent | Written | NotCopied


class Clipboard:
    """Where the copies of one console go.

    send       takes what is written to the terminal
    directory  for files; by default `copies_directory`
    """

    def __init__(self, terminal: Terminal, send: Callable[[str], None], *, directory: Path | None = None) -> None:
        self._terminal = terminal
        self._send = send
        self._directory = directory or copies_directory(os.environ)
        self._file: Path | None = None

    def copy(self, text: str) -> Copied:
        """Hand a text over; the result says where it is now."""
        size = len(text.encode("utf-8", "surrogateescape"))
        if not text:
            return NotCopied("there is nothing to copy")
        if self._terminal.clipboard is ClipboardMode.OSC52 and size <= LARGEST:
            self._send(osc52(text, self._terminal.multiplexer))
            return Sent(size, self._terminal.multiplexer)
        return self._write(text)

    def _write(self, text: str) -> Copied:
        self.remove_file()
        path = self._directory / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            write_private(path, text)
        except OSError as problem:
            return NotCopied(f"{path} cannot be written: {problem.strerror}")
        self._file = path
        at_end(self.remove_file)
        _remove_leftovers(self._directory)
        return Written(path)

    def remove_file(self) -> None:
        """The file of the last copy, where there is one."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)
            self._file = None


def osc52(text: str, multiplexer: Multiplexer | None = None) -> str:
    """The escape sequence that asks a terminal to take a text, wrapped so that a multiplexer passes it on."""
    encoded = base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()
    plain = f"\x1b]52;c;{encoded}\x07"
    if multiplexer is Multiplexer.TMUX:
        # Bare for `set-clipboard on`, passed through for `allow-passthrough on`; tmux ignores what it does not allow.
        doubled = plain.replace("\x1b", "\x1b\x1b")
        return f"{plain}\x1bPtmux;{doubled}\x1b\\"
    if multiplexer is Multiplexer.SCREEN:
        pieces = (plain[at : at + _SCREEN_PIECE] for at in range(0, len(plain), _SCREEN_PIECE))
        return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return plain


def copies_directory(environ: Mapping[str, str]) -> Path:
    """Below the runtime directory, which is gone after the logout; where there is none, below the state directory."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    from platformdirs import user_state_path

    base = Path(runtime) / "modeldeck" if runtime and Path(runtime).is_dir() else user_state_path("modeldeck")
    return base / "copies"


def _remove_leftovers(directory: Path) -> None:
    """Copies of consoles that were killed before they could remove them."""
    for path in directory.glob(f"{_PREFIX}*"):
        owner = path.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not _lives(int(owner)):
            with contextlib.suppress(OSError):
                path.unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
