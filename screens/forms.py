"""The window that asks for what an action needs, made of the action's own parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Resize

from console.actions import REGISTRY, Action
from console.actions.parameters import read_document, spelled_duration
from console.actions.registry import Kind
from console.outcome import Refusal
from screens.frame import DeckScreen, begin
from screens.publish_fields import ACTIONS as PUBLICATIONS
from screens.publish_fields import dressed
from widgets.dialog import Dialog, box_width
from widgets.field_specs import FieldKind, FieldSpec, specs_of
from widgets.fit import wrapped
from widgets.form import Form
from widgets.key_footer import KeyFooter
from widgets.note import Note

if TYPE_CHECKING:
    from console.bridge import Job

Values = dict[str, Any]
_FRAME_ROWS = 3
"""Of a form's window: its border, and the row of its keys."""


class FormWindow(Dialog[Values | None]):
    """Answers the values that were filled in, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave it", id="form.leave")]
    DEFAULT_CSS = """
    FormWindow > .dialog--box { max-height: 90%; padding: 0 1; }
    FormWindow Form { height: auto; }
    """

    def __init__(self, title: str, specs: Collection[FieldSpec], note: str = "") -> None:
        super().__init__()
        self._title = title
        self._note = note
        self._above = 1
        self._form = Form(specs)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog--box"):
            note = wrapped(self._note, box_width(self.app.size.width)) if self._note else []
            self._above = 1 + len(note)
            yield Note([(self._title, "strong")], *[[(line, "muted")] for line in note])
            yield self._form
            yield KeyFooter()

    def on_mount(self) -> None:
        self._form.focus()

    def on_resize(self, event: Resize) -> None:
        # A long form scrolls between its title and its keys, which stay.
        self._form.styles.max_height = max(3, event.size.height * 9 // 10 - _FRAME_ROWS - self._above)

    def on_form_submitted(self, event: Form.Submitted) -> None:
        event.stop()
        self.dismiss(dict(self._form.given))

    def action_leave(self) -> None:
        self.dismiss(None)


def ask_values(
    screen: DeckScreen,
    identifier: str,
    given: Mapping[str, Any],
    then: Callable[[Job], None] = lambda _: None,
    *,
    defaults: Mapping[str, Any] | None = None,
    shown: str = "",
    hide: Collection[str] = (),
    needs: Collection[str] = (),
    lift: str = "",
    answered: Callable[[Values], None] | None = None,
) -> None:
    """Ask for what is not given, then do it.

    Args:
        defaults: what stands in the fields at first, in place of the action's own defaults
        shown: what it is done to, for the title
        hide: parameters that are not asked for and keep their defaults
        needs: parameters that have to be filled in here, though the action can do without
        answered: takes what was filled in, with what was given, in place of doing it at once
        lift: the parameter that names what is taken away: the fields that had something in them and were emptied
    """
    action = REGISTRY[identifier]

    async def ask() -> None:
        specs = [
            replace(spec, required=spec.required or spec.name in needs)
            for spec in await specs_for(screen, action, given, defaults or {}, hide)
        ]

        def submitted(values: Values | None) -> None:
            if values is None:
                return
            try:
                filled = _as_texts(action, as_lists(action, values))
                if lift:
                    filled[lift] = tuple(spec.name for spec in specs if spec.default and spec.name not in values)
            except Refusal as problem:
                screen.deck.tell(problem.outcome())
                return
            if answered is not None:
                answered({**given, **filled})
            else:
                screen.deck.act(identifier, {**given, **filled}, then)

        title = f"{action.title}: {shown}" if shown else action.title
        screen.app.push_screen(FormWindow(title, specs, action.details), submitted)

    begin(screen, ask, "form", "form")


def as_lists(action: Action, values: Mapping[str, Any]) -> Values:
    """What was typed with commas between, where a parameter takes several."""
    many = {parameter.name for parameter in action.parameters if parameter.many}
    return {
        name: tuple(part.strip() for part in value.split(",") if part.strip())
        if name in many and isinstance(value, str)
        else value
        for name, value in values.items()
    }


def _as_texts(action: Action, values: Values) -> Values:
    """The text of the file that was named, where a parameter is one."""
    documents = {parameter.name for parameter in action.parameters if parameter.kind is Kind.DOCUMENT}
    return {name: read_document(value) if name in documents and value else value for name, value in values.items()}


async def specs_for(
    screen: DeckScreen,
    action: Action,
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    hide: Collection[str] = (),
) -> list[FieldSpec]:
    """The fields for an action's parameters; tenants and published models are offered as choices."""
    specs = []
    for spec in specs_of(parameter for parameter in action.parameters if parameter.name not in {*given, *hide}):
        found = spec
        if (default := defaults.get(spec.name)) is not None:
            found = replace(found, default=", ".join(default) if isinstance(default, list | tuple) else str(default))
        if spec.kind is FieldKind.DURATION and found.default.isdecimal():
            found = replace(found, default=spelled_duration(int(found.default)))
        if spec.name == "tenant" and (tenants := await names(screen, "tenants.list")):
            default = found.default or (tenants[0] if len(tenants) == 1 else "")
            found = replace(found, kind=FieldKind.SELECT, choices=tenants, default=default)
        if spec.name == "allow_tenant" and (tenants := await names(screen, "tenants.list")):
            found = replace(found, kind=FieldKind.SEVERAL, choices=tenants)
        own_models = spec.name == "model" and action.id in ("keys.create", "keys.edit")
        if own_models and (models := await names(screen, "published")):
            found = replace(found, kind=FieldKind.SEVERAL, choices=models)
        specs.append(dressed(found) if action.id in PUBLICATIONS else found)
    return specs


async def names(screen: DeckScreen, listing: str) -> tuple[str, ...]:
    """The names in a list; nothing where it cannot be had, for then the operator types."""
    outcome = await screen.bridge.ask(listing)
    return tuple(row["name"] for row in outcome.data) if isinstance(outcome.data, list) else ()
