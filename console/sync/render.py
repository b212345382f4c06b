"""Runs and changes as rows: what ``--json``, tables and screens show of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from console.catalog.render import value_text
from console.catalog.types import ChangeKind, ModelChange
from console.outcome import counted
from console.sync.history import Run
from console.sync.types import Held


def change_row(change: ModelChange) -> dict[str, Any]:
    """One line of the history; ``what`` and ``detail`` are the same in words."""
    return {
        "run": change.run_id,
        "at": _moment(change.at),
        "actor": change.actor,
        "provider": change.provider,
        "model": change.native_id,
        "kind": change.kind.value,
        "field": change.field,
        "before": change.before,
        "after": change.after,
        "what": _what(change),
        "detail": _detail(change),
    }


def run_row(run: Run) -> dict[str, Any]:
    """A run as a line of the same table."""
    return {
        "id": run.id,
        "run": run.id,
        "at": _moment(run.started_at),
        "actor": run.actor,
        "state": run.state.value,
        "via": run.via,
        "asked": list(run.asked),
        "started_at": _moment(run.started_at),
        "finished_at": _moment(run.finished_at),
        "summary": run.summary,
        "what": run.state.value,
        "detail": run.summary,
    }


def held_row(held: Held) -> dict[str, Any]:
    """A change that waits for somebody."""
    return {
        "id": held.id,
        "provider": held.provider,
        "model": held.native_id or "(the whole list)",
        "field": held.field,
        "before": value_text(held.before),
        "proposed": value_text(held.proposed),
        "reason": held.reason,
        "held_at": _moment(held.created_at),
    }


def _what(change: ModelChange) -> str:
    name = f"{change.provider}/{change.native_id}" if change.native_id else change.provider
    return f"{name} {change.field or change.kind.value}"


def _detail(change: ModelChange) -> str:
    match change.kind:
        case ChangeKind.CHANGED:
            return f"{value_text(change.before)} → {value_text(change.after)}"
        case ChangeKind.ADDED if isinstance(change.after, dict):
            told = {name: value_text(value) for name, value in change.after.items() if value is not None}
            return "  ".join(f"{name} {value}" for name, value in told.items())
        case ChangeKind.BASELINE if isinstance(change.after, dict):
            return f"the first list: {counted(change.after.get('models', 0), 'model')}"
        case _:
            return change.kind.value


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
