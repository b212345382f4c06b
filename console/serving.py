"""An ASGI application served inside a process that handles its own signals and its own end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process around it."""
        yield


class Serving:
    """One application on one listening socket, from `start` to `stop`.

    Args:
        reuse_port: let several processes share the port (SO_REUSEPORT), the kernel spreading connections
        grace_seconds: how long open requests may still run when it is stopped
    """

    def __init__(
        self,
        application: Any,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        reuse_port: bool = False,
        grace_seconds: int = 3,
        **options: Any,
    ) -> None:
        self._application = application
        self._host = host
        self._port = port
        self._reuse_port = reuse_port
        self._options = {
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "timeout_graceful_shutdown": grace_seconds,
            **options,
        }
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = port

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    async def start(self) -> None:
        """Listen and serve. Returns when it answers.

        Raises:
            OSError: the address cannot be had.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Named TCP, for asyncio switches Nagle off (40 ms an answer) only where it sees the protocol.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._reuse_port and hasattr(socket, "SO_REUSEPORT"):
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((self._host, self._port))
        except OSError:
            listening.close()
            raise
        self.port = listening.getsockname()[1]
        self._server = _Server(uvicorn.Config(self._application, **self._options))
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name=f"serving {self.port}")
        while not self._server.started:
            if self._task.done():
                listening.close()
                self._task.result()
                raise OSError(f"nothing serves on port {self.port}")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Let open requests finish for the grace time, then end."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await asyncio.gather(self._task, return_exceptions=True)
        self._server = self._task = None

    async def ended(self) -> None:
        """Returns when it has ended by itself, which it never should."""
        if self._task is not None:
            await asyncio.wait({self._task})
