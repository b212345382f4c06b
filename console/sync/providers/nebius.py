"""Nebius Token Factory: ``{data: […]}`` in full with ``verbose=true``, USD per token as text.

Source: https://docs.tokenfactory.nebius.com/api-reference/models/list-models and reference/originals.md §2.1.
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
    slug="nebius",
    name="Nebius Token Factory",
    description="Open models on Nebius' own machines",
    base_url="https://api.tokenfactory.nebius.com/v1",
    list_path="/models?verbose=true",
    api_url="https://api.tokenfactory.nebius.com/v1",
    site_url="https://tokenfactory.nebius.com",
    auth=Auth("NEBIUS_API_KEY"),
    tier=Tier.MEDIUM,
    fields=Fields(
        id=("id",),
        name=("name",),
        description=("description",),
        context_tokens=("context_length",),
        modality=("architecture.modality",),
        released_at=("created",),
    ),
    prices={
        PriceKind.INPUT: PriceField("pricing.prompt", USD_PER_TOKEN),
        PriceKind.OUTPUT: PriceField("pricing.completion", USD_PER_TOKEN),
        PriceKind.IMAGE: PriceField("pricing.image", USD_PER_IMAGE),
        PriceKind.REQUEST: PriceField("pricing.request", USD_PER_REQUEST),
    },
    model_capabilities={
        "tools": Listed("supported_features", ("tools", "function_calling"), complete=False),
        "json_mode": Listed("supported_features", ("json_mode", "structured_outputs"), complete=False),
        "reasoning": Listed("supported_features", ("reasoning",), complete=False),
    },
    facts={"quantization": "quantization"},
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=kind_by_what_comes_out,
)
