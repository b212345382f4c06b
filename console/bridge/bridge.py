"""The bridge as the app holds it: ask, begin a job, follow what is live, arm writes, close."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from console.actions import REGISTRY
from console.bridge.jobs import Job, unexpected
from console.bridge.live import Live, follow_drift, follow_feed, follow_health
from console.bridge.threading import Knock, LoopThread
from console.guard import Principal
from console.outcome import Ending, ModeldeckError, Outcome

if TYPE_CHECKING:
    from console.catalog.completion import Vocabulary
    from console.catalog.index import CatalogIndex
    from console.config import Profile
    from console.guard import Policy
    from console.services import Services

ARMED_SECONDS = 600.0
"""How long writes stay armed in a session on a protected profile."""
CLOSE_SECONDS = 8.0
_CLOSED = Outcome(Ending.REFUSED, "the console is closing; nothing was begun", code="CLOSING")


class Bridge:
    """Everything that a screen may ask of the services. All of its methods belong to the UI loop.

    Args:
        open_profile: reads the configuration; runs in a thread, for it imports a lot and may wait for a keyring
        changed: told on the UI loop, at most once a turn of it, that something live is new
    """

    def __init__(self, open_profile: Callable[[], Profile], changed: Callable[[], None]) -> None:
        self._open_profile = open_profile
        self._changed = changed
        self._thread = LoopThread("services")
        self._services: Services | None = None
        self._principal: Principal | None = None
        self._look_again: asyncio.Event | None = None
        self._armed_until = 0.0
        self._closed = False
        self.profile: Profile | None = None
        self.live = Live()
        self.jobs: list[Job] = []

    async def open(self) -> None:
        """Read the profile and begin to follow what is live. The services themselves are opened when first needed.

        Raises:
            Refusal: there is no such profile, or its file is wrong.
        """
        self._thread.start()
        knock = Knock(asyncio.get_running_loop(), self._changed)
        self.profile = profile = await self._thread.ask(_in_thread(self._open_profile))
        await self._thread.ask(self._compose(profile))
        services, look = self._services, self._look_again
        assert services is not None
        assert look is not None
        self._thread.submit(follow_feed(services, self.live, knock))
        self._thread.submit(follow_drift(services, self.live, knock))
        self._thread.submit(follow_health(services, self.live, look, knock))

    async def _compose(self, profile: Profile) -> None:
        from console.services import Services

        self._services = Services(profile, policy=self._policy)
        self._look_again = asyncio.Event()
        self._principal = Principal.of_this_terminal(role=profile.rank, tenants=profile.tenants, via="console")

    # --- who and what -----------------------------------------------------------------------------------------

    @property
    def principal(self) -> Principal | None:
        return self._principal

    @property
    def ready(self) -> bool:
        """Whether something can be asked."""
        return self._services is not None and not self._closed

    @property
    def armed_seconds(self) -> float | None:
        """How long writes stay armed; 0 where they are not, None where they need no arming."""
        if self.profile is None or not self.profile.protected:
            return None
        return max(0.0, self._armed_until - time.monotonic())

    def arm(self) -> None:
        self._armed_until = time.monotonic() + ARMED_SECONDS

    def disarm(self) -> None:
        self._armed_until = 0.0

    def _policy(self) -> Policy:
        assert self.profile is not None
        return dataclasses.replace(self.profile.policy, armed=self.armed_seconds != 0.0)

    async def why_not(self, identifier: str, tenant: str | None = None) -> str | None:
        """Why this action would be refused, None where it would not: to show it before it is tried."""
        services, principal = self._services, self._principal
        if services is None or principal is None:
            return "the console is not connected yet"

        async def asked() -> str | None:
            guard = await services.guard(records=False)
            return await guard.why_not(REGISTRY[identifier], principal, tenant=tenant)

        return await self._thread.ask(asked())

    # --- asking -----------------------------------------------------------------------------------------------

    async def ask(self, identifier: str, values: Mapping[str, Any] | None = None) -> Outcome:
        """The outcome of an action that needs no watching. Cancelling the caller cancels it."""
        if not self.ready:
            return _CLOSED
        return await self._thread.ask(self._perform(identifier, values or {}, "", lambda _: None))

    def begin(
        self,
        identifier: str,
        values: Mapping[str, Any] | None = None,
        *,
        confirmed: str = "",
        heard: Callable[[Job], None] = lambda _: None,
    ) -> Job:
        """Begin an action and come back at once; ``heard`` is told of progress and of the end."""
        job = Job(len(self.jobs) + 1, REGISTRY[identifier], dict(values or {}))
        self.jobs.append(job)
        if not self.ready:
            job.end(_CLOSED)
            return job
        loop = asyncio.get_running_loop()

        def later(call: Callable[..., None], *arguments: Any) -> None:
            def run() -> None:
                call(*arguments)
                heard(job)
                self._changed()

            try:
                loop.call_soon_threadsafe(run)
            except RuntimeError:  # the UI loop has ended; the journal knows the rest
                return

        async def work() -> None:
            task = asyncio.current_task()
            assert task is not None
            later(job.stops_by, self._thread.canceller(task))
            try:
                outcome = await self._perform(identifier, job.values, confirmed, lambda item: later(job.told, item))
            except asyncio.CancelledError:
                outcome = Outcome(Ending.CANCELLED, f"{job.title}: cancelled")
            later(job.end, outcome)

        self._thread.submit(work())
        return job

    async def catalog(self) -> tuple[CatalogIndex, Vocabulary]:
        """The whole catalog as columns, for filtering while somebody types, and the words to complete a query with.

        Raises:
            ModeldeckError: the database cannot be read.
        """
        from console.catalog.index import CatalogIndex
        from console.catalog.indexing import rows
        from console.catalog.read import vocabulary

        services = self._services
        assert services is not None

        async def load() -> tuple[CatalogIndex, Vocabulary]:
            store = await services.store()
            index = CatalogIndex()
            async for piece in rows(store):
                index.update(piece)
            return index, await vocabulary(store)

        return await self._thread.ask(load())

    def look_again(self) -> None:
        """Ask for the health of every part now rather than in some seconds."""
        look = self._look_again
        if look is not None:

            async def wake() -> None:
                look.set()

            self._thread.submit(wake())

    async def _perform(
        self, identifier: str, values: Mapping[str, Any], confirmed: str, emit: Callable[[Any], None]
    ) -> Outcome:
        from console.actions.perform import perform

        services, principal = self._services, self._principal
        assert services is not None
        assert principal is not None
        action = REGISTRY[identifier]
        try:
            return await perform(services, action, values, principal, confirmed=confirmed, emit=emit)
        except ModeldeckError as problem:
            return problem.outcome()
        except Exception as problem:  # the screen lives on, and says what is not known
            return unexpected(action, problem)

    # --- the end ----------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[Job]:
        return [job for job in self.jobs if job.running]

    def close(self) -> bool:
        """Cancel what runs, let it undo, close the services. Blocks for up to `CLOSE_SECONDS`.

        Returns:
            Whether all of it came to an end; recovery owns what did not.
        """
        if self._closed:
            return True
        self._closed = True
        services = self._services
        return self._thread.stop(CLOSE_SECONDS, services.close if services is not None else None)


async def _in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)
