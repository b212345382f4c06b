"""Models as JSON-ready dictionaries: what ``--json``, the HTTP API and exports answer with; and values as words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from console.catalog import prices
from console.catalog.types import CAPABILITIES, Model, Per, Price, PriceKind, PriceState

_WIDTH = 60  # of a value in a line
_KINDS = frozenset(kind.value for kind in PriceKind)


def model_row(model: Model) -> dict[str, Any]:
    """A line of a list.

    ``input`` and ``output`` are USD per 1M tokens as exact text, ``"free"`` or ``"dynamic"``; None: not known.
    """
    return {
        "id": model.reference,
        "number": model.id,
        "name": model.name,
        "provider": model.provider,
        "kind": model.kind,
        "context": model.context_tokens,
        "input": million(model.price(PriceKind.INPUT)),
        "output": million(model.price(PriceKind.OUTPUT)),
        "price_state": model.price_state.value,
        **{name: getattr(model.capabilities, name) for name in CAPABILITIES},
    }


def model_json(model: Model) -> dict[str, Any]:
    """Everything about a model; prices in USD per unit as exact text, beside what the provider sent."""
    override = model.override
    return {
        **model_row(model),
        "native_id": model.native_id,
        "canonical_key": model.canonical_key,
        "author": model.author,
        "family": model.family,
        "description": model.description,
        "max_output": model.max_output_tokens,
        "modality": model.modality,
        "input_modalities": _listed(model.input_modalities),
        "output_modalities": _listed(model.output_modalities),
        "deprecated": model.deprecated,
        "retires_at": _moment(model.retires_at),
        "replaced_by": model.replaced_by,
        "released_at": _moment(model.released_at),
        "facts": dict(model.facts),
        "prices": {
            price.kind.value: {
                **prices.as_json(price),
                "raw": price.raw,
                "raw_unit": price.raw_unit,
                "source": price.source,
            }
            for price in model.prices
        },
        "first_seen_at": _moment(model.first_seen_at),
        "changed_at": _moment(model.changed_at),
        "last_seen_at": _moment(model.last_seen_at),
        "missing_runs": model.missing_runs,
        "retired_at": _moment(model.retired_at),
        "hidden": bool(override and override.hidden),
        "pinned": bool(override and override.pinned),
        "note": override.note if override else "",
    }


def million(price: Price | None) -> str | None:
    """USD per 1M tokens as text, or the word for what is not an amount; None where nothing is known."""
    if price is None or price.per is not Per.TOKEN or price.state is PriceState.UNKNOWN:
        return None
    if price.usd is None or price.state is PriceState.FREE:
        return price.state.value
    return prices.plain(prices.per_million(price.usd))


def value_text(value: Any) -> str:
    """A value of a field, short enough for a line; a price in USD per 1M tokens, or per what it counts."""
    if value is None:
        return "-"
    if isinstance(value, dict) and "state" in value and "per" in value:
        return _price(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and all(kind in _KINDS for kind in value):  # an operator's, by what they are for
        return ", ".join(f"{kind} {_usual(PriceKind(kind), usd)}" for kind, usd in value.items()) or "-"
    if isinstance(value, list):
        return "+".join(str(part) for part in value) or "-"
    text = str(value)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _price(said: dict[str, Any]) -> str:
    if "usd" not in said:
        return str(said["state"])
    if said["state"] == "free":
        return "free"
    usd = Decimal(said["usd"])
    if said["per"] == "token":
        return f"${prices.plain(prices.per_million(usd))}/1M"
    return f"${prices.plain(usd)}/{said['per']}"


def _usual(kind: PriceKind, usd: str) -> str:
    state = PriceState.KNOWN if Decimal(usd) else PriceState.FREE
    return _price({"state": state.value, "usd": usd, "per": kind.usual_per.value})


def _listed(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)


def _moment(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
