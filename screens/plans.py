"""A plan as the diff widget wants it, and the window that shows one before it is applied."""

from __future__ import annotations

from collections.abc import Iterable
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
    objects = len(changed) - entries
    parts = [f"{objects} object{'s' if objects != 1 else ''}"] if objects else []
    parts += [f"{entries} Redis key{'s' if entries != 1 else ''}"] if entries else []
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
    return [Line((f"! {warning}", "warn")) for warning in plan.warnings]


class PlanWindow(ModalScreen[bool]):
    """Shows what would change; answers whether to go on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "answer(True)", "apply", id="plan.apply"),
        Binding("escape,q", "answer(False)", "back", id="plan.back"),
    ]
    DEFAULT_CSS = """
    PlanWindow { align: center middle; background: $background 60%; }
    PlanWindow > Vertical { width: 96%; height: 90%; border: round $accent; padding: 0 1; background: $background; }
    PlanWindow #head { height: auto; max-height: 6; }
    """

    def __init__(self, plan: Plan, *, note: str = "") -> None:
        super().__init__()
        self._plan = plan
        self._note = note

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
        return not (action == "answer" and parameters == (True,) and self._plan.changes_nothing)

    def action_answer(self, go_on: bool) -> None:
        self.dismiss(go_on)
