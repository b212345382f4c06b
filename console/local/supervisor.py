"""Keeps the parts of the stack running, and says how they are.

A part that ends is started again, after a pause that doubles up to ten seconds; one that does not answer its health
check for a while counts as ended. What it found last is written to ``stack.json`` for everybody to read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.local.layout import write_json
from console.outcome import ModeldeckError, counted

log = logging.getLogger("modeldeck.stack")

CHECK_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_PAUSES_SECONDS = (0.2, 10.0)
_UNHEALTHY_CHECKS = 5


@dataclass(slots=True)
class Part:
    """One part of the stack.

    health   answers with a short description, or raises a `ModeldeckError` that says what is wrong
    ended    whether its process is gone; False where it has none of its own
    """

    name: str
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]
    health: Callable[[], Awaitable[str]]
    ended: Callable[[], bool]
    pid: Callable[[], int | None] = lambda: None
    state: str = "starting"
    detail: str = ""
    restarts: int = 0
    _pause: float = field(default=_PAUSES_SECONDS[0])
    _not_before: float = 0.0
    _bad_checks: int = 0

    async def check(self) -> None:
        """Look once, and start it again where it is gone."""
        if self.ended():
            await self._restart("it ended")
            return
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                self.detail = await self.health()
        except (ModeldeckError, TimeoutError) as problem:
            self._bad_checks += 1
            self.state = "down"
            self.detail = str(problem) or f"no answer within {_ANSWER_SECONDS:g} s"
            if self._bad_checks >= _UNHEALTHY_CHECKS:
                await self._restart(f"it did not answer {_UNHEALTHY_CHECKS} times")
            return
        self._bad_checks = 0
        self._pause = _PAUSES_SECONDS[0]
        self.state = "ok"

    async def _restart(self, why: str) -> None:
        now = time.monotonic()
        self.state = "restarting"
        self.detail = why
        if now < self._not_before:
            return
        self._not_before = now + self._pause
        self._pause = min(self._pause * 2, _PAUSES_SECONDS[1])
        self._bad_checks = 0
        self.restarts += 1
        log.warning("%s: %s; starting it again", self.name, why)
        try:
            await self.stop()
            await self.start()
        except (ModeldeckError, OSError) as problem:
            self.state = "down"
            self.detail = str(problem)
            log.error("%s could not be started: %s", self.name, problem)  # noqa: TRY400 - the sentence says it all

    def as_json(self) -> dict[str, Any]:
        restarted = f", restarted {counted(self.restarts, 'time')}" if self.restarts else ""
        return {"state": self.state, "detail": self.detail + restarted, "pid": self.pid(), "restarts": self.restarts}


class Supervisor:
    """Watches parts until it is cancelled; stops them in reverse order of their start."""

    def __init__(self, state: Path) -> None:
        self.parts: list[Part] = []
        self._state = state
        self._more: dict[str, Any] = {}

    async def start(self, part: Part) -> None:
        """Start a part and take it into care."""
        self.parts.append(part)
        await part.start()
        part.state, part.detail = "ok", "started"

    async def watch(self) -> None:
        """Check every part once a second, each apart from the others."""
        while True:
            await asyncio.gather(*(part.check() for part in self.parts))
            self.write()
            await asyncio.sleep(CHECK_SECONDS)

    def write(self, **more: Any) -> None:
        """Write down how the parts are. What else is said (``ready``) is said from then on."""
        self._more |= more
        document = {"pid": os.getpid(), "at": time.time(), "parts": {part.name: part.as_json() for part in self.parts}}
        try:
            write_json(self._state, document | self._more)
        except OSError as problem:  # a full disk must not stop the parts
            log.error("the state cannot be written: %s", problem)  # noqa: TRY400 - the sentence says it all

    async def stop(self) -> None:
        for part in reversed(self.parts):
            try:
                await part.stop()
            except (ModeldeckError, OSError):
                log.exception("%s did not stop in order", part.name)
