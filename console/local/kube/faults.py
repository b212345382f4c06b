"""Fault switches, for tests of those who use the server. They are methods of `KubeServer` and nothing else: no request
can reach them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from console.local.kube.status import ApiError

_REASONS = {409: "Conflict", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


@dataclass(slots=True)
class Failure:
    """What the next writes answer. ``after_commit``: the write is done all the same, and its answer is lost."""

    times: int
    status: int
    resource: str
    after_commit: bool


@dataclass(slots=True)
class Faults:
    """``delay_seconds`` comes before every answer but those of health checks."""

    delay_seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def fail_next_writes(
        self, times: int, *, status: int = 500, resource: str = "", after_commit: bool = False
    ) -> None:
        """Let the next writes fail, of one resource (``secrets``) or of any."""
        self.failures.append(Failure(times, status, resource, after_commit))

    def clear(self) -> None:
        self.delay_seconds = 0.0
        self.failures.clear()

    async def delay(self) -> None:
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)

    def write(self, resource: str, *, committed: bool) -> None:
        """Called before and after each write; raises what is due."""
        for failure in self.failures:
            if failure.times > 0 and failure.resource in ("", resource) and failure.after_commit is committed:
                failure.times -= 1
                reason = _REASONS.get(failure.status, "Unknown")
                raise ApiError(failure.status, reason, f"fault switch: {failure.status} for {resource}")
