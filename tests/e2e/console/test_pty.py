"""The console in a real terminal, as a process of its own: the journey, what is sent, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.terminal.driver import HANG_UP_CODE
from tests.support.commands import Background, environment, processes_of, run, run_json, temporary_of
from tests.support.terminal import Pty, differences

ROOT = Path(__file__).parents[3]
SMALL, LARGE = (80, 24), (120, 40)
KEY = re.compile(r"bud_client_[A-Za-z0-9_-]{43}")
SSH = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}
TABS = {"1": "NEEDS YOU", "2": "MODEL▲", "4": "SOURCE", "5": "KEY▲", "6": "ev/s", "7": "never synced", "8": "WHO"}

Starts = Callable[..., Pty]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of an operator whose local stack runs, is synced, and has one publication and one key."""
    directory = tmp_path_factory.mktemp("home")
    env = environment(directory)
    stack = Background("run", "--throwaway", env=env, directory=directory / "output")
    try:
        stack.until("objects")
        for line in (
            "sync run openrouter together deepinfra",
            "publish deepinfra/meta-llama/Llama-3.1-8B-Instruct --tenant acme --name llama",
            "keys create batch --tenant acme",
        ):
            done = run(*line.split(), env=env)
            assert done.returncode == 0, done.stderr
        yield directory
    finally:
        stack.close()


@pytest.fixture
def start(home: Path) -> Iterator[Starts]:
    """Start a console on that stack in a pty; it is ended with the test."""
    running: list[Pty] = []

    def begin(*, size: tuple[int, int] = SMALL, **settings: str) -> Pty:
        program = Pty([sys.executable, "-m", "console"], size=size, environ=environment(home, **(SSH | settings)))
        running.append(program)
        return program

    yield begin
    for program in running:
        program.close()


@pytest.fixture
def ready(start: Starts) -> Starts:
    def begin(**settings: object) -> Pty:
        return start(**settings).wait_for("redis ok").wait_for("envoy ok").wait_for("1 ready").quiet(silence=0.3)

    return begin


def go(program: Pty, key: str) -> Pty:
    return program.press(key).wait_for(TABS[key]).quiet(silence=0.25)


def tutorial() -> list[tuple[list[str], str]]:
    """The tables of docs/tutorial.md: keys, what is in quotes being typed, and the text to wait for."""
    rows = re.findall(r"^\| (`.+?) \| `(.+?)` \| .* \|$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE)
    return [(re.findall(r"`([^`]+)`", keys), text) for keys, text in rows]


def test_the_tutorial_by_keys_alone_shows_each_key_once_and_keeps_it_nowhere(tmp_path: Path) -> None:
    """`modeldeck demo` in a terminal of 80x24, as docs/tutorial.md tells it."""
    env = environment(tmp_path, **SSH)
    issued: list[str] = []
    with Pty([sys.executable, "-m", "console", "demo"], size=SMALL, environ=env) as program:
        program.wait_for("envoy ok", timeout=60).wait_for("nothing needs you")
        steps = tutorial()
        assert len(steps) > 25
        for keys, text in steps:
            for key in keys:
                program.type(key[1:-1]) if key.startswith('"') else program.press(key)
            program.wait_for(text, timeout=40)
            issued += [key for key in KEY.findall(program.screen()) if key not in issued]
        assert len(issued) == 2
        written = [
            path
            for place in (tmp_path, temporary_of(tmp_path))
            for path in place.rglob("*")
            if path.is_file() and any(key.encode() in path.read_bytes() for key in issued)
        ]
        assert not written, "a key was written down"
        program.press("ctrl+q")
        assert program.ended(timeout=40) == 0
        assert [program.count(key) for key in issued] == [1, 1], "a key is drawn once"
        assert b"Traceback" not in program.received.rpartition(b"\x1b[?1049l")[2]
    assert list(temporary_of(tmp_path).iterdir()) == []


def test_a_view_at_which_nothing_happens_sends_nothing(ready: Starts) -> None:
    """Ages move in steps, so that now and then some cells of one row are sent; nothing blinks, spins or ticks."""
    program = ready()
    for key in TABS:
        # Longer than what ticks by the second.
        go(program, key).quiet(silence=1.2, timeout=30)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=str)
def test_a_move_of_the_cursor_costs_no_more_than_600_bytes(ready: Starts, size: tuple[int, int]) -> None:
    """With the details of the other row, where they are shown. They may come late, so the moves are summed up."""
    program = go(ready(size=size), "7")
    moves = ("down", "down", "down", "up", "down", "up", "up", "up")
    mark = program.mark()
    for key in moves:
        before = program.mark()
        program.press(key).until(lambda: len(program.received) > before).quiet(silence=0.2)  # noqa: B023 - asked at once
    cost = len(program.quiet(silence=1.0).since(mark)) / len(moves)
    assert cost <= 600


def test_one_event_of_the_feed_costs_little_more_than_its_line(ready: Starts, home: Path) -> None:
    """Beside the line that is new, the rates move on: so many bytes a second."""
    program = go(ready(), "6")
    mark, began = program.mark(), time.monotonic()
    done = run("keys", "create", "one-event", "--tenant", "acme", env=environment(home))
    assert done.returncode == 0
    program.wait_for("gen 1  0 models").quiet(silence=0.25)
    assert len(program.since(mark)) <= 900 + 300 * (time.monotonic() - began)


def test_a_repaint_shows_what_was_shown(ready: Starts) -> None:
    program = ready()
    for key in ("2", "4"):
        go(program, key).press("down", "down").quiet(silence=1.0)
        before = program.terminal.picture()[2:]
        program.press("ctrl+l").quiet(silence=0.25)
        program.until(lambda: not differences(program.terminal.picture()[2:], before))  # noqa: B023 - asked at once


def test_a_lost_line_in_the_middle_of_a_publish_leaves_no_process_and_nothing_published(
    ready: Starts, home: Path
) -> None:
    program = ready()
    program.press("3").wait_for("the plan follows")
    program.type("deepinfra/meta-llama/Llama-3.1-8B-Instruct").press("tab").type("cut-off").press("tab").type("acme")
    program.press("enter").wait_for("Plan: ").press("ctrl+s")
    program.hang_up()
    assert program.process.wait(timeout=15) == HANG_UP_CODE
    env = environment(home)
    deadline = time.monotonic() + 60
    while True:
        mine = [row for row in run_json("published", env=env)["data"] if row["name"] == "cut-off"]
        states = {row["state"] for row in run_json("operations", "list", env=env)["data"]}
        # Either the publish was already over when the line was lost, or it is undone.
        if states.isdisjoint(("running", "interrupted")) and (not mine or mine[0]["ready"]):
            break
        assert time.monotonic() < deadline, (mine, states)
        time.sleep(1)
    assert not [line for line in processes_of(home) if line.endswith("-m console")]
    if mine:
        run("unpublish", "cut-off", "--yes", env=env)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_and_gives_the_terminal_back(ready: Starts, number: signal.Signals) -> None:
    program = ready()
    program.process.send_signal(number)
    assert program.ended(timeout=15) == 128 + number
    assert program.received.rfind(b"\x1b[?1049l") > program.received.rfind(b"\x1b[?1049h")


def test_without_colours_none_is_sent_and_every_state_has_its_glyph(ready: Starts) -> None:
    program = go(ready(NO_COLOR="1"), "4")
    assert "● ready" in program.screen()
    parameters = {code for found in re.findall(rb"\x1b\[([\d;]*)m", program.received) for code in found.split(b";")}
    assert not {code for code in parameters if code[:1] in (b"3", b"4", b"9") and len(code) == 2} - {b"39", b"49"}


def test_with_sixteen_colours_no_other_is_sent(ready: Starts) -> None:
    program = go(ready(TERM="xterm", COLORTERM=""), "4")
    assert "● ready" in program.screen()
    parameters = [found.split(b";") for found in re.findall(rb"\x1b\[([\d;]*)m", program.received)]
    assert not any(code in (b"38", b"48") for codes in parameters for code in codes)


def test_a_terminal_without_utf8_is_shown_ascii(start: Starts) -> None:
    program = start(LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    program.wait_for("redis ok").quiet(silence=0.5)
    assert program.received.isascii()
    assert "* redis ok" in program.screen()
    assert "????" not in program.screen()


def test_a_terminal_that_can_only_print_lines_is_refused(start: Starts) -> None:
    program = start(TERM="dumb", size=(200, 24))
    assert program.ended() == 2
    assert "this terminal can only print lines" in program.screen()
    assert "export TERM=xterm-256color" in program.screen()


def test_a_narrow_terminal_shows_the_views_by_their_numbers(ready: Starts) -> None:
    program = ready()
    program.resize(40, 12)
    program.press("5").wait_for("Keys").wait_for("batch")
    program.resize(80, 24)
    program.wait_for("Overview")


def test_no_crash_was_reported(home: Path) -> None:
    assert not list(home.rglob("crashes/*")), [path.read_text() for path in home.rglob("crashes/*")]
    assert not KEY.findall(json.dumps([path.read_text("utf-8", "replace") for path in home.rglob("*.log")]))
