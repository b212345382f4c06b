"""Fireworks: ``{data: […]}``, ids as paths (``accounts/fireworks/models/…``), capabilities as true or false, no prices.

Source: https://docs.fireworks.ai/api-reference/list-models and reference/originals.md §2.1. The path names the account
that serves a model, not who made it.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, Draft, Fields, Kind, ProviderSpec, Record, Stated, Tier


def _kind_and_name(record: Record, draft: Draft) -> None:
    if record.get("supports_chat") is True:
        draft.kind = "chat"
    if draft.name == draft.native_id:
        draft.name = draft.native_id.rpartition("/")[2] or draft.native_id
    draft.author = None


SPEC = ProviderSpec(
    slug="fireworks",
    name="Fireworks AI",
    description="Open models on Fireworks' own machines",
    base_url="https://api.fireworks.ai/inference/v1",
    list_path="/models",
    api_url="https://api.fireworks.ai/inference/v1",
    site_url="https://fireworks.ai",
    auth=Auth("FIREWORKS_API_KEY"),
    tier=Tier.HIGH,
    fields=Fields(
        id=("id",),
        name=("display_name",),
        context_tokens=("context_length",),
        kind=("kind",),
        released_at=("created",),
    ),
    kinds={
        "HF_BASE_MODEL": Kind("completion", None, ("text",)),
        "EMBEDDING_MODEL": Kind("embedding", None, ("embedding",)),
        "FLUMINA_BASE_MODEL": Kind("image", None, ("image",)),
    },
    model_capabilities={"tools": Stated("supports_tools"), "vision": Stated("supports_image_input")},
    capabilities=("streaming", "tools", "vision", "json_mode"),
    odd=_kind_and_name,
)
