"""Google Vertex AI: Google's own models in its model garden, in pages, for an OAuth token. No prices, no contexts.

Source: ``publishers.models.list`` of https://cloud.google.com/vertex-ai/docs/reference/rest/v1beta1. The credential is
exchanged for a token first (console/sync/google.py); a model is called by the last part of its name.
"""

from __future__ import annotations

from console.sync.google import access_headers
from console.sync.providers.base import Auth, CursorPages, Draft, Fields, ProviderSpec, Record, RecordRefused, Tier


def _last_part_of_the_name(record: Record, draft: Draft) -> None:
    last = draft.native_id.rpartition("/")[2]
    if not last:
        raise RecordRefused("its name ends with a slash")
    if draft.name == draft.native_id:
        draft.name = last
    draft.native_id = last


SPEC = ProviderSpec(
    slug="google-vertex",
    name="Google Vertex AI",
    description="Google's own models",
    base_url="https://aiplatform.googleapis.com",
    list_path="/v1beta1/publishers/google/models",
    list_at=("publisherModels",),
    api_url="",
    site_url="https://cloud.google.com/vertex-ai",
    auth=Auth("GOOGLE_APPLICATION_CREDENTIALS", exchange=access_headers),
    author="google",
    tier=Tier.MEDIUM,
    pagination=CursorPages(cursor="pageToken", cursor_at="nextPageToken", more_at="", size="pageSize"),
    fields=Fields(id=("name",), name=("displayName",), context_tokens=("inputTokenLimit",)),
    facts={"stage": "launchStage", "version": "versionId"},
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
    odd=_last_part_of_the_name,
)
