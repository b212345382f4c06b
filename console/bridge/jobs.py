"""An action under way, as the screen sees it: progress while it runs, and the outcome when it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from console.actions.registry import Action
from console.outcome import Ending, Outcome

_PROGRESS_KEPT = 500


@dataclass(slots=True, eq=False)
class Job:
    """One action that was asked for. Belongs to the UI loop; progress arrives there.

    number      1, 2, 3 … in this session
    values      as they were given; never a secret
    progress    what it reported, the last 500 of it
    outcome     None while it runs
    """

    number: int
    action: Action
    values: Mapping[str, Any]
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    progress: list[Any] = field(default_factory=list)
    outcome: Outcome | None = None
    cancelling: bool = False
    _stop: Callable[[], None] | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def title(self) -> str:
        target = self.values.get(self.action.target or "")
        title = f"{self.action.title} {target}" if target else self.action.title
        return f"{title}: the plan" if self.values.get("plan") else title

    @property
    def running(self) -> bool:
        return self.outcome is None

    @property
    def stoppable(self) -> bool:
        """Whether `cancel` would do something."""
        return self.running and not self.cancelling and self._stop is not None

    @property
    def seconds(self) -> float:
        return (self.ended if self.ended is not None else time.monotonic()) - self.started

    def cancel(self) -> None:
        """Ask it to stop and undo. It is over when its outcome says so, not before."""
        if self.stoppable and self._stop is not None:
            self.cancelling = True
            self._stop()

    async def wait(self) -> Outcome:
        """Its outcome, however long it takes. Whoever waits may be cancelled; the job goes on."""
        await self._over.wait()
        assert self.outcome is not None
        return self.outcome

    def stops_by(self, stop: Callable[[], None]) -> None:
        """How it is stopped."""
        self._stop = stop

    def told(self, item: Any) -> None:
        """One more piece of progress."""
        self.progress.append(item)
        if len(self.progress) > _PROGRESS_KEPT:
            del self.progress[0]

    def end(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
            self.ended = time.monotonic()
            self._over.set()


def unexpected(action: Action, problem: BaseException) -> Outcome:
    """What an error that nobody foresaw comes to: nothing is claimed that was not seen."""
    from console.guard import Danger

    what = f"{action.id} ended with an error that should not happen ({type(problem).__name__})"
    if action.danger is Danger.READ:
        return Outcome(Ending.FAILED, f"{what}; nothing was changed", code="INTERNAL")
    return Outcome(
        Ending.INTERRUPTED,
        f"{what}; how far it came stands in the journal",
        code="INTERNAL",
        then=":operations list",
    )
