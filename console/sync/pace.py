"""When a provider is due again, worked out from what came of the last time. Pure: no database, no clock, no chance.

    ok, suspicious           after its interval
    unchanged                after its interval; every four such runs in a row, after one interval more, up to four
    asked to be left alone   not before that (Retry-After), whatever else holds
    no list, no credentials  after four times its interval: somebody has to do something first
    anything else            after its interval, twice it, four times it, … up to a day

Everything is spread by up to a tenth, so that providers that began together do not stay together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from console.sync.types import ProviderOutcome, ProviderReport

SLOWEST = 4  # times its interval, where a list never changes
QUIET = 4  # runs in a row without a change that make it slower by one interval
LONGEST = timedelta(days=1)
SPREAD = 0.1
_WAITING = (ProviderOutcome.NO_CREDENTIALS, ProviderOutcome.NO_LIST)
_TAKEN = (ProviderOutcome.OK, ProviderOutcome.SUSPICIOUS)


@dataclass(frozen=True, slots=True)
class Due:
    """When, and why then.

    not_before  what the provider asked for; nothing but an operator goes below it
    quiet       runs in a row that changed nothing; ``failures``: that got no list
    """

    at: datetime
    reason: str
    quiet: int = 0
    failures: int = 0
    not_before: datetime | None = None


def after(
    report: ProviderReport, *, interval: timedelta, quiet: int, failures: int, now: datetime, chance: float
) -> Due:
    """When the provider of this report is due again.

    Args:
        quiet, failures: as they were before this report
        chance: from 0 to 1, which spreads
    """
    if report.outcome in _TAKEN:
        quiet, failures, wait, reason = 0, 0, interval, "its list changes"
    elif report.outcome is ProviderOutcome.UNCHANGED:
        quiet, failures = quiet + 1, 0
        times = slower(quiet)
        wait, reason = interval * times, f"unchanged {quiet} times in a row" if times > 1 else "unchanged"
    elif report.outcome in _WAITING:
        quiet, failures, wait, reason = 0, failures + 1, interval * SLOWEST, report.outcome.value
    elif report.code == "SYNC_RUNNING":
        wait, reason = interval, "another run has it"
    else:
        failures += 1
        wait = backed_off(interval, failures)
        reason = f"{report.outcome.value} {failures} times in a row" if failures > 1 else report.outcome.value
    at = now + wait * (1 - SPREAD + 2 * SPREAD * chance)
    asked = report.retry_at
    if asked is not None and asked > at:
        at, reason = asked + wait * SPREAD * chance, "it asked to be left alone until then"
    return Due(at, reason, quiet, failures, asked)


def slower(quiet: int) -> int:
    """How many intervals lie between two looks at a list that did not change so often in a row."""
    return min(SLOWEST, 1 + quiet // QUIET)


def backed_off(interval: timedelta, failures: int) -> timedelta:
    """The wait after so many failures in a row: doubled each time, up to a day, and never below the interval."""
    doubled: timedelta = interval * (1 << min(failures - 1, 16))
    return max(interval, min(LONGEST, doubled))
