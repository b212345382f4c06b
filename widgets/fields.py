"""Fields of a form: a label, a control, and below it what is wrong with what stands in it, said while one types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from widgets.field_specs import FieldKind, FieldSpec, problem_with
from widgets.fit import shown
from widgets.listing import Listing
from widgets.note import Note
from widgets.paint import Part
from widgets.prompt import Prompt, Suggested
from widgets.theme import sign


class Field(Widget):
    """A label, a control and room for what is wrong. `make_field` makes the right one of a `FieldSpec`."""

    DEFAULT_CSS = """
    Field { height: auto; layout: vertical; }
    Field > .field--row { height: auto; layout: horizontal; }
    Field > .field--row > .field--label { width: 16; }
    Field > .field--row > .field--unit { width: auto; }
    Field > .field--below { display: none; padding-left: 16; }
    Field > .field--below.-said { display: block; }
    """

    @dataclass
    class Edited(Message):
        """Something else stands in the field."""

        field: Field
        value: str

        @property
        def control(self) -> Field:
            return self.field

    @dataclass
    class Passed(Message):
        """Enter: on to the next field."""

        field: Field

        @property
        def control(self) -> Field:
            return self.field

    def __init__(self, spec: FieldSpec) -> None:
        super().__init__(classes=f"-{spec.kind}")
        self.spec = spec
        self._label = Note(self._label_parts(), classes="field--label")
        self._below = Note(classes="field--below")
        self._touched = False
        self._error: str | None = None
        self._from_outside: tuple[str, str] | None = None  # a sentence, and the value that it is about

    def _label_parts(self) -> list[Part]:
        return [(shown(self.spec.label), ""), (" *" if self.spec.required else "", "muted")]

    def control_widget(self) -> Widget:
        """What is filled in."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        row = Widget(classes="field--row")
        with row:
            yield self._label
            yield self.control_widget()
            if self.spec.unit:
                yield Note([(f" {shown(self.spec.unit)}", "muted")], classes="field--unit")
        yield self._below

    def on_mount(self) -> None:
        self._say()

    @property
    def value(self) -> str:
        """What stands in it, as text."""
        raise NotImplementedError

    def set_value(self, value: str) -> None:
        raise NotImplementedError

    @property
    def error(self) -> str | None:
        """What is wrong with it, whether it is said yet or not."""
        if self._from_outside and self._from_outside[1] == self.value:
            return self._from_outside[0]
        return problem_with(self.spec, self.value)

    def show_error(self, sentence: str | None = None) -> None:
        """Say what is wrong: what the field itself finds, or this sentence, until something else stands in it."""
        self._touched = True
        self._from_outside = (sentence, self.value) if sentence else None
        self._say()

    def edited(self) -> None:
        """For subclasses: something else stands in it."""
        self._touched = True
        self._say()
        self.post_message(self.Edited(self, self.value))

    def _say(self) -> None:
        error = self.error if self._touched else None
        lines: list[list[Part]] = []
        if error:
            lines = [[(f"{sign('caret')} {shown(error)}", "bad")]]
        elif self.spec.help and self.has_focus_within:
            lines = [[(shown(self.spec.help), "muted")]]
        self._below.show(*lines)
        self._below.set_class(bool(lines), "-said")

    def on_descendant_focus(self) -> None:
        self._say()

    def on_descendant_blur(self) -> None:
        self.call_after_refresh(self._say)

    def focus(self, scroll_visible: bool = True) -> Field:
        self.control_widget().focus(scroll_visible)
        return self


class _FieldPrompt(Prompt):
    """A prompt in a form: escape is the form's unless suggestions are open, and down opens them."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "leave":
            return bool(self.suggestions)
        return True if action == "choose" and self._suggest else super().check_action(action, parameters)

    def action_choose(self, step: int) -> None:
        if not self.suggestions and self._suggest:
            # All of them, for what stands there was chosen once and would hide the others.
            self._list.show(Suggested(each.text, 0, len(self.text)) for each in self._suggest("", 0))
        super().action_choose(step)


class TextField(Field):
    """Text, a number, a duration or a path; with choices (`FieldKind.SELECT`) found by typing."""

    DEFAULT_CSS = """
    TextField Prompt { width: 1fr; max-width: 48; }
    TextField.-integer Prompt, TextField.-duration Prompt { width: 14; }
    TextField PromptInput, TextField PromptInput:focus { background: $panel; }
    """

    def __init__(self, spec: FieldSpec) -> None:
        super().__init__(spec)
        suggest = self._choices if spec.choices else None
        lead = f"{sign('drop')} " if spec.choices else ""
        self._prompt = _FieldPrompt(lead=lead, value=spec.default, placeholder=spec.placeholder, suggest=suggest)

    def control_widget(self) -> Widget:
        return self._prompt

    @property
    def value(self) -> str:
        return self._prompt.text.strip()

    def set_value(self, value: str) -> None:
        self._prompt.set_text(value)

    def _choices(self, text: str, _cursor: int) -> Sequence[Suggested]:
        typed = text.casefold().strip()
        if typed in (choice.casefold() for choice in self.spec.choices):
            return ()
        beginning = [choice for choice in self.spec.choices if choice.casefold().startswith(typed)]
        inside = [choice for choice in self.spec.choices if typed in choice.casefold() and choice not in beginning]
        return [Suggested(choice, 0, len(text)) for choice in beginning + inside]

    def on_prompt_changed(self, event: Prompt.Changed) -> None:
        event.stop()
        self.edited()

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        event.stop()
        if self.value and (fitting := self._choices(self.value, 0)):
            self._prompt.set_text(fitting[0].text)
        self.post_message(self.Passed(self))


class Options(Listing):
    """A few choices below one another; one of them, or some, is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "choose", id="options.choose"),
        Binding("enter", "pass_on", "next field", show=False, id="options.pass"),
    ]
    DEFAULT_CSS = "Options { height: auto; width: 1fr; }"
    RESTS = False

    @dataclass
    class Chosen(Message):
        options: Options

    @dataclass
    class Passed(Message):
        options: Options

    def __init__(self, choices: Sequence[str], chosen: Iterable[str], *, several: bool) -> None:
        super().__init__()
        self._choices = tuple(choices)
        self.chosen = {choice for choice in chosen if choice in choices}
        self._several = several

    def on_mount(self) -> None:
        self._cursor = next((at for at, choice in enumerate(self._choices) if choice in self.chosen), 0)
        self.rebuild()

    @property
    def choices(self) -> tuple[str, ...]:
        return self._choices

    def set_chosen(self, chosen: Iterable[str]) -> None:
        self.chosen = {choice for choice in chosen if choice in self._choices}
        self.rebuild()

    def make_lines(self) -> list[Sequence[Part]]:
        left, right = ("[", "]") if self._several else ("(", ")")
        full = "x" if self._several else sign("chosen")
        lines: list[Sequence[Part]] = []
        for choice in self._choices:
            on = choice in self.chosen
            lines.append([(f"{left}{full if on else ' '}{right} ", "key" if on else "muted"), (shown(choice), "")])
        return lines

    def action_choose(self) -> None:
        choice = self._choices[self.cursor_line]
        self.chosen = self.chosen ^ {choice} if self._several else {choice}
        self.rebuild()
        self.post_message(self.Chosen(self))

    def action_pass_on(self) -> None:
        self.post_message(self.Passed(self))


class OptionField(Field):
    """One of a few (`FieldKind.CHOICE`), some of a few (`SEVERAL`), or yes and no (`FLAG`)."""

    def __init__(self, spec: FieldSpec) -> None:
        super().__init__(spec)
        choices = ("no", "yes") if spec.kind is FieldKind.FLAG else spec.choices
        default = spec.default or ("no" if spec.kind is FieldKind.FLAG else "")
        several = spec.kind is FieldKind.SEVERAL
        self._options = Options(choices, default.split(",") if several else [default], several=several)

    def control_widget(self) -> Widget:
        return self._options

    @property
    def value(self) -> str:
        return ",".join(choice for choice in self._options.choices if choice in self._options.chosen)

    def set_value(self, value: str) -> None:
        self._options.set_chosen(value.split(",") if self.spec.kind is FieldKind.SEVERAL else [value])
        self.edited()

    def on_options_chosen(self, event: Options.Chosen) -> None:
        event.stop()
        self.edited()

    def on_options_passed(self, event: Options.Passed) -> None:
        event.stop()
        self.post_message(self.Passed(self))


def make_field(spec: FieldSpec) -> Field:
    if spec.kind in (FieldKind.CHOICE, FieldKind.SEVERAL, FieldKind.FLAG):
        return OptionField(spec)
    return TextField(spec)
