"""Hugging Face: a bare list in pages that a ``Link`` header chains, of the models that its own inference serves.

Source: https://huggingface.co/docs/hub/api and reference/originals.md §2.1. Downloads and likes change with every look
and are left out; there are no prices and no contexts. The order by creation keeps pages from overlapping.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, Draft, Fields, Kind, LinkPages, ProviderSpec, Record, RecordRefused


def _public_and_spoken_to(record: Record, draft: Draft) -> None:
    """Private models are the account's own; a text model that knows a conversation is a chat model."""
    if record.get("private") is True:
        raise RecordRefused("it is private")
    tags = record.get("tags")
    if draft.kind == "completion" and isinstance(tags, list) and "conversational" in tags:
        draft.kind = "chat"


SPEC = ProviderSpec(
    slug="huggingface",
    name="Hugging Face",
    description="Models that Hugging Face's own inference serves",
    base_url="https://huggingface.co",
    list_path="/api/models?inference_provider=hf-inference&sort=createdAt",
    api_url="https://router.huggingface.co/v1",
    site_url="https://huggingface.co",
    auth=Auth("HUG_API_KEY", required=False),
    pagination=LinkPages(),
    fields=Fields(id=("id", "modelId"), kind=("pipeline_tag",), released_at=("createdAt",)),
    kinds={
        "text-generation": Kind("completion", ("text",), ("text",)),
        "image-text-to-text": Kind("chat", ("image", "text"), ("text",)),
        "feature-extraction": Kind("embedding", None, ("embedding",)),
        "sentence-similarity": Kind("embedding", ("text",), ("embedding",)),
        "text-ranking": Kind("rerank", ("text",), None),
        "text-to-image": Kind("image", ("text",), ("image",)),
        "image-to-image": Kind("image", ("image",), ("image",)),
        "text-to-video": Kind("video", ("text",), ("video",)),
        "text-to-speech": Kind("speech", ("text",), ("audio",)),
        "automatic-speech-recognition": Kind("transcription", ("audio",), ("text",)),
    },
    facts={"library": "library_name"},
    capabilities=("streaming", "tools", "vision"),
    odd=_public_and_spoken_to,
)
