"""Results and progress as text for people; ``--json`` does not come through here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from console.actions.registry import Action
from console.catalog.types import Document
from console.operations.types import Progress, StepState
from console.publishing.types import Effect, Plan
from console.terminal.text import safe, table

_GLYPHS = {StepState.TAKEN: "✓", StepState.UNDONE: "○", StepState.FAILED: "✗"}


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
        for field in change.fields:
            if change.effect is Effect.CREATE and not field.path.startswith(
                ("spec", "endpoint", "model", "project", "data")
            ):
                continue
            lines.append(f"      {field.glyph} {safe(field.path)}: {_transition(field.before, field.after)}")
    lines += [f"  ✗ {safe(one)}" for one in plan.conflicts]
    lines += [f"  ! {safe(warning)}" for warning in plan.warnings]
    return "\n".join(lines)


def _transition(before: str | None, after: str | None) -> str:
    if before is None:
        return safe(after or "")
    return f"{safe(before)} → {safe(after)}" if after is not None else safe(before)


def data_text(action: Action, data: Any) -> str:
    """The data of an outcome: a table where the action has columns, else a line for each field."""
    if data is None:
        return ""
    if isinstance(data, Plan):
        return plan_text(data)
    if isinstance(data, Document):
        return "\n".join(safe(line) for line in data.text.split("\n"))
    # A page, or a report with parts, carries its lines as "rows".
    rows = data.get("rows") if isinstance(data, Mapping) else data
    if action.columns and isinstance(rows, Sequence) and not isinstance(rows, str):
        notes = data.get("notes", ()) if isinstance(data, Mapping) else ()
        return "\n".join(part for part in (_table(action, rows), *map(safe, notes)) if part)
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
    return f"{name + ':':14} {_cell(value)}"


def _table(action: Action, rows: Sequence[Any]) -> str:
    if not rows:
        return ""
    headings = [column.heading for column in action.columns]
    right = frozenset(at for at, column in enumerate(action.columns) if column.right)
    return table(headings, [[_cell(row.get(column.field)) for column in action.columns] for row in rows], right=right)


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
