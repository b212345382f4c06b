"""Those who stand in front of others, and the one for pictures, video and sound."""

from __future__ import annotations

import json
from typing import Any

from console.local.samples.source import SampleModel
from console.local.samples.wire.form import Pages, Record, WireFormat, number, plain, seconds, stamp


def _vercel(model: SampleModel) -> Record:
    """USD per token as text; a picture in USD."""
    names = {
        "input": "input",
        "output": "output",
        "cache_read": "input_cache_read",
        "cache_write": "input_cache_write",
    }
    tags = ["file-input"] if "pdf" in model.inputs else []
    tags += ["tool-use"] if model.tools else []
    tags += ["reasoning"] if model.reasoning else []
    tags += ["vision"] if "image" in model.inputs else []
    by_output = {"image": "image", "video": "video"}
    kind = model.kind or ("embedding" if "embed" in model.id else by_output.get(model.outputs[0], "language"))
    pricing = {names[name]: plain(price.scaleb(-6)) for name, price in model.prices.items()}
    return {
        "id": model.id,
        "object": "model",
        "created": 1_755_815_280,
        "released": seconds(model),
        "owned_by": model.id.partition("/")[0],
        "name": model.name,
        "description": f"{model.name} through the gateway.",
        "context_window": model.context or 0,
        "max_tokens": model.max_output or 0,
        "type": kind,
        "tags": tags,
        "pricing": pricing | dict(model.pricing or {}),
    }


def _helicone(model: SampleModel) -> Record:
    """USD per 1M tokens, once for each endpoint; those of an open model do not agree."""
    names = {"input": "prompt", "output": "completion", "cache_read": "cacheRead", "cache_write": "cacheWrite"}
    pricing = {names[name]: number(price) for name, price in model.prices.items()}
    parameters = ["max_tokens", "temperature"]
    parameters += ["tools", "tool_choice"] if model.tools else []
    parameters += ["reasoning", "include_reasoning"] if model.reasoning else []
    parameters += ["response_format"] if model.structured else []
    endpoint = {"provider": "Helicone", "providerSlug": "helicone", "supportsPtb": True, "pricing": pricing}
    endpoints = [endpoint]
    if model.id == "gpt-oss-120b":
        dearer = {name: number(price * 2) for name, price in zip(pricing, model.prices.values(), strict=True)}
        endpoints.append({"provider": "Novita", "providerSlug": "novita", "supportsPtb": True, "pricing": dearer})
    elif model.tools:
        endpoints.append(endpoint | {"provider": "OpenRouter", "providerSlug": "openrouter"})
    return {
        "id": model.id,
        "name": model.name,
        "author": model.id.partition("-")[0],
        "contextLength": model.context or 0,
        "endpoints": endpoints,
        "maxOutput": model.max_output,
        "trainingDate": None,
        "description": f"{model.name} through Helicone.",
        "inputModalities": list(model.inputs),
        "outputModalities": list(model.outputs),
        "supportedParameters": parameters,
    }


def _aihubmix(model: SampleModel) -> Record:
    """USD per 1M tokens as numbers; words with commas."""
    features = ["thinking"] if model.reasoning else []
    features += ["tools", "function_calling"] if model.tools else []
    features += ["structured_outputs"] if model.structured else []
    pricing: dict[str, Any] = {name: number(price) for name, price in model.prices.items()}
    return {
        "model_id": model.id,
        "model_name": model.name,
        "developer_id": 1,
        "desc": f"{model.name} through AIHubMix.",
        "pricing": pricing | dict(model.pricing or {}),
        "types": model.kind or "llm",
        "features": ",".join(features),
        "input_modalities": ",".join(model.inputs),
        "endpoints": "chat_completions",
        "max_output": model.max_output or 0,
        "context_length": model.context or 0,
    }


def _anannas(model: SampleModel) -> Record:
    """USD per token as text."""
    names = {"input": "prompt", "output": "completion"}
    capabilities = ["text", "streaming"]
    capabilities += ["tool_calling"] if model.tools else []
    capabilities += ["json_mode"] if model.structured else []
    capabilities += ["reasoning"] if model.reasoning else []
    pricing = {names[name]: plain(price.scaleb(-6)) for name, price in model.prices.items() if name in names}
    return {
        "id": model.id,
        "name": model.name,
        "provider": model.id.partition("/")[0],
        "description": f"{model.name} through Anannas.",
        "context_length": model.context,
        "pricing": pricing | {"request": "0"},
        "capabilities": capabilities,
    }


def _fal(model: SampleModel) -> Record:
    return {
        "endpoint_id": model.id,
        "metadata": {
            "display_name": model.name,
            "category": model.kind,
            "description": f"{model.name}: {model.kind.replace('-', ' ')}.",
            "status": "deprecated" if model.deprecated else "active",
            "tags": [],
            "updated_at": "2026-01-15T12:00:00Z",
            "is_favorited": False,
            "thumbnail_url": "https://fal.media/files/example.jpg",
            "model_url": f"https://fal.run/{model.id}",
            "date": stamp(model),
        },
    }


def _next_cursor(cursor: str | None) -> str:
    return f'],"next_cursor":{json.dumps(cursor)},"has_more":{json.dumps(cursor is not None)}}}'


FORMATS = {
    "vercel-ai-gateway": WireFormat("/models", _vercel, '{"object":"list","data":[', needs_token=False),
    "helicone": WireFormat(
        "/v1/public/model-registry/models", _helicone, '{"data":{"models":[', '],"total":0}}', needs_token=False
    ),
    "aihubmix": WireFormat("/api/v1/models", _aihubmix, after='],"message":"","success":true}', needs_token=False),
    "anannas": WireFormat("/models", _anannas),
    "fal": WireFormat(
        "/models",
        _fal,
        '{"models":[',
        needs_token=False,
        prefix="Key ",
        pages=Pages("limit", "cursor", 5, _next_cursor),
    ),
}
