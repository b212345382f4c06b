"""Child processes of the embedded stack: started on a leash, logged to a file, watched, restarted.

A `Child` is one process; `Supervisor` (console/local/supervisor.py) decides what happens when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")
_LOG_LIMIT_BYTES = 8 * 1024 * 1024


class Child:
    """One process on a leash.

    The leash is a pipe: when this process closes its end, or dies, the child is ended (console/local/leash.py).
    Standard output and error go to ``log``, which is opened for appending with mode 0600 and put aside as
    ``<log>.1`` when it has grown over 8 MiB by the time of a start.
    """

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log = log
        self.env = dict(env) if env is not None else None
        self._process: asyncio.subprocess.Process | None = None
        self._rope: int | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The leash's process id; the command is its only child."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        if self.running:
            return
        self._let_go()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > _LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_name(self.log.name + ".1"))
        reading, writing = os.pipe()
        log = os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(LEASH),
                str(reading),
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(reading,),
                env=self.env,
                start_new_session=True,  # a Ctrl-C in the terminal is for us to handle, in order
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
            os.close(log)
        self._rope = writing

    async def wait(self) -> int:
        """The exit code, once it has ended (at once where it was never started)."""
        return await self._process.wait() if self._process else 0

    async def stop(self, *, patience: float = 8.0) -> None:
        """End it: SIGTERM by way of the leash, which kills after five seconds; the leash itself after ``patience``."""
        self._let_go()
        if self._process is None or self._process.returncode is not None:
            return
        try:
            async with asyncio.timeout(patience):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    def _let_go(self) -> None:
        if self._rope is not None:
            os.close(self._rope)
            self._rope = None

    def tail(self, lines: int = 12) -> str:
        """The end of its log, for an error report."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, self.log.stat().st_size - 16_384))
                text = stream.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
