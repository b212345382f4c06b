"""From the start of a process to its first screen in a pty, beside a bare Textual app in the same run.

Another command than the sample: ``python -m tests.bench first_paint`` with MODELDECK_BENCH_COMMAND and
MODELDECK_BENCH_TEXT, a text that its first screen shows.
"""

from __future__ import annotations

import os
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.terminal import Pty

ROOT = Path(__file__).parents[2]
RUNS = 9
BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("bare and ready")
Bare().run()
"""
SAMPLE = (sys.executable, str(ROOT / "tests" / "e2e" / "terminal" / "sample_app.py"))


def main() -> None:
    command = shlex.split(os.environ.get("MODELDECK_BENCH_COMMAND", "")) or SAMPLE
    text = os.environ.get("MODELDECK_BENCH_TEXT", "ready: the sample")
    bare, own = compare(command, text)
    print(f"first paint, median of {RUNS}: bare Textual {bare:.0f} ms, this {own:.0f} ms, ratio {own / bare:.2f}")


def compare(command: Sequence[str], text: str, *, runs: int = RUNS) -> tuple[float, float]:
    """Medians in milliseconds of a bare Textual app and of a command; they take turns, so that a busy machine slows
    both. The first run of each fills the caches and does not count."""
    bare: list[float] = []
    own: list[float] = []
    for _ in range(runs + 1):
        bare.append(first_paint((sys.executable, "-c", BARE), "bare and ready"))
        own.append(first_paint(command, text))
    return statistics.median(bare[1:]), statistics.median(own[1:])


def first_paint(command: Sequence[str], text: str) -> float:
    """Milliseconds until a text stands on the screen."""
    environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    with Pty(command, environ=environ, cwd=ROOT) as program:
        program.wait_for(text, timeout=60)
        return (time.perf_counter() - began) * 1000
