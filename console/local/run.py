"""``modeldeck run``: the stack's process. It ends on SIGTERM, SIGINT and SIGHUP."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
from pathlib import Path
from typing import Literal

from console.config import data_home
from console.local.layout import Layout
from console.local.logs import log_to
from console.local.stack import Stack
from console.outcome import ModeldeckError, Refusal
from console.terminal.text import narrate

log = logging.getLogger("modeldeck.run")


async def run_stack(
    data: Path | None,
    *,
    durable: bool,
    gateway_port: int | None,
    models: int | None,
    limits_fail: Literal["open", "closed"],
) -> int:
    """Run the stack until told to end; returns the exit code."""
    layout = Layout(data or data_home() / "stack")
    layout.create()
    _lock(layout)
    log_to(layout.log("run"))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(name, stopping.set)
    stack = Stack(layout, durable=durable, gateway_port=gateway_port, models=models, limits_fail=limits_fail)
    starting = asyncio.create_task(stack.start(narrate), name="start")
    stopped = asyncio.create_task(stopping.wait(), name="stopping")
    code = 0
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            serving = asyncio.create_task(stack.serve(), name="serve")
            await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
    except ModeldeckError as problem:
        narrate(f"✗ {problem}")
        if problem.then:
            narrate(f"  next: {problem.then}")
        log.error("%s", problem)  # noqa: TRY400 - the sentence says it all
        code = problem.ending.exit_code
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await stack.stop()
        stopped.cancel()
    return code


def _lock(layout: Layout) -> None:
    """One process a directory. The lock is never let go: it ends with the process, so that whoever waits for it
    waits for the process too.

    Raises:
        Refusal: another one has it.
    """
    descriptor = os.open(layout.lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Refusal(
            f"a stack runs on {layout.root} already; nothing was started",
            code="STACK_RUNS",
            status=409,
            then="modeldeck status",
        ) from None


def is_locked(layout: Layout) -> bool:
    """Whether a stack runs on this directory."""
    try:
        descriptor = os.open(layout.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
