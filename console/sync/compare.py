"""What a new list changes, and which of the changes look wrong. Pure: no database, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from console.catalog import prices
from console.catalog.stored import Known
from console.catalog.types import Listing, Price, PriceState
from console.catalog.write import Entry

_MOST = 10  # a price that moves by more than this factor, up or down, is held
RETIRED_AFTER = 3  # lists in a row without a model


@dataclass(slots=True)
class Sorted:
    """The models of a list and of the catalog, by what may have happened to them.

    differing  stored under another content hash; whether that is a change, a closer look decides
    returned   were missing or retired, and are in the list again
    missing    are in the catalog, not retired, and not in the list
    """

    added: list[Entry] = field(default_factory=list)
    differing: list[Entry] = field(default_factory=list)
    returned: list[Entry] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def sort_out(known: Mapping[str, Known], listed: Mapping[str, Entry]) -> Sorted:
    """Compare by id and content hash; the order of either side does not matter."""
    result = Sorted()
    for native_id, entry in listed.items():
        stored = known.get(native_id)
        if stored is None:
            result.added.append(entry)
            continue
        if stored.content_hash != entry.digest:
            result.differing.append(entry)
        if stored.missing_runs or stored.retired:
            result.returned.append(entry)
    result.missing = [
        native_id for native_id, stored in known.items() if native_id not in listed and not stored.retired
    ]
    return result


def is_shrunk(before: int, now: int) -> bool:
    """Whether a list lost more than half of its models at once."""
    return now * 2 < before


def to_retire(known: Mapping[str, Known], missing: Iterable[str]) -> list[str]:
    """The models that this list is the third in a row to miss. A pinned one stays."""
    return [name for name in missing if known[name].missing_runs + 1 >= RETIRED_AFTER and not known[name].pinned]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A change of price that is more likely a mistake than a price."""

    before: Price  # to be kept until somebody decides
    proposed: Price
    reason: str

    @property
    def field(self) -> str:
        return f"price.{self.before.kind}"


def suspicions(before: Listing, after: Listing) -> list[Suspicion]:
    """The prices that cross zero or move by more than a factor of ten.

    A price that becomes unknown or dynamic is no such change, unless what was sent for it is 0: a list that suddenly
    says 0 everywhere would otherwise wipe out its prices.
    """
    found = []
    for old in before.prices:
        new = after.price(old.kind)
        if new is not None and (reason := _why_suspicious(old, new)):
            found.append(Suspicion(old, new, reason))
    return found


def without(after: Listing, held: Iterable[Suspicion]) -> Listing:
    """``after`` with the held prices as they were before."""
    kept = {suspicion.before.kind: suspicion.before for suspicion in held}
    return replace(after, prices=tuple(kept.get(price.kind, price) for price in after.prices))


def _why_suspicious(old: Price, new: Price) -> str | None:
    if old.usd is None:
        return None
    if old.per is not new.per:
        return f"the price was per {old.per} and is per {new.per}"
    if old.usd == 0:
        return "it was free and has a price now" if new.usd else None
    if new.usd is None:
        return "the price fell to 0" if new.state is PriceState.UNKNOWN and _sent_zero(new) else None
    if new.usd == 0:
        return "the price fell to 0"
    ratio = new.usd / old.usd
    if ratio > _MOST:
        return f"the price rose {_factor(ratio)} times"
    if ratio < Decimal(1) / _MOST:
        return f"the price fell to a {_factor(1 / ratio)}th"
    return None


def _sent_zero(price: Price) -> bool:
    try:
        return prices.amount(price.raw) == 0
    except prices.NotAPrice:
        return False


def _factor(ratio: Decimal) -> str:
    return f"{ratio.quantize(Decimal('0.1')).normalize():f}" if ratio < 1000 else f"{ratio:.0f}"
