"""Cerebras: ``{data: […]}`` of ids, dates and an owner; everything else stays unknown.

Source: https://inference-docs.cerebras.ai/api-reference/models and reference/originals.md §2.1.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, Fields, ProviderSpec, Tier

SPEC = ProviderSpec(
    slug="cerebras",
    name="Cerebras",
    description="Open models on Cerebras' own processors",
    base_url="https://api.cerebras.ai/v1",
    list_path="/models",
    api_url="https://api.cerebras.ai/v1",
    site_url="https://www.cerebras.ai",
    auth=Auth("CEREBRAS_API_KEY"),
    tier=Tier.MEDIUM,
    fields=Fields(
        id=("id",), name=("display_name", "name"), context_tokens=("context_length",), released_at=("created",)
    ),
    capabilities=("streaming", "tools", "json_mode", "reasoning"),
)
