"""A plan as the diff widget wants it, and the window that shows one before it is applied."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from console.operations.types import Progress
from console.publishing.types import Effect, Plan
from console.terminal.text import safe
from screens.details import Details, Line
from widgets.checklist import Step
from widgets.diff_view import Change, DiffView, FieldDiff
from widgets.key_footer import KeyFooter
from widgets.theme import State


def changes_of(plan: Plan) -> tuple[Change, ...]:
    """The plan for `DiffView`."""
    return tuple(
        Change(
            change.target,
            change.effect.value,
            tuple(FieldDiff(field.path, field.before, field.after) for field in change.fields),
        )
        for change in plan.changes
    )


def summary_of(plan: Plan) -> str:
    """``Plan: 6 objects, 1 Redis key`` by what would be otherwise."""
    changed = [change for change in plan.changes if change.effect is not Effect.NOTHING]
    if not changed:
        return "nothing would change"
    entries = sum(change.target.startswith("published_model_info") for change in changed)
    keys = sum(change.target.startswith("key ") for change in changed)
    objects = len(changed) - entries - keys
    parts = [f"{objects} object{'s' if objects != 1 else ''}"] if objects else []
    parts += [f"{entries} Redis key{'s' if entries != 1 else ''}"] if entries else []
    parts += [f"{keys} key{'s' if keys != 1 else ''} of clients"] if keys else []
    return ", ".join(parts)


def steps_of(progress: Iterable[object]) -> list[Step]:
    """What a job has reported, as a checklist: every step in its last state, and those to come by number."""
    steps: dict[int, Step] = {}
    total = 0
    for item in progress:
        if isinstance(item, Progress):
            total = item.total
            steps[item.seq] = Step(item.name, item.state.value, item.seconds, item.detail)
    return [steps.get(number, Step(f"step {number + 1}")) for number in range(total)]


def warnings_of(plan: Plan) -> list[Line]:
    """What to know before it is applied; first what another manager owns, for that stops it."""
    taken = [Line((f"{State.REFUSED.glyph} {conflict}", "bad")) for conflict in plan.conflicts]
    reasons = [Line((f"· {reason}", "muted")) for reason in plan.reasons]
    return [*taken, *(Line((f"! {warning}", "warn")) for warning in plan.warnings), *reasons]


class PlanWindow(ModalScreen[str]):
    """Shows what would change; answers what to do: ``apply``, one of what else is offered, or nothing.

    Args:
        offered: ``repair``, ``adopt``; ``take_over`` is offered where the plan meets other managers' fields
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "answer('apply')", "apply", id="plan.apply"),
        Binding("r", "answer('repair')", "repair", id="plan.repair"),
        Binding("a", "answer('adopt')", "adopt", id="plan.adopt"),
        Binding("t", "answer('take_over')", "take over", id="plan.take_over"),
        Binding("escape,q", "answer('')", "back", id="plan.back"),
    ]
    DEFAULT_CSS = """
    PlanWindow { align: center middle; background: $background 60%; }
    PlanWindow > Vertical { width: 96%; height: 90%; border: round $accent; padding: 0 1; background: $background; }
    PlanWindow #head { height: auto; max-height: 6; }
    """

    def __init__(self, plan: Plan, *, note: str = "", offered: Collection[str] = ()) -> None:
        super().__init__()
        self._plan = plan
        self._note = note
        if plan.conflicts:
            self._offered = {"take_over", *offered}
        elif plan.changes_nothing:
            self._offered = set()
        else:
            self._offered = {"apply", *offered}

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Text(safe(f"{self._plan.title}: {summary_of(self._plan)}"))
            yield Details(id="head")
            yield DiffView(changes_of(self._plan), id="plan")
            yield KeyFooter()

    def on_mount(self) -> None:
        lines = warnings_of(self._plan)
        if self._note:
            lines.insert(0, Line((self._note, "strong")))
        self.query_one("#head", Details).show(lines)
        self.query_one("#plan").focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "answer" or parameters == ("",) or parameters[0] in self._offered

    def action_answer(self, what: str) -> None:
        self.dismiss(what)
