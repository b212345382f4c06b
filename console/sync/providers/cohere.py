"""Cohere: ``{models: […], next_page_token}``; the name is the id, and ``endpoints`` say what a model is for. No prices.

Source: https://docs.cohere.com/reference/list-models.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, CursorPages, Draft, Fields, Listed, ProviderSpec, Record

_KINDS = (("chat", "chat"), ("embed", "embedding"), ("rerank", "rerank"), ("generate", "completion"))


def _kind_by_endpoint(record: Record, draft: Draft) -> None:
    endpoints = record.get("endpoints")
    if isinstance(endpoints, list):
        draft.kind = next((kind for name, kind in _KINDS if name in endpoints), None)
    if isinstance(record.get("is_deprecated"), bool):
        draft.deprecated = record["is_deprecated"]


SPEC = ProviderSpec(
    slug="cohere",
    name="Cohere",
    description="Cohere's own models",
    base_url="https://api.cohere.com/v1",
    list_path="/models",
    list_at=("models",),
    api_url="https://api.cohere.com/compatibility/v1",
    site_url="https://cohere.com",
    auth=Auth("COHERE_API_KEY"),
    author="cohere",
    pagination=CursorPages(cursor="page_token", cursor_at="next_page_token", more_at="", size="page_size"),
    fields=Fields(id=("name",), context_tokens=("context_length",)),
    model_capabilities={
        "tools": Listed("features", ("tools", "strict_tools")),
        "vision": Listed("features", ("vision",)),
        "json_mode": Listed("features", ("json_mode", "json_schema")),
        "reasoning": Listed("features", ("reasoning",)),
    },
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=_kind_by_endpoint,
)
