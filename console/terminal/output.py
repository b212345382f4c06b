"""Bytes on their way to a terminal that may be slow, or gone: nobody who writes ever waits."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

BEHIND_BYTES = 4096
"""From so many unsent bytes on, a terminal is behind, and screen updates are held until it has caught up."""
_CHUNK = 4096


class Output:
    """A thread that writes to a file descriptor.

    Only screen updates are big, and the display holds them while the terminal is `behind`; so what waits here stays
    small without anybody being blocked.

    on_gone   called once, from the thread, when the terminal is no longer there
    """

    def __init__(self, descriptor: int, *, on_gone: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_gone = on_gone
        self._waiting: deque[bytes] = deque()
        self._pending = 0
        self._ended = False
        self._callbacks: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="terminal-output", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def pending(self) -> int:
        """Bytes that the terminal has not taken yet."""
        return self._pending

    @property
    def behind(self) -> bool:
        return self._pending >= BEHIND_BYTES

    def write(self, data: bytes) -> None:
        """Send; returns at once. After `close`, and when the terminal is gone, it does nothing."""
        with self._changed:
            if self._ended or not data:
                return
            self._waiting.append(data)
            self._pending += len(data)
            self._changed.notify_all()

    def when_caught_up(self, callback: Callable[[], None]) -> bool:
        """Call back, from the thread, when the terminal is no longer behind; False where it is not behind now."""
        with self._changed:
            if not self.behind:
                return False
            self._callbacks.append(callback)
            return True

    def close(self, *, within: float) -> bool:
        """Send what waits, then end; False where the terminal did not take it in so many seconds."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(within)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
            try:
                self._send(data)
            except OSError:
                # A hang-up. There is nobody left to tell on this line.
                with self._changed:
                    self._ended = True
                    self._waiting.clear()
                    self._pending = 0
                self._on_gone()
                return

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view[:_CHUNK])
            view = view[written:]
            with self._changed:
                self._pending -= written
                ready = [] if self.behind else self._callbacks
                self._callbacks = self._callbacks if self.behind else []
            for callback in ready:
                callback()
