"""From what an operator wrote to checked values; the same for the CLI, the HTTP API and forms."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from console.access.forms import holds_key
from console.actions.documents import read_bytes
from console.actions.registry import Action, Kind, Parameter
from console.outcome import Refusal

NAME = "name"
"""What this parameter names is another thing, or all of them, where it is left out: so an empty text is no way to do
that, for it is mostly a variable that nobody has set."""
_MAX_TEXT = 1024
MAX_DOCUMENT = 256 * 1024
"""Characters of a document."""
_LARGEST = 2**31 - 1
"""Where a parameter names no other most of its own."""
_LONGEST_SECONDS = 100 * 365 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9})([smhd])")


def checked(action: Action, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter with its value: given, or the default.

    Raises:
        Refusal: one is missing, unknown, or not what its kind asks for; the sentence names it.
    """
    known = {parameter.name: parameter for parameter in action.parameters}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise _wrong(f"{action.id} has no parameter {name}{hint}")
    values: dict[str, Any] = {}
    for parameter in action.parameters:
        value = given.get(parameter.name)
        if isinstance(value, list) and not parameter.many:
            raise _wrong(f"{parameter.name} is one value, and no list")
        if value == "" and parameter.name == NAME and not parameter.required:
            raise _wrong(f"{NAME} is empty: {parameter.help}; leave it out, or name one")
        if value is None or value in ("", (), []):
            if parameter.required:
                raise _wrong(f"{action.id} needs {parameter.name}: {parameter.help}")
            values[parameter.name] = () if parameter.many and parameter.default is None else parameter.default
        elif parameter.many:
            if not isinstance(value, str | list | tuple):
                raise _wrong(f"{parameter.name} is a list: {str(value)[:40]!r} is none")
            many = [value] if isinstance(value, str) else list(value)
            values[parameter.name] = tuple(_one(parameter, item) for item in many)
        else:
            values[parameter.name] = _one(parameter, value)
    return values


def _one(parameter: Parameter, value: Any) -> Any:
    match parameter.kind:
        case Kind.FLAG:
            if not isinstance(value, bool):
                raise _wrong(f"{parameter.name} is yes or no")
            return value
        case Kind.INTEGER:
            return _integer(parameter, value)
        case Kind.DURATION:
            seconds = duration(value, parameter.name)
            if parameter.minimum is not None and seconds < parameter.minimum:
                least = "longer than nothing" if parameter.minimum == 1 else f"at least {parameter.minimum} s"
                raise _wrong(f"{parameter.name} must be {least}: {str(value).strip()[:40]!r} is not")
            return seconds
        case Kind.DOCUMENT:
            return _document(parameter, value)
        case _:
            return _text(parameter, value)


def _integer(parameter: Parameter, value: Any) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise _wrong(f"{parameter.name} is not a whole number: {str(value)[:40]!r}") from None
    if isinstance(value, bool) or (parameter.minimum is not None and number < parameter.minimum):
        raise _wrong(f"{parameter.name} must be at least {parameter.minimum}")
    most = _LARGEST if parameter.maximum is None else parameter.maximum
    if abs(number) > most:
        raise _wrong(f"{parameter.name} must be at most {most:,}")
    return number


def duration(value: Any, name: str = "duration") -> int:
    """Seconds of ``90s``, ``15m``, ``1h30m``, ``7d`` or a plain number."""
    text = str(value).strip().lower()
    if text.isdecimal() and len(text) < 10:
        return _bounded(int(text), name)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise _wrong(f"{name} is not a duration such as 90s, 15m or 7d: {text[:40]!r}")
    return _bounded(sum(int(number) * _UNITS[unit] for number, unit in parts), name)


def spelled_duration(seconds: int) -> str:
    """``15m`` for 900: the largest unit that divides it, and 24h for a single day."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0 and (unit, seconds) != ("d", size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _bounded(seconds: int, name: str) -> int:
    if seconds > _LONGEST_SECONDS:
        raise _wrong(f"{name} is longer than a hundred years")
    return seconds


def _text(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, bool | list | tuple | Mapping):
        raise _wrong(f"{parameter.name} is a text: {str(value)[:40]!r} is none")
    text = str(value)
    if len(text) > _MAX_TEXT:
        raise _wrong(f"{parameter.name} has {len(text)} characters; {_MAX_TEXT} are the most")
    if not text.isprintable():
        raise _wrong(f"{parameter.name} holds characters that cannot be printed")
    if holds_key(text):  # it would stand in the audit, and as a name or a note in the database
        what = f"{parameter.name}: a key's text does not belong on a command line or in a request, where others see it"
        raise Refusal(what, code="INVALID_PARAMETER", status=422, then="modeldeck keys find - says which key it is")
    if parameter.kind is Kind.CHOICE and text not in parameter.choices:
        close = difflib.get_close_matches(text, parameter.choices, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise _wrong(f"{parameter.name} is {', '.join(parameter.choices)}, not {text[:40]!r}{hint}")
    return Path(text).expanduser() if parameter.kind is Kind.FILE else text


def _document(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(f"{parameter.name} is a text")
    if len(value) > MAX_DOCUMENT:
        raise _wrong(f"{parameter.name} has {len(value)} characters; {MAX_DOCUMENT} are the most")
    return value


def read_document(name: str) -> str:
    """The text of a file that an operator names.

    Raises:
        Refusal: it cannot be read, is empty, too large, or no text.
    """
    try:
        raw = read_bytes(Path(name).expanduser(), 4 * MAX_DOCUMENT + 1)
        # More than that many bytes are more characters too, and perhaps cut within one.
        text = raw.decode("utf-8") if len(raw) <= 4 * MAX_DOCUMENT else " " * len(raw)
    except OSError as problem:
        raise _wrong(f"{name} cannot be read: {problem.strerror or problem}; nothing was changed") from None
    except ValueError:  # a path with a NUL among them
        raise _wrong(f"{name[:200]!r} cannot be read: it is no text in UTF-8; nothing was changed") from None
    if len(text) > MAX_DOCUMENT:
        raise _wrong(f"{name} has more than {MAX_DOCUMENT} characters; nothing was changed")
    if not text.strip():
        raise _wrong(f"{name} is empty; nothing was changed")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _wrong(message: str) -> Refusal:
    return Refusal(message, code="INVALID_PARAMETER", status=422)
