"""Programs in a real pseudo-terminal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.terminal import Pty

ROOT = Path(__file__).parents[3]
SAMPLE = str(Path(__file__).with_name("sample_app.py"))

Start = Callable[..., Pty]


@pytest.fixture(scope="session", autouse=True)
def _needs_an_envoy() -> None:
    """These do not."""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """What a login over SSH to a plain machine gives."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22",
    }


@pytest.fixture
def start(environ: dict[str, str]) -> Iterator[Start]:
    """Start the sample in a pty of its own, with settings in its environment; it is ended with the test."""
    running: list[Pty] = []

    def begin(*, size: tuple[int, int] = (80, 24), ignored: tuple[signal.Signals, ...] = (), **settings: str) -> Pty:
        program = Pty([sys.executable, SAMPLE], size=size, environ=environ | settings, cwd=ROOT, ignored=ignored)
        running.append(program)
        return program

    yield begin
    for program in running:
        program.close()


@pytest.fixture
def ready(start: Start) -> Start:
    """As `start`, and it has drawn its screen."""

    def begin(**settings: object) -> Pty:
        return start(**settings).wait_for("ready: the sample").wait_for("model-00").quiet()

    return begin
