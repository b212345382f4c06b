"""``modeldeck demo``: a throwaway stack and the journey on it, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from console.config import load_profile
from console.local.layout import Layout, read_json
from console.local.process import Child
from console.outcome import Ending, Failure, ModeldeckError, Refusal, TimedOut
from console.services import Services
from console.terminal.text import is_terminal, narrate, say

_START_SECONDS = 90.0
_STOP_SECONDS = 20.0
_CONSOLE_SECONDS = 10.0
_CANCEL_AGAIN_SECONDS = 3.0


async def run_demo(*, headless: bool, models: int | None, gateway_port: int | None) -> int:
    """The whole of it; returns the exit code. SIGINT, SIGTERM and SIGHUP end it in order."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    caught: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        caught.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    directory = _temporary_directory()
    began = time.monotonic()
    try:
        try:
            code = await _on_a_stack(directory, headless=headless, models=models, gateway_port=gateway_port)
        except ModeldeckError:
            if not caught:
                raise
            code = Ending.FAILED.exit_code
        if caught and code:  # a step of the journey took the signal for its own cancellation, or for a failure
            raise asyncio.CancelledError
    except asyncio.CancelledError:
        code = Ending.CANCELLED.exit_code if caught[:1] == [signal.SIGINT] else 128 + (caught or [signal.SIGTERM])[0]
        narrate("stopped")
    except ModeldeckError as problem:
        narrate(f"✗ {problem}")
        if problem.then:
            narrate(f"  next: {problem.then}")
        code = problem.ending.exit_code
    finally:
        # A second signal may not cut the removal short.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(RuntimeError):
                loop.add_signal_handler(number, lambda: None)
        shutil.rmtree(directory, ignore_errors=True)
    narrate(f"everything is stopped and {directory} removed, after {time.monotonic() - began:.1f} s")
    return code


async def _on_a_stack(directory: Path, *, headless: bool, models: int | None, gateway_port: int | None) -> int:
    layout = Layout(directory)
    command = [sys.executable, "-m", "console", "run", "--data", str(directory), "--throwaway"]
    if models is not None:
        command += ["--models", str(models)]
    if gateway_port is not None:
        command += ["--gateway-port", str(gateway_port)]
    child = Child("run", command, log=directory / "run-output.log")
    narrate(f"starting a throwaway stack in {directory}")
    watching: asyncio.Task[None] | None = None
    try:
        await child.start()
        await _until_ready(layout, child)
        watching = asyncio.create_task(_die_with(child, asyncio.current_task()), name="stack's end")
        if not headless and _can_draw():
            return await _console(layout)
        return await _journey(layout)
    finally:
        if watching is not None:
            watching.cancel()
        await asyncio.shield(child.stop(patience=_STOP_SECONDS))


async def _until_ready(layout: Layout, child: Child) -> None:
    """Repeat what the stack says of its start, until it is ready.

    Raises:
        Failure, Refusal: it could not start; its own words are in the sentence.
        TimedOut: it is not ready in time.
    """
    deadline = time.monotonic() + _START_SECONDS
    told = 0
    while True:
        lines = _lines(child.log)
        for line in lines[told:]:
            narrate(line)
        told = len(lines)
        if (read_json(layout.state) or {}).get("ready"):
            return
        if not child.running:
            code = await child.wait()
            if code == Ending.REFUSED.exit_code:
                raise Refusal("the stack could not be started", code="STACK_NOT_STARTED")
            raise Failure(f"the stack ended with {code} before it was ready", code="STACK_NOT_STARTED")
        if time.monotonic() > deadline:
            raise TimedOut(f"the stack was not ready within {_START_SECONDS:g} s", code="STACK_NOT_STARTED")
        await asyncio.sleep(0.05)


def _lines(path: Path) -> list[str]:
    """Whole lines only: the last one may still be growing."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()


async def _die_with(child: Child, task: asyncio.Task[object] | None) -> None:
    code = await child.wait()
    narrate(f"✗ the stack's process ended with {code} in the middle of the demo")
    while task is not None and not task.done():
        # Again, where what is under way took it for its own cancellation and goes on to wait for somebody who is gone.
        task.cancel()
        await asyncio.sleep(_CANCEL_AGAIN_SECONDS)


def _can_draw() -> bool:
    """Whether there is a terminal that more than lines can be drawn on."""
    from console.terminal.environment import Terminal

    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(is_terminal(stream) for stream in streams) and Terminal.found(os.environ).can_draw


async def _console(layout: Layout) -> int:
    """The console on this terminal, in a process of its own: what it draws and what ends here stay apart."""
    command = [sys.executable, "-m", "console", "console", "--config", str(layout.profile), "--profile", "local"]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _CONSOLE_SECONDS)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _journey(layout: Layout) -> int:
    from console.local.journey import Journey, Untrue

    profile = load_profile(config=layout.profile, profile="local")
    narrate(f"profile {layout.profile}, gateway {profile.gateway.url}")
    async with Services(profile) as services:
        journey = Journey(services, say, data=layout.root)
        try:
            await journey.run()
        except Untrue as problem:
            say(f"\n✗ {problem}")
            return Ending.FAILED.exit_code
    say("\n✓ every step was true")
    return 0


def _temporary_directory() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="modeldeck-demo-"))
    except OSError as problem:
        raise Refusal(
            f"there is nowhere to put a throwaway stack: {problem.strerror or problem}; nothing was started",
            code="NO_WRITE_PERMISSION",
            then="set TMPDIR to a directory that you may write",
        ) from None
