"""Novita: ``{data: […]}``, prices as whole numbers of 0.0001 USD per 1M tokens: 14000 is $1.40.

Source: https://novita.ai/docs/api-reference/model-apis-llm-list-models and reference/originals.md §2.2. The context is
called ``context_size``.
"""

from __future__ import annotations

from console.catalog.prices import TENTH_MILLI_USD_PER_1M_TOKENS
from console.catalog.types import PriceKind
from console.sync.providers.base import Auth, Fields, Kind, Listed, PriceField, ProviderSpec

SPEC = ProviderSpec(
    slug="novita",
    name="Novita AI",
    description="Open models on Novita's own machines",
    base_url="https://api.novita.ai/v3/openai",
    list_path="/models",
    api_url="https://api.novita.ai/v3/openai",
    site_url="https://novita.ai",
    auth=Auth("NOVITA_API_KEY"),
    fields=Fields(
        id=("id",),
        name=("display_name", "title"),
        description=("description",),
        context_tokens=("context_size",),
        max_output_tokens=("max_output_tokens",),
        input_modalities=("input_modalities",),
        output_modalities=("output_modalities",),
        kind=("model_type",),
        released_at=("created",),
    ),
    kinds={
        "chat": Kind("chat", None, ("text",)),
        "completion": Kind("completion", None, ("text",)),
        "embedding": Kind("embedding", None, ("embedding",)),
        "rerank": Kind("rerank"),
    },
    prices={
        PriceKind.INPUT: PriceField("input_token_price_per_m", TENTH_MILLI_USD_PER_1M_TOKENS),
        PriceKind.OUTPUT: PriceField("output_token_price_per_m", TENTH_MILLI_USD_PER_1M_TOKENS),
    },
    model_capabilities={
        "tools": Listed("features", ("function-calling",), complete=False),
        "json_mode": Listed("features", ("structured-outputs",), complete=False),
        "reasoning": Listed("features", ("reasoning",), complete=False),
    },
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
)
