"""Prices: from what a provider sent to exact USD per unit, and never to a number that nobody stated.

The unit table follows reference/originals.md §2.2. A price is read by the unit that its provider's declaration gives
for that very field; the size of a number is never used to guess a unit.

    sent                                  becomes
    a positive number                     known, exact
    0, and the provider marks it free     free
    0 without such a mark                 unknown: providers write 0 for "not per token" and "not told" alike
    a negative number                     dynamic (a router's price depends on the request)
    nothing, null, ""                     unknown
    anything else, or out of all reason   unknown, with a flaw that says why
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal, Inexact
from functools import lru_cache
from typing import Any

from console.catalog.types import Per, Price, PriceKind, PriceState


@dataclass(frozen=True, slots=True)
class PriceUnit:
    """What one of the numbers that a provider sends is worth.

    exponent  the number times 10^exponent is USD per ``per``
    """

    name: str
    per: Per
    exponent: int


USD_PER_TOKEN = PriceUnit("USD/token", Per.TOKEN, 0)
CENTS_PER_TOKEN = PriceUnit("cents/token", Per.TOKEN, -2)
USD_PER_1K_TOKENS = PriceUnit("USD/1K tokens", Per.TOKEN, -3)
USD_PER_1M_TOKENS = PriceUnit("USD/1M tokens", Per.TOKEN, -6)
TENTH_MILLI_USD_PER_1M_TOKENS = PriceUnit("0.0001 USD/1M tokens", Per.TOKEN, -10)
USD_PER_IMAGE = PriceUnit("USD/image", Per.IMAGE, 0)
CENTS_PER_IMAGE = PriceUnit("cents/image", Per.IMAGE, -2)
USD_PER_REQUEST = PriceUnit("USD/request", Per.REQUEST, 0)
USD_PER_SECOND = PriceUnit("USD/second", Per.SECOND, 0)
CENTS_PER_SECOND = PriceUnit("cents/second", Per.SECOND, -2)
CENTS_PER_CHARACTER = PriceUnit("cents/character", Per.CHARACTER, -2)
# An hour of a machine says nothing about a token: it stays what it is.
USD_PER_HOUR = PriceUnit("USD/hour", Per.HOUR, 0)

# Outside of this a number is a mistake in the unit, at their end or at ours, and not a price (USD per unit).
_CREDIBLE = {
    Per.TOKEN: (Decimal("1e-12"), Decimal("0.01")),
    Per.CHARACTER: (Decimal("1e-12"), Decimal("0.01")),
    Per.IMAGE: (Decimal("1e-9"), Decimal(1000)),
    Per.REQUEST: (Decimal("1e-9"), Decimal(1000)),
    Per.SECOND: (Decimal("1e-9"), Decimal(100)),
    Per.HOUR: (Decimal("1e-6"), Decimal(10000)),
}
_NUMBER = re.compile(r"(?:US)?\$?\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)")
_RAW_LIMIT = 64
# Wide enough for every text within the limit, so that no digit is ever rounded away.
_EXACT = Context(prec=1200, traps=[Inexact])

FEMTO_PER_USD = 10**15
_BIGGEST = 2**63 - 1


class NotAPrice(ValueError):
    """What was sent is not an amount; the text says why, in a few words."""


def amount(raw: object) -> Decimal | None:
    """The exact number in what was sent: a JSON number as text, an int, or text such as ``5e-07`` or ``$1.40``.

    None where nothing was sent (null, an empty text).

    Raises:
        NotAPrice: it is something else.
    """
    return _number(_sent(raw))


def _sent(raw: object) -> str:
    if isinstance(raw, bool) or not (raw is None or isinstance(raw, (str, int, Decimal))):
        raise NotAPrice(f"a {type(raw).__name__} is not a price")
    return raw_text(raw)


def _number(text: str) -> Decimal | None:
    if not text:
        return None
    found = _NUMBER.fullmatch(text)
    if not found:  # nor where it was too long, and was cut
        raise NotAPrice("it is not a number")
    return Decimal(found[1])


def raw_text(raw: object) -> str:
    """What was sent, for showing: cut to a readable length."""
    if raw is None:
        return ""
    text = raw.strip() if isinstance(raw, str) else str(raw)
    return text if len(text) <= _RAW_LIMIT else text[: _RAW_LIMIT - 1] + "…"


def in_usd(number: Decimal, unit: PriceUnit) -> Decimal:
    """``number`` of ``unit`` as USD per ``unit.per``, exact, without trailing zeros."""
    return number.scaleb(unit.exponent, _EXACT).normalize(_EXACT)


def fraction_of(usd: Decimal, rate: Decimal) -> Decimal:
    """``usd`` times a rate, exact: for what is priced as a part of another price."""
    return _EXACT.multiply(usd, rate).normalize(_EXACT)


def read_price(kind: PriceKind, raw: object, unit: PriceUnit, *, free: bool = False) -> Price:
    """The price in one field of a record.

    Args:
        raw: the value as the JSON parser left it; floats must come as their text, for a float has lost digits
        free: the provider marks this model as free, by its own convention

    Raises:
        NotAPrice: it is not a number, or none that can be a price. `unknown` is the price to take over then.
    """
    return _read_price(kind, _sent(raw), unit, free)


# A list of 20,000 models has some hundred different prices: each is read, and kept in memory, once.
@lru_cache(maxsize=4096)
def _read_price(kind: PriceKind, raw: str, unit: PriceUnit, free: bool) -> Price:
    number = _number(raw)
    if number is None or (number == 0 and not free):
        return unknown(kind, raw, unit)
    if number < 0:
        return Price(kind, PriceState.DYNAMIC, None, unit.per, raw_text(raw), unit.name)
    if number == 0:
        return Price(kind, PriceState.FREE, Decimal(0), unit.per, raw_text(raw), unit.name)
    usd = in_usd(number, unit)
    refuse_incredible(usd, unit.per)
    return Price(kind, PriceState.KNOWN, usd, unit.per, raw_text(raw), unit.name)


def refuse_incredible(usd: Decimal, per: Per) -> None:
    """Raise `NotAPrice` for an amount that can only come from a wrong unit."""
    least, most = _CREDIBLE[per]
    if not least <= usd <= most:
        raise NotAPrice(f"{usd:E} USD per {per} is not a credible price")


def unknown(kind: PriceKind, raw: object, unit: PriceUnit) -> Price:
    """The price of what was sent but tells no amount."""
    return Price(kind, PriceState.UNKNOWN, None, unit.per, raw_text(raw), unit.name)


def femto(usd: Decimal | None) -> int | None:
    """Femto-dollars (10⁻¹⁵ USD), rounded down: what is sorted and filtered by.

    Rounding down keeps ``<`` and ``>=`` exact for every bound of whole femto-dollars. More than the column holds
    (9,223 USD per unit) becomes the most that it holds.
    """
    if usd is None:
        return None
    scaled = usd.scaleb(15, _EXACT).to_integral_value(ROUND_FLOOR)
    return min(int(scaled), _BIGGEST)


@lru_cache(maxsize=4096)
def plain(usd: Decimal) -> str:
    """The amount without an exponent: ``0.00000014``. Equal amounts give equal texts."""
    return format(usd.normalize(_EXACT), "f")


def per_million(usd: Decimal) -> Decimal:
    """USD per token as USD per 1M tokens, which is what people compare."""
    return in_usd(usd, PriceUnit("", Per.TOKEN, 6))


def as_json(price: Price) -> dict[str, Any]:
    """The form in reports and in the history: ``{"state": "known", "usd": "0.00000014", "per": "token"}``."""
    body: dict[str, Any] = {"state": price.state.value, "per": price.per.value}
    if price.usd is not None:
        body["usd"] = plain(price.usd)
    return body
