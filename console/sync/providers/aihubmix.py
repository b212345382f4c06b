"""AIHubMix: ``{data: […], success}``, USD per 1M tokens as numbers, words with commas for features and modalities.

Source: the answers of https://aihubmix.com/api/v1/models, a public list. reference/originals.md §2.2 has "USD per 1K"
for it; today's answers say 2 for Claude Sonnet's input, which is its price per 1M. Only ``-free`` at the end of an id
marks a free model. What the price of a picture or of speech counts is not told: it stays unknown.
"""

from __future__ import annotations

from dataclasses import replace

from console.catalog.prices import USD_PER_1M_TOKENS
from console.catalog.types import PriceKind, PriceState
from console.sync.providers.base import Auth, Draft, Fields, Kind, Listed, PriceField, ProviderSpec, Record

_PAID_BY_THE_TOKEN = ("chat", "embedding", "rerank")


def _only_tokens_have_a_unit(record: Record, draft: Draft) -> None:
    if draft.kind in _PAID_BY_THE_TOKEN:
        return
    for kind, price in draft.prices.items():
        if price.state is PriceState.KNOWN:
            draft.prices[kind] = replace(price, state=PriceState.UNKNOWN, usd=None)


SPEC = ProviderSpec(
    slug="aihubmix",
    name="AIHubMix",
    description="One API in front of many providers",
    base_url="https://aihubmix.com",
    list_path="/api/v1/models",
    api_url="https://aihubmix.com/v1",
    site_url="https://aihubmix.com",
    auth=Auth("AIHUBMIX_API_KEY", required=False),
    fields=Fields(
        id=("model_id", "id"),
        name=("model_name",),
        description=("desc",),
        context_tokens=("context_length",),
        max_output_tokens=("max_output",),
        input_modalities=("input_modalities",),
        kind=("types",),
    ),
    kinds={
        "llm": Kind("chat", None, ("text",)),
        "image_generation": Kind("image", None, ("image",)),
        "video": Kind("video", None, ("video",)),
        "tts": Kind("speech", ("text",), ("audio",)),
        "stt": Kind("transcription", ("audio",), ("text",)),
        "embedding": Kind("embedding", None, ("embedding",)),
        "rerank": Kind("rerank"),
    },
    prices={
        PriceKind.INPUT: PriceField("pricing.input", USD_PER_1M_TOKENS),
        PriceKind.OUTPUT: PriceField("pricing.output", USD_PER_1M_TOKENS),
        PriceKind.CACHE_READ: PriceField("pricing.cache_read", USD_PER_1M_TOKENS),
        PriceKind.CACHE_WRITE: PriceField("pricing.cache_write", USD_PER_1M_TOKENS),
    },
    free_suffixes=("-free",),
    model_capabilities={
        "tools": Listed("features", ("tools", "function_calling"), complete=False),
        "json_mode": Listed("features", ("structured_outputs",), complete=False),
        "reasoning": Listed("features", ("thinking",), complete=False),
    },
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=_only_tokens_have_a_unit,
)
