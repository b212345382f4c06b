"""What is left of a crash: a report that can be passed on, and a paragraph for the operator.

Neither holds the value of a variable: where the console crashed, one of them may have been a key.
"""

from __future__ import annotations

import os
import platform
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from console.terminal.private import write_private
from console.terminal.redaction import redacted
from console.terminal.text import safe

_LONGEST_LINE = 2_000


@dataclass(frozen=True, slots=True)
class CrashReport:
    """A crash that was written down.

    file     the report (0600); None where it could not be written
    message  for standard error, when the screen is the operator's again
    """

    file: Path | None
    message: str


def report_crash(error: BaseException, directory: Path, *, state: str, facts: Mapping[str, str]) -> CrashReport:
    """Write a crash down. Never raises: there is already one fault too many.

    state   a sentence on what state things are in now
    facts   what else whoever reads the report should know
    """
    now = datetime.now(UTC)
    path = directory / f"crash-{now:%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    began = f"modeldeck crashed: {type(error).__name__}{_place(error)}. {state}"
    head = {
        "time": f"{now:%Y-%m-%d %H:%M:%S} UTC",
        "modeldeck": version("modeldeck"),
        "textual": version("textual"),
        "python": platform.python_version(),
        **facts,
    }
    lines = [*(f"{name}: {value}" for name, value in head.items()), "", *_trace(error)]
    try:
        write_private(path, "".join(f"{safe(line, limit=_LONGEST_LINE)}\n" for line in lines))
    except OSError as problem:
        return CrashReport(None, f"{began} There is no report: {path} cannot be written ({problem.strerror}).")
    return CrashReport(path, f"{began} The report, without variables and with keys hidden: {path}")


def _trace(error: BaseException) -> list[str]:
    trace = traceback.TracebackException.from_exception(error, capture_locals=False)
    return redacted("".join(trace.format())).splitlines()


def _place(error: BaseException) -> str:
    """The innermost line of our own, or of anything where none is ours."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    root = str(Path(__file__).parents[2])
    ours = [frame for frame in frames if frame.filename.startswith(root) and "site-packages" not in frame.filename]
    last = (ours or frames)[-1]
    return f" in {last.name} ({Path(last.filename).name}:{last.lineno})"
