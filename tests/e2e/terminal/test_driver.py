"""The driver in a real pty: hang-ups, signals, other programs, slow lines."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from console.terminal.app import INTERRUPT_CODE
from console.terminal.driver import HANG_UP_CODE
from tests.support.terminal import Pty, differences
from tests.support.waiting import until

Start = Callable[..., Pty]


@pytest.mark.parametrize("ignored", [(), (signal.SIGHUP,)], ids=["hang-up", "hang-up that is ignored"])
def test_a_lost_line_ends_the_console_and_nothing_spins(ready: Start, ignored: tuple[signal.Signals, ...]) -> None:
    program = ready(ignored=ignored)
    spent = _cpu_seconds(program.process.pid)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program.hang_up()
    assert program.process.wait(timeout=20) == HANG_UP_CODE
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - spent < 0.5


def test_a_lost_line_ends_also_a_console_that_waits_for_something(ready: Start) -> None:
    program = ready(ignored=(signal.SIGHUP,))
    program.press("b").until(lambda: program.count("blocked") == 1)
    program.hang_up()
    assert program.process.wait(timeout=20) == HANG_UP_CODE


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGHUP, HANG_UP_CODE), (signal.SIGINT, INTERRUPT_CODE)],
)
def test_a_signal_ends_the_console_and_restores_the_terminal(ready: Start, number: signal.Signals, code: int) -> None:
    program = ready()
    program.process.send_signal(number)
    assert program.ended() == code
    _assert_restored(program)


def test_a_normal_end_restores_the_terminal(ready: Start) -> None:
    program = ready().press("q")
    assert program.ended() == 0
    _assert_restored(program)


def test_terminate_restores_the_terminal_also_where_the_loop_waits(ready: Start) -> None:
    program = ready(ignored=(signal.SIGHUP,)).press("b")
    program.until(lambda: program.count("blocked") == 1)
    program.process.send_signal(signal.SIGTERM)
    assert program.ended() == 128 + signal.SIGTERM
    _assert_restored(program)


def test_a_lost_line_cuts_short_what_terminate_allows(ready: Start) -> None:
    program = ready(ignored=(signal.SIGHUP,)).press("b")
    program.until(lambda: program.count("blocked") == 1)
    program.process.send_signal(signal.SIGTERM)
    program.hang_up()
    assert program.process.wait(timeout=20) == HANG_UP_CODE


def test_the_mouse_is_off_over_ssh_and_never_reports_motion(ready: Start) -> None:
    assert ready().count("\x1b[?1000h") == 0
    program = ready(SSH_CONNECTION="")
    assert program.count("\x1b[?1000h\x1b[?1002h\x1b[?1006h") > 0
    assert program.count("\x1b[?1003h") == 0
    assert ready(MODELDECK_MOUSE="motion").count("\x1b[?1003h") > 0


def test_after_another_program_the_screen_is_whole_again(ready: Start) -> None:
    program = ready()
    picture = program.terminal.picture()
    program.press("e").wait_for("EDITOR").press("enter")
    program.until(lambda: not differences(program.terminal.picture(), picture))


def test_suspended_to_the_shell_and_back(ready: Start) -> None:
    program = ready()
    picture = program.terminal.picture()
    program.press("z").until(lambda: _state(program.process.pid) == "T").quiet()
    _assert_restored(program)
    program.terminal.feed("\x1b[2J\x1b[Hsomething that the shell printed")
    program.process.send_signal(signal.SIGCONT)
    program.until(lambda: not differences(program.terminal.picture(), picture))


def test_stopped_from_outside_and_back(ready: Start) -> None:
    program = ready()
    picture = program.terminal.picture()
    program.process.send_signal(signal.SIGSTOP)
    program.until(lambda: _state(program.process.pid) == "T")
    program.terminal.feed("\x1b[2J\x1b[Hsomething that the shell printed")
    program.process.send_signal(signal.SIGCONT)
    program.until(lambda: not differences(program.terminal.picture(), picture))
    program.press("u").wait_for("9.01")


def test_a_resized_terminal_is_drawn_whole(ready: Start) -> None:
    program = ready()
    program.resize(100, 30)
    program.wait_for("model-027")
    program.resize(60, 12)
    program.until(lambda: program.terminal.lines[0] == "ready: the sample" and "model-0" in program.terminal.lines[-1])


@pytest.mark.parametrize("render", ["thin", "stock"])
async def test_a_line_that_takes_nothing_does_not_stop_the_loop(ready: Start, tmp_path: Path, render: str) -> None:
    """Nobody reads while the list changes: the loop goes on, updates are held, and the last one is what is shown."""
    report = tmp_path / "report"
    program = ready(REPORT=str(report), MODELDECK_RENDER=render).press("f")
    await until(report.exists, within=60)
    found = json.loads(report.read_text())
    assert found["held"] >= 10
    assert found["frames"] < found["count"]
    rows = [f"{found['count']:06d} {(found['count'] * row) ** 5:x}" for row in (1, 24)]
    program.wait_for(rows[0]).wait_for(rows[1]).quiet()
    picture = program.terminal.picture()
    program.press("ctrl+l").quiet()
    assert not differences(program.terminal.picture(), picture), "a repaint shows something else"


def test_latin_1_terminals_get_ascii_of_the_same_width(start: Start) -> None:
    start(PYTHONIOENCODING="iso-8859-1").wait_for("* ready").wait_for("model-003 ????  deepinfra")


def test_a_terminal_that_prints_lines_only_is_refused(environ: dict[str, str]) -> None:
    program = Pty(
        [sys.executable, "-c", "from console.terminal.environment import *; refuse_without_screen(prepare())"],
        environ=environ | {"TERM": "dumb"},
        size=(200, 24),
    )
    with program:
        assert program.ended() == 1
        assert "this terminal can only print lines: TERM is dumb" in program.screen()


def _assert_restored(program: Pty) -> None:
    """The last word on each mode is the one that a shell expects."""
    received = program.received.decode("utf-8", "replace")
    for mode, wanted in {"1049": "l", "25": "h", "7": "h", "2004": "l", "1004": "l"}.items():
        last = max(received.rfind(f"\x1b[?{mode}h"), received.rfind(f"\x1b[?{mode}l"))
        assert received[last:].startswith(f"\x1b[?{mode}{wanted}"), mode
    assert received.rfind("\x1b[0m") > received.rfind("ready")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
