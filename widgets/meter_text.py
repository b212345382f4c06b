"""Numbers as people compare them: counts, sizes, ages in steps, durations, prices, bars.

Ages move in steps and never tick by the second, so that a screen on which nothing happens sends nothing.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from widgets.theme import sign

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def grouped(number: int | None) -> str:
    """``4,812``; … for what is not known."""
    return sign("more") if number is None else f"{number:,}"


def compact(number: float | None) -> str:
    """``999``, ``131k``, ``2.0M``, ``1.2B``: at most five cells; … for what is not known."""
    if number is None:
        return sign("more")
    if number < 0:
        return f"-{compact(-number)}"
    if number < 1000:
        return f"{number:.0f}" if number == int(number) else f"{number:.1f}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("B", 1e9)):
        scaled = number / size
        if scaled < 9.95 and unit != "k":
            return f"{scaled:.1f}{unit}"
        if scaled < 999.5:
            return f"{scaled:.0f}{unit}"
    return f"{number / 1e9:.0f}B"


def age(seconds: float | None) -> str:
    """How long ago: ``now``, ``10 s`` (in tens), ``4 m``, ``3 h``, ``2 d``; … for what is not known."""
    if seconds is None:
        return sign("more")
    if seconds < 10:
        return "now"
    if seconds < _MINUTE:
        return f"{int(seconds // 10) * 10} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} m"
    if seconds < 2 * _DAY:
        return f"{int(seconds // _HOUR)} h"
    return f"{int(seconds // _DAY)} d"


def next_age_step(seconds: float) -> float:
    """Seconds until `age` says something else: when a screen has to be drawn again, and not before."""
    if seconds < _MINUTE:
        step = 10
    elif seconds < _HOUR:
        step = _MINUTE
    else:
        step = _HOUR if seconds < 2 * _DAY else _DAY
    return step - seconds % step


def elapsed(seconds: float) -> str:
    """How long something took: ``0.1 s``, ``12 s``, ``3:20``, ``1:02:05``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    return clock(seconds)


def clock(seconds: float) -> str:
    """What is left of a wait: ``9:41``, ``1:02:05``; never below zero."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, _HOUR)
    minutes, second = divmod(rest, _MINUTE)
    return f"{hours}:{minutes:02}:{second:02}" if hours else f"{minutes}:{second:02}"


def price(usd: Decimal | None, state: str) -> str:
    """A price per 1M tokens: ``0.59``, ``free``, ``dyn``, or … where it is not known; a price is never shown as 0.

    Args:
        usd: the exact amount, None where there is none
        state: ``known``, ``free``, ``dynamic`` or ``unknown``
    """
    if state == "free":
        return "free"
    if state == "dynamic":
        return "dyn"
    if state != "known" or usd is None:
        return sign("more")
    if usd >= 100:
        return f"{usd:,.0f}"
    if usd >= Decimal("0.1"):
        return f"{usd:.2f}"
    short = usd.quantize(Decimal("0.0001"), ROUND_HALF_EVEN)
    if not short:
        return "<0.0001"
    text = f"{short:f}".rstrip("0")
    return text.ljust(4, "0")  # two places at least, as in 0.05


def percent(part: float, whole: float) -> str:
    """``0.2 %``; … where there is nothing to compare with."""
    if whole <= 0:
        return sign("more")
    value = 100 * part / whole
    return f"{value:.1f} %" if 0 < value < 10 else f"{value:.0f} %"


def bar(done: int, total: int | None, width: int) -> str:
    """A bar of so many cells; empty where the end is not known."""
    filled = 0 if not total else min(width, width * done // total)
    return sign("filled") * filled + sign("empty") * (width - filled)
