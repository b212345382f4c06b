"""Says that another try is needed: which provider, why, and how long until then.

In place of stamina's own line in the log, which names none of them.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable

from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from console.sync.problems import FetchProblem

Retrying = Callable[[FetchProblem, float], None]
"""Told why, and the seconds until the next try."""
listener: contextvars.ContextVar[Retrying | None] = contextvars.ContextVar("listener", default=None)
"""Who is told of the tries of the running task."""


def _retried(details: RetryDetails) -> None:
    told = listener.get()
    if told is not None and isinstance(details.caused_by, FetchProblem):
        told(details.caused_by, details.wait_for)


set_on_retry_hooks([_retried])
