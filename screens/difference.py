"""What the providers' lists say otherwise than the catalog: a dry run, model by model and field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.catalog.render import value_text
from console.catalog.types import ChangeKind
from console.outcome import Outcome
from screens.window import Window
from widgets.diff_view import Change, DiffView, FieldDiff
from widgets.fit import wrapped
from widgets.note import Note
from widgets.paint import Part

_EFFECTS = {
    ChangeKind.BASELINE: "create",
    ChangeKind.ADDED: "create",
    ChangeKind.RETURNED: "create",
    ChangeKind.MISSING: "remove",
    ChangeKind.RETIRED: "remove",
}
_HELD = "held"


def changes_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """The rows of ``sync.diff`` for `DiffView`: a group for each model, what would be held first."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["provider"], row["model"]), []).append(row)
    changes = [_change(provider, model, group) for (provider, model), group in groups.items()]
    return tuple(sorted(changes, key=lambda change: not change.note.startswith("held")))


def fields_of(change: Mapping[str, Any]) -> tuple[FieldDiff, ...]:
    """A row of the history, field by field: one field, or all that a new model came with."""
    before, after = change["before"], change["after"]
    if change["field"]:
        return (FieldDiff(change["field"], _text(before), _text(after)),)
    said = after if isinstance(after, Mapping) else {}
    return tuple(FieldDiff(name, None, value_text(value)) for name, value in said.items() if value is not None)


def _change(provider: str, model: str, rows: Sequence[Mapping[str, Any]]) -> Change:
    fields: list[FieldDiff] = []
    notes: list[str] = []
    effect = "change"
    for row in rows:
        if row["kind"] == _HELD:
            fields.append(FieldDiff(row["field"], row["before"], row["proposed"]))
            notes.append(f"held for review: {row['reason']}")
        else:
            fields += fields_of(row)
            effect = _EFFECTS.get(row["kind"], effect)
            if row["kind"] != ChangeKind.CHANGED:
                notes.append(row["kind"])
    notes.sort(key=lambda note: not note.startswith("held"))
    return Change(f"{provider}/{model}" if model else provider, effect, tuple(fields), "; ".join(notes))


def _text(value: Any) -> str | None:
    return None if value is None else value_text(value)


class DifferenceWindow(Window):
    """A dry run's answer. Nothing was written, and closing it writes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "copy", id="difference.copy"),
        Binding("C", "copy_command", "copy command", show=False, id="difference.copy_command"),
    ]
    DEFAULT_CSS = "DifferenceWindow #head { height: auto; max-height: 6; }"

    def __init__(self, outcome: Outcome, providers: Sequence[str]) -> None:
        named = ", ".join(providers) if len(providers) <= 3 else f"{len(providers)} providers"
        super().__init__(f"Dry run of {named}: {outcome.summary}")
        self._outcome = outcome
        self._providers = tuple(providers)
        data = outcome.data
        self._changes = changes_of(data["rows"]) if isinstance(data, Mapping) else ()

    def body(self) -> Iterable[Widget]:
        yield Note(id="head")
        yield DiffView(self._changes, empty="the lists say what the catalog says", id="main")

    def opened(self) -> None:
        # Who did not answer has no differences here, which must not look like none.
        width = max(20, self.app.size.width - 8)
        lines: list[Sequence[Part]] = []
        for item in self._outcome.items:
            lines += [[(f" {line}", "warn")] for line in wrapped(f"{item.name}: {item.state}. {item.detail}", width)]
        self.query_one("#head", Note).show(*lines)

    def action_copy(self) -> None:
        change = self.query_one(DiffView).change
        if change is not None:
            fields = [f"{field.path}: {field.before or '-'} → {field.after or '-'}" for field in change.fields]
            self.deck.copy_text("\n".join((change.title, *fields)), "difference")

    def action_copy_command(self) -> None:
        self.deck.copy_command("sync.diff", {"provider": self._providers})
