"""A sync with all that belongs to it: leases in Redis, the caches that it voids, the schedule, what is forgotten.

The faces and the scheduler come through here, so that a sync is the same whoever asked for it.
"""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from console.catalog import tags
from console.guard import Permit, system_permit
from console.sync import analytics, sentry
from console.sync.engine import Syncer, utc_now
from console.sync.history import last_words
from console.sync.providers import specs
from console.sync.retention import Keep, forget
from console.sync.schedule import Schedule
from console.sync.scheduler import Scheduler
from console.sync.types import Limits, Progress, ProviderReport, ProviderTarget, SyncReport
from console.sync.webhook_book import WebhookBook

if TYPE_CHECKING:
    from console.services import Services

_MANY = 1_000  # rows written at once that change what a database should know of its tables


def targets(services: Services, names: Iterable[str]) -> list[ProviderTarget]:
    """The named providers, or all, each at the address that the profile has for it."""
    links = services.profile.providers
    found = []
    for spec in specs(names):
        link = links.get(spec.slug)
        reference = link.credential if link is not None else None
        found.append(ProviderTarget(spec, link.url if link is not None else None, _place(reference)))
    return found


def _place(reference: str | None) -> str:
    """Where a reference to a secret leads, in words. Paths stay here: what is said of a provider goes over HTTP too."""
    kind, _, name = (reference or "").partition(":")
    return name if kind in ("", "env") else f"the {kind} that the profile names for it"


async def schedule(services: Services) -> Schedule:
    """The schedule of every provider that there is."""
    return Schedule(await services.store(), specs(), clock=utc_now, chance=random.random)


async def sync(
    services: Services,
    permit: Permit,
    wanted: Sequence[ProviderTarget],
    *,
    dry_run: bool = False,
    actor: str = "",
    progress: Callable[[Progress], None] = lambda _: None,
) -> SyncReport:
    """Sync these providers, and tell the caches once of just what changed. Raises as `Syncer.run` does."""
    from console.sync.locks import Locks

    store, limits = await services.store(), Limits()
    before = {} if dry_run else {slug: word.report.outcome for slug, word in (await last_words(store)).items()}
    redis = None if dry_run else await tags.redis_or_none(services)
    locks = Locks(redis, timedelta(seconds=limits.lease_seconds)) if redis is not None else None
    syncer = Syncer(store, credential=lambda spec: services.provider_credential(spec.slug), limits=limits, locks=locks)
    report = await syncer.run(permit, wanted, dry_run=dry_run, actor=actor, progress=progress)
    if not dry_run:
        changed = tags.of_changes(change for provider in report.providers for change in provider.changes)
        if not await tags.void(redis, changed, reason=f"run {report.run_id}"):
            report = dataclasses.replace(report, untold=tags.UNTOLD)
        await analytics.tell(redis, report, before, actor or permit.actor)
        await sentry.tell(report, via=actor or "operator")
        rules = services.profile.sync
        if store.dialect == "postgresql" and report.total.written >= _MANY:
            async with store.writing() as connection:  # or it would plan searches for the catalog of an hour ago
                await connection.execute(sa.text("ANALYZE models"))
        keep = Keep(timedelta(days=rules.history_days), timedelta(days=rules.runs_days))
        await forget(permit, store, keep, now=utc_now())
    return report


async def webhook_book(services: Services) -> WebhookBook:
    """What takes webhooks in, with the profile's secret, else ``MODEL_WEBHOOK_SECRET``; without one it refuses all."""
    reference = services.profile.sync.webhook_secret
    if reference is not None:
        secret = (await services.secret(reference)).get_secret_value()
    else:
        secret = os.environ.get("MODEL_WEBHOOK_SECRET", "")
    redis = await tags.redis_or_none(services)
    return WebhookBook(
        await services.store(), await schedule(services), secret=secret.strip(), redis=redis, clock=utc_now
    )


async def look_after(services: Services) -> None:
    """Sync what is due, until cancelled: what `modeldeck run` does beside everything else."""
    permit = system_permit("sync.schedule")

    async def one(slug: str) -> ProviderReport:
        report = await sync(services, permit, targets(services, [slug]), actor="schedule")
        return report.providers[0]

    await Scheduler(await schedule(services), permit, one).run()
