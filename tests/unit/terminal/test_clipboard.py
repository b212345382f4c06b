"""Where a copy goes, and what is said of it."""

from __future__ import annotations

import base64
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from console.terminal.clipboard import LARGEST, Clipboard, NotCopied, Sent, Written, copies_directory, osc52
from console.terminal.environment import Multiplexer, Terminal

TEXT = "bud_client_kéy 模型"
OSC52 = Terminal.found({"TERM": "xterm-256color"})
FILE = Terminal.found({"TERM": "linux"})


def sent_to(terminal: Terminal, directory: Path) -> tuple[Clipboard, list[str]]:
    sent: list[str] = []
    return Clipboard(terminal, sent.append, directory=directory), sent


def decoded(sequence: str) -> str:
    found = re.fullmatch("\x1b]52;c;([A-Za-z0-9+/=]*)\x07", sequence)
    assert found
    return base64.b64decode(found[1]).decode()


def test_a_copy_is_sent_and_nobody_claims_that_it_arrived(tmp_path: Path) -> None:
    clipboard, sent = sent_to(OSC52, tmp_path)
    copied = clipboard.copy(TEXT)
    assert copied == Sent(len(TEXT.encode()))
    assert copied.sentence == "sent to the terminal's clipboard (OSC 52, 22 bytes): not confirmed by it"
    assert decoded(*sent) == TEXT
    assert not list(tmp_path.iterdir())


def test_tmux_gets_it_bare_and_passed_through() -> None:
    wrapped = osc52(TEXT, Multiplexer.TMUX)
    bare, separator, inner = wrapped.partition("\x1bPtmux;")
    assert decoded(bare) == TEXT
    assert separator
    assert decoded(inner.removesuffix("\x1b\\").replace("\x1b\x1b", "\x1b")) == TEXT


def test_screen_gets_it_in_pieces_that_it_passes_on() -> None:
    text = "x" * 5_000
    pieces = re.findall("\x1bP(.*?)\x1b\\\\", osc52(text, Multiplexer.SCREEN), re.DOTALL)
    assert max(map(len, pieces)) <= 256
    assert decoded("".join(pieces)) == text


def test_a_terminal_without_a_clipboard_gets_a_private_file(tmp_path: Path) -> None:
    clipboard, sent = sent_to(FILE, tmp_path / "modeldeck" / "copies")
    copied = clipboard.copy(TEXT)
    assert isinstance(copied, Written)
    assert str(copied.path) in copied.sentence
    assert TEXT not in copied.sentence + repr(copied)
    assert copied.path.read_text() == TEXT
    assert stat.S_IMODE(copied.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(copied.path.parent.stat().st_mode) == 0o700
    assert not sent
    second = clipboard.copy("another")
    assert isinstance(second, Written)
    assert not copied.path.exists()
    clipboard.remove_file()
    assert not second.path.exists()


def test_what_is_too_large_for_a_terminal_becomes_a_file(tmp_path: Path) -> None:
    clipboard, sent = sent_to(OSC52, tmp_path)
    assert isinstance(clipboard.copy("x" * LARGEST), Sent)
    assert isinstance(clipboard.copy("x" * (LARGEST + 1)), Written)
    assert len(sent) == 1
    clipboard.remove_file()


def test_a_copy_that_went_nowhere_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    clipboard, _ = sent_to(FILE, tmp_path / "file")
    copied = clipboard.copy(TEXT)
    assert isinstance(copied, NotCopied)
    assert copied.sentence.startswith("not copied: ")
    assert isinstance(clipboard.copy(""), NotCopied)


@pytest.mark.parametrize("end", ["sys.exit()", "end_now(3)"])
def test_the_file_goes_with_the_process(tmp_path: Path, end: str) -> None:
    program = f"""
import sys
from pathlib import Path
from console.terminal.clipboard import Clipboard
from console.terminal.ending import end_now
from console.terminal.environment import Terminal
clipboard = Clipboard(Terminal.found({{}}), print, directory=Path({str(tmp_path)!r}))
print(clipboard.copy("text").path.read_text())
{end}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout in ("text\n", ""), done.stderr  # what is buffered is lost with `end_now`
    assert not done.stderr
    assert not list(tmp_path.iterdir())


def test_files_of_consoles_that_were_killed_are_removed_by_the_next(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left = tmp_path / f"copy-{killed.pid}-0badcafe"
    left.write_text("a key")
    of_another = tmp_path / "copy-1-0badcafe"
    of_another.write_text("")
    clipboard, _ = sent_to(FILE, tmp_path)
    clipboard.copy(TEXT)
    clipboard.remove_file()
    assert list(tmp_path.iterdir()) == [of_another]


def test_files_lie_where_a_logout_removes_them(tmp_path: Path) -> None:
    assert copies_directory({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "modeldeck" / "copies"
    assert copies_directory({"XDG_RUNTIME_DIR": str(tmp_path / "gone")}).parts[-2:] == ("modeldeck", "copies")
