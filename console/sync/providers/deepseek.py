"""DeepSeek: ``{data: […]}`` of ids and an owner, and nothing else.

Source: https://api-docs.deepseek.com/api/list-models.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, Fields, ProviderSpec

SPEC = ProviderSpec(
    slug="deepseek",
    name="DeepSeek",
    description="DeepSeek's own models",
    base_url="https://api.deepseek.com",
    list_path="/models",
    api_url="https://api.deepseek.com/v1",
    site_url="https://www.deepseek.com",
    auth=Auth("DEEPSEEK_API_KEY"),
    author="deepseek",
    fields=Fields(id=("id",)),
    capabilities=("streaming", "tools", "json_mode", "reasoning"),
)
