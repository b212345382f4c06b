"""Mistral: ``{data: […]}`` with capabilities as true and false, a date of deprecation, and no prices.

Source: https://docs.mistral.ai/api/endpoint/models. An alias such as ``mistral-large-latest`` is a record of its own.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, Draft, Fields, ProviderSpec, Record, Stated, value_at

_KINDS = (
    ("completion_chat", "chat"),
    ("completion_fim", "completion"),
    ("audio_transcription", "transcription"),
    ("classification", "moderation"),
)


def _kind_by_capability(record: Record, draft: Draft) -> None:
    stated = (kind for name, kind in _KINDS if value_at(record, f"capabilities.{name}") is True)
    draft.kind = next(stated, None)


SPEC = ProviderSpec(
    slug="mistral",
    name="Mistral AI",
    description="Mistral's own models",
    base_url="https://api.mistral.ai/v1",
    list_path="/models",
    api_url="https://api.mistral.ai/v1",
    site_url="https://mistral.ai",
    auth=Auth("MISTRAL_API_KEY"),
    author="mistralai",
    fields=Fields(
        id=("id",),
        description=("description",),
        context_tokens=("max_context_length",),
        released_at=("created",),
        retires_at=("deprecation",),
        replaced_by=("deprecation_replacement_model",),
    ),
    model_capabilities={
        "tools": Stated("capabilities.function_calling"),
        "vision": Stated("capabilities.vision"),
        "reasoning": Stated("capabilities.reasoning"),
    },
    facts={"type": "type"},
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=_kind_by_capability,
)
