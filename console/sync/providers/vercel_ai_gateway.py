"""Vercel AI Gateway: ``{data: […]}``, USD per token as text, a ``type`` for every model, a public list.

Source: https://vercel.com/docs/ai-gateway/models-and-providers and reference/originals.md §2.1.
"""

from __future__ import annotations

from console.catalog.prices import USD_PER_IMAGE, USD_PER_TOKEN
from console.catalog.types import PriceKind
from console.sync.providers.base import Auth, Fields, Kind, Listed, PriceField, ProviderSpec

SPEC = ProviderSpec(
    slug="vercel-ai-gateway",
    name="Vercel AI Gateway",
    description="One API in front of many providers",
    base_url="https://ai-gateway.vercel.sh/v1",
    list_path="/models",
    api_url="https://ai-gateway.vercel.sh/v1",
    site_url="https://vercel.com/ai-gateway",
    auth=Auth("VERCEL_AI_GATEWAY_API_KEY", required=False),
    fields=Fields(
        id=("id",),
        name=("name",),
        author=("owned_by",),
        description=("description",),
        context_tokens=("context_window",),
        max_output_tokens=("max_tokens",),
        kind=("type",),
        released_at=("released",),
    ),
    kinds={
        "language": Kind("chat", None, ("text",)),
        "embedding": Kind("embedding", None, ("embedding",)),
        "image": Kind("image", None, ("image",)),
        "video": Kind("video", None, ("video",)),
        "reranking": Kind("rerank"),
    },
    prices={
        PriceKind.INPUT: PriceField("pricing.input", USD_PER_TOKEN),
        PriceKind.OUTPUT: PriceField("pricing.output", USD_PER_TOKEN),
        PriceKind.CACHE_READ: PriceField("pricing.input_cache_read", USD_PER_TOKEN),
        PriceKind.CACHE_WRITE: PriceField("pricing.input_cache_write", USD_PER_TOKEN),
        PriceKind.IMAGE: PriceField("pricing.image", USD_PER_IMAGE),
    },
    model_capabilities={
        "tools": Listed("tags", ("tool-use",), complete=False),
        "vision": Listed("tags", ("vision",), complete=False),
        "reasoning": Listed("tags", ("reasoning",), complete=False),
    },
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
)
