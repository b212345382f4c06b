"""Prices are exact, and nobody's silence becomes a zero."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.catalog import prices
from console.catalog.prices import (
    CENTS_PER_IMAGE,
    CENTS_PER_TOKEN,
    TENTH_MILLI_USD_PER_1M_TOKENS,
    USD_PER_1K_TOKENS,
    USD_PER_1M_TOKENS,
    USD_PER_HOUR,
    USD_PER_TOKEN,
)
from console.catalog.types import Per, Price, PriceKind, PriceState
from console.sync.records import NumberText

UNITS = [
    (USD_PER_TOKEN, Fraction(1)),
    (CENTS_PER_TOKEN, Fraction(1, 100)),
    (USD_PER_1K_TOKENS, Fraction(1, 1_000)),
    (USD_PER_1M_TOKENS, Fraction(1, 1_000_000)),
    (TENTH_MILLI_USD_PER_1M_TOKENS, Fraction(1, 10_000_000_000)),
    (CENTS_PER_IMAGE, Fraction(1, 100)),
    (USD_PER_HOUR, Fraction(1)),
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def read(raw: object, unit: prices.PriceUnit = USD_PER_1M_TOKENS, *, free: bool = False) -> Price:
    return prices.read_price(PriceKind.INPUT, raw, unit, free=free)


@pytest.mark.parametrize(
    ("raw", "unit", "usd"),
    [
        ("0.0000025", USD_PER_TOKEN, "0.0000025"),
        ("5e-07", USD_PER_TOKEN, "0.0000005"),  # the seed made nothing of scientific notation
        ("2.5E-6", USD_PER_TOKEN, "0.0000025"),
        ("$1.40", USD_PER_1M_TOKENS, "0.0000014"),
        (NumberText("0.88"), USD_PER_1M_TOKENS, "0.00000088"),
        (2, USD_PER_1M_TOKENS, "0.000002"),
        (NumberText("2.7e-05"), CENTS_PER_TOKEN, "0.00000027"),
        ("0.15", USD_PER_1K_TOKENS, "0.00015"),
        (14000, TENTH_MILLI_USD_PER_1M_TOKENS, "0.0000014"),
        (NumberText("0.05"), CENTS_PER_IMAGE, "0.0005"),
        ("2.49", USD_PER_HOUR, "2.49"),
        ("  .5 ", USD_PER_1M_TOKENS, "0.0000005"),
    ],
)
def test_what_is_sent_becomes_exact_usd_per_unit(raw: object, unit: prices.PriceUnit, usd: str) -> None:
    price = read(raw, unit)
    assert (price.state, price.per) == (PriceState.KNOWN, unit.per)
    assert prices.plain(price.usd or Decimal(0)) == usd
    assert price.raw == str(raw).strip()


def test_an_hour_stays_an_hour() -> None:
    assert read("1.5", USD_PER_HOUR).per is Per.HOUR


@pytest.mark.parametrize("raw", [-1, "-1", NumberText("-1.0")])
def test_a_negative_price_is_dynamic(raw: object) -> None:
    price = read(raw)
    assert (price.state, price.usd) == (PriceState.DYNAMIC, None)


@pytest.mark.parametrize("raw", [0, "0", "0.00", NumberText("0e10"), "$0"])
def test_zero_is_free_only_where_the_provider_marks_it(raw: object) -> None:
    assert read(raw).state is PriceState.UNKNOWN
    assert read(raw, free=True).state is PriceState.FREE


@pytest.mark.parametrize("raw", [None, "", "  "])
def test_what_is_absent_is_unknown(raw: object) -> None:
    assert read(raw, free=True).state is PriceState.UNKNOWN


@pytest.mark.parametrize(
    "raw", ["free", "call us", "1,400", "1_000", "NaN", "Infinity", "１.5", "1.5 USD", True, [1], {}]
)
def test_what_is_no_number_is_refused(raw: object) -> None:
    with pytest.raises(prices.NotAPrice):
        read(raw)


@pytest.mark.parametrize(("raw", "unit"), [("3", USD_PER_TOKEN), ("1e-20", USD_PER_TOKEN), ("1e9", USD_PER_1M_TOKENS)])
def test_a_number_that_only_a_wrong_unit_explains_is_refused(raw: str, unit: prices.PriceUnit) -> None:
    with pytest.raises(prices.NotAPrice, match="credible"):
        read(raw, unit)


@given(st.decimals(min_value="0.000001", max_value=9999, places=9), st.sampled_from(UNITS))
def test_conversion_is_exact(number: Decimal, unit: tuple[prices.PriceUnit, Fraction]) -> None:
    if not number:
        return
    assert Fraction(prices.in_usd(number, unit[0])) == Fraction(number) * unit[1]


@given(ANYTHING, st.booleans())
def test_nothing_that_is_sent_is_an_accident_or_an_invented_zero(raw: object, free: bool) -> None:
    try:
        price = read(raw, free=free)
    except prices.NotAPrice:
        return
    if price.usd == 0:
        assert free
        assert not isinstance(raw, float)
        assert Decimal(str(raw).strip().removeprefix("$").strip()) == 0
    if price.state is PriceState.KNOWN:
        assert price.usd is not None
        assert price.usd > 0


@given(
    st.decimals(min_value=0, max_value=9000, places=24),
    st.decimals(min_value=0, max_value=9000, places=15),
)
def test_femto_dollars_keep_comparisons_with_a_bound_exact(usd: Decimal, bound: Decimal) -> None:
    stored, wanted = prices.femto(usd), prices.femto(bound)
    assert stored is not None
    assert wanted is not None
    assert (stored < wanted) == (usd < bound)
    assert (stored >= wanted) == (usd >= bound)


def test_femto_of_nothing_is_nothing_and_of_too_much_is_the_most() -> None:
    assert prices.femto(None) is None
    assert prices.femto(Decimal(10**9)) == 2**63 - 1


@given(st.decimals(min_value="1e-12", max_value="0.01", allow_nan=False, allow_infinity=False))
def test_equal_amounts_have_equal_texts_without_an_exponent(usd: Decimal) -> None:
    text = prices.plain(usd)
    assert "E" not in text
    assert Decimal(text) == usd
    assert prices.plain(Decimal(text + "00")) == text


def test_per_million_is_what_people_compare() -> None:
    assert prices.plain(prices.per_million(Decimal("0.00000014"))) == "0.14"


@pytest.mark.parametrize(
    ("state", "usd"),
    [
        ("known", None),
        ("known", "0"),
        ("free", "0.1"),
        ("free", None),
        ("unknown", "0"),
        ("dynamic", "1"),
        ("known", "-1"),
    ],
)
def test_a_price_that_contradicts_itself_cannot_be_made(state: str, usd: str | None) -> None:
    with pytest.raises(ValueError):
        Price(PriceKind.INPUT, PriceState(state), None if usd is None else Decimal(usd), Per.TOKEN, "", "")
