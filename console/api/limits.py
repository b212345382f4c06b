"""How often somebody may ask: a bucket for each caller, in memory, bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_CALLERS = 10_000


class Buckets:
    """A token bucket for each caller.

    Args:
        per_second: how fast a bucket fills
        burst: how much it holds
    """

    def __init__(self, per_second: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_second
        self._burst = float(burst)
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float | None:
        """None where the caller may; else the seconds until he may again."""
        now = self._clock()
        level, at = self._levels.pop(caller, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        allowed = level >= 1
        self._levels[caller] = (level - 1 if allowed else level, now)
        if len(self._levels) > _MOST_CALLERS:
            self._levels.popitem(last=False)
        return None if allowed else (1 - level) / self._rate
