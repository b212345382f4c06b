"""What the tests of the schedule share: a clock that stands still, and words for what came of a sync."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from console.guard import Permit
from console.store.engine import Store
from console.sync.providers import specs
from console.sync.schedule import Claim, Schedule
from console.sync.types import ProviderOutcome, ProviderReport

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass
class Now:
    """A clock that stands still until it is moved."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at


def schedule_of(store: Store, now: Now, *names: str, holder: str = "here", chance: float = 0.5) -> Schedule:
    return Schedule(store, specs(names), clock=now, chance=lambda: chance, holder=holder)


def report(slug: str, outcome: ProviderOutcome = ProviderOutcome.OK, **more: Any) -> ProviderReport:
    return ProviderReport(slug, outcome, "…", **more)


async def first_claim(schedule: Schedule, now: Now, permit: Permit) -> tuple[Claim, ...]:
    """What is due five minutes after the schedule was first looked at, which is all of it."""
    assert await schedule.claim_due(permit, most=9) == ()
    now.at += 5 * MINUTE
    return await schedule.claim_due(permit, most=9)


async def claimed(schedule: Schedule, permit: Permit, most: int = 99) -> list[str]:
    return sorted(claim.provider for claim in await schedule.claim_due(permit, most=most))
