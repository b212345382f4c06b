"""What a sample provider can be told to do wrong, for tests and demos."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Status:
    """An error status. ``retry_after``: the header as it is sent; ``times``: heal after so many answers, 0: never."""

    code: int
    retry_after: str = ""
    times: int = 0


@dataclass(frozen=True, slots=True)
class Html:
    """A web page with status 200: what a proxy or a login wall answers."""


@dataclass(frozen=True, slots=True)
class Truncated:
    """The answer ends properly, the JSON in it does not. ``records``: how many are whole."""

    records: int = 3


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """The connection ends in the middle of the answer."""


@dataclass(frozen=True, slots=True)
class Endless:
    """Records without an end."""


@dataclass(frozen=True, slots=True)
class Slow:
    """So many seconds before the first byte."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Empty:
    """A proper list without a model."""


@dataclass(frozen=True, slots=True)
class NothingAtAll:
    """Status 200 and no body."""


@dataclass(frozen=True, slots=True)
class WrongToken:
    """No credential is good enough; the answer repeats the one that it got, as some providers do."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Somewhere else."""

    location: str


Fault = Status | Html | Truncated | BrokenOff | Endless | Slow | Empty | NothingAtAll | WrongToken | Redirect


@dataclass(slots=True)
class Edits:
    """What is changed in a list, in wire form.

    factors  by model id: prices are multiplied by it
    fields   by model id: top-level fields to replace
    removed  model ids
    extra    further records, which may be anything
    """

    factors: dict[str, Decimal] = field(default_factory=dict)
    fields: dict[str, dict[str, object]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    extra: list[object] = field(default_factory=list)
