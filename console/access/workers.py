"""Several workers of a service on one port: started, restarted when they die, replaced one by one on SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Sequence

from console.outcome import counted
from console.terminal.text import narrate

_READY_SECONDS = 15.0
_DRAIN_SECONDS = 10.0
_BACKOFF_SECONDS = (0.5, 15.0)
_LIVED_SECONDS = 30.0
"""A worker that lived this long did not die of its start."""


class Workers:
    """The processes that share a port (SO_REUSEPORT); the kernel hands connections out among them.

    Args:
        command: what starts one worker; it says ``ready`` on its standard output when it may decide, and ends when
            its standard input does, so that it does not outlive this process
    """

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._command = list(command)
        self._count = count
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._started: list[asyncio.subprocess.Process] = []
        self._replacing = asyncio.Lock()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Keep them going until SIGTERM or SIGINT; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        replacing: set[asyncio.Task[None]] = set()

        def replace() -> None:
            task = asyncio.create_task(self.replace_all())
            replacing.add(task)
            task.add_done_callback(replacing.discard)

        loop.add_signal_handler(signal.SIGHUP, replace)
        keepers = [asyncio.create_task(self._keep(place)) for place in range(self._count)]
        await self._stopping.wait()
        for task in (*keepers, *replacing):
            task.cancel()
        await asyncio.gather(*keepers, *replacing, return_exceptions=True)
        # All that were ever started: one that was being replaced is in no place any more.
        await asyncio.gather(*(self._end(process) for process in self._started))
        return 0

    async def replace_all(self) -> None:
        """Each worker by a new one: the new one is ready before the old one is told to go."""
        async with self._replacing:
            for place in range(self._count):
                old = self._processes.get(place)
                new = await self._start()
                if new is None:
                    narrate(f"worker {place} was not replaced: its successor was not ready in time; the old one stays")
                    return
                self._processes[place] = new
                if old is not None:
                    await self._end(old)
            narrate(f"{counted(self._count, 'worker')} replaced")

    async def _keep(self, place: int) -> None:
        delay = _BACKOFF_SECONDS[0]
        while True:
            began = time.monotonic()
            if place not in self._processes:
                process = await self._start()
                if process is not None:
                    self._processes[place] = process
            running = self._processes.get(place)
            if running is not None:
                code = await running.wait()
                if self._processes.get(place) is not running:
                    continue  # it was replaced
                del self._processes[place]
                self._started.remove(running)
                narrate(f"worker {place} ended with {code}, and is started again")
            delay = (
                _BACKOFF_SECONDS[0]
                if time.monotonic() - began > _LIVED_SECONDS
                else min(delay * 2, _BACKOFF_SECONDS[1])
            )
            await asyncio.sleep(delay)

    async def _start(self) -> asyncio.subprocess.Process | None:
        """A worker that may decide; None where it is not there in time."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe)
        self._started.append(process)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_READY_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            line = b""
        except asyncio.CancelledError:
            await self._end(process)
            raise
        if line.strip() != b"ready":
            await self._end(process)
            return None
        return process

    @staticmethod
    async def _end(process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _DRAIN_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def worker_command(
    service: str, listen: str, config: str | None, profile: str | None, *, grpc: str | None = None
) -> list[str]:
    """What starts one worker of a service (``authz``, ``limiter``) as a process of its own."""
    command = [sys.executable, "-m", "console", service, "--listen", listen, "--tell-ready"]
    for flag, value in (("--grpc", grpc), ("--config", config), ("--profile", profile)):
        command += [flag, value] if value else []
    return command
