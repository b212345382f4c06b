"""A week of schedules, with an injected clock: two processes, a database, and providers that do as they like."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from console.guard import Permit
from console.store.engine import Store
from console.sync import pace
from console.sync.providers import specs
from console.sync.schedule import Schedule
from console.sync.types import ProviderOutcome, ProviderReport

from .scheduling import DAY, HOUR, MINUTE, START, Now, report


@dataclass
class World:
    """Providers whose lists change when they like, and processes that sync them and sometimes die."""

    chance: random.Random
    now: Now = field(default_factory=Now)
    versions: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    seen: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: -1))
    changed_at: dict[str, datetime] = field(default_factory=dict)
    busy: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    runs: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    left_alone_until: dict[str, datetime] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    lags: list[timedelta] = field(default_factory=list)

    def begin(self, slug: str, ends: datetime) -> None:
        """A sync begins: nobody else may be at it, and it may not be asked too early."""
        until = self.busy.get(slug)
        assert until is None or until[1] <= self.now.at, f"{slug} is synced twice at once"
        assert self.left_alone_until.get(slug, START) <= self.now.at, f"{slug} asked to be left alone"
        assert slug not in self.paused
        self.busy[slug] = (self.now.at, ends)
        self.runs[slug].append(self.now.at)

    def answer(self, slug: str) -> ProviderReport:
        """What the provider says at the end of a sync."""
        dice = self.chance.random()
        if dice < 0.03:
            return report(slug, ProviderOutcome.UNREACHABLE)
        if dice < 0.05:
            asked = self.now.at + timedelta(minutes=self.chance.randrange(5, 300))
            self.left_alone_until[slug] = asked
            return report(slug, ProviderOutcome.REFUSED, code="RATE_LIMITED", retry_at=asked)
        if self.seen[slug] == self.versions[slug]:
            return report(slug, ProviderOutcome.UNCHANGED)
        self.seen[slug] = self.versions[slug]
        if slug in self.changed_at:
            self.lags.append(self.now.at - self.changed_at.pop(slug))
        return report(slug)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.soak)])
async def test_a_week_loses_no_change_and_never_syncs_a_provider_twice_at_once(
    store: Store, permit: Permit, seed: int
) -> None:
    """Two processes on one database; syncs take up to three minutes, fail, are rate-limited; processes die midway."""
    world = World(random.Random(seed))
    chance = world.chance
    slugs = [spec.slug for spec in specs()]
    lively, still = slugs[:20], slugs[20:]  # the last six never change
    schedules = [
        Schedule(store, specs(), clock=world.now, chance=chance.random, holder=name) for name in ("one", "two")
    ]
    number = itertools.count()
    events: list[tuple[datetime, int, str, Any]] = []

    def at(moment: datetime, kind: str, what: Any = None) -> None:
        heapq.heappush(events, (moment, next(number), kind, what))

    end = START + 7 * DAY
    for offset, process in ((0, 0), (7, 1)):
        at(START + timedelta(seconds=offset), "look", process)
    for _ in range(600):
        at(START + 6.4 * DAY * chance.random(), "change", chance.choice(lively))
    for slug in ("near", "groq"):
        at(START + 2 * DAY, "pause", slug)
        at(START + 3 * DAY, "resume", slug)

    while events and events[0][0] <= end:
        world.now.at, _, kind, what = heapq.heappop(events)
        match kind:
            case "look":
                for claim in await schedules[what].claim_due(permit, most=4):
                    takes = timedelta(seconds=chance.randrange(1, 100))
                    world.begin(claim.provider, world.now.at + takes)
                    dies = chance.random() < 0.02
                    at(world.now.at + takes, "died" if dies else "finished", (what, claim))
                at(world.now.at + timedelta(seconds=300), "look", what)
            case "finished":
                process, claim = what
                assert await schedules[process].finished(permit, claim, world.answer(claim.provider)) is not None
            case "died":
                pass  # nothing is said: the claim has to run out
            case "change":
                world.versions[what] += 1
                world.changed_at.setdefault(what, world.now.at)
            case "pause":
                await schedules[0].pause(permit, what)
                at(world.now.at + timedelta(seconds=101), "paused", what)  # what is running may end
            case "paused":
                world.paused.add(what)
            case "resume":
                world.paused.discard(what)
                await schedules[1].resume(permit, what)

    assert {slug: world.seen[slug] for slug in lively} == {slug: world.versions[slug] for slug in lively}
    assert max(world.lags) < 30 * HOUR
    for slug, spec in ((spec.slug, spec) for spec in specs()):
        began = world.runs[slug]
        gaps = [later - earlier for earlier, later in itertools.pairwise(began)]
        pause = DAY if slug in ("near", "groq") else timedelta(0)
        assert max(gaps) <= DAY + 15 * MINUTE + pause, slug  # the daily run
        # A day of a provider that never changes has at most a quarter of the runs that its tier allows.
        if slug in still:
            last_day = [moment for moment in began if moment >= end - 2 * DAY]
            assert len(last_day) <= 2 * (DAY / (pace.SLOWEST * spec.tier.interval * (1 - pace.SPREAD)) + 3), slug
