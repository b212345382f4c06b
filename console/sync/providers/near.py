"""NEAR AI Cloud: ``{models: […]}``, prices as an amount and a scale: ``{amount: 850, scale: 9}`` is 850 × 10⁻⁹ USD.

Source: reference/originals.md §2.1 and the answers of https://cloud-api.near.ai/v1/model/list. The scale has been sent
with either sign; a price per token is a fraction of a dollar, so it can only mean one thing.
"""

from __future__ import annotations

from console.catalog import prices
from console.catalog.prices import USD_PER_TOKEN, PriceUnit
from console.catalog.types import Per, PriceKind
from console.sync.providers.base import Auth, Draft, Fields, ProviderSpec, Record, kind_by_what_comes_out

_COSTS = {PriceKind.INPUT: "inputCostPerToken", PriceKind.OUTPUT: "outputCostPerToken"}


def _scaled_prices(record: Record, draft: Draft) -> None:
    for kind, name in _COSTS.items():
        cost = record.get(name)
        if cost is None:
            continue
        try:
            draft.prices[kind] = prices.read_price(kind, *_amount_and_unit(cost))
        except prices.NotAPrice as problem:
            draft.prices[kind] = prices.unknown(kind, None, USD_PER_TOKEN)
            draft.flaws.append(f"{name}: {problem}")
    kind_by_what_comes_out(record, draft)


def _amount_and_unit(cost: object) -> tuple[object, PriceUnit]:
    if not isinstance(cost, dict):
        raise prices.NotAPrice("it is no amount with a scale")
    scale = cost.get("scale")
    if not isinstance(scale, int) or isinstance(scale, bool) or not -30 <= scale <= 30:
        raise prices.NotAPrice("its scale is not a small whole number")
    if cost.get("currency", "USD") != "USD":
        raise prices.NotAPrice("it is not in USD")
    return cost.get("amount"), PriceUnit(f"USD × 10^-{abs(scale)}/token", Per.TOKEN, -abs(scale))


SPEC = ProviderSpec(
    slug="near",
    name="NEAR AI Cloud",
    description="Open models in confidential computing",
    base_url="https://cloud-api.near.ai/v1",
    list_path="/model/list",
    list_at=("models",),
    api_url="https://cloud-api.near.ai/v1",
    site_url="https://near.ai",
    auth=Auth("NEAR_API_KEY"),
    fields=Fields(
        id=("modelId",),
        name=("metadata.modelDisplayName", "metadata.displayName"),
        description=("metadata.modelDescription", "metadata.description"),
        context_tokens=("metadata.contextLength",),
        input_modalities=("metadata.architecture.inputModalities",),
        output_modalities=("metadata.architecture.outputModalities",),
    ),
    capabilities=("streaming", "tools"),
    odd=_scaled_prices,
)
