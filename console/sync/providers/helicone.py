"""Helicone: ``{data: {models: […]}}``, each with endpoints that have a price each, USD per 1M tokens. One public call.

Source: the answers of https://api.helicone.ai/v1/public/model-registry/models and reference/originals.md §2.1. Where
the endpoints of a model agree, that is its price; where they do not, it depends on which of them a request is sent to.
"""

from __future__ import annotations

from collections.abc import Iterable

from console.catalog import prices
from console.catalog.prices import USD_PER_1M_TOKENS
from console.catalog.types import Price, PriceKind, PriceState
from console.sync.providers.base import (
    Auth,
    Draft,
    Fields,
    Listed,
    ProviderSpec,
    Record,
    kind_by_what_comes_out,
    value_at,
)

_PRICES = {
    PriceKind.INPUT: "pricing.prompt",
    PriceKind.OUTPUT: "pricing.completion",
    PriceKind.CACHE_READ: "pricing.cacheRead",
    PriceKind.CACHE_WRITE: "pricing.cacheWrite",
}


def _prices_of_the_endpoints(record: Record, draft: Draft) -> None:
    endpoints = record.get("endpoints")
    for kind, path in _PRICES.items():
        sent = [value_at(endpoint, path) for endpoint in endpoints] if isinstance(endpoints, list) else []
        try:
            found = [prices.read_price(kind, raw, USD_PER_1M_TOKENS) for raw in sent if raw is not None]
        except prices.NotAPrice as problem:
            found = [prices.unknown(kind, None, USD_PER_1M_TOKENS)]
            draft.flaws.append(f"endpoints.{path}: {problem}")
        if found:
            draft.prices[kind] = _together(kind, found)
    kind_by_what_comes_out(record, draft)


def _together(kind: PriceKind, found: Iterable[Price]) -> Price:
    """The one price, or "it depends"; what nobody can tell is not told by the others either."""
    first, *others = found
    if all((price.state, price.usd) == (first.state, first.usd) for price in others):
        return first
    raw = " or ".join(sorted({price.raw for price in (first, *others)}))
    return Price(kind, PriceState.DYNAMIC, None, first.per, prices.raw_text(raw), first.raw_unit)


SPEC = ProviderSpec(
    slug="helicone",
    name="Helicone",
    description="A gateway to many providers that records what it sees",
    base_url="https://api.helicone.ai",
    list_path="/v1/public/model-registry/models",
    list_at=("data", "models"),
    api_url="https://ai-gateway.helicone.ai/v1",
    site_url="https://www.helicone.ai",
    auth=Auth("HELICONE_API_KEY", required=False),
    fields=Fields(
        id=("id",),
        name=("name",),
        author=("author",),
        description=("description",),
        context_tokens=("contextLength",),
        max_output_tokens=("maxOutput",),
        input_modalities=("inputModalities",),
        output_modalities=("outputModalities",),
    ),
    model_capabilities={
        "tools": Listed("supportedParameters", ("tools",)),
        "json_mode": Listed("supportedParameters", ("response_format", "structured_outputs", "json_mode")),
        "reasoning": Listed("supportedParameters", ("reasoning", "include_reasoning")),
    },
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=_prices_of_the_endpoints,
)
