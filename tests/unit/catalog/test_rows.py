"""What counts as a change of a listing."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal

from console.catalog import rows
from console.catalog.types import Capabilities, FieldChange, Listing, Override, Per, Price, PriceKind, PriceState


def price(usd: str, kind: PriceKind = PriceKind.INPUT, raw: str = "") -> Price:
    return Price(kind, PriceState.KNOWN, Decimal(usd), Per.TOKEN, raw, "USD/token")


LISTING = Listing(
    native_id="qwen/qwen3",
    canonical_key="qwen3",
    name="Qwen3",
    input_modalities=("text", "image"),
    capabilities=Capabilities(tools=True),
    released_at=datetime(2025, 4, 28, tzinfo=UTC),
    facts={"tokenizer": "Qwen", "quantization": "fp8"},
    prices=(price("0.0000005", raw="0.5"), price("0.000001", PriceKind.OUTPUT)),
)


def test_the_order_in_which_things_are_sent_is_no_change() -> None:
    turned = dataclasses.replace(
        LISTING,
        input_modalities=("image", "text"),
        facts=dict(reversed(LISTING.facts.items())),
        prices=LISTING.prices[::-1],
    )
    assert rows.content_hash(turned) == rows.content_hash(LISTING)
    assert rows.differences(LISTING, turned) == ()


def test_another_way_to_write_the_same_price_is_no_change() -> None:
    same = dataclasses.replace(LISTING, prices=(price("0.00000050", raw="0.50"), LISTING.prices[1]))
    assert rows.content_hash(same) == rows.content_hash(LISTING)


def test_a_change_names_its_field_with_both_values() -> None:
    changed = dataclasses.replace(
        LISTING, name="Qwen 3", capabilities=Capabilities(tools=None), prices=(price("0.0000004"), LISTING.prices[1])
    )
    known = {"state": "known", "per": "token"}
    assert rows.content_hash(changed) != rows.content_hash(LISTING)
    assert rows.differences(LISTING, changed) == (
        FieldChange("name", "Qwen3", "Qwen 3"),
        FieldChange("price.input", known | {"usd": "0.0000005"}, known | {"usd": "0.0000004"}),
        FieldChange("tools", True, None),
    )


def test_every_field_of_a_listing_counts() -> None:
    other = Listing(
        native_id=LISTING.native_id,
        canonical_key="other",
        name="other",
        author="other",
        family="other",
        kind="other",
        description="other",
        context_tokens=1,
        max_output_tokens=1,
        input_modalities=("audio",),
        output_modalities=("audio",),
        capabilities=Capabilities(True, False, True, True, True),
        deprecated=True,
        retires_at=datetime(2026, 1, 1, tzinfo=UTC),
        replaced_by="other",
        released_at=datetime(2026, 1, 1, tzinfo=UTC),
        facts={"tokenizer": "other"},
        prices=(price("0.0000001"),),
    )
    told = {change.field.split(".")[0] for change in rows.differences(LISTING, other)}
    counted = {field.name for field in dataclasses.fields(Listing)} - {"native_id", "prices", "capabilities"}
    assert told == counted | {"price", "streaming", "tools", "vision", "json_mode", "reasoning"}


def test_an_operators_price_takes_the_place_of_the_providers() -> None:
    override = Override(prices={PriceKind.INPUT: Decimal("0.000002"), PriceKind.IMAGE: Decimal(0)})
    effective = {p.kind: p for p in rows.effective_prices(LISTING.prices, override)}
    assert (effective[PriceKind.INPUT].usd, effective[PriceKind.INPUT].source) == (Decimal("0.000002"), "operator")
    assert effective[PriceKind.OUTPUT].source == "provider"
    assert (effective[PriceKind.IMAGE].state, effective[PriceKind.IMAGE].per) == (PriceState.FREE, Per.IMAGE)
    assert rows.price_columns(effective.values()) == {
        "price_state": "known",
        "price_in": 2_000_000_000,
        "price_out": 1_000_000_000,
        "price_image": 0,
    }
