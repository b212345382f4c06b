"""fal: pages of ``{models: […], next_cursor, has_more}``, the key behind the word ``Key``, all kinds of media.

Source: https://fal.ai/docs/platform-apis/v1/models. Prices are behind another address, one model at a time, in units of
its own: they are not asked for. The list is public.
"""

from __future__ import annotations

from console.sync.providers.base import Auth, CursorPages, Draft, Fields, Kind, ProviderSpec, Record, value_at


def _deprecated_by_status(record: Record, draft: Draft) -> None:
    status = value_at(record, "metadata.status")
    if status in ("active", "deprecated"):
        draft.deprecated = status == "deprecated"


SPEC = ProviderSpec(
    slug="fal",
    name="fal",
    description="Models for pictures, video and sound",
    base_url="https://api.fal.ai/v1",
    list_path="/models",
    list_at=("models",),
    api_url="",
    site_url="https://fal.ai",
    auth=Auth("FAL_API_KEY", required=False, prefix="Key "),
    pagination=CursorPages(cursor="cursor", cursor_at="next_cursor", more_at="has_more", size="limit"),
    fields=Fields(
        id=("endpoint_id",),
        name=("metadata.display_name",),
        description=("metadata.description",),
        kind=("metadata.category",),
        released_at=("metadata.date",),
    ),
    kinds={
        "llm": Kind("chat", ("text",), ("text",)),
        "vision": Kind("chat", ("image", "text"), ("text",)),
        "text-to-image": Kind("image", ("text",), ("image",)),
        "image-to-image": Kind("image", ("image",), ("image",)),
        "text-to-video": Kind("video", ("text",), ("video",)),
        "image-to-video": Kind("video", ("image",), ("video",)),
        "video-to-video": Kind("video", ("video",), ("video",)),
        "audio-to-video": Kind("video", ("audio",), ("video",)),
        "text-to-speech": Kind("speech", ("text",), ("audio",)),
        "text-to-audio": Kind("speech", ("text",), ("audio",)),
        "speech-to-text": Kind("transcription", ("audio",), ("text",)),
    },
    capabilities=(),
    odd=_deprecated_by_status,
)
