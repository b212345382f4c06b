"""`modeldeck` as a process of its own, as an operator starts it."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from console.local.layout import Layout

MODELDECK = [sys.executable, "-m", "console"]


def temporary_of(home: Path) -> Path:
    """Where a home's commands put what is temporary. Short, for sockets have names of a hundred characters at most."""
    name = hashlib.sha256(str(home).encode()).hexdigest()[:8]
    directory = Path(tempfile.gettempdir()) / f"mdk-{os.getpid()}-{name}"
    directory.mkdir(exist_ok=True)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def environment(home: Path, **more: str) -> dict[str, str]:
    """A clean one: a new operator's."""
    home.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(temporary_of(home)),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
        "MODELDECK_DATA": str(home / "data"),
        **more,
    }


def run(
    *arguments: str, env: Mapping[str, str], timeout: float = 120, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, without a terminal."""
    return subprocess.run(
        [*MODELDECK, *arguments],
        env=dict(env),
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_json(*arguments: str, env: Mapping[str, str]) -> dict[str, Any]:
    done = run(*arguments, "--json", env=env)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


class Background:
    """A command that goes on while the test looks at it. Its output is in files, so that no pipe fills up."""

    def __init__(self, *arguments: str, env: Mapping[str, str], directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._out, self._err = directory / "stdout", directory / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*MODELDECK, *arguments],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._out.read_text("utf-8", "replace")

    @property
    def err(self) -> str:
        return self._err.read_text("utf-8", "replace")

    def until(self, pattern: str, *, within: float = 60) -> re.Match[str]:
        """Wait until its output matches; fails when it ends before, or the time is over."""
        deadline = time.monotonic() + within
        while True:
            match = re.search(pattern, self.out + self.err)
            if match:
                return match
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.err}\n{self.out}"
            assert time.monotonic() < deadline, f"no {pattern!r} within {within} s:\n{self.err}\n{self.out}"
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def wait(self, within: float = 60) -> int:
        return self.process.wait(within)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def processes_of(directory: Path) -> list[str]:
    """Command lines of the processes that have something to do with a directory (Linux; elsewhere none is found)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            state = (entry.parent / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(directory) in line and state != "Z" and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found


def stack_of(home: Path) -> Layout:
    return Layout(home / "data" / "stack")
