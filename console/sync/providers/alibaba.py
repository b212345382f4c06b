"""Alibaba Cloud Model Studio: ``{data: […]}`` of ids and dates, behind DashScope's OpenAI-compatible door. No prices.

Source: reference/originals.md §2.1. This is the international address; a profile's ``url`` names the Chinese one
(``https://dashscope.aliyuncs.com/compatible-mode/v1``), which takes a key of its own.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, Fields, ProviderSpec

SPEC = ProviderSpec(
    slug="alibaba",
    name="Alibaba Cloud",
    description="Qwen and other models at Alibaba Cloud",
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    list_path="/models",
    api_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    site_url="https://www.alibabacloud.com",
    auth=Auth("ALIBABA_CLOUD_API_KEY"),
    fields=Fields(id=("id",), released_at=("created",)),
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
)
