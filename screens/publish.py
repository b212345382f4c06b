"""Publish: a form, and beside it the plan that it comes to; then the steps as they are taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget

from console.actions import REGISTRY
from console.actions.parameters import checked
from console.bridge import Job
from console.outcome import Ending, Outcome, Refusal
from console.publishing.types import Plan
from screens.details import Details, Fact, Line, Title
from screens.forms import Values, as_lists, specs_for
from screens.frame import DeckScreen, begin
from screens.plans import changes_of, steps_of, summary_of, warnings_of
from screens.split import Split
from widgets.checklist import Checklist
from widgets.diff_view import DiffView
from widgets.form import Form
from widgets.latest import Latest
from widgets.meter_text import elapsed
from widgets.theme import State

_ACTION = REGISTRY["publish"]
_HIDDEN = ("file", "plan", "manifests", "take_over")


class PublishScreen(DeckScreen):
    """The plan is made anew for every change of the form; nothing is written before it is applied."""

    VIEW = "publish"
    AUTO_FOCUS = None
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012 - as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "apply", "apply", id="publish.apply", priority=True),
        Binding("ctrl+x", "cancel", "cancel", id="publish.cancel"),
        Binding("ctrl+r", "clear", "new form", id="publish.clear"),
        Binding("ctrl+o", "to_plan", "to the plan", id="publish.to_plan"),
        Binding("ctrl+y", "copy_command", "copy command", show=False, id="publish.copy_command"),
        Binding("escape", "leave", "back", id="publish.leave", show=False),
    ]
    DEFAULT_CSS = """
    PublishScreen .split--list { width: 1fr; }
    PublishScreen .split--details { width: 1fr; }
    PublishScreen.-narrow .split--list { height: 1fr; }
    PublishScreen.-narrow .split--details { height: 1fr; }
    PublishScreen.-narrow.-applying .split--list { display: none; }
    PublishScreen.-narrow.-applying .split--details { border-top: none; }
    PublishScreen #head { height: auto; max-height: 6; }
    PublishScreen Checklist { display: none; }
    PublishScreen.-applying Checklist { display: block; height: 1fr; }
    PublishScreen.-applying DiffView { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._given: dict[str, Any] = {}
        self._plan: Plan | None = None
        self._job: Job | None = None
        self._planned: Latest[dict[str, Any]] = Latest(self._make_plan)

    def body(self) -> Iterable[Widget]:
        right = Vertical(Details(id="head"), DiffView(id="plan", empty=""), Checklist(id="steps"))
        yield Split(Vertical(id="form-side"), right)

    async def load(self) -> None:
        if not self.query(Form):
            await self._new_form()
        if self._wanted is not None:
            await self._take_model()

    async def _take_model(self) -> None:
        model = self.take_wanted()
        if model is None or (self._job is not None and self._job.running):
            return
        self._given = {"model": model}
        await self._new_form()

    async def _new_form(self) -> None:
        self._job, self._plan = None, None
        self.remove_class("-applying")
        specs = await specs_for(self, _ACTION, {}, self._given | self.in_tenant(), _HIDDEN)
        side = self.query_one("#form-side")
        await side.remove_children()
        form = Form(specs)
        await side.mount(form)
        missing = [*form.errors, *(name for name in ("tenant",) if not form.values[name])]
        (form.field(missing[0]) if missing else form).focus()
        self._say(Line(("fill in what is to be published; the plan follows as you type", "muted")))
        self.query_one(DiffView).show(())
        self._wish()

    @property
    def form(self) -> Form | None:
        return next(iter(self.query(Form)), None)

    def _say(self, *facts: Fact) -> None:
        self.query_one("#head", Details).show(facts)

    # The plan

    def on_form_changed(self, event: Form.Changed) -> None:
        event.stop()
        self._plan = None
        self.refresh_bindings()
        self._wish()

    def _wish(self) -> None:
        form = self.form
        if form is None or self.has_class("-applying"):
            return
        if form.errors:
            self._plan = None
            self.query_one(DiffView).show(())
            self._say(Line(("the form is not complete: the plan follows", "muted")))
            return
        self._planned.wish(_values(form))

    async def _make_plan(self, values: dict[str, Any]) -> None:
        try:
            checked(_ACTION, values)
        except Refusal as problem:
            self._show_problem(problem.outcome())
            return
        self._say(Line((f"{State.PENDING.glyph} planning …", "muted")))
        outcome = await self.bridge.ask("publish", {**values, "plan": True})
        form = self.form
        if form is None or _values(form) != values or self.has_class("-applying"):
            return  # somebody has typed on
        if isinstance(outcome.data, Plan):
            self._plan = outcome.data
            self._say(Title(f"Plan: {summary_of(outcome.data)}"), *warnings_of(outcome.data))
            self.query_one(DiffView).show(changes_of(outcome.data))
        else:
            self._show_problem(outcome)
        self.refresh_bindings()

    def _show_problem(self, outcome: Outcome) -> None:
        self._plan = None
        self.query_one(DiffView).show(())
        facts: list[Fact] = [Fact(State.REFUSED.glyph, outcome.summary, "bad")]
        facts += [Fact("near", item.name, "accent") for item in outcome.items if item.state == "near"]
        if outcome.then and not outcome.then.startswith("add --"):  # which is said to a shell
            facts.append(Fact("next", outcome.then, "muted"))
        self._say(*facts)

    # Applying

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        running = self._job is not None and self._job.running
        if action == "apply":
            return not running and not self.has_class("-applying") and self._plan is not None
        if action == "cancel":
            return running
        if action == "clear":
            return not running
        if action == "to_plan":
            return self._plan is not None and not self.has_class("-applying")
        return True

    def action_apply(self) -> None:
        form = self.form
        if form is not None and form.submit() and self._plan is not None:
            self.deck.act("publish", _values(form), self._heard)

    def on_form_submitted(self, event: Form.Submitted) -> None:
        event.stop()
        if self._plan is None:
            self.app.bell()

    def shows(self, job: Job) -> bool:
        return job is self._job

    def _heard(self, job: Job) -> None:
        self._job = job
        self.add_class("-applying")
        if not self.is_attached:
            return
        self.query_one(Checklist).show(steps_of(job.progress))
        state = State.RUNNING if job.running else State.DONE
        word = "undoing" if job.cancelling and job.running else "applying" if job.running else ""
        if job.outcome is None:
            self._say(Line((f"{state.glyph} {job.title}  {word}", "accent")))
        else:
            self._say(*_ended(job, job.outcome))
            self.app.call_later(self.set_focus, None)
        self.refresh_bindings()

    def tick(self) -> None:
        if self._job is not None and self._job.running:
            self._heard(self._job)

    def action_cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._heard(self._job)

    def action_clear(self) -> None:
        self._given = {}
        begin(self, self._new_form, "load", "load")

    def action_to_plan(self) -> None:
        plan = self.query_one(DiffView)
        if plan.has_focus and self.form is not None:
            self.form.focus()
        else:
            plan.focus()

    def action_leave(self) -> None:
        self.deck.open_view("catalog")

    def action_copy_command(self) -> None:
        if self.form is not None:
            self.deck.copy_command("publish", _values(self.form))


def _values(form: Form) -> Values:
    return as_lists(_ACTION, form.given)


def _ended(job: Job, outcome: Outcome) -> Iterable[Fact]:
    good = outcome.ending.good
    state = State.DONE if good else State.PENDING if outcome.ending is Ending.PENDING else State.FAILED
    yield Fact(f"{state.glyph} {outcome.ending.value}", outcome.summary, state.paint)
    yield Fact("took", elapsed(job.seconds), "muted")
    data: Mapping[str, Any] = outcome.data if isinstance(outcome.data, Mapping) else {}
    if good and "url" in data and data["url"] not in outcome.summary:
        yield Fact("URL", data["url"], "accent")
    if outcome.then:
        yield Fact("next", outcome.then, "muted")
