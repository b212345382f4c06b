"""OpenRouter: ``{data: […]}``, USD per token as text, a public list.

Source: https://openrouter.ai/docs/models and reference/originals.md §2.1. A router's price is ``-1``. Only ``:free`` in
the id marks a free model: the list also writes ``"0"`` for songs and pictures that are paid by the piece.
"""

from __future__ import annotations

from console.catalog.prices import USD_PER_IMAGE, USD_PER_REQUEST, USD_PER_TOKEN
from console.catalog.types import PriceKind
from console.sync.providers.base import (
    Auth,
    Fields,
    Listed,
    PriceField,
    ProviderSpec,
    Tier,
    kind_by_what_comes_out,
)

SPEC = ProviderSpec(
    slug="openrouter",
    name="OpenRouter",
    description="One API in front of many providers",
    base_url="https://openrouter.ai/api/v1",
    list_path="/models",
    api_url="https://openrouter.ai/api/v1",
    site_url="https://openrouter.ai",
    auth=Auth("OPENROUTER_API_KEY", required=False),
    tier=Tier.HIGH,
    fields=Fields(
        id=("id",),
        name=("name",),
        description=("description",),
        context_tokens=("context_length", "top_provider.context_length"),
        max_output_tokens=("top_provider.max_completion_tokens",),
        input_modalities=("architecture.input_modalities",),
        output_modalities=("architecture.output_modalities",),
        released_at=("created",),
        retires_at=("expiration_date",),
    ),
    prices={
        PriceKind.INPUT: PriceField("pricing.prompt", USD_PER_TOKEN),
        PriceKind.OUTPUT: PriceField("pricing.completion", USD_PER_TOKEN),
        PriceKind.CACHE_READ: PriceField("pricing.input_cache_read", USD_PER_TOKEN),
        PriceKind.CACHE_WRITE: PriceField("pricing.input_cache_write", USD_PER_TOKEN),
        PriceKind.REASONING: PriceField("pricing.internal_reasoning", USD_PER_TOKEN),
        PriceKind.AUDIO_INPUT: PriceField("pricing.audio", USD_PER_TOKEN),
        PriceKind.IMAGE: PriceField("pricing.image", USD_PER_IMAGE),
        PriceKind.REQUEST: PriceField("pricing.request", USD_PER_REQUEST),
        PriceKind.WEB_SEARCH: PriceField("pricing.web_search", USD_PER_REQUEST),
    },
    free_suffixes=(":free",),
    model_capabilities={
        "tools": Listed("supported_parameters", ("tools",)),
        "json_mode": Listed("supported_parameters", ("response_format", "structured_outputs")),
        "reasoning": Listed("supported_parameters", ("reasoning", "include_reasoning")),
    },
    facts={"tokenizer": "architecture.tokenizer", "hugging_face_id": "hugging_face_id"},
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=kind_by_what_comes_out,
)
