"""``modeldeck up`` and ``down``: the stack in the background, with data that lasts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from console.config import data_home
from console.local.layout import Layout, read_json
from console.local.ports import LOOPBACK
from console.local.run import is_locked
from console.outcome import Failure, Refusal, TimedOut
from console.terminal.text import narrate, say

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


async def bring_up(
    data: Path | None, *, gateway_port: int | None, models: int | None, limits_fail: Literal["open", "closed"]
) -> int:
    """Start the stack's process apart from this terminal, and wait until it is ready.

    Raises:
        Refusal: we may not write there.
        Failure: it ended before it was ready; its last words are in the sentence.
    """
    layout = Layout(data or data_home() / "stack")
    layout.create()
    if is_locked(layout):
        state = read_json(layout.state) or {}
        narrate(f"= a stack runs on {layout.root} already (process {state.get('pid', '?')})")
        _tell(layout)
        return 0
    output = layout.log("run-output")
    command = [sys.executable, "-m", "console", "run", "--data", str(layout.root), "--limits-fail", limits_fail]
    if gateway_port is not None:
        command += ["--gateway-port", str(gateway_port)]
    if models is not None:
        command += ["--models", str(models)]
    layout.state.unlink(missing_ok=True)
    with output.open("wb") as stream:
        process = subprocess.Popen(  # noqa: ASYNC220 - returns at once, and must outlive this loop
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, cwd=layout.root
        )
    deadline = time.monotonic() + _START_SECONDS
    told = 0
    while True:
        lines = output.read_text("utf-8", "replace").splitlines()
        for line in lines[told:]:
            narrate(line)
        told = len(lines)
        if (read_json(layout.state) or {}).get("ready"):
            _tell(layout)
            return 0
        code = process.poll()
        if code is not None:
            if code == Refusal.ending.exit_code:
                return code
            raise Failure(
                f"the stack ended with {code} before it was ready; see {layout.logs}", code="STACK_NOT_STARTED"
            )
        if time.monotonic() > deadline:
            process.terminate()
            raise TimedOut(f"the stack was not ready within {_START_SECONDS:g} s; see {layout.logs}")
        await asyncio.sleep(0.05)


async def bring_down(data: Path | None, *, wipe: bool) -> int:
    """Stop the stack, and with ``wipe`` remove its data.

    Raises:
        TimedOut: it does not end; it was left alone, and its data too.
    """
    layout = Layout(data or data_home() / "stack")
    pid = (read_json(layout.state) or {}).get("pid")
    if is_locked(layout) and isinstance(pid, int):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    stopped = is_locked(layout)
    while is_locked(layout):
        if time.monotonic() > deadline:
            raise TimedOut(
                f"the stack (process {pid}) has not ended after {_STOP_SECONDS:g} s", then=f"see {layout.logs}"
            )
        await asyncio.sleep(0.05)
    narrate("✓ the stack is stopped" if stopped else "= no stack was running")
    if wipe and layout.root.exists():
        shutil.rmtree(layout.root)
        narrate(f"✓ {layout.root} is removed")
    return 0


def _tell(layout: Layout) -> None:
    from console.config import load_profile

    profile = load_profile(config=layout.profile, profile="local")
    say(f"gateway     {profile.gateway.url}")
    say(f"redis       {profile.redis.url}   password in {layout.secrets / 'redis-operator'}")
    port = (read_json(layout.ports) or {}).get("api")
    say(f"api         http://{LOOPBACK}:{port}   token in {layout.secrets / 'api-token'}")
    say(f"kubernetes  KUBECONFIG={layout.kubeconfig('admin')}")
    say(f"profile     {layout.profile}")
    narrate("next        modeldeck status")
