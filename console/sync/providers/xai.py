"""xAI: ``{data: […]}`` with prices in US cents per 100 million tokens, which is 0.0001 USD per 1M tokens.

Source: https://docs.x.ai/developers/rest-api-reference/inference/models. The dearer prices of long contexts are not
taken over: the ones here are those that a request begins with.
"""

from __future__ import annotations

from console.catalog.prices import CENTS_PER_IMAGE, TENTH_MILLI_USD_PER_1M_TOKENS
from console.catalog.types import PriceKind
from console.sync.providers.base import Auth, Fields, PriceField, ProviderSpec, Tier, kind_by_what_comes_out

SPEC = ProviderSpec(
    slug="xai",
    name="xAI",
    description="xAI's own models",
    base_url="https://api.x.ai/v1",
    list_path="/models",
    api_url="https://api.x.ai/v1",
    site_url="https://x.ai",
    auth=Auth("XAI_API_KEY"),
    author="x-ai",
    tier=Tier.MEDIUM,
    fields=Fields(
        id=("id",),
        context_tokens=("context_length",),
        input_modalities=("input_modalities",),
        output_modalities=("output_modalities",),
        released_at=("created",),
    ),
    prices={
        PriceKind.INPUT: PriceField("prompt_text_token_price", TENTH_MILLI_USD_PER_1M_TOKENS),
        PriceKind.OUTPUT: PriceField("completion_text_token_price", TENTH_MILLI_USD_PER_1M_TOKENS),
        PriceKind.CACHE_READ: PriceField("cached_prompt_text_token_price", TENTH_MILLI_USD_PER_1M_TOKENS),
        PriceKind.IMAGE: PriceField("image_price", CENTS_PER_IMAGE),
    },
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=kind_by_what_comes_out,
)
