"""What is put right when the process ends, also where it ends without unwinding."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable

_actions: list[Callable[[], None]] = []


def at_end(action: Callable[[], None]) -> None:
    """Have something done at the end: once, the last first, from whatever thread ends the process."""
    if action not in _actions:
        _actions.append(action)


def not_at_end(action: Callable[[], None]) -> None:
    """It is done already."""
    with contextlib.suppress(ValueError):
        _actions.remove(action)


def end_now(code: int) -> None:
    """End the process from any thread, whatever the others wait for."""
    _put_right()
    os._exit(code)


@atexit.register
def _put_right() -> None:
    while _actions:
        with contextlib.suppress(Exception):
            _actions.pop()()
