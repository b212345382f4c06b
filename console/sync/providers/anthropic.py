"""Anthropic: pages of 100 by cursor, the key in a header of its own, and an API version in another. No prices.

Source: https://docs.anthropic.com/en/api/models-list. Limits and capabilities are there for the newer models only.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, CursorPages, Fields, ProviderSpec, Stated

SPEC = ProviderSpec(
    slug="anthropic",
    name="Anthropic",
    description="Anthropic's own models",
    base_url="https://api.anthropic.com/v1",
    list_path="/models",
    api_url="https://api.anthropic.com/v1",
    site_url="https://www.anthropic.com",
    auth=Auth("ANTHROPIC_API_KEY", header="x-api-key", prefix="", headers={"anthropic-version": "2023-06-01"}),
    author="anthropic",
    pagination=CursorPages(),
    fields=Fields(
        id=("id",),
        name=("display_name",),
        context_tokens=("max_input_tokens",),
        max_output_tokens=("max_tokens",),
        released_at=("created_at",),
    ),
    model_capabilities={
        "vision": Stated("capabilities.image_input.supported"),
        "json_mode": Stated("capabilities.structured_outputs.supported"),
        "reasoning": Stated("capabilities.thinking.supported"),
    },
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
)
