"""Together AI: a bare list, USD per 1M tokens as numbers, a ``type`` for every model.

Source: the ``ModelInfo`` schema of togethercomputer/openapi and reference/originals.md §2.1. Pictures and sound are
listed with 0 per token; only ``-Free`` at the end of an id marks a free model.
"""

from __future__ import annotations

from console.catalog.prices import USD_PER_1M_TOKENS, USD_PER_HOUR
from console.catalog.types import PriceKind
from console.sync.providers.base import Auth, Fields, Kind, PriceField, ProviderSpec, Tier

SPEC = ProviderSpec(
    slug="together",
    name="Together AI",
    description="Open models on Together's own machines",
    base_url="https://api.together.xyz/v1",
    list_path="/models",
    api_url="https://api.together.xyz/v1",
    site_url="https://www.together.ai",
    auth=Auth("TOGETHER_API_KEY"),
    tier=Tier.HIGH,
    fields=Fields(
        id=("id",),
        name=("display_name",),
        author=("organization",),
        context_tokens=("context_length",),
        kind=("type",),
        released_at=("created",),
    ),
    kinds={
        "chat": Kind("chat", None, ("text",)),
        "language": Kind("completion", None, ("text",)),
        "code": Kind("completion", None, ("text",)),
        "image": Kind("image", None, ("image",)),
        "embedding": Kind("embedding", None, ("embedding",)),
        "moderation": Kind("moderation"),
        "rerank": Kind("rerank"),
        "audio": Kind("speech", ("text",), ("audio",)),
        "transcribe": Kind("transcription", ("audio",), ("text",)),
        "video": Kind("video", None, ("video",)),
    },
    prices={
        PriceKind.INPUT: PriceField("pricing.input", USD_PER_1M_TOKENS),
        PriceKind.OUTPUT: PriceField("pricing.output", USD_PER_1M_TOKENS),
        PriceKind.CACHE_READ: PriceField("pricing.cached_input", USD_PER_1M_TOKENS),
        PriceKind.COMPUTE: PriceField("pricing.hourly", USD_PER_HOUR),
    },
    free_suffixes=("-Free",),
    facts={"license": "license", "hugging_face": "link"},
    capabilities=("streaming", "tools", "vision", "json_mode"),
)
