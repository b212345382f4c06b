"""The console: modes, theme, keymap and what every screen may ask for; all else is in screens/ and console/bridge/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import Worker, WorkerState

from console.acting import Acting, time_of_day
from console.actions import REGISTRY
from console.bridge import Bridge, Job
from console.outcome import ModeldeckError, Refusal
from console.terminal.environment import Terminal
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


class Console(Acting):
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
        super().__init__(Bridge(open_profile, self._live_changed), terminal=terminal, reports=reports, **options)
        # Before anything is drawn: every style is worked out anew for another theme.
        for theme in THEMES:
            self.register_theme(theme)
        if not terminal.few_colours:
            self.theme = DARK.name
        self.tenant: str | None = None
        self._history: list[str] = []
        self._live_timer: Timer | None = None
        self._ran: tuple[Job, ...] = ()

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

    def _live_changed(self) -> None:
        if self._live_timer is None and self.is_running:
            self._live_timer = self.set_timer(_LIVE_SECONDS, self._draw_live)

    def _draw_live(self) -> None:
        self._live_timer = None
        if (view := self.view) is not None and view.is_mounted:  # at the front comes before being there
            view.live_changed()

    def _tick(self) -> None:
        # What ran at the last look too: of a look at a plan nobody else says that it is over.
        for job in (*self._ran, *self.bridge.running):
            self._book(job)
        self._ran = tuple(self.bridge.running)
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
            self.faults.add(books.Fault(what, "the console goes on; what it shows may be old", where, time_of_day()))

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

    def on_jobs_drawer_opened(self, event: JobsDrawer.Opened) -> None:
        job = next((job for job in self.bridge.jobs if str(job.number) == event.job), None)
        if job is not None:
            from screens.job_details import JobWindow

            self.push_screen(JobWindow(job))

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
