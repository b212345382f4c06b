"""The stack's log: one line for each event, as text or as JSON (``MODELDECK_LOG=json``), without secrets.

A line of JSON has ``at`` (UTC, ISO 8601), ``level``, ``logger``, ``message``, and where something was raised ``error``
(its type) and ``trace``.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from console.outcome import Refusal
from console.terminal.redaction import redacted

FORMAT = "MODELDECK_LOG"
_BYTES = 4 * 1024 * 1024
_KEPT = 2
_NOISY = ("httpx", "httpcore", "uvicorn.error", "asyncio")


class Text(logging.Formatter):
    """For people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class Json(logging.Formatter):
    """For programs: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, str] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["trace"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def formatter(environ: Mapping[str, str]) -> logging.Formatter:
    """What the environment asks for.

    Raises:
        Refusal: BAD_SETTING.
    """
    match environ.get(FORMAT, "").strip().lower():
        case "" | "text":
            return Text()
        case "json":
            return Json()
    raise Refusal(f"{FORMAT} is text or json; nothing was started", code="BAD_SETTING", then=f"unset {FORMAT}")


def log_to(path: Path) -> None:
    """Send everything that this process logs to this file, which is turned over at 4 MiB. Raises as `formatter`."""
    handler = RotatingFileHandler(path, maxBytes=_BYTES, backupCount=_KEPT, encoding="utf-8")
    handler.setFormatter(formatter(os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
