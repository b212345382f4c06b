"""`modeldeck demo` as a process: the whole journey, and nothing left behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.local.layout import Layout, read_json
from tests.support.commands import Background, environment, processes_of, run, temporary_of
from tests.support.waiting import until

_STEPS = [
    "sync the catalog from three providers",
    "sync again: nothing to write",
    "search:",
    "publish",
    "create a key, shown once",
    "call the gateway as a client",
    "the test recipes of the seed",
    "publishing again repairs it",
    "rotate the key",
    "revoke the key",
    "unpublish",
    "look for the issued keys",
]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Background]:
    started = Background("demo", env=environment(tmp_path), directory=tmp_path / "output")
    yield started
    started.close()


async def nothing_is_left(home: Path) -> None:
    assert list(temporary_of(home).iterdir()) == []
    await until(lambda: not processes_of(home) + processes_of(temporary_of(home)), within=10, what="processes end")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.soak)], ids=str
)
async def test_a_signal_in_the_middle_leaves_nothing(
    demo: Background, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    demo.until("create a key")
    demo.signal(number)
    assert demo.wait() == code
    await nothing_is_left(tmp_path)


async def test_a_signal_while_it_starts_leaves_nothing(demo: Background, tmp_path: Path) -> None:
    demo.until("✓ valkey")
    demo.signal(signal.SIGTERM)
    assert demo.wait() == 143
    await nothing_is_left(tmp_path)


async def test_the_end_of_the_stacks_process_is_told_at_once(demo: Background, tmp_path: Path) -> None:
    directory = Path(demo.until(r"stack in (\S+)")[1])
    demo.until("sync again")
    state = read_json(Layout(directory).state)
    assert state is not None
    os.kill(state["pid"], signal.SIGKILL)
    assert demo.wait(within=30) not in (0, None)
    assert "the stack's process ended" in demo.err
    await nothing_is_left(tmp_path)


async def test_a_killed_demo_takes_its_stack_along(demo: Background, tmp_path: Path) -> None:
    demo.until("sync the catalog")
    demo.signal(signal.SIGKILL)
    demo.wait()
    await until(lambda: not processes_of(temporary_of(tmp_path)), within=20, what="the leashes end everything")


async def test_the_journey_without_a_terminal_twice_at_once(tmp_path: Path) -> None:
    """Every step is true in both, and neither meets the other."""
    places = [tmp_path / n for n in ("a", "b")]
    both = [Background("demo", env=environment(place), directory=place / "output") for place in places]
    try:
        assert [one.wait(within=120) for one in both] == [0, 0], [one.out + one.err for one in both]
    finally:
        for one in both:
            one.close()
    for one, place in zip(both, places, strict=True):
        at = 0
        for step in _STEPS:
            assert one.out.find(step, at) > 0, step
            at = one.out.find(step, at)
        assert one.out.count("true after") == len(_STEPS)
        assert "401" in one.out
        assert "SET published_model_info" in one.out
        assert not re.search(r"bud_(client|admin)_[A-Za-z0-9_-]{43}", one.out), "a key in a log"
        await nothing_is_left(place)


def test_a_port_that_is_in_use_is_refused_by_name(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("demo", "--gateway-port", str(port), env=environment(tmp_path))
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr
    assert list(temporary_of(tmp_path).iterdir()) == []


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("up", env=environment(tmp_path, MODELDECK_DATA=str(tmp_path / "file" / "x")))
    assert done.returncode == 2, done.stderr
    assert "cannot keep its data" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_without_utf8_is_spoken_to_in_ascii(tmp_path: Path) -> None:
    plain = {"LANG": "C", "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("status", env=environment(tmp_path, **plain))
    assert done.returncode == 2
    assert done.stderr.startswith("x refused")
    assert done.stderr.isascii()
