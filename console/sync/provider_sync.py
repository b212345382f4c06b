"""Syncs one provider: ask, compare, write, and say in one sentence what came of it.

Whatever goes wrong becomes that provider's outcome. The write is one transaction that also holds the provider's line
in the record of the run: what a cancelled or killed run leaves of a provider is all of it, or nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from console.catalog import stored
from console.catalog.stored import State
from console.catalog.write import CatalogWriter
from console.guard import Permit
from console.outcome import ModeldeckError
from console.store.engine import Store
from console.sync.apply import carry_out, provider_facts
from console.sync.collect import Collected, Collector
from console.sync.journal import Journal
from console.sync.plan import Plan, plan_list, plan_not_modified
from console.sync.problems import FetchProblem
from console.sync.providers.base import ProviderSpec
from console.sync.revision import revision
from console.sync.types import Limits, Progress, ProviderOutcome, ProviderReport, ProviderTarget, Stage

if TYPE_CHECKING:
    from pydantic import SecretStr

    from console.sync.fetch import Fetcher

Credential = Callable[[ProviderSpec], "SecretStr | Awaitable[SecretStr | None] | None"]
Tell = Callable[[Progress], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A list, or word that it is the last one again (``collected`` None). ``state``: what to remember of it."""

    state: State
    collected: Collected | None
    body_bytes: int


class ProviderSync:
    """What the providers of one run share."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        credential: Credential,
        clock: Callable[[], datetime],
        limits: Limits,
        tell: Tell,
    ) -> None:
        self._store = store
        self._journal = journal
        self._credential = credential
        self._clock = clock
        self._limits = limits
        self._tell = tell

    async def preview(self, target: ProviderTarget, fetcher: Fetcher) -> ProviderReport:
        """What a sync would do. Writes nothing."""
        started = asyncio.get_running_loop().time()
        try:
            answer = await self._ask(target, fetcher)
            async with self._store.reading() as connection:
                plan = await _planned(connection, target.spec.slug, answer)
            report = _reported(plan, answer)
        except Exception as problem:
            report = self._failed(target.spec, problem)
        return self._finished(report, started)

    async def write(self, permit: Permit, run_id: int, target: ProviderTarget, fetcher: Fetcher) -> ProviderReport:
        """Take the list over into the catalog."""
        started = asyncio.get_running_loop().time()
        try:
            answer = await self._ask(target, fetcher)
            return await self._take_over(permit, run_id, target.spec, answer, started)
        except Exception as problem:
            report = self._finished(self._failed(target.spec, problem), started)
            await self._close_without_list(permit, run_id, target.spec, report)
            return report

    async def _ask(self, target: ProviderTarget, fetcher: Fetcher) -> _Answer:
        from console.sync.fetch import Validators

        spec = target.spec
        if spec.list_path is None:
            raise FetchProblem(ProviderOutcome.NO_LIST, "NO_LIST_API", f"{spec.name} publishes no list of its models")
        self._tell(Progress(spec.slug, Stage.FETCHING))
        url, reading = spec.list_url(target.base_url), revision(spec)
        async with self._store.reading() as connection:
            last = await stored.state(connection, spec.slug)
        known = Validators()
        if last is not None and (last.list_url, last.revision) == (url, reading):
            known = Validators(last.etag, last.last_modified)
        authorization = await fetcher.authorize(spec, await self._look_up(spec), target.credential)
        collector = Collector(spec, secrets=authorization.secrets, keep=self._limits.rejects_kept)

        def new_collector() -> Collector:
            nonlocal collector
            collector = Collector(spec, secrets=authorization.secrets, keep=self._limits.rejects_kept)
            return collector

        def heard(body_bytes: int) -> None:
            self._tell(Progress(spec.slug, Stage.FETCHING, collector.records, body_bytes))

        def retrying(problem: FetchProblem, seconds: float) -> None:
            self._tell(Progress(spec.slug, Stage.RETRYING, seconds=seconds, why=problem.sentence))

        fetched = await fetcher.fetch(
            spec,
            url,
            authorization=authorization,
            known=known,
            new_sink=new_collector,
            heard=heard,
            retrying=retrying,
        )
        state = State(fetched.validators.etag, fetched.validators.last_modified, url, reading, 0)
        collected = None if fetched.not_modified else collector.collected()
        return _Answer(state, collected, fetched.body_bytes)

    async def _look_up(self, spec: ProviderSpec) -> SecretStr | None:
        try:
            found = self._credential(spec)
            return await found if isinstance(found, Awaitable) else found
        except ModeldeckError as problem:
            raise FetchProblem(
                ProviderOutcome.NO_CREDENTIALS,
                problem.code or "NO_CREDENTIALS",
                f"{problem}; {spec.name} was not asked",
            ) from problem

    async def _take_over(
        self, permit: Permit, run_id: int, spec: ProviderSpec, answer: _Answer, started: float
    ) -> ProviderReport:
        async with self._store.writing() as connection:
            self._tell(Progress(spec.slug, Stage.WRITING, body_bytes=answer.body_bytes))
            now = self._clock()
            await self._journal.hold(connection, run_id, spec.slug)
            await CatalogWriter(permit, connection, spec.slug, now=now, run_id=run_id).describe_provider(
                provider_facts(spec)
            )
            plan = await _planned(connection, spec.slug, answer)
            held = await carry_out(permit, connection, spec, plan, run_id=run_id, now=now)
            report = self._timed(replace(_reported(plan, answer), held=held), started)
            await self._journal.close(connection, run_id, report)
        self._tell(Progress(spec.slug, Stage.FINISHED, report.counts.fetched, report.body_bytes, report.outcome))
        return report

    async def _close_without_list(
        self, permit: Permit, run_id: int, spec: ProviderSpec, report: ProviderReport
    ) -> None:
        """Write down that there was nothing to take over. Where even that fails, the report still says so."""
        with contextlib.suppress(ModeldeckError, SQLAlchemyError):
            async with self._store.writing() as connection:
                await self._journal.hold(connection, run_id, spec.slug)
                writer = CatalogWriter(permit, connection, spec.slug, now=self._clock(), run_id=run_id)
                await writer.describe_provider(provider_facts(spec))
                await self._journal.close(connection, run_id, report)

    def _failed(self, spec: ProviderSpec, problem: Exception) -> ProviderReport:
        if isinstance(problem, FetchProblem):
            retry_at = None if problem.wait is None else self._clock() + timedelta(seconds=problem.wait)
            sentence = f"{problem.sentence}; the catalog is unchanged"
            return ProviderReport(spec.slug, problem.outcome, sentence, problem.code, retry_at=retry_at)
        if isinstance(problem, ModeldeckError):
            return ProviderReport(spec.slug, ProviderOutcome.FAILED, str(problem), problem.code or "FAILED")
        # Not the exception's text: it may quote rows, and with them whatever a provider wrote.
        _log.error("the sync of %s failed", spec.slug, exc_info=problem)
        what = "the database refused it" if isinstance(problem, SQLAlchemyError) else "Modeldeck failed"
        sentence = f"{what} ({type(problem).__name__}); everything was rolled back, the log has the details"
        return ProviderReport(spec.slug, ProviderOutcome.FAILED, sentence, "DATABASE" if what[0] == "t" else "FAULT")

    def _finished(self, report: ProviderReport, started: float) -> ProviderReport:
        self._tell(Progress(report.provider, Stage.FINISHED, report.counts.fetched, report.body_bytes, report.outcome))
        return self._timed(report, started)

    @staticmethod
    def _timed(report: ProviderReport, started: float) -> ProviderReport:
        return replace(report, milliseconds=round((asyncio.get_running_loop().time() - started) * 1000))


async def _planned(connection: AsyncConnection, slug: str, answer: _Answer) -> Plan:
    if answer.collected is None:
        return await plan_not_modified(connection, slug)
    return await plan_list(connection, slug, answer.collected, answer.state)


def _reported(plan: Plan, answer: _Answer) -> ProviderReport:
    rejects = answer.collected.rejects if answer.collected is not None else ()
    return ProviderReport(
        plan.provider,
        plan.outcome,
        plan.sentence,
        plan.code,
        plan.counts,
        plan.baseline,
        tuple(plan.changes),
        tuple(plan.held),
        rejects,
        answer.body_bytes,
    )
