"""Results and progress as text for people; ``--json`` does not come through here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from console.actions.registry import Action
from console.catalog.types import Document
from console.guard import Danger
from console.operations.types import Lines, Progress, StepState
from console.publishing.types import Effect, Plan
from console.terminal.columns import cut, fit
from console.terminal.text import safe, table, width
from console.terminal.times import short_moment

_GLYPHS = {StepState.TAKEN: "✓", StepState.LEFT: "!", StepState.UNDONE: "○", StepState.FAILED: "✗"}


def progress_line(item: Any) -> str:
    """One line for something that a running action reports; empty where there is nothing to say yet."""
    if isinstance(item, Plan):
        return plan_text(item)
    if isinstance(item, Progress):
        glyph = _GLYPHS.get(item.state)
        if glyph is None:
            return ""
        undone = "undone: " if item.state is StepState.UNDONE else ""
        return f"  {glyph} {safe(item.name)}  {undone}{safe(item.detail)}  {item.seconds:.2f} s"
    text = safe(str(item))
    return f"  {text}" if text else ""


def plan_text(plan: Plan) -> str:
    """The plan as a diff: each object with its fields, then the warnings."""
    lines = [f"Plan: {safe(plan.title)}"]
    for change in plan.changes:
        lines.append(f"  {change.effect.glyph} {safe(change.target)}")
        # A new object is shown by what an operator decides about; a change by every field of it.
        for one in change.fields:
            if change.effect is Effect.CREATE and not one.path.startswith(
                ("spec", "endpoint", "model", "project", "data")
            ):
                continue
            lines.append(f"      {one.glyph} {safe(one.path)}: {_transition(one.before, one.after)}")
    lines += [f"  ✗ {safe(one)}" for one in plan.conflicts]
    lines += [f"  · {safe(reason)}" for reason in plan.reasons]
    lines += [f"  ! {safe(warning)}" for warning in plan.warnings]
    return "\n".join(lines)


def _transition(before: str | None, after: str | None) -> str:
    if before is None:
        return safe(after or "")
    return f"{safe(before)} → {safe(after)}" if after is not None else safe(before)


def is_asked_for(action: Action, data: Any) -> bool:
    """Whether the data of an outcome is what was asked for: all that is read, and of a write its plan and manifests."""
    return action.danger is Danger.READ or isinstance(data, Plan | Document)


@dataclass(slots=True)
class Fitted:
    """How wide a table may be, and what that left out.

    missing  headings of the columns that are not in it
    cut      whether a cell was shortened
    short    whether moments were, for there was no room for them
    """

    width: int
    missing: list[str] = field(default_factory=list)
    cut: bool = False
    short: bool = False

    @property
    def note(self) -> str:
        """What is not shown, and how it is; empty where all is."""
        what = [f"not shown: {', '.join(self.missing)}"] if self.missing else []
        what += ["what ends in … is longer"] if self.cut else []
        what += ["times are short, and local"] if self.short else []
        return f"  {'; '.join(what)}: --json or | cat shows everything" if what else ""


def data_text(action: Action, data: Any, fitted: Fitted | None = None) -> str:
    """The data of an outcome: a table where the action has columns, else a line for each field.

    Args:
        fitted: the width of the terminal, for a table; without it, everything
    """
    if data is None:
        return ""
    if isinstance(data, Plan):
        return plan_text(data)
    if isinstance(data, Lines):
        return data.text
    if isinstance(data, Document):
        return "\n".join("\t".join(map(safe, line.split("\t"))) for line in data.text.split("\n"))
    # A page, or a report with parts, carries its lines as "rows".
    rows = data.get("rows") if isinstance(data, Mapping) else data
    if action.columns and isinstance(rows, Sequence) and not isinstance(rows, str):
        notes = data.get("notes", ()) if isinstance(data, Mapping) else ()
        return "\n".join(part for part in (_table(action, rows, fitted), *map(safe, notes)) if part)
    if isinstance(data, Mapping):
        return "\n".join(_field(name, value) for name, value in data.items() if value not in (None, "", [], (), {}))
    return _cell(data)


def _field(name: str, value: Any) -> str:
    """One line; a list of records takes one line more for each."""
    if isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value):
        lines = [
            "    " + "  ".join(f"{key} {_cell(one)}" for key, one in item.items() if one not in (None, ""))
            for item in value
        ]
        return "\n".join([f"{name}:", *lines])
    if isinstance(value, Mapping) and not any(isinstance(one, Mapping | list | tuple) for one in value.values()):
        return f"{name + ':':14} {', '.join(_figure(*one) for one in value.items() if one[1] not in (None, ''))}"
    return f"{name + ':':14} {_cell(value)}"


def _figure(name: str, value: Any) -> str:
    """``2 active``; what is no number stands behind its name."""
    words = name.replace("_", " ")
    counts = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{_cell(value)} {words}" if counts else f"{words} {_cell(value)}"


def _table(action: Action, rows: Sequence[Any], fitted: Fitted | None) -> str:
    if not rows:
        return ""
    columns = list(action.columns)
    headings = [column.heading for column in columns]
    cells = [[_cell(row.get(column.field)) for column in columns] for row in rows]
    if fitted is not None:
        right = frozenset(at for at, column in enumerate(columns) if column.right)
        priorities = [column.priority for column in columns]
        given = fit([headings, *cells], priorities, right, fitted.width)
        if any(width(row[at]) > given.get(at, 0) for row in cells for at in range(len(columns))):
            # A moment that is cut keeps its date, and loses the minute that was asked for.
            now = datetime.now().astimezone()
            short = [[short_moment(cell, now) for cell in row] for row in cells]
            fitted.short, cells = short != cells, short
            given = fit([headings, *cells], priorities, right, fitted.width)
        fitted.missing = [
            headings[at] for at in range(len(columns)) if at not in given and any(row[at] for row in cells)
        ]
        fitted.cut = any(width(row[at]) > room for row in cells for at, room in given.items())
        columns, headings = [columns[at] for at in given], [headings[at] for at in given]
        cells = [[cut(row[at], room) for at, room in given.items()] for row in cells]
    return table(headings, cells, right=frozenset(at for at, column in enumerate(columns) if column.right))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return safe(str(value))
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return safe(", ".join(value))
    return safe(json.dumps(value, ensure_ascii=False, default=str))
