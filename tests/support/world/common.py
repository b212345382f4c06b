"""What every answer is made with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from console.outcome import Ending, Outcome, Unavailable
from tests.support.console import NOW

KEY_TEXT = "bud_client_not-a-real-key-only-a-picture-of-one-000000000"
LOST = Unavailable("Redis does not answer at redis://valkey.internal:6379/0", then="press r to look again")
URL = "https://llm.example.com/v1/chat/completions"


def moment(**before: float) -> str:
    """So long before now, as the services write it."""
    return (NOW - timedelta(**before)).isoformat(timespec="seconds")


def listed(rows: list[Any]) -> Outcome:
    return Outcome(Ending.DONE, f"{len(rows)} rows", data=rows)
