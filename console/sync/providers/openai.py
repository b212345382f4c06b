"""OpenAI: ``{data: […]}`` of ids and dates. The list has no price, context or capability: all of them stay unknown.

Source: https://platform.openai.com/docs/api-reference/models/list. Fine-tuned models of the account are in it too.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, Fields, ProviderSpec

SPEC = ProviderSpec(
    slug="openai",
    name="OpenAI",
    description="OpenAI's own models",
    base_url="https://api.openai.com/v1",
    list_path="/models",
    api_url="https://api.openai.com/v1",
    site_url="https://openai.com",
    auth=Auth("OPENAI_API_KEY"),
    author="openai",
    fields=Fields(id=("id",), released_at=("created",)),
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
)
