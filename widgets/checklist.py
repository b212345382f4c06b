"""The steps of an operation as they are taken: ✓ done, ◐ under way, · waiting, ▲ left, ✖ failed, ↶ undone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from textual.timer import Timer

from widgets.fit import clip, shown, wrapped
from widgets.listing import Listing
from widgets.meter_text import elapsed
from widgets.paint import Part
from widgets.theme import State

STEP_STATES = {
    "waiting": State.WAITING,
    "taking": State.PENDING,
    "taken": State.DONE,
    "left": State.DRIFT,
    "failed": State.FAILED,
    "undone": State.UNDONE,
}
"""By the words of console/operations/types.py (StepState)."""
_WHY = {"failed": "bad", "left": "warn"}
"""The states of which it is said why, and in which paint."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``state`` is a word of `STEP_STATES`; ``seconds`` what it took, None while that is not known."""

    name: str
    state: str = "waiting"
    seconds: float | None = None
    detail: str = ""


class Checklist(Listing, can_focus=False):
    """Shows steps; one that is under way counts its seconds, a failed one, or one that was left, says why below."""

    DEFAULT_CSS = "Checklist { height: auto; max-height: 100%; }"

    def __init__(
        self,
        steps: Sequence[Step] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._steps = list(steps)
        self._clock = clock
        self._since: dict[int, float] = {}
        self._counting: Timer | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(self._steps)

    def show(self, steps: Sequence[Step]) -> None:
        """Show these steps in place of the former ones."""
        self._steps, self._since = list(steps), {}
        self._changed()

    def put(self, position: int, step: Step) -> None:
        """One step is otherwise now; positions beyond the end make the list longer."""
        while len(self._steps) <= position:
            self._steps.append(Step(""))
        self._steps[position] = step
        if step.state != "taking":
            self._since.pop(position, None)
        self._changed()

    def detail(self, position: int, detail: str) -> None:
        """What a step is waiting for."""
        self.put(position, replace(self._steps[position], detail=detail))

    def on_mount(self) -> None:
        self._changed()

    def _changed(self) -> None:
        now = self._clock()
        for position, step in enumerate(self._steps):
            if step.state == "taking":
                self._since.setdefault(position, now - (step.seconds or 0.0))
        if self._since and self._counting is None and self.is_mounted:
            self._counting = self.set_interval(1.0, self.rebuild)
        elif not self._since and self._counting is not None:
            self._counting.stop()
            self._counting = None
        if self.is_mounted:
            self.rebuild()

    def make_lines(self) -> list[Sequence[Part]]:
        room = max(20, self.width - 1)
        lines: list[Sequence[Part]] = []
        for position, step in enumerate(self._steps):
            state = STEP_STATES.get(step.state, State.UNKNOWN)
            seconds = step.seconds
            if position in self._since:
                seconds = float(int(self._clock() - self._since[position]))
            took = "" if seconds is None or step.state == "waiting" else f"  {_took(step.state, seconds)}"
            name, detail = shown(step.name), shown(step.detail)
            paint = "muted" if step.state == "waiting" else "strong" if step.state == "taking" else ""
            parts: list[Part] = [(f"{state.glyph} ", state.paint), (clip(name, room - 2), paint), (took, "muted")]
            if detail and step.state in _WHY:
                lines.append(parts)
                lines += [[("    ", ""), (line, _WHY[step.state])] for line in wrapped(detail, room - 4)]
                continue
            if detail:
                parts.append((f"  {detail}", "muted"))
            lines.append(parts)
        return lines


def _took(state: str, seconds: float) -> str:
    # Whole seconds while it counts; tenths once it is known.
    return f"{seconds:.0f} s" if state == "taking" and seconds < 60 else elapsed(seconds)
