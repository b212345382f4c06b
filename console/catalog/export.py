"""The catalog as a document: CSV, JSON, or JSON in lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from console.call import Call
from console.catalog import read
from console.catalog.query import parse
from console.catalog.render import model_json
from console.catalog.types import Document
from console.outcome import Ending, Outcome, counted

_PAGE = 1_000
_COLUMNS = (
    "id",
    "provider",
    "native_id",
    "name",
    "author",
    "family",
    "kind",
    "context",
    "max_output",
    "input",
    "output",
    "price_state",
    "modality",
    "streaming",
    "tools",
    "vision",
    "json_mode",
    "reasoning",
    "deprecated",
    "retires_at",
    "replaced_by",
    "released_at",
    "changed_at",
    "hidden",
    "pinned",
    "note",
)


async def export(call: Call) -> Outcome:
    """Every model that a query finds, as a document."""
    store, query = await call.services.store(), parse(call["query"] or "")
    rows: list[dict[str, Any]] = []
    while True:
        page = await read.search(store, query, sort=read.Sort.PROVIDER, limit=_PAGE, offset=len(rows))
        rows += [model_json(model) for model in page.models]
        if len(rows) >= page.total or not page.models:
            break
    text = {"csv": _csv, "json": _json, "jsonl": _lines}[call["format"]](rows)
    return Outcome(Ending.DONE, counted(len(rows), "model"), data=Document(text, rows))


def _json(rows: Iterable[dict[str, Any]]) -> str:
    return json.dumps(list(rows), ensure_ascii=False, indent=1)


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    """Prices are USD per 1M tokens, in exact text; a cell that a spreadsheet would take for a formula gets a quote."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in _COLUMNS])
    return text.getvalue().rstrip("\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(str(value).split("\n"))
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
