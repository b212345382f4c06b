"""How many examples a property is tried with: as many as a change needs, and `make soak` many times that."""

from __future__ import annotations

import os

_TIMES = int(os.environ.get("EXAMPLES", "1"))


def examples(count: int) -> int:
    return count * _TIMES
