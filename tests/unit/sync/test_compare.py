"""Which changes of price look like a mistake, and when a model is gone."""

from __future__ import annotations

from decimal import Decimal

import pytest

from console.catalog.stored import Known
from console.catalog.types import Listing, Per, Price, PriceKind, PriceState
from console.catalog.write import Entry
from console.sync import compare


def listing(usd: str | None, raw: str = "") -> Listing:
    state = PriceState.UNKNOWN if usd is None else PriceState.KNOWN if Decimal(usd) else PriceState.FREE
    price = Price(PriceKind.INPUT, state, None if usd is None else Decimal(usd), Per.TOKEN, raw, "USD/token")
    return Listing(native_id="m", canonical_key="m", name="m", prices=(price,))


@pytest.mark.parametrize(
    ("before", "after", "raw", "reason"),
    [
        ("1e-6", "9e-6", "", None),
        ("1e-6", "1e-5", "", None),  # ten times is not more than ten times
        ("1e-6", "1.1e-5", "", "rose 11 times"),
        ("1e-5", "1e-6", "", None),
        ("1e-5", "0.5e-6", "", "fell to a 20th"),
        ("1e-6", "0", "0", "fell to 0"),
        ("0", "1e-6", "", "was free and has a price"),
        ("0", "0", "0", None),
        ("1e-6", None, "0", "fell to 0"),  # a 0 that nobody marked free is unknown, and still not believed
        ("1e-6", None, "", None),  # a price that is no longer told is a change like any other
        ("1e-6", None, "call us", None),
        (None, "1e-6", "", None),
    ],
)
def test_prices_that_cross_zero_or_jump_are_held(before: str, after: str | None, raw: str, reason: str | None) -> None:
    found = compare.suspicions(listing(before), listing(after, raw))
    assert [s.reason for s in found] == ([] if reason is None else [found[0].reason])
    if reason is not None:
        assert reason in found[0].reason
        kept = compare.without(listing(after, raw), found)
        assert kept.prices == listing(before).prices


def known(missing: int = 0, *, retired: bool = False, pinned: bool = False, digest: str = "x") -> Known:
    return Known(1, digest, missing, retired, pinned)


def test_models_are_sorted_out_by_id_and_content() -> None:
    stored = {
        "same": known(),
        "other": known(digest="y"),
        "back": known(2),
        "gone": known(),
        "dead": known(3, retired=True),
    }
    listed = {name: Entry(listing("1e-6"), "x") for name in ("new", "back", "other", "same")}
    result = compare.sort_out(stored, listed)
    assert result.added == [listed["new"]]
    assert result.differing == [listed["other"]]
    assert result.returned == [listed["back"]]
    assert result.missing == ["gone"]


def test_a_model_is_retired_by_the_third_list_without_it_unless_it_is_pinned() -> None:
    stored = {"first": known(0), "second": known(1), "third": known(2), "pinned": known(5, pinned=True)}
    assert compare.to_retire(stored, list(stored)) == ["third"]


@pytest.mark.parametrize(
    ("before", "now", "shrunk"), [(10, 5, False), (10, 4, True), (1, 1, False), (3, 1, True), (0, 0, False)]
)
def test_a_list_that_loses_more_than_half_is_not_believed(before: int, now: int, shrunk: bool) -> None:
    assert compare.is_shrunk(before, now) is shrunk
