"""What has happened to a key, in order: issued, in effect, proven, draining, ended, and by whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from console.access.used import Use
from console.keys.types import Key, text_of
from console.operations.types import OperationRecord, OperationState


def timeline(
    key: Key, operations: Sequence[OperationRecord], uses: Mapping[str, Use] | None, now: datetime
) -> list[dict[str, Any]]:
    """Events, the oldest first: ``{at, what, detail, by}``. ``uses`` None: how much is used is not known."""
    events = [*_of_operations(operations, now), *_of_generations(key, uses, now)]
    return [
        {"at": text_of(at), "what": what, "detail": detail, "by": by}
        for at, what, detail, by in sorted(events, key=lambda event: event[0])
    ]


_Event = tuple[datetime, str, str, str]


def _of_operations(operations: Sequence[OperationRecord], now: datetime) -> Iterable[_Event]:
    for one in operations:
        verb = one.kind.removeprefix("keys.")
        if one.state is OperationState.DONE and one.ended_at is not None:
            # A summary is what was proven, a finding a line.
            for finding in filter(None, one.summary.split("; ")):
                yield one.ended_at, verb, finding, one.actor
        else:
            yield one.ended_at or one.created_at, verb, f"{one.shown_state(now)}: {one.summary or 'no word'}", one.actor


def _of_generations(key: Key, uses: Mapping[str, Use] | None, now: datetime) -> Iterable[_Event]:
    for one in key.generations:
        number = f"generation {one.number}"
        yield one.issued_at, "issued", number, ""
        ended = one.revoked_at or (one.not_after if one.not_after and one.not_after <= now else None)
        if ended is not None:
            yield ended, "ended", number, ""
        elif one.not_after is not None:
            left = round((one.not_after - now).total_seconds())
            use = uses.get(one.digest) if uses is not None else None
            yield now, "draining", f"{number} for {_span(left)} more, {_last(use, uses, now)}", ""


def _span(seconds: int) -> str:
    """Roughly how long: ``40 s``, ``19 min``, ``5 h``."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _last(use: Use | None, uses: Mapping[str, Use] | None, now: datetime) -> str:
    if uses is None:
        return "and when it was last used is not known"
    if use is None:
        return "never used"
    ago = max(0, round((now - use.at).total_seconds()))
    return f"last used {ago} s ago by {use.client or 'an unknown address'}"
