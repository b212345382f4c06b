"""The records of a JSON list, one by one, while the answer is still arriving.

A list of 60 MB is never held as a whole: what is kept is the piece that was not yet a complete value. The JSON itself
is read by the standard library's C scanner (`json.JSONDecoder.raw_decode`), one value at a time; this module only
finds where a value begins. Numbers with a fraction or an exponent stay the text that was sent (`NumberText`), because
a float has already lost digits.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_REST_OF_NUMBER = re.compile(r"[.eE][+-]?[0-9]*")  # "12." and "1e-" read as 12 and 1 until the rest arrives
_TELLING = ("error", "errors", "message", "detail", "data", "models", "items", "results")
_RECORD_CHARACTERS = 8 * 1024 * 1024
# An error this near to the end of what has arrived may only mean that the rest has not (`\ud83d\ude00`, `-Infinity`).
_UNFINISHED = 16


class NumberText(str):
    """A JSON number as the text that was sent."""

    __slots__ = ()


class NotAList(Exception):
    """What arrives is no list of records; ``code`` is stable, the text says what it is instead.

    HTML, NOT_JSON, NOT_UTF8, NO_LIST, TRUNCATED, RECORD_TOO_LARGE, EMPTY_BODY
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _MoreNeeded(Exception):
    """The value at hand is not complete yet."""


class _At(Enum):
    START = auto()
    FIRST_KEY = auto()  # or the end of an object without any
    KEY = auto()
    AFTER_MEMBER = auto()
    FIRST_RECORD = auto()  # or the end of an empty list
    RECORD = auto()
    AFTER_RECORD = auto()
    END = auto()


def _integer(text: str) -> int | NumberText:
    return int(text) if len(text) < 20 else NumberText(text)


_DECODER = json.JSONDecoder(parse_float=NumberText, parse_int=_integer, parse_constant=NumberText)


class RecordReader:
    """Feed it bytes, get records.

    Args:
        list_at: keys that lead to the array; a bare array is accepted whatever they are

    ``envelope`` holds the plain values that stand beside the list on its way (``has_more``, ``last_id``).
    """

    def __init__(self, list_at: tuple[str, ...]) -> None:
        self.envelope: dict[str, Any] = {}
        self.records = 0
        self._path = list_at
        self._depth = 0  # objects that we are inside of on the way to the list
        self._open = 0  # objects to be closed behind the list
        self._text = codecs.getincrementaldecoder("utf-8-sig")()
        self._buffer = ""
        self._position = 0
        self._patience = 0  # do not try again before so much is buffered
        self._at = _At.START
        self._found = False
        self._whole = False

    def feed(self, data: bytes) -> Iterator[Any]:
        """The records that are complete with these bytes.

        Raises:
            NotAList: what has arrived can no longer become a list.
        """
        try:
            text = self._text.decode(data)
        except UnicodeDecodeError:
            raise NotAList("NOT_UTF8", "it is not UTF-8 text") from None
        self._buffer = self._buffer[self._position :] + text
        self._position = 0
        if len(self._buffer) >= self._patience:
            yield from self._records()

    def finish(self) -> Iterator[Any]:
        """The records that the end of the answer completes. Raises `NotAList` where it is not the end of a list."""
        self._whole = True
        try:
            self._buffer += self._text.decode(b"", final=True)
        except UnicodeDecodeError:
            raise NotAList("NOT_UTF8", "it ends within a character") from None
        yield from self._records()
        if self._at is _At.START and not self._buffer.strip():
            raise NotAList("EMPTY_BODY", "it is empty")
        if self._at is not _At.END:
            raise NotAList("TRUNCATED", f"it breaks off after {self.records} records")
        if not self._found:
            raise NotAList("NO_LIST", self._no_list())

    def _records(self) -> Iterator[Any]:
        try:
            while True:
                record = self._step()
                if record is not _NOTHING:
                    self.records += 1
                    yield record
        except _MoreNeeded:
            waiting = len(self._buffer) - self._position
            if waiting > _RECORD_CHARACTERS:
                raise NotAList("RECORD_TOO_LARGE", f"record {self.records + 1} is larger than 8 MiB") from None
            # Twice as much before the next try, or one huge value would be scanned once per packet.
            self._patience = 2 * waiting if waiting > 65_536 else 0

    def _step(self) -> Any:
        """Go past one thing; returns a record, or `_NOTHING`."""
        character = self._next()
        match self._at:
            case _At.START:
                self._begin(character)
            case _At.FIRST_RECORD if character == "]":
                self._close_list()
            case _At.FIRST_RECORD | _At.RECORD:
                record = self._value(followed_by=",]")
                self._at = _At.AFTER_RECORD
                return record
            case _At.AFTER_RECORD if character == "]":
                self._close_list()
            case _At.AFTER_RECORD:  # _value has seen that it is a comma
                self._take(_At.RECORD)
            case _At.FIRST_KEY if character == "}":
                self._close_object()
            case _At.FIRST_KEY | _At.KEY:
                self._member(character)
            case _At.AFTER_MEMBER if character == "}":
                self._close_object()
            case _At.AFTER_MEMBER:
                if character != ",":
                    raise self._malformed()
                self._take(_At.KEY)
            case _At.END:
                raise NotAList("NOT_JSON", "something follows behind its end")
        return _NOTHING

    def _begin(self, character: str) -> None:
        if character == "<":
            raise NotAList("HTML", "it is a web page, not JSON")
        if character == "[":
            self._found = True
            self._take(_At.FIRST_RECORD)
        elif character == "{":
            self._open = 1
            self._take(_At.FIRST_KEY)
        else:
            raise NotAList("NOT_JSON", "it is not JSON")

    def _member(self, character: str) -> None:
        if character != '"':
            raise self._malformed()
        start = self._position
        try:
            key = self._value(followed_by=":")
            self._position += 1
            self._enter(key)
        except _MoreNeeded:
            self._position = start  # the key is read again, together with what follows it
            raise

    def _enter(self, key: str) -> None:
        """Go into the value of a member where it leads to the list, past it elsewhere."""
        character = self._next()
        on_the_way = not self._found and self._depth < len(self._path) and key == self._path[self._depth]
        at_the_last = self._depth == len(self._path) - 1
        if on_the_way and at_the_last and character == "[":
            self._found = True
            self._take(_At.FIRST_RECORD)
        elif on_the_way and not at_the_last and character == "{":
            self._depth += 1
            self._open += 1
            self._take(_At.FIRST_KEY)
        else:
            value = self._value(followed_by=",}")
            self.envelope.setdefault(key, None if isinstance(value, (dict, list)) else value)
            self._at = _At.AFTER_MEMBER

    def _close_list(self) -> None:
        self._take(_At.AFTER_MEMBER if self._open else _At.END)

    def _close_object(self) -> None:
        self._open -= 1
        self._depth = max(0, self._depth - 1)
        self._take(_At.AFTER_MEMBER if self._open else _At.END)

    def _next(self) -> str:
        """The next character that is no space, without taking it."""
        self._position = _SPACE.match(self._buffer, self._position).end()  # type: ignore[union-attr]
        if self._position == len(self._buffer):
            raise _MoreNeeded
        return self._buffer[self._position]

    def _take(self, then: _At) -> None:
        """Take one character of punctuation; ``then`` is where that leaves us."""
        self._position += 1
        self._at = then

    def _value(self, *, followed_by: str) -> Any:
        """One complete value. A number at the very end may go on, so what follows it must have arrived."""
        try:
            value, end = _DECODER.raw_decode(self._buffer, self._position)
        except json.JSONDecodeError as problem:
            margin = 0 if self._whole else _UNFINISHED
            unfinished = problem.pos >= len(self._buffer.rstrip()) - margin or "Unterminated" in problem.msg
            if unfinished and not self._whole:
                raise _MoreNeeded from None
            if unfinished:
                raise NotAList("TRUNCATED", f"it breaks off within record {self.records + 1}") from None
            raise self._malformed() from None
        except RecursionError:
            raise NotAList("NOT_JSON", f"record {self.records + 1} is nested too deeply") from None
        behind = _SPACE.match(self._buffer, end).end()  # type: ignore[union-attr]
        if behind == len(self._buffer):
            raise _MoreNeeded
        if self._buffer[behind] not in followed_by:
            if not self._whole and _REST_OF_NUMBER.fullmatch(self._buffer, behind):
                raise _MoreNeeded
            raise self._malformed()
        self._position = behind
        return value

    def _malformed(self) -> NotAList:
        return NotAList("NOT_JSON", f"it is not valid JSON (near record {self.records + 1})")

    def _no_list(self) -> str:
        # Only words that we know are repeated: the others are the provider's, and may be anything.
        held = ", ".join(name for name in _TELLING if name in self.envelope)
        return f"it has no list at {'.'.join(self._path) or 'the top'}" + (f", but it has: {held}" if held else "")


_NOTHING = object()
