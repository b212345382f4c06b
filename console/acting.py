"""What becomes of an action at the console: asked for, confirmed, begun, watched, told, and its text shown once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from console.actions import REGISTRY, Action
from console.bridge import Bridge, Job
from console.guard import Danger
from console.outcome import Ending, Outcome, Refusal, counted
from console.terminal.app import TerminalApp
from console.terminal.text import safe
from screens.frame import ENDINGS, DeckScreen, begin
from widgets import books
from widgets.theme import State

_IN_ORDER = ("done", "unchanged", "ok", "undone")
"""States of an item that need nobody."""
_ITEMS = 5
"""Items of a partial outcome that its error names."""


class Acting(TerminalApp[int]):
    """An app that carries out actions through a bridge.

    bridge    to the services
    faults    what failed, until it is read
    job_book  what is under way, and what has been
    """

    def __init__(self, bridge: Bridge, **options: Any) -> None:
        super().__init__(**options)
        self.bridge = bridge
        self.faults = books.FaultBook()
        self.job_book = books.JobBook()
        self._acts = 0

    @property
    def view(self) -> DeckScreen | None:
        """The view at the front, also below a dialog."""
        base = self.screen_stack[0] if self._screen_stack else None
        return base if isinstance(base, DeckScreen) else None

    def act(
        self,
        identifier: str,
        values: Mapping[str, Any],
        then: Callable[[Job], None] = lambda _: None,
        *,
        shown: str = "",
    ) -> None:
        """Ask for what must be confirmed, then begin; ``then`` hears of progress and of the end."""
        work = partial(self._act, REGISTRY[identifier], dict(values), then, shown)
        self._acts += 1
        begin(self, work, identifier, f"act {self._acts}")

    async def _act(self, action: Action, values: dict[str, Any], then: Callable[[Job], None], shown: str = "") -> None:
        why = await self.bridge.why_not(action.id, values.get("tenant"))
        if why is not None:
            self.tell(Refusal(f"{action.title}: {why}; nothing was changed", code="FORBIDDEN").outcome())
            return
        confirmed = await self._confirmed(action, values, shown)
        if confirmed is None:
            return

        def heard(job: Job) -> None:
            self._book(job)
            then(job)
            if job.outcome is not None:
                self._over(job, job.outcome)

        job = self.bridge.begin(action.id, values, confirmed=confirmed, heard=heard)
        heard(job)

    async def _confirmed(self, action: Action, values: Mapping[str, Any], shown: str) -> str | None:
        """What was said to the question; None where it was no."""
        if action.danger is not Danger.DESTRUCTIVE or values.get("plan"):
            return "yes" if values.get("plan") else ""
        from widgets.confirm import Confirm, TypedConfirm

        target = str(values.get(action.target or "", ""))
        question = f"{action.title}: {shown}?" if shown else f"{action.title} {target}?"
        facts = [("then", action.details)] if action.details else []
        profile = self.bridge.profile
        if profile is not None and profile.protected and target:
            return target if await self.push_screen_wait(TypedConfirm(question, target, facts=facts)) else None
        confirm = Confirm(question, facts=facts, yes=f"yes, {action.title.lower()}", danger=True)
        return "yes" if await self.push_screen_wait(confirm) else None

    def perform(self, action: Action, values: Mapping[str, Any]) -> None:
        """Do an action by name: ask for what it needs, and show what it answers."""
        from screens.forms import ask_values

        view = self.view
        if view is None:
            return
        missing = [p.name for p in action.parameters if p.required and p.name not in values]
        if missing or (action.danger > Danger.READ and action.parameters and not values):
            ask_values(view, action.id, values, lambda job: self._show_result(action, job))
        else:
            self.act(action.id, values, lambda job: self._show_result(action, job))

    def _show_result(self, action: Action, job: Job) -> None:
        outcome = job.outcome
        if outcome is None or outcome.data is None or action.streams:
            return
        from console.rendering import is_asked_for

        if is_asked_for(action, outcome.data):
            from screens.commanding import ResultWindow

            self.push_screen(ResultWindow(action, outcome))

    def tell(self, outcome: Outcome, *, read: bool = False) -> None:
        """Show how something ended: good ends pass by, others stay until they are read.

        ``read``: it was only to be looked at, so that there is nothing to be undone.
        """
        asked_for = outcome.ending in (Ending.CANCELLED, Ending.PENDING) or outcome.code == Ending.CANCELLED.name
        if outcome.ending.good or asked_for:
            sentence = f"{ENDINGS[outcome.ending].glyph} {safe(outcome.summary)}"
            self.notify(sentence, severity="information" if outcome.ending.good else "warning", markup=False)
            return
        means = "it could not be read; what is shown may be old" if read else outcome.ending.means
        if outcome.ending is Ending.REFUSED and not read:  # why is what the summary says
            means = "" if outcome.summary.endswith("nothing was changed") else "nothing was changed"
        if outcome.ending is Ending.PARTIAL:  # there is no other place that lists them
            left = [item for item in outcome.items if item.state not in _IN_ORDER]
            named = [f"{item.name}: {item.detail or item.state}" for item in left[:_ITEMS]]
            more = f"; and {len(left) - _ITEMS} more" if len(left) > _ITEMS else ""
            means = (
                f"{counted(len(outcome.items) - len(left), 'part')} done, not: {'; '.join(named)}{more}" if left else ""
            )
        self.faults.add(books.Fault(outcome.summary, means, outcome.then, time_of_day()))

    def _over(self, job: Job, outcome: Outcome) -> None:
        view = self.view
        if outcome.revealed is not None:
            from widgets.reveal import Reveal

            data = outcome.data if isinstance(outcome.data, Mapping) else {}
            facts = [(name, str(data[name])) for name in ("name", "id", "tenant") if data.get(name)]
            self.push_screen(Reveal(outcome.revealed, facts=[*facts, ("outcome", outcome.summary)]))
            if not outcome.ending.good:
                self.tell(outcome)
        elif outcome.reveals:
            begin(self, partial(self._reveal_each, outcome), "reveal", f"reveal {job.number}")
        elif not outcome.ending.good or (job.action.danger > Danger.READ and not (view and view.shows(job))):
            self.tell(outcome, read=job.action.danger is Danger.READ and outcome.ending is Ending.FAILED)
        if view is not None:
            view.job_ended(job)
            view.refresh_facts()

    async def _reveal_each(self, outcome: Outcome) -> None:
        """Several texts, one after another, each this once; then what came of all."""
        from widgets.reveal import Reveal

        rows = outcome.data if isinstance(outcome.data, list) else []
        names = {row["id"]: row["name"] for row in rows}
        for number, (key, revealed) in enumerate(outcome.reveals.items(), 1):
            title = f"{number} of {len(outcome.reveals)}, shown this once"
            facts = [("name", names.get(key, "")), ("id", key)]
            await self.push_screen_wait(Reveal(revealed, title=title, facts=facts))
        self.tell(outcome)

    def _book(self, job: Job) -> None:
        state = State.RUNNING if job.outcome is None else ENDINGS[job.outcome.ending]
        steps = [item for item in job.progress if hasattr(item, "total")]
        self.job_book.put(
            books.Job(
                str(job.number),
                job.title,
                state,
                done=sum(step.state == "taken" for step in steps),
                total=steps[-1].total if steps else None,
                seconds=float(int(job.seconds)) if job.running else job.seconds,
                detail=job.outcome.summary if job.outcome else "cancelling" if job.cancelling else "",
                can_cancel=job.stoppable,
            )
        )
        if (view := self.view) is not None:
            view.jobs_changed()


def time_of_day() -> str:
    return f"{datetime.now().astimezone():%H:%M:%S}"
