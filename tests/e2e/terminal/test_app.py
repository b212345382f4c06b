"""What an operator is left with: after a copy, after a crash, without colours."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from console.terminal.app import CRASH_CODE
from tests.support.terminal import Pty

Start = Callable[..., Pty]
KEY_TEXT = "sk-live-0123456789abcdefXYZ"


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"KEY_TEXT": KEY_TEXT}


def test_a_crash_prints_no_variable_and_says_where_the_report_is(ready: Start, tmp_path: Path) -> None:
    program = ready(size=(200, 24)).press("d")
    assert program.ended() == CRASH_CODE
    (report,) = (tmp_path / ".local" / "state" / "modeldeck" / "crashes").iterdir()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    after_the_screen = program.received.rpartition(b"\x1b[?1049l")[2].decode()
    assert "modeldeck crashed: ValueError in action_crash" in after_the_screen
    assert str(report) in after_the_screen
    text = report.read_text()
    assert "the gateway answered 401 to [hidden]" in text
    assert "display: thin" in text
    assert KEY_TEXT not in text
    assert program.count(KEY_TEXT) == 0


def test_a_copy_goes_to_the_terminal(ready: Start) -> None:
    program = ready().press("c").wait_for("sent to the terminal's clipboard (OSC 52")
    assert program.count("\x1b]52;c;") == 1
    assert program.count(KEY_TEXT) == 0


def test_a_copy_in_a_file_is_gone_after_a_hang_up(ready: Start, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir()
    program = ready(MODELDECK_CLIPBOARD="file", XDG_RUNTIME_DIR=str(runtime)).press("c").wait_for("written to")
    (copy,) = (runtime / "modeldeck" / "copies").iterdir()
    assert copy.read_text() == KEY_TEXT
    program.press("b").until(lambda: program.count("blocked") == 1)
    program.hang_up()
    program.process.wait(timeout=20)
    assert not copy.exists()


def test_without_colours_none_is_sent(ready: Start) -> None:
    program = ready(NO_COLOR="1").press("down", "m").wait_for("line 3 of the question")
    assert not _colours(program)


def test_with_sixteen_colours_no_other_is_sent(ready: Start) -> None:
    program = ready(MODELDECK_COLOURS="16").press("down", "m").wait_for("line 3 of the question")
    found = _colours(program)
    assert found
    assert not {code for code in found if code in ("38", "48")}


def test_a_field_with_the_focus_does_not_blink(ready: Start) -> None:
    program = ready().press("o").wait_for("option 003").press("shift+tab").quiet(silence=1.0)
    assert program.read(within=1.5) == b""


def _colours(program: Pty) -> set[str]:
    """Every SGR parameter that sets a colour."""
    codes = {
        code
        for parameters in re.findall(rb"\x1b\[([\d;]*)m", program.received)
        for code in parameters.decode().split(";")
        if code
    }
    return {code for code in codes if code in ("38", "48") or 30 <= int(code) <= 47 or 90 <= int(code) <= 107} - {"39"}
