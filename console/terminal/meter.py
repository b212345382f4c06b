"""How much goes over the line to the terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 5.0


class LinkMeter:
    """Bytes and frames that were sent.

    bytes_sent   since the start, escape sequences included
    frames       screen updates that were sent
    held         screen updates that a slow terminal made part of a later one
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, int]] = deque(maxlen=4096)
        self.bytes_sent = 0
        self.frames = 0
        self.held = 0

    def sent(self, count: int) -> None:
        self.bytes_sent += count
        self._recent.append((self._clock(), count))

    def rate(self) -> float:
        """Bytes per second over the last five seconds."""
        since = self._clock() - WINDOW_SECONDS
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()
        return sum(count for _, count in self._recent) / WINDOW_SECONDS
