"""What there is to say about the way in which a provider answers, beside its records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from console.local.samples.source import SampleModel

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pages:
    """A list in pages.

    size, cursor  names of the parameters; a request may ask for fewer than ``most`` records
    after         what stands behind the records, with the cursor of the next page (None: it is the last one)
    linked        the next page is called in a ``Link`` header instead
    by_id         the cursor is the id of the last record, not a number
    """

    size: str
    cursor: str
    most: int
    after: Callable[[str | None], str] | None = None
    linked: bool = False
    by_id: bool = False


@dataclass(frozen=True, slots=True)
class WireFormat:
    """How a provider answers.

    path           of the list, below the provider's own base path
    before, after  what stands around the records
    header, prefix where it wants its token; ``needs_token`` False: it gives the list to anybody
    """

    path: str
    record: Callable[[SampleModel], Record]
    before: str = '{"data":['
    after: str = "]}"
    needs_token: bool = True
    header: str = "authorization"
    prefix: str = "Bearer "
    pages: Pages | None = None


def plain(amount: Decimal) -> str:
    """Without an exponent, as text: ``0.00000015``."""
    return format(amount.normalize(), "f")


def number(amount: Decimal) -> float | int:
    """As JavaScript would write it: 0.88, 2, 2.7e-05."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def seconds(model: SampleModel) -> int:
    """When it came out, in seconds since 1970; 0 where nobody knows."""
    return int(model.released.timestamp()) if model.released else 0


def stamp(model: SampleModel) -> str | None:
    """When it came out, as an RFC 3339 text."""
    return model.released.strftime("%Y-%m-%dT%H:%M:%SZ") if model.released else None
