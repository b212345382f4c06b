"""Chutes: ``{data: […]}``, USD per 1M tokens as numbers, a public list of its language models.

Source: the answers of https://llm.chutes.ai/v1/models. What a whole machine costs by the hour is in no record of this
list, and would be no price of a token (reference/originals.md §2.2).
"""

from __future__ import annotations

from console.catalog.prices import USD_PER_1M_TOKENS
from console.catalog.types import PriceKind
from console.sync.providers.base import Auth, Fields, Listed, PriceField, ProviderSpec, kind_by_what_comes_out

SPEC = ProviderSpec(
    slug="chutes",
    name="Chutes",
    description="Open models on machines that anybody may offer",
    base_url="https://llm.chutes.ai/v1",
    list_path="/models",
    api_url="https://llm.chutes.ai/v1",
    site_url="https://chutes.ai",
    auth=Auth("CHUTES_API_KEY", required=False),
    fields=Fields(
        id=("id",),
        context_tokens=("context_length", "max_model_len"),
        max_output_tokens=("max_output_length",),
        input_modalities=("input_modalities",),
        output_modalities=("output_modalities",),
        released_at=("created",),
    ),
    prices={
        PriceKind.INPUT: PriceField("pricing.prompt", USD_PER_1M_TOKENS),
        PriceKind.OUTPUT: PriceField("pricing.completion", USD_PER_1M_TOKENS),
        PriceKind.CACHE_READ: PriceField("pricing.input_cache_read", USD_PER_1M_TOKENS),
    },
    model_capabilities={
        "tools": Listed("supported_features", ("tools",)),
        "json_mode": Listed("supported_features", ("json_mode", "structured_outputs")),
        "reasoning": Listed("supported_features", ("reasoning",)),
    },
    facts={"quantization": "quantization"},
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=kind_by_what_comes_out,
)
