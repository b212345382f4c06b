"""What would change, object by object, field by field: folded or not, with a way from one change to the next.

A plan of console/publishing/types.py maps like this::

    Change(target, effect, tuple(FieldDiff(f.path, f.before, f.after) for f in fields))   # of each PlannedChange

for `Effect` there is a string of the same values, and ``before``/``after`` are texts, None where the field is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType

from widgets.fit import cells, clip, clip_middle, padded, shown, wrapped
from widgets.listing import Listing
from widgets.paint import Part
from widgets.theme import sign

_PAINTS = {"create": "good", "change": "warn", "remove": "bad", "unchanged": "muted"}
_MOST_LINES = 3  # of one value
_INDENT = 4


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """One field, before and after; None where it is absent."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One object or entry, and what becomes of it.

    effect  ``create``, ``change``, ``remove`` or ``unchanged``
    note    a few words behind the title
    """

    title: str
    effect: str
    fields: tuple[FieldDiff, ...] = ()
    note: str = ""


def effect_glyph(effect: str) -> str:
    """``+``, ``~``, ``−`` or ``=``."""
    return {"create": "+", "change": "~", "remove": sign("minus")}.get(effect, "=")


class DiffView(Listing):
    """Changes as groups of fields. New objects come folded, for all of their fields are new."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "fold", "fold", id="diff.fold"),
        Binding("n", "next_change(1)", "next change", id="diff.next"),
        Binding("N", "next_change(-1)", "previous change", show=False, id="diff.previous"),
        Binding("z", "fold_all", "fold all", show=False, id="diff.fold_all"),
    ]
    HELP_TITLE = "Differences"

    def __init__(
        self,
        changes: Iterable[Change] = (),
        *,
        empty: str = "nothing would change",
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._changes = tuple(changes)
        self._empty = empty
        self._folded = self._at_first(self._changes)
        self._of_line: list[tuple[int, bool]] = []  # the change of each line, and whether it is its first

    @property
    def changes(self) -> tuple[Change, ...]:
        return self._changes

    @property
    def change(self) -> Change | None:
        """The change that the cursor is in."""
        return self._changes[self._of_line[self._cursor][0]] if self._of_line else None

    def show(self, changes: Sequence[Change]) -> None:
        """Show these changes; what was folded stays so, by title."""
        known = {change.title for change in self._changes}
        folded = {title for title in self._folded if any(change.title == title for change in changes)}
        self._folded = folded | self._at_first([change for change in changes if change.title not in known])
        self._changes = tuple(changes)
        self.rebuild()

    def on_mount(self) -> None:
        self.rebuild()

    @staticmethod
    def _at_first(changes: Iterable[Change]) -> set[str]:
        return {change.title for change in changes if change.effect in ("create", "unchanged")}

    def make_lines(self) -> list[Sequence[Part]]:
        lines: list[Sequence[Part]] = []
        self._of_line = []
        for number, change in enumerate(self._changes):
            lines.append(self._title(change))
            if change.title not in self._folded:
                for field in change.fields:
                    lines += self._field(field)
            self._of_line += [(number, at == len(self._of_line)) for at in range(len(self._of_line), len(lines))]
        return lines or [[(" " + self._empty, "muted")]]

    def can_stand(self, line: int) -> bool:
        return line < len(self._of_line)

    def _title(self, change: Change) -> list[Part]:
        paint = _PAINTS.get(change.effect, "")
        fold = " "
        if change.fields:
            fold = sign("folded" if change.title in self._folded else "unfolded")
        count = f"{len(change.fields)} field{'s' if len(change.fields) != 1 else ''}" if change.fields else ""
        note = "  ".join(text for text in (count, shown(change.note)) if text)
        title = clip(shown(change.title), max(8, self.width - 6 - cells(note) - 2))
        return [(f"{fold} ", "muted"), (f"{effect_glyph(change.effect)} {title}", paint), (f"  {note}", "muted")]

    def _field(self, field: FieldDiff) -> list[list[Part]]:
        room = max(12, self.width - _INDENT - 2)
        path, before, after = shown(field.path), field.before, field.after
        if before is None or after is None:
            glyph, paint = ("+", "good") if before is None else (sign("minus"), "bad")
            value = after if before is None else before
            return self._labelled(glyph, paint, path, value or "", room)
        inline = f"{path}  {shown(before)} {sign('arrow')} {shown(after)}"
        if cells(inline) <= room - 2 and "\n" not in before + after:
            return [
                [
                    (" " * _INDENT + "~ ", "warn"),
                    (f"{path}  ", ""),
                    (shown(before), "bad"),
                    (f" {sign('arrow')} ", "muted"),
                    (shown(after), "good"),
                ]
            ]
        lines: list[list[Part]] = [[(" " * _INDENT + "~ ", "warn"), (clip_middle(path, room - 2), "")]]
        for glyph, paint, value in ((sign("minus"), "bad", before), ("+", "good", after)):
            lines += self._value(f"{' ' * _INDENT}  {glyph} ", paint, value, room - 4)
        return lines

    def _labelled(self, glyph: str, paint: str, path: str, value: str, room: int) -> list[list[Part]]:
        if cells(path) + 4 + cells(value) <= room and "\n" not in value:
            return [[(f"{' ' * _INDENT}{glyph} ", paint), (f"{path}  ", ""), (shown(value), paint)]]
        head: list[Part] = [(f"{' ' * _INDENT}{glyph} ", paint), (clip_middle(path, room - 2), "")]
        return [head, *self._value(" " * (_INDENT + 4), paint, value, room - 4)]

    @staticmethod
    def _value(lead: str, paint: str, value: str, room: int) -> list[list[Part]]:
        pieces = wrapped(value, room)
        if len(pieces) > _MOST_LINES:
            more = len(pieces) - _MOST_LINES + 1
            pieces = [*pieces[: _MOST_LINES - 1], f"{sign('more')} {more} lines more"]
        blank = padded("", cells(lead))
        return [[(lead if not number else blank, paint), (piece, paint)] for number, piece in enumerate(pieces)]

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self._changes) if action in ("fold", "fold_all", "next_change") else True

    def action_fold(self) -> None:
        number = self._of_line[self._cursor][0]
        self._folded ^= {self._changes[number].title}
        self.rebuild()
        self.refresh()
        self.go(self._first_line(number))

    def action_fold_all(self) -> None:
        number = self._of_line[self._cursor][0]
        titles = {change.title for change in self._changes}
        self._folded = set() if self._folded == titles else titles
        self.rebuild()
        self.refresh()
        self.go(self._first_line(number))

    def action_next_change(self, direction: int) -> None:
        """To the next group that is not unchanged, around the end."""
        number, first = self._of_line[self._cursor]
        count = len(self._changes)
        if direction < 0 and not first:
            self.go(self._first_line(number))
            return
        for step in range(1, count + 1):
            other = (number + direction * step) % count
            if self._changes[other].effect != "unchanged":
                self.go(self._first_line(other))
                return

    def _first_line(self, number: int) -> int:
        return self._of_line.index((number, True))
