"""A form: fields one below the other, their values together, and the first error under the cursor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message

from widgets.field_specs import FieldKind, FieldSpec, ParameterLike, specs_of
from widgets.fields import Field, make_field
from widgets.note import Note


class Form(VerticalScroll, can_focus=False):
    """Collects the values of fields. It checks their form only; what they mean is the service's to say."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "submit", "apply", id="form.submit"),
        Binding("ctrl+n", "step(1)", "next field", show=False, id="form.next"),
        Binding("ctrl+b", "step(-1)", "former field", show=False, id="form.former"),
        Binding("ctrl+g", "more", "more…", id="form.more"),
    ]
    HELP_TITLE = "Form"
    DEFAULT_CSS = """
    Form { height: 1fr; padding: 0 1; overflow-x: hidden; scrollbar-size-vertical: 1; }
    Form .form--rest { display: none; }
    Form.-more .form--rest { display: block; }
    Form .form--hint { margin-top: 1; }
    Form.-more .form--hint { display: none; }
    """

    @dataclass
    class Changed(Message):
        """A field has another value."""

        form: Form
        name: str
        values: dict[str, str]

        @property
        def control(self) -> Form:
            return self.form

    @dataclass
    class Submitted(Message):
        """The form was handed in, and no field finds anything wrong."""

        form: Form
        values: dict[str, str]

        @property
        def control(self) -> Form:
            return self.form

    def __init__(
        self,
        specs: Iterable[FieldSpec],
        *,
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        specs = tuple(specs)
        # What is seldom needed comes last, however the specs are ordered.
        self._fields = {spec.name: make_field(spec) for spec in sorted(specs, key=lambda spec: spec.more)}
        self._rest = {name: field for name, field in self._fields.items() if field.spec.more}
        for field in self._rest.values():
            field.add_class("form--rest")

    def compose(self) -> ComposeResult:
        yield from self._fields.values()
        if self._rest:
            labels = dict.fromkeys(field.spec.label for field in self._rest.values())
            yield Note([(f"more…  {', '.join(labels)}", "muted")], classes="form--hint")

    @property
    def values(self) -> dict[str, str]:
        """What stands in each field, as text; an empty field is an empty text."""
        return {name: field.value for name, field in self._fields.items()}

    @property
    def given(self) -> dict[str, str | bool | tuple[str, ...]]:
        """The values that are not empty, in the form that `console.actions.parameters.checked` takes."""
        found: dict[str, str | bool | tuple[str, ...]] = {}
        for name, field in self._fields.items():
            value = field.value
            if field.spec.kind is FieldKind.FLAG:
                found[name] = value == "yes"
            elif value:
                found[name] = tuple(value.split(",")) if field.spec.kind is FieldKind.SEVERAL else value
        return found

    @property
    def errors(self) -> dict[str, str]:
        """What the fields find wrong, by name, whether it is said yet or not."""
        return {name: error for name, field in self._fields.items() if (error := field.error)}

    def field(self, name: str) -> Field:
        return self._fields[name]

    def set_value(self, name: str, value: str) -> None:
        self._fields[name].set_value(value)

    def show_errors(self, errors: Mapping[str, str]) -> None:
        """Say what a service found wrong, at the fields, and go to the first; names without a field are left out."""
        for name, sentence in errors.items():
            if name in self._fields:
                self._fields[name].show_error(sentence)
        self._to_first(errors)

    def submit(self) -> bool:
        """Hand the form in, or go to the first field that finds something wrong."""
        wrong = self.errors
        if not wrong:
            self.post_message(self.Submitted(self, self.values))
            return True
        for name, sentence in wrong.items():
            self._fields[name].show_error(sentence)
        self._to_first(wrong)
        return False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "more" or bool(self._rest)

    def action_more(self) -> None:
        """Show what is seldom needed, and go there; hide it again where it says nothing."""
        if not self.has_class("-more"):
            self.add_class("-more")
            next(iter(self._rest.values())).focus()
        elif not any(field.value != field.spec.default for field in self._rest.values()):
            self.remove_class("-more")
            self.focus()

    def _to_first(self, names: Iterable[str]) -> None:
        wanted = set(names)
        if wanted & set(self._rest):
            self.add_class("-more")
        for name, field in self._fields.items():
            if name in wanted:
                field.focus()
                return

    def focus(self, scroll_visible: bool = True) -> Form:
        for field in self._fields.values():
            field.focus(scroll_visible)
            break
        return self

    def on_field_edited(self, event: Field.Edited) -> None:
        event.stop()
        self.post_message(self.Changed(self, event.field.spec.name, self.values))

    def on_field_passed(self, event: Field.Passed) -> None:
        event.stop()
        self.action_step(1)

    def action_submit(self) -> None:
        self.submit()

    def action_step(self, step: int) -> None:
        """To the next or the former field; past the last the form keeps the focus where it is."""
        fields = [field for field in self._fields.values() if field.display]
        now = next((at for at, field in enumerate(fields) if field.has_focus_within), 0)
        if 0 <= now + step < len(fields):
            fields[now + step].focus()


def form_from(
    parameters: Iterable[ParameterLike],
    *,
    id: str | None = None,  # noqa: A002 - Textual's word
) -> Form:
    """A form for the parameters of an action."""
    return Form(specs_of(parameters), id=id)
