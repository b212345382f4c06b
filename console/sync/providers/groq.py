"""Groq: ``{data: […]}`` with ``context_window``. No prices, no capabilities.

Source: https://console.groq.com/docs/api-reference#models-list and reference/originals.md §2.1.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, Draft, Fields, ProviderSpec, Record, RecordRefused, Tier


def _only_active_ones(record: Record, draft: Draft) -> None:
    if record.get("active") is False:
        raise RecordRefused("Groq says that it is not active")


SPEC = ProviderSpec(
    slug="groq",
    name="Groq",
    description="Open models on Groq's own processors",
    base_url="https://api.groq.com/openai/v1",
    list_path="/models",
    api_url="https://api.groq.com/openai/v1",
    site_url="https://groq.com",
    auth=Auth("GROQ_API_KEY"),
    tier=Tier.HIGH,
    fields=Fields(
        id=("id",),
        author=("owned_by",),
        context_tokens=("context_window",),
        max_output_tokens=("max_completion_tokens",),
        released_at=("created",),
    ),
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=_only_active_ones,
)
