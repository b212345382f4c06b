"""Between a `Listing` and the rows that it is stored in, and the hash by which an unchanged one is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from console.catalog import prices
from console.catalog.types import (
    CAPABILITIES,
    Capabilities,
    FieldChange,
    Listing,
    Model,
    Override,
    Per,
    Price,
    PriceKind,
    PriceState,
    overall,
)

# The fields in which two listings can differ, beside their prices and capabilities.
_PLAIN_FIELDS = (
    "name",
    "author",
    "family",
    "kind",
    "canonical_key",
    "description",
    "context_tokens",
    "max_output_tokens",
    "deprecated",
    "replaced_by",
)

_HAYSTACK_BYTES = 1200
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_PRICE_COLUMNS = {
    (PriceKind.INPUT, Per.TOKEN): "price_in",
    (PriceKind.OUTPUT, Per.TOKEN): "price_out",
    (PriceKind.IMAGE, Per.IMAGE): "price_image",
}


def fields(listing: Listing) -> dict[str, Any]:
    """Everything that counts as content, in JSON-ready form, independent of the order in which it was sent.

    What a provider wrote for a price is left out, its worth counts: ``0.10`` and ``0.1`` are no change.
    """
    content: dict[str, Any] = {name: getattr(listing, name) for name in _PLAIN_FIELDS}
    for name in CAPABILITIES:
        content[name] = getattr(listing.capabilities, name)
    content["input_modalities"] = _sorted(listing.input_modalities)
    content["output_modalities"] = _sorted(listing.output_modalities)
    content["retires_at"] = _moment(listing.retires_at)
    content["released_at"] = _moment(listing.released_at)
    for name, value in listing.facts.items():
        content[f"facts.{name}"] = value
    for price in listing.prices:
        content[f"price.{price.kind}"] = prices.as_json(price)
    return content


def content_hash(listing: Listing) -> str:
    """Equal for listings with equal content, whatever order the provider sent it in. 32 hex digits."""
    return hashlib.blake2b(_CANONICAL.encode(fields(listing)).encode(), digest_size=16).hexdigest()


def differences(before: Listing, after: Listing) -> tuple[FieldChange, ...]:
    """Field by field, sorted by name; a field that only one of them has is None at the other."""
    old, new = fields(before), fields(after)
    return tuple(
        FieldChange(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _sorted(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def effective_prices(listed: Iterable[Price], override: Override | None) -> tuple[Price, ...]:
    """The prices with the operator's in place of the provider's."""
    if override is None or not override.prices:
        return tuple(listed)
    by_kind = {price.kind: price for price in listed}
    for kind, usd in override.prices.items():
        per = by_kind[kind].per if kind in by_kind else kind.usual_per
        state = PriceState.KNOWN if usd else PriceState.FREE
        by_kind[kind] = Price(kind, state, usd, per, "", "", "operator")
    return tuple(sorted(by_kind.values(), key=lambda price: price.kind))


def price_columns(effective: Iterable[Price]) -> dict[str, int | str | None]:
    """The columns of ``models`` that are filtered and sorted by."""
    found: dict[str, int | str | None] = dict.fromkeys(_PRICE_COLUMNS.values())
    states = []
    for price in effective:
        states.append(price.state)
        if name := _PRICE_COLUMNS.get((price.kind, price.per)):
            found[name] = prices.femto(price.usd)
    return {"price_state": overall(states).value, **found}


def model_row(provider: str, listing: Listing, digest: str, override: Override | None) -> dict[str, Any]:
    """The columns of ``models`` that a sync writes (not those that count misses or hold decisions)."""
    return {
        "provider": provider,
        "native_id": listing.native_id,
        "canonical_key": listing.canonical_key,
        "name": listing.name,
        "name_key": listing.name.casefold(),
        "haystack": _haystack(listing),
        "author": listing.author,
        "family": listing.family,
        "kind": listing.kind,
        "description": listing.description,
        "context_tokens": listing.context_tokens,
        "max_output_tokens": listing.max_output_tokens,
        "input_modalities": _sorted(listing.input_modalities),
        "output_modalities": _sorted(listing.output_modalities),
        "streaming": listing.capabilities.streaming,
        "tools": listing.capabilities.tools,
        "vision": listing.capabilities.vision,
        "json_mode": listing.capabilities.json_mode,
        "reasoning": listing.capabilities.reasoning,
        "deprecated": listing.deprecated,
        "retires_at": listing.retires_at,
        "replaced_by": listing.replaced_by,
        "released_at": listing.released_at,
        "facts": listing.facts,
        "content_hash": digest,
        **price_columns(effective_prices(listing.prices, override)),
    }


def _haystack(listing: Listing) -> str:
    """What parts of words are looked for in; no longer than an index entry of PostgreSQL's may be with all of it."""
    text = "\n".join((listing.native_id, listing.name, listing.author or "")).casefold()
    return text.encode()[:_HAYSTACK_BYTES].decode(errors="ignore")


def price_row(model_id: int, price: Price) -> dict[str, Any]:
    """One row of ``model_prices``."""
    return {
        "model_id": model_id,
        "kind": str(price.kind),
        "state": str(price.state),
        "usd": None if price.usd is None else prices.plain(price.usd),
        "per": str(price.per),
        "raw": price.raw,
        "raw_unit": price.raw_unit,
        "source": price.source,
    }


def stored_price(row: Mapping[Any, Any]) -> Price:
    """A row of ``model_prices``."""
    return Price(
        PriceKind(row["kind"]),
        PriceState(row["state"]),
        None if row["usd"] is None else Decimal(row["usd"]),
        Per(row["per"]),
        row["raw"],
        row["raw_unit"],
        row["source"],
    )


def stored_override(row: Mapping[Any, Any]) -> Override:
    """A row of ``model_overrides``."""
    return Override(
        row["hidden"],
        row["pinned"],
        {PriceKind(kind): Decimal(usd) for kind, usd in row["prices"].items()},
        row["note"],
        row["actor"],
        row["at"],
    )


def _listing_arguments(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("native_id", *_PLAIN_FIELDS)},
        "capabilities": Capabilities(**{name: row[name] for name in CAPABILITIES}),
        "input_modalities": _tuple(row["input_modalities"]),
        "output_modalities": _tuple(row["output_modalities"]),
        "retires_at": row["retires_at"],
        "released_at": row["released_at"],
        "facts": row["facts"],
    }


def stored_listing(row: Mapping[Any, Any], listed: Iterable[Price]) -> Listing:
    """What the provider said, without the operator's overrides: what the next list is compared with."""
    return Listing(**_listing_arguments(row), prices=tuple(listed))


def stored_model(row: Mapping[Any, Any], listed: Iterable[Price], override: Override | None) -> Model:
    """A model as an operator sees it."""
    return Model(
        **_listing_arguments(row),
        prices=effective_prices(listed, override),
        id=row["id"],
        provider=row["provider"],
        first_seen_at=row["first_seen_at"],
        changed_at=row["changed_at"],
        last_seen_at=row["last_seen_at"],
        missing_runs=row["missing_runs"],
        retired_at=row["retired_at"],
        override=override,
    )


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)
