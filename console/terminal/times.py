"""A moment in few cells, for tables that have not the room for more."""

from __future__ import annotations

import re
from datetime import datetime

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def short_moment(text: str, now: datetime) -> str:
    """``23:45`` for a moment of today, ``Nov 22 23:45`` of this year, ``Nov 22 2027`` else, all in ``now``'s zone.

    Args:
        text: ISO 8601 with an offset; anything else stays as it is
        now: with a zone
    """
    if not _MOMENT.fullmatch(text):
        return text
    try:
        at = datetime.fromisoformat(text).astimezone(now.tzinfo)
    except (ValueError, OverflowError):  # digits of no calendar
        return text
    day = f"{_MONTHS[at.month - 1]} {at.day}"  # in English whatever the locale, as all else is
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{day} {at:%H:%M}" if at.year == now.year else f"{day} {at.year}"
