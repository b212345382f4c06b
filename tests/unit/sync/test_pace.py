"""When a provider is due again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.sync import pace
from console.sync.types import ProviderOutcome, ProviderReport

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def due(
    outcome: ProviderOutcome,
    *,
    quiet: int = 0,
    failures: int = 0,
    chance: float = 0.5,
    retry_at: datetime | None = None,
    code: str = "",
) -> pace.Due:
    report = ProviderReport("groq", outcome, "…", code, retry_at=retry_at)
    return pace.after(report, interval=HOUR, quiet=quiet, failures=failures, now=NOW, chance=chance)


def test_a_list_that_changes_is_looked_at_after_its_interval() -> None:
    for outcome in (ProviderOutcome.OK, ProviderOutcome.SUSPICIOUS):
        found = due(outcome, quiet=30, failures=7)
        assert (found.at, found.quiet, found.failures) == (NOW + HOUR, 0, 0)


def test_a_list_that_never_changes_is_looked_at_less_often_up_to_four_times_its_interval() -> None:
    hours = [(due(ProviderOutcome.UNCHANGED, quiet=quiet).at - NOW) / HOUR for quiet in range(20)]
    assert hours[:4] == [1, 1, 1, 2]
    assert hours[7] == 3
    assert hours[11:] == [4] * 9
    assert due(ProviderOutcome.UNCHANGED, quiet=11).reason == "unchanged 12 times in a row"


def test_one_that_fails_is_backed_off_from_up_to_a_day() -> None:
    hours = [(due(ProviderOutcome.UNREACHABLE, failures=failures).at - NOW) / HOUR for failures in range(8)]
    assert hours == [1, 2, 4, 8, 16, 24, 24, 24]
    assert due(ProviderOutcome.REFUSED, failures=2).reason == "refused 3 times in a row"
    weekly = ProviderReport("groq", ProviderOutcome.UNREACHABLE, "…")
    slow = pace.after(weekly, interval=timedelta(days=7), quiet=0, failures=3, now=NOW, chance=0.5)
    assert slow.at == NOW + timedelta(days=7)


def test_one_that_somebody_has_to_do_something_about_waits_longer() -> None:
    for outcome in (ProviderOutcome.NO_CREDENTIALS, ProviderOutcome.NO_LIST):
        assert due(outcome).at == NOW + 4 * HOUR


def test_another_run_of_the_same_provider_is_no_failure() -> None:
    found = due(ProviderOutcome.REFUSED, failures=2, quiet=5, code="SYNC_RUNNING")
    assert (found.at, found.failures, found.quiet) == (NOW + HOUR, 2, 5)


def test_a_retry_after_is_honoured_to_the_second_and_kept() -> None:
    asked = NOW + timedelta(hours=30)
    for chance in (0.0, 0.5, 1.0):
        found = due(ProviderOutcome.REFUSED, retry_at=asked, chance=chance)
        assert found.not_before == asked
        assert asked <= found.at <= asked + HOUR
    soon = due(ProviderOutcome.REFUSED, retry_at=NOW + timedelta(minutes=1))
    assert soon.at == NOW + HOUR  # it asks for less than we leave it alone for anyway


@given(st.sampled_from(list(ProviderOutcome)), st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0, 1))
def test_it_is_never_before_nine_tenths_of_the_interval_nor_beyond_a_day_and_a_tenth(
    outcome: ProviderOutcome, quiet: int, failures: int, chance: float
) -> None:
    found = due(outcome, quiet=quiet, failures=failures, chance=chance)
    assert 0.9 * HOUR <= found.at - NOW <= 1.1 * timedelta(days=1)
    assert found.reason


@pytest.mark.parametrize(("chance", "minutes"), [(0.0, 54), (0.5, 60), (1.0, 66)])
def test_the_times_are_spread_by_a_tenth(chance: float, minutes: int) -> None:
    assert due(ProviderOutcome.OK, chance=chance).at == NOW + timedelta(minutes=minutes)
