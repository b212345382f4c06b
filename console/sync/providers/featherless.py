"""Featherless: some 20,000 models in one answer, whatever ``limit`` says. A public list; a flat rate, so no prices.

Source: https://featherless.ai/docs/api-reference-models and reference/originals.md §2.1.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, Fields, ProviderSpec, Stated

SPEC = ProviderSpec(
    slug="featherless",
    name="Featherless",
    description="Thousands of open models at a flat rate",
    base_url="https://api.featherless.ai/v1",
    list_path="/models",
    api_url="https://api.featherless.ai/v1",
    site_url="https://featherless.ai",
    auth=Auth("FEATHERLESS_API_KEY", required=False),
    fields=Fields(
        id=("id",),
        name=("name",),
        context_tokens=("context_length",),
        max_output_tokens=("max_completion_tokens",),
        released_at=("created",),
    ),
    model_capabilities={"tools": Stated("features.tool_use"), "vision": Stated("features.image_input")},
    facts={"class": "model_class"},
    capabilities=("streaming", "tools"),
)
