"""Those who list the models that they made: OpenAI, Anthropic, Google, Mistral, DeepSeek, xAI, Cohere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from console.local.samples.source import SampleModel
from console.local.samples.wire.form import Pages, Record, WireFormat, seconds, stamp

_CAPABILITIES_SINCE = datetime(2025, 1, 1, tzinfo=UTC)


def _openai(model: SampleModel) -> Record:
    return {"id": model.id, "object": "model", "created": seconds(model), "owned_by": "system"}


def _deepseek(model: SampleModel) -> Record:
    return {"id": model.id, "object": "model", "owned_by": "deepseek"}


def _anthropic(model: SampleModel) -> Record:
    """Newer models tell their limits and what they can do."""
    record: Record = {"type": "model", "id": model.id, "display_name": model.name, "created_at": stamp(model)}
    if model.released and model.released >= _CAPABILITIES_SINCE:
        record |= {
            "max_input_tokens": model.context,
            "max_tokens": model.max_output,
            "capabilities": {
                "batch": {"supported": True},
                "image_input": {"supported": "image" in model.inputs},
                "pdf_input": {"supported": "pdf" in model.inputs},
                "structured_outputs": {"supported": model.structured},
                "thinking": {"supported": model.reasoning},
            },
        }
    return record


def _google_vertex(model: SampleModel) -> Record:
    return {
        "name": f"publishers/google/models/{model.id}",
        "versionId": "default",
        "openSourceCategory": "PROPRIETARY",
        "supportedActions": {"openGenerationAiStudio": {"title": "Open"}},
        "launchStage": "EXPERIMENTAL" if "preview" in model.id else "GA",
        "publisherModelTemplate": f"projects/{{project}}/locations/{{location}}/publishers/google/models/{model.id}",
    }


def _mistral(model: SampleModel) -> Record:
    embeds = "embed" in model.id
    return {
        "id": model.id,
        "object": "model",
        "created": seconds(model),
        "owned_by": "mistralai",
        "capabilities": {
            "completion_chat": not embeds,
            "completion_fim": model.id.startswith("codestral"),
            "function_calling": model.tools,
            "fine_tuning": False,
            "vision": "image" in model.inputs,
            "classification": False,
        },
        "name": model.id,
        "description": f"Official {model.id} Mistral AI model",
        "max_context_length": model.context,
        "aliases": [],
        "deprecation": "2025-11-30T12:00:00Z" if model.deprecated else None,
        "deprecation_replacement_model": "mistral-small-latest" if model.deprecated else None,
        "default_model_temperature": 0.3,
        "type": "base",
    }


def _xai(model: SampleModel) -> Record:
    """Whole numbers of US cents per 100 million tokens; a picture in cents."""
    record: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": seconds(model),
        "owned_by": "xai",
        "aliases": [],
        "context_length": model.context,
        "input_modalities": [name for name in model.inputs if name in ("text", "image")],
        "output_modalities": list(model.outputs),
    }
    names = {"input": "prompt_text", "output": "completion_text", "cache_read": "cached_prompt_text"}
    record |= {f"{name}_token_price": 0 for name in ("prompt_text", "completion_text", "cached_prompt_text")}
    record |= {f"{names[name]}_token_price": int(price * 10_000) for name, price in model.prices.items()}
    return record | dict(model.pricing or {})


def _cohere(model: SampleModel) -> Record:
    features = [
        name
        for name, has in (
            ("tools", model.tools),
            ("json_mode", model.structured),
            ("vision", "image" in model.inputs),
            ("reasoning", model.reasoning),
        )
        if has
    ]
    return {
        "name": model.id,
        "is_deprecated": model.deprecated,
        "endpoints": {"embedding": ["embed"], "rerank": ["rerank"]}.get(model.kind, ["generate", "chat", "summarize"]),
        "finetuned": False,
        "context_length": model.context,
        "tokenizer_url": f"https://storage.googleapis.com/cohere-public/tokenizers/{model.id}.json",
        "default_endpoints": [],
        "features": features,
    }


def _has_more(cursor: str | None) -> str:
    return f'],"first_id":"x","has_more":{json.dumps(cursor is not None)},"last_id":{json.dumps(cursor)}}}'


def _next_page_token(cursor: str | None) -> str:
    return "]}" if cursor is None else f'],"next_page_token":{json.dumps(cursor)}}}'


def _next_google_token(cursor: str | None) -> str:
    return "]}" if cursor is None else f'],"nextPageToken":{json.dumps(cursor)}}}'


_OPENAI_LIST = '{"object":"list","data":['

FORMATS = {
    "openai": WireFormat("/models", _openai, _OPENAI_LIST),
    "anthropic": WireFormat(
        "/models",
        _anthropic,
        header="x-api-key",
        prefix="",
        pages=Pages("limit", "after_id", 10, _has_more, by_id=True),
    ),
    "google-vertex": WireFormat(
        "/v1beta1/publishers/google/models",
        _google_vertex,
        '{"publisherModels":[',
        pages=Pages("pageSize", "pageToken", 10, _next_google_token),
    ),
    "mistral": WireFormat("/models", _mistral, _OPENAI_LIST),
    "deepseek": WireFormat("/models", _deepseek, _OPENAI_LIST),
    "xai": WireFormat("/models", _xai, _OPENAI_LIST),
    "cohere": WireFormat(
        "/models", _cohere, '{"models":[', pages=Pages("page_size", "page_token", 5, _next_page_token)
    ),
}
