"""The console's catalog at 100,000 models in a real pty: from a key to the screen that it leads to.

    .venv/bin/python -m tests.bench.console [--models 100000]

A stack of its own is started and synced first. Prints; never fails by time. What is measured is the whole way: the pty,
the keyboard's queue, the filter, the table and the display, to the last byte after which nothing came for 60 ms.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.support.commands import Background, environment, run
from tests.support.terminal import Pty

QUERY = "provider:openrouter ctx>=128k in<0.5 llama"
_SILENCE = 0.06


def took(program: Pty, key: str) -> tuple[float, int]:
    """Milliseconds and bytes from a key to the last byte that it set off."""
    mark, began = program.mark(), time.perf_counter()
    program.press(key)
    last = began
    while program.read(within=_SILENCE if last > began else 1.0):
        last = time.perf_counter()
    return (last - began) * 1000, len(program.since(mark))


def say(what: str, found: list[tuple[float, int]]) -> None:
    times = [milliseconds for milliseconds, _ in found]
    sent = statistics.median(size for _, size in found)
    print(f"  {what:<34} median {statistics.median(times):6.1f} ms  worst {max(times):6.1f} ms  {sent:6.0f} bytes")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=100_000)
    count = parser.parse_known_args()[0].models
    with tempfile.TemporaryDirectory(prefix="mdk-") as directory:
        home = Path(directory)
        env = environment(home, TERM="xterm-256color", COLORTERM="truecolor")
        stack = Background("run", "--throwaway", "--models", str(count), env=env, directory=home / "output")
        try:
            stack.until("objects", within=120)
            began = time.monotonic()
            done = run("sync", "run", env=env, timeout=600)
            assert done.returncode == 0, done.stderr
            print(f"  synced in {time.monotonic() - began:.1f} s: {done.stderr.splitlines()[-1]}")
            with Pty([sys.executable, "-m", "console"], size=(120, 40), environ=env) as program:
                program.wait_for("envoy ok", timeout=60).quiet(silence=0.5)
                began = time.perf_counter()
                program.press("2").wait_for("models", timeout=60).wait_for("▸", timeout=60)
                print(f"  the catalog opened in             {(time.perf_counter() - began) * 1000:9.0f} ms")
                program.quiet(silence=1.0)
                say("the cursor down", [took(program, "down") for _ in range(20)])
                say("a page down", [took(program, "pagedown") for _ in range(20)])
                say("to the end and back", [took(program, key) for key in ("G", "g") * 5])
                say("another order", [took(program, key) for key in ("s", "s", "s", "s", "S")])
                took(program, "/")
                say("a key of a filter", [took(program, key if key != " " else "space") for key in QUERY])
                print("   " + next(line for line in program.terminal.lines if "models" in line)[-40:].strip())
                say("a key taken back", [took(program, "backspace") for _ in QUERY])
        finally:
            stack.close()


if __name__ == "__main__":
    main()
