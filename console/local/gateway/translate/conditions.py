"""Conditions as the translation says them: without times, which only their writer knows (statuses.py)."""

from __future__ import annotations

from typing import Any

Condition = dict[str, Any]
_LONGEST_MESSAGE = 32_768


def condition(kind: str, holds: bool | None, reason: str, message: str, generation: int) -> Condition:
    """One ``metav1.Condition``; ``holds`` None is Unknown."""
    return {
        "type": kind,
        "status": "Unknown" if holds is None else str(holds),
        "reason": reason,
        "message": message[:_LONGEST_MESSAGE],
        "observedGeneration": generation,
    }


def sentence(message: str) -> str:
    """The message as a sentence: conditions are read by people."""
    text = message[:1].upper() + message[1:] if not message.startswith("spec") else message
    return text if text.endswith((".", "!", "?")) else text + "."


def is_true(conditions: list[Condition], kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)
