"""How an operation can end, and what that is worth to a shell and to an HTTP client.

Every service returns an `Outcome`; nothing else decides an exit code or a status. The table is DESIGN.md §4
and docs/outcomes.md, and a test holds the three together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Ending(StrEnum):
    """The eight ways in which an operation ends."""

    DONE = "done"
    UNCHANGED = "unchanged"
    PENDING = "pending"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self]

    @property
    def means(self) -> str:
        return _MEANS[self]

    @property
    def good(self) -> bool:
        """Whether a script may go on as if all had been done."""
        return self in (Ending.DONE, Ending.UNCHANGED)


_EXIT_CODES = {
    Ending.DONE: 0,
    Ending.UNCHANGED: 0,
    Ending.FAILED: 1,
    Ending.REFUSED: 2,
    Ending.PENDING: 3,
    Ending.PARTIAL: 4,
    Ending.INTERRUPTED: 5,
    Ending.CANCELLED: 130,
}
_MEANS = {
    Ending.DONE: "the effect was proven",
    Ending.UNCHANGED: "it already was so",
    Ending.PENDING: "written, not yet proven within the wait",
    Ending.PARTIAL: "some of it; the rest is listed item by item",
    Ending.REFUSED: "guard, validation or conflict; nothing was changed",
    Ending.FAILED: "tried and undone; nothing is left",
    Ending.INTERRUPTED: "stopped midway; recovery owns it",
    Ending.CANCELLED: "by the operator (Ctrl-C), undone",
}
# The first is the answer where a refusal names no better one (`Refusal.status`) or a failure no other.
HTTP_STATUSES: dict[Ending, tuple[int, ...]] = {
    Ending.DONE: (200, 201),
    Ending.UNCHANGED: (200,),
    Ending.PENDING: (202,),
    Ending.PARTIAL: (207,),
    Ending.REFUSED: (422, 400, 403, 404, 409),
    Ending.FAILED: (502, 503, 504),
    Ending.INTERRUPTED: (409,),
    Ending.CANCELLED: (499,),
}


def counted(number: int, what: str, several: str = "") -> str:
    """``1 change``, ``2 changes``; ``several`` where the plural is another."""
    return f"{number:,} {what if number == 1 else several or what + 's'}"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that an operation touched, or could not: an object, a key, a provider, a record."""

    name: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an operation.

    summary  one sentence for an operator
    proof    what was observed, in the order in which it was (only ``done`` needs it, and must have it where
             the operation changed anything)
    items    the parts, where there are several
    data     result of the operation: JSON-ready, or with an ``as_json`` of its own; never a secret
    exits    an exit code that a seed document fixes otherwise than the table does (a partial sync: 1)
    revealed the text of a key, this once
    reveals  the texts of several keys by their ids, each this once
    code     a stable machine name for a refusal or failure (``MODEL_NOT_READY``)
    then     the next command or key to try
    """

    ending: Ending
    summary: str
    proof: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    data: Any = None
    code: str = ""
    then: str = ""
    http_status: int = 0
    exits: int | None = None
    revealed: Revealed | None = field(default=None, repr=False)
    reveals: Mapping[str, Revealed] = field(default_factory=dict, repr=False)

    @property
    def exit_code(self) -> int:
        return self.ending.exit_code if self.exits is None else self.exits

    @property
    def status(self) -> int:
        return self.http_status or HTTP_STATUSES[self.ending][0]

    def as_json(self) -> dict[str, Any]:
        """The form that ``--json`` and the HTTP API answer with; empty parts are left out.

        A revealed key is in it: this is the one time that it is shown.
        """
        body: dict[str, Any] = {"outcome": self.ending.value, "summary": self.summary}
        if self.code:
            body["code"] = self.code
        if self.proof:
            body["proof"] = list(self.proof)
        if self.items:
            body["items"] = [{"name": i.name, "state": i.state, "detail": i.detail} for i in self.items]
        if self.data is not None:
            body["data"] = self.data.as_json() if hasattr(self.data, "as_json") else self.data
        if self.then:
            body["then"] = self.then
        if self.revealed is not None:
            body["key"] = self.revealed.take()
        if self.reveals:
            body["keys"] = {name: revealed.take() for name, revealed in self.reveals.items()}
        return body


class Revealed:
    """A secret on its one way to the operator: `take` hands it out once, and nothing else shows it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text: str | None = text

    def __repr__(self) -> str:
        return "Revealed(…)"

    def take(self) -> str | None:
        """The text the first time, then None."""
        text, self._text = self._text, None
        return text


class ModeldeckError(Exception):
    """The root of every error that an operator is meant to read.

    ``Refusal``       nothing was changed (guard, validation, conflict, not found)
    ``Failure``       something outside did not do its part
    ├─ ``Unavailable``   a service cannot be reached (HTTP 503)
    └─ ``TimedOut``      it did not answer within the wait (HTTP 504)
    """

    ending = Ending.FAILED
    status = 502
    code = ""

    def __init__(
        self, message: str, *, code: str = "", then: str = "", status: int = 0, items: tuple[Item, ...] = ()
    ) -> None:
        super().__init__(message)
        self.then = then
        self.items = items
        if code:
            self.code = code
        if status:
            self.status = status

    def outcome(self) -> Outcome:
        return Outcome(
            self.ending, str(self), code=self.code, then=self.then, items=self.items, http_status=self.status
        )


class Refusal(ModeldeckError):
    """Nothing was changed: the request is wrong, not allowed, or in conflict with what is there."""

    ending = Ending.REFUSED
    status = 422


class Failure(ModeldeckError):
    """A part outside did not do what was asked; what had been done is undone before this is raised."""


class Unavailable(Failure):
    """A service cannot be reached."""

    status = 503


class TimedOut(Failure):
    """A service did not answer in time."""

    status = 504


def not_found(message: str, *, code: str = "NOT_FOUND", then: str = "") -> Refusal:
    return Refusal(message, code=code, then=then, status=404)


def conflict(message: str, *, code: str = "CONFLICT", then: str = "") -> Refusal:
    return Refusal(message, code=code, then=then, status=409)
