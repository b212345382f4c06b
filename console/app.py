"""The console: modes, theme, keymap and what every screen may ask for; all else is in screens/ and console/bridge/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import Worker, WorkerState

from console.actions import REGISTRY, Action
from console.bridge import Bridge, Job
from console.guard import Danger
from console.outcome import Ending, ModeldeckError, Outcome, Refusal
from console.terminal.app import TerminalApp
from console.terminal.environment import Terminal
from console.terminal.text import safe
from screens.frame import DeckScreen, begin
from screens.views import VIEWS
from widgets import books
from widgets.status_line import Link, Status, StatusLine, Tab
from widgets.theme import DARK, THEMES, State

if TYPE_CHECKING:
    from console.config import Profile
    from widgets.jobs import JobsDrawer
    from widgets.reveal import Reveal

_LIVE_SECONDS = 0.1
"""How often live changes are drawn at most; a burst of a thousand events is drawn ten times a second."""
_STALE_SECONDS = 30
_TABS = tuple(Tab(view.key, view.title) for view in VIEWS)
_PARTS = {"redis": "redis", "kubernetes": "k8s", "database": "db", "gateway": "envoy"}
_ENDINGS = {
    Ending.DONE: State.DONE,
    Ending.UNCHANGED: State.DONE,
    Ending.PENDING: State.PENDING,
    Ending.PARTIAL: State.PARTIAL,
    Ending.REFUSED: State.REFUSED,
    Ending.FAILED: State.FAILED,
    Ending.INTERRUPTED: State.DRIFT,
    Ending.CANCELLED: State.UNDONE,
}


class Console(TerminalApp[int]):
    """The app for one profile.

    Args:
        open_profile: reads the configuration, in the services' thread and after the first paint
    """

    TITLE = "modeldeck"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {view.name: view.factory for view in VIEWS}
    DEFAULT_MODE = "overview"
    CSS = "Screen { overflow-x: hidden; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(view.key, f"view('{view.name}')", view.title, show=False, id=f"view.{view.name}") for view in VIEWS),
        Binding("colon", "command", "command", show=False, id="app.command", key_display=":"),
        Binding("question_mark", "help", "help", id="app.help", key_display="?"),
        Binding("f1", "help", "help, also while typing", show=False, id="app.help_anywhere"),
        Binding("exclamation_mark", "errors", "errors", show=False, id="app.errors", key_display="!"),
        Binding("grave_accent", "jobs", "jobs", show=False, id="app.jobs", key_display="`"),
        Binding("W", "arm", "arm writes", show=False, id="app.arm"),
        Binding("ctrl+t", "tenant", "tenant", show=False, id="app.tenant"),
        Binding("q", "leave_view", "back, and from the overview quit", show=False, id="app.back"),
        Binding("ctrl+q", "leave", "quit", show=False, id="app.quit_anywhere", priority=True),
    ]

    def __init__(
        self,
        open_profile: Callable[[], Profile],
        *,
        terminal: Terminal,
        reports: Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(terminal=terminal, reports=reports, **options)
        # Before anything is drawn: every style is worked out anew for another theme.
        for theme in THEMES:
            self.register_theme(theme)
        if not terminal.few_colours:
            self.theme = DARK.name
        self.bridge = Bridge(open_profile, self._live_changed)
        self.tenant: str | None = None
        self.faults = books.FaultBook()
        self.job_book = books.JobBook()
        self._history: list[str] = []
        self._live_timer: Timer | None = None
        self._acts = 0

    @staticmethod
    def _palette() -> Any:
        from screens.commanding import ActionPalette

        return ActionPalette

    COMMANDS = {_palette}  # noqa: RUF012 - Textual's own way

    def on_mount(self) -> None:
        # After the first paint, for reading the configuration imports a lot.
        self.call_after_refresh(self._open)

    def _open(self) -> None:
        begin(self, self._connect, "connect", "connect")
        self.set_interval(1.0, self._tick)

    async def _connect(self) -> None:
        try:
            await self.bridge.open()
        except ModeldeckError as problem:
            then = f"\n  next: {problem.then}" if problem.then else ""
            self.exit(return_code=problem.ending.exit_code, message=f"✗ {problem}{then}")
            return
        for screen in self.screen_stack:
            if isinstance(screen, DeckScreen):
                screen.refresh_facts()
                screen.reload()

    # --- what is live -----------------------------------------------------------------------------------------

    @property
    def view(self) -> DeckScreen | None:
        """The view at the front, also below a dialog."""
        base = self.screen_stack[0] if self._screen_stack else None
        return base if isinstance(base, DeckScreen) else None

    def _live_changed(self) -> None:
        if self._live_timer is None and self.is_running:
            self._live_timer = self.set_timer(_LIVE_SECONDS, self._draw_live)

    def _draw_live(self) -> None:
        self._live_timer = None
        if (view := self.view) is not None and view.is_mounted:  # at the front comes before being there
            view.live_changed()

    def _tick(self) -> None:
        for job in self.bridge.running:
            self._book(job)
        if (view := self.view) is not None and view.is_mounted:
            view.refresh_facts()
            view.tick()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR:
            self.worker_failed(event.worker)

    def worker_failed(self, worker: Worker[Any]) -> None:
        """A view that fails costs itself, not the console: it is said and written down, and what was shown stays."""
        from console.terminal.crash import report_crash

        problem = worker.error
        if isinstance(problem, Exception):
            report = report_crash(problem, self.reports, state="The console went on.", facts={"worker": worker.name})
            what = f"{worker.name or worker.group} failed ({type(problem).__name__}), which should not happen"
            where = f"the report is {report.file}" if report.file else "no report could be written"
            self.faults.add(books.Fault(what, "the console goes on; what it shows may be old", where, _now()))

    def status_facts(self, line: StatusLine) -> None:
        """Tell a header how things are."""
        view = next((view for view in VIEWS if view.name == self.current_mode), VIEWS[0])
        line.show_tabs(_TABS, view.key)
        profile = self.bridge.profile
        armed = self.bridge.armed_seconds
        line.show(
            Status(
                profile=profile.name if profile else "connecting",
                protected=bool(profile and profile.protected),
                read_only=bool(profile and profile.read_only),
                locked=armed == 0.0,
                armed_seconds=armed or None,
                tenant=self.tenant or "all",
                links=self._links(),
            )
        )

    def _links(self) -> tuple[Link, ...]:
        live = self.bridge.live
        states = {row["part"]: row["state"] for row in live.health.rows}
        links = []
        for part, name in _PARTS.items():
            state = states.get(part)
            if state is None:
                links.append(Link(name, State.PENDING, "…"))
            elif state == "ok":
                links.append(Link(name, State.READY, "ok"))
            else:
                links.append(Link(name, State.FAILED, "down"))
        link = live.link
        if link is not None and link.state != "live":
            words = {"lost": State.FAILED, "polled": State.PARTIAL}
            links[0] = Link("redis", words.get(link.state, State.PENDING), str(link.state))
        elif link is None and live.problem != "connecting":
            links[0] = Link("redis", State.FAILED, "down")
        return tuple(links)

    # --- what screens ask for ---------------------------------------------------------------------------------

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
        if outcome.ending.good or outcome.ending in (Ending.CANCELLED, Ending.PENDING):
            sentence = f"{_ENDINGS[outcome.ending].glyph} {safe(outcome.summary)}"
            self.notify(sentence, severity="information" if outcome.ending.good else "warning", markup=False)
            return
        means = "it could not be read; what is shown may be old" if read else outcome.ending.means
        if outcome.ending is Ending.REFUSED and not read:  # why is what the summary says
            means = "" if outcome.summary.endswith("nothing was changed") else "nothing was changed"
        self.faults.add(books.Fault(outcome.summary, means, outcome.then, _now()))

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
        state = State.RUNNING if job.outcome is None else _ENDINGS[job.outcome.ending]
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

    def copy_text(self, text: str, what: str) -> None:
        copied = self.copy(text)
        self.notify(f"{what}: {copied.sentence}", markup=False)

    def copy_command(self, identifier: str, values: Mapping[str, Any]) -> None:
        from console.actions.command import command_line

        profile = self.bridge.profile
        self.copy_text(command_line(REGISTRY[identifier], values, profile=profile.name if profile else None), "command")

    def open_view(self, view: str, key: str | None = None) -> None:
        """Go to a view, and there to a row."""
        self.switch_mode(view)
        base = self.view
        if base is not None and key is not None:
            base.select(key)
            base.reload()

    # --- keys -------------------------------------------------------------------------------------------------

    def action_view(self, name: str) -> None:
        if len(self.screen_stack) == 1:
            self.open_view(name)

    def on_status_line_tab_asked(self, event: StatusLine.TabAsked) -> None:
        self.action_view(next(view.name for view in VIEWS if view.key == event.key))

    def action_help(self) -> None:
        from widgets.help_overlay import HelpOverlay

        self.push_screen(HelpOverlay(self.screen))

    def action_errors(self) -> None:
        from widgets.error_bar import ErrorList

        self.push_screen(ErrorList(self.faults))

    def action_jobs(self) -> None:
        if (view := self.view) is not None:
            view.toggle_jobs()

    def on_jobs_drawer_cancel_asked(self, event: JobsDrawer.CancelAsked) -> None:
        for job in self.bridge.running:
            if str(job.number) == event.job:
                job.cancel()
                self._book(job)

    def on_reveal_copy_asked(self, event: Reveal.CopyAsked) -> None:
        event.reveal.hand_to(lambda text: event.reveal.say(self.copy(text).sentence))

    def action_arm(self) -> None:
        armed = self.bridge.armed_seconds
        if armed is None:
            self.notify("writes need no arming in this profile", markup=False)
        elif armed:
            self.bridge.disarm()
        else:
            begin(self, self._arm, "arm", "arm")
        if (view := self.view) is not None:
            view.refresh_facts()

    async def _arm(self) -> None:
        from widgets.confirm import TypedConfirm

        profile = self.bridge.profile
        assert profile is not None
        facts = [("for", "ten minutes, in this session only; W again ends it")]
        if await self.push_screen_wait(TypedConfirm(f"Allow writes to {profile.name}?", profile.name, facts=facts)):
            self.bridge.arm()

    def action_tenant(self) -> None:
        begin(self, self._choose_tenant, "tenant", "tenant")

    async def _choose_tenant(self) -> None:
        from screens.forms import FormWindow, names
        from widgets.field_specs import FieldKind, FieldSpec

        view = self.view
        if view is None or not self.bridge.ready:
            return
        choices = ("all", *await names(view, "tenants.list"))
        spec = FieldSpec("tenant", "tenant", FieldKind.SELECT, default=self.tenant or "all", choices=choices)
        chosen = await self.push_screen_wait(FormWindow("Narrow the lists to a tenant", [spec]))
        if chosen is not None:
            self.tenant = None if chosen.get("tenant", "all") == "all" else str(chosen["tenant"])
            view.refresh_facts()
            view.reload()

    def action_command(self) -> None:
        begin(self, self._command, "command", "command")

    async def _command(self) -> None:
        from screens.commanding import CommandWindow

        line = await self.push_screen_wait(CommandWindow(self._history))
        if line is None:
            return
        if line in ("q", "quit", "exit"):
            self.action_leave()
            return
        if any(view.name == line for view in VIEWS):
            self.open_view(line)
        else:
            from console.actions.commands import read_command

            try:
                action, values = read_command(line)
            except Refusal as problem:
                self.tell(problem.outcome())
                return
            self.act(action.id, values, lambda job: self._show_result(action, job))
        self._history.append(line)

    def action_leave_view(self) -> None:
        if self.current_mode == self.DEFAULT_MODE:
            self.action_leave()
        else:
            self.open_view(self.DEFAULT_MODE)

    def action_leave(self) -> None:
        begin(self, self._leave, "leave", "leave")

    async def _leave(self) -> None:
        running = self.bridge.running
        if running:
            from widgets.confirm import Confirm

            facts = [("cancel and undo", job.title) for job in running]
            if not await self.push_screen_wait(Confirm("Leave while something runs?", facts=facts, danger=True)):
                return
        self.exit(0)


def _now() -> str:
    return f"{datetime.now().astimezone():%H:%M:%S}"


def main(open_profile: Callable[[], Profile], *, terminal: Terminal) -> int:
    """Run the console on this terminal until it is left; returns the exit code."""
    from console.terminal.app import run
    from console.terminal.text import narrate

    app = Console(open_profile, terminal=terminal)
    try:
        return run(app)
    finally:
        running = len(app.bridge.running)
        if running:
            narrate(f"ending {running} job{'s' if running > 1 else ''} …")
        if not app.bridge.close():
            narrate("something did not come to an end: recovery finishes or undoes it (modeldeck operations list)")
