"""Questions before something is done: yes or no, and for the dangerous the name, typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from widgets.dialog import Dialog, box_width
from widgets.fit import cells, shown, wrapped
from widgets.listing import Listing
from widgets.note import Note
from widgets.paint import Part
from widgets.prompt import Prompt
from widgets.theme import State

Fact = tuple[str, str]
"""What, and its value: shown in two columns."""


def fact_lines(facts: Sequence[Fact], width: int) -> list[list[Part]]:
    """The facts in two columns, long values wrapped."""
    left = max((cells(name) for name, _ in facts), default=0) + 2
    lines: list[list[Part]] = []
    for name, value in facts:
        for number, piece in enumerate(wrapped(value, max(10, width - left))):
            label = shown(name) if number == 0 else ""
            lines.append([(label + " " * (left - cells(label)), "muted"), (piece, "")])
    return lines


class _Answers(Listing):
    """No, and yes: no is under the cursor until the operator moves it."""

    DEFAULT_CSS = "_Answers { height: auto; margin-top: 1; }"

    def __init__(self, no: str, yes: str) -> None:
        super().__init__(classes="dialog--focus")
        self._answers = (no, yes)

    def on_mount(self) -> None:
        self.rebuild()

    def make_lines(self) -> list[Sequence[Part]]:
        no, yes = self._answers
        return [[(" n  ", "key"), (shown(no), "")], [(" y  ", "key"), (shown(yes), "")]]


class Confirm(Dialog[bool]):
    """Yes or no. Enter takes what is under the cursor, which is no at first; `y` and `n` answer at once.

    ``await app.push_screen_wait(Confirm(...))`` gives True for yes.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "take", id="confirm.take"),
        Binding("y", "answer(True)", "yes", id="confirm.yes"),
        Binding("n,escape,q", "answer(False)", "no", id="confirm.no"),
    ]
    HELP_TITLE = "Question"

    def __init__(
        self,
        question: str,
        *,
        facts: Sequence[Fact] = (),
        yes: str = "yes",
        no: str = "no, leave it as it is",
        danger: bool = False,
    ) -> None:
        super().__init__()
        self._question = question
        self._facts = tuple(facts)
        self._answers = _Answers(no, yes)
        self._danger = danger

    def compose(self) -> ComposeResult:
        width = box_width(self.app.size.width)
        glyph = f"{State.DRIFT.glyph} " if self._danger else ""
        with Vertical(classes="dialog--box -danger" if self._danger else "dialog--box"):
            yield Note(*[[(line, "strong")] for line in wrapped(glyph + self._question, width)])
            if self._facts:
                yield Note([], *fact_lines(self._facts, width))
            yield self._answers

    def action_take(self) -> None:
        self.dismiss(self._answers.cursor_line == 1)

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class TypedConfirm(Dialog[bool]):
    """For what cannot be undone: the name has to be typed, letter by letter, before enter does anything."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave it", id="confirm.leave")]
    HELP_TITLE = "Question"
    DEFAULT_CSS = """
    TypedConfirm Prompt { margin-top: 1; }
    TypedConfirm PromptInput, TypedConfirm PromptInput:focus { background: $panel; }
    """

    def __init__(self, question: str, name: str, *, facts: Sequence[Fact] = ()) -> None:
        super().__init__()
        self._question = question
        self._wanted = name
        self._facts = tuple(facts)
        self._prompt = Prompt(lead="name  ")

    def compose(self) -> ComposeResult:
        width = box_width(self.app.size.width)
        with Vertical(classes="dialog--box -danger"):
            yield Note(*[[(line, "strong")] for line in wrapped(f"{State.DRIFT.glyph} {self._question}", width)])
            if self._facts:
                yield Note([], *fact_lines(self._facts, width))
            yield Note([], [("Type ", ""), (shown(self._wanted), "key"), (" and press enter; esc leaves it.", "")])
            yield self._prompt

    def on_mount(self) -> None:
        self._prompt.focus()

    @property
    def typed(self) -> bool:
        """Whether the name stands in the line, exactly."""
        return self._prompt.text == self._wanted

    def on_prompt_changed(self, event: Prompt.Changed) -> None:
        event.stop()
        if self.typed:
            self._prompt.say([("the name is right: enter does it", "warn")])
        else:
            self._prompt.say()

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        event.stop()
        if self.typed:
            self.dismiss(True)
        else:
            self._prompt.say([("this is not the name", "bad")])

    def on_prompt_left(self, event: Prompt.Left) -> None:
        event.stop()
        self.dismiss(False)

    def action_leave(self) -> None:
        self.dismiss(False)
