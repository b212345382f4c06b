"""DeepInfra: a bare list, US cents per token as numbers, a public list.

Source: ``ModelInfoOut`` and the ``ModelPricing…`` schemas of DeepInfra's OpenAPI document, and
reference/originals.md §2.1. ``pricing.type`` says which fields there are; a price per second of machine time stays one.
"""

from __future__ import annotations

from console.catalog import prices
from console.catalog.prices import CENTS_PER_CHARACTER, CENTS_PER_IMAGE, CENTS_PER_SECOND, CENTS_PER_TOKEN
from console.catalog.types import Price, PriceKind, PriceState
from console.sync.providers.base import Auth, Draft, Fields, Kind, Listed, PriceField, ProviderSpec, Record, value_at

_CACHE_RATES = {
    PriceKind.CACHE_READ: "pricing.rate_per_input_token_cached",
    PriceKind.CACHE_WRITE: "pricing.rate_per_input_token_cache_write",
}


def _cache_rates_and_replacement(record: Record, draft: Draft) -> None:
    """Cached tokens are priced as a fraction of the input price; what has a successor is deprecated."""
    per_input = draft.prices.get(PriceKind.INPUT)
    for kind, path in _CACHE_RATES.items():
        raw = value_at(record, path)
        try:
            rate = prices.amount(raw)
            if not rate or rate < 0 or per_input is None or not per_input.usd:
                continue
            usd = prices.fraction_of(per_input.usd, rate)
            prices.refuse_incredible(usd, per_input.per)
        except prices.NotAPrice as problem:
            draft.flaws.append(f"{path}: {problem}")
        else:
            sent = prices.raw_text(raw)
            draft.prices[kind] = Price(kind, PriceState.KNOWN, usd, per_input.per, sent, "× input price")
    if "deprecated" in record or "replaced_by" in record:
        draft.deprecated = bool(record.get("deprecated") or draft.replaced_by)


SPEC = ProviderSpec(
    slug="deepinfra",
    name="DeepInfra",
    description="Open models on DeepInfra's own machines",
    base_url="https://api.deepinfra.com",
    list_path="/models/list",
    api_url="https://api.deepinfra.com/v1/openai",
    site_url="https://deepinfra.com",
    auth=Auth("DEEPINFRA_API_KEY", required=False),
    fields=Fields(
        id=("model_name", "id"),
        description=("description",),
        context_tokens=("max_tokens",),
        max_output_tokens=("max_output_tokens",),
        kind=("reported_type", "type"),
        retires_at=("deprecated",),
        replaced_by=("replaced_by",),
    ),
    kinds={
        "text-generation": Kind("chat", None, ("text",)),
        "multimodal": Kind("chat", ("image", "text"), ("text",)),
        "embeddings": Kind("embedding", ("text",), ("embedding",)),
        "reranker": Kind("rerank", ("text",), None),
        "text-to-image": Kind("image", None, ("image",)),
        "text-to-video": Kind("video", None, ("video",)),
        "text-to-speech": Kind("speech", ("text",), ("audio",)),
        "automatic-speech-recognition": Kind("transcription", ("audio",), ("text",)),
        "speech-to-text": Kind("transcription", ("audio",), ("text",)),
    },
    prices={
        PriceKind.INPUT: PriceField("pricing.cents_per_input_token", CENTS_PER_TOKEN),
        PriceKind.OUTPUT: PriceField("pricing.cents_per_output_token", CENTS_PER_TOKEN),
        PriceKind.IMAGE: PriceField("pricing.cents_per_image_unit", CENTS_PER_IMAGE),
        PriceKind.MEDIA_INPUT: PriceField("pricing.cents_per_input_sec", CENTS_PER_SECOND),
        PriceKind.MEDIA_OUTPUT: PriceField("pricing.cents_per_output_sec", CENTS_PER_SECOND),
        PriceKind.CHARACTERS: PriceField("pricing.cents_per_input_chars", CENTS_PER_CHARACTER),
        PriceKind.COMPUTE: PriceField("pricing.cents_per_sec", CENTS_PER_SECOND),
    },
    model_capabilities={
        "tools": Listed("tags", ("tools",), complete=False),
        "reasoning": Listed("tags", ("reasoning",), complete=False),
        "json_mode": Listed("tags", ("json",), complete=False),
    },
    facts={"quantization": "quantization"},
    capabilities=("streaming", "tools", "vision", "json_mode"),
    odd=_cache_rates_and_replacement,
)
