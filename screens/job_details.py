"""What became of a job: how it ended, what was seen, what to do next, and the steps that it has told."""

from __future__ import annotations

from textwrap import wrap
from typing import ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from console.bridge import Job
from console.terminal.text import safe
from screens.commanding import Lines
from screens.details import Line
from screens.frame import Deck
from widgets.dialog import Dialog
from widgets.key_footer import KeyFooter

_FRAME = 8
"""Columns of the window's border, its padding, the cursor and the scroll bar."""
_INDENT = " " * 6


class JobWindow(Dialog[None]):
    """One job of the drawer, as it stands."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "close", "close", id="job.close"),
        Binding("c", "copy", "copy", id="job.copy"),
    ]
    DEFAULT_CSS = """
    JobWindow > .dialog--box { width: 100%; height: 100%; padding: 0 1; }
    """

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._text = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box") as box:
            box.border_title = Text(safe(self._job.title))
            yield Lines(id="job", classes="dialog--focus")
            yield KeyFooter()

    def on_mount(self) -> None:
        lines = _lines(self._job)
        self._text = "\n".join(lines)
        room = max(20, self.app.size.width - _FRAME)
        shown = [part for line in lines for part in (wrap(line, room, subsequent_indent=_INDENT) or [""])]
        self.query_one(Lines).show([Line(part) for part in shown])

    def action_close(self) -> None:
        self.dismiss(None)

    def action_copy(self) -> None:
        cast("Deck", self.app).copy_text(self._text, "job")


def _lines(job: Job) -> list[str]:
    from console.rendering import progress_line

    outcome = job.outcome
    found = [
        f"it runs, for {job.seconds:.0f} s now" if outcome is None else f"{outcome.ending.value}: {outcome.summary}"
    ]
    if outcome is not None:
        found += [f"  next: {outcome.then}"] if outcome.then else []
        found += [f"  ✓ {seen}" for seen in outcome.proof]
        found += [f"  {item.state:10} {item.name}  {item.detail}".rstrip() for item in outcome.items]
    if job.progress:
        found += ["", "what it has told"]
        found += [line for item in job.progress for line in progress_line(item).splitlines()]
    return [safe(line) for line in found]
