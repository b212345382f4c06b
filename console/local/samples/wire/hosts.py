"""Those who serve open models on machines of their own, or of others."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from console.local.samples.source import SampleModel
from console.local.samples.wire.form import Pages, Record, WireFormat, number, plain, seconds, stamp


def _groq(model: SampleModel) -> Record:
    return {
        "id": model.id,
        "object": "model",
        "created": seconds(model),
        "owned_by": model.id.partition("/")[0].title() if "/" in model.id else "Groq",
        "active": True,
        "context_window": model.context,
        "public_apps": None,
        "max_completion_tokens": model.max_output,
    }


def _cerebras(model: SampleModel) -> Record:
    return {"id": model.id, "object": "model", "created": seconds(model), "owned_by": "Cerebras"}


def _alibaba(model: SampleModel) -> Record:
    return {"id": model.id, "object": "model", "created": seconds(model), "owned_by": "system"}


def _fireworks(model: SampleModel) -> Record:
    return {
        "id": model.id,
        "object": "model",
        "owned_by": "fireworks",
        "created": seconds(model),
        "kind": model.kind or "HF_BASE_MODEL",
        "supports_chat": not model.kind,
        "supports_image_input": "image" in model.inputs,
        "supports_tools": model.tools,
        "context_length": model.context,
    }


def _nebius(model: SampleModel) -> Record:
    """USD per token as text; both modalities in one word."""
    inputs = "+".join(name for name in model.inputs if name in ("text", "image"))
    pricing = {"prompt": "0", "completion": "0", "image": "0", "request": "0"}
    names = {"input": "prompt", "output": "completion"}
    pricing |= {names[name]: plain(price.scaleb(-6)) for name, price in model.prices.items() if name in names}
    features = ["function_calling"] if model.tools else []
    features += ["reasoning"] if model.reasoning else []
    features += ["json_mode", "structured_outputs"] if model.structured else []
    return {
        "id": model.id,
        "name": model.name,
        "created": seconds(model),
        "description": f"{model.name} on Token Factory",
        "context_length": model.context,
        "architecture": {"modality": f"{inputs}->{'+'.join(model.outputs)}", "tokenizer": "Other"},
        "quantization": "fp8",
        "supported_sampling_parameters": ["temperature", "top_p"],
        "supported_features": features,
        "pricing": pricing,
        "per_request_limits": None,
    }


def _novita(model: SampleModel) -> Record:
    """Whole numbers of 0.0001 USD per 1M tokens."""
    features = ["serverless"]
    features += ["function-calling"] if model.tools else []
    features += ["structured-outputs"] if model.structured else []
    features += ["reasoning"] if model.reasoning else []
    return {
        "created": seconds(model),
        "id": model.id,
        "object": "model",
        "owned_by": "unknown",
        "input_token_price_per_m": int(model.prices.get("input", Decimal(0)) * 10_000),
        "output_token_price_per_m": int(model.prices.get("output", Decimal(0)) * 10_000),
        "title": model.id,
        "display_name": model.name,
        "description": f"{model.name}, served by Novita.",
        "context_size": model.context,
        "max_output_tokens": model.max_output,
        "input_modalities": list(model.inputs),
        "output_modalities": list(model.outputs),
        "features": features,
        "endpoints": ["chat/completions"],
        "model_type": model.kind or "chat",
        "status": 1,
    }


def _huggingface(model: SampleModel) -> Record:
    pipeline = "image-text-to-text" if "image" in model.inputs else "text-generation"
    return {
        "_id": hashlib.blake2b(model.id.encode(), digest_size=12).hexdigest(),
        "id": model.id,
        "likes": 100 + len(model.id),
        "private": False,
        "downloads": 1_000 * len(model.id),
        "tags": ["transformers", "safetensors", model.kind or pipeline, *([] if model.kind else ["conversational"])],
        "pipeline_tag": model.kind or pipeline,
        "library_name": "transformers",
        "createdAt": stamp(model),
        "modelId": model.id,
    }


def _featherless(model: SampleModel) -> Record:
    return {
        "id": model.id,
        "name": model.name,
        "created": seconds(model),
        "owned_by": model.id.partition("/")[0],
        "model_class": model.kind or "llama3-8b-16k",
        "is_gated": False,
        "context_length": model.context or 0,
        "max_completion_tokens": model.max_output,
        "features": {"tool_use": model.tools},
        "status": "active",
        "available_on_current_plan": True,
    }


def _chutes(model: SampleModel) -> Record:
    """USD per 1M tokens as numbers."""
    features = ["json_mode"]
    features += ["tools"] if model.tools else []
    features += ["structured_outputs"] if model.structured else []
    features += ["reasoning"] if model.reasoning else []
    names = {"input": "prompt", "output": "completion", "cache_read": "input_cache_read"}
    return {
        "id": model.id,
        "root": model.id,
        "object": "model",
        "created": seconds(model),
        "owned_by": "sglang",
        "chute_id": hashlib.blake2b(model.id.encode(), digest_size=16).hexdigest(),
        "pricing": {names[name]: number(price) for name, price in model.prices.items() if name in names},
        "quantization": "fp8",
        "max_model_len": model.context,
        "context_length": model.context,
        "max_output_length": model.max_output,
        "input_modalities": [name for name in model.inputs if name in ("text", "image", "video")],
        "output_modalities": list(model.outputs),
        "supported_features": features,
        "supported_sampling_parameters": ["temperature", "top_p", "stop"],
        "confidential_compute": model.id.endswith("-TEE"),
    }


def _near(model: SampleModel) -> Record:
    """An amount and how many digits it is to be moved by."""
    record: Record = {
        "modelId": model.id,
        "metadata": {
            "verifiable": True,
            "contextLength": model.context,
            "modelDisplayName": model.name,
            "modelDescription": f"{model.name} in a trusted execution environment.",
            "modelIcon": None,
            "ownedBy": "nearai",
            "architecture": {"inputModalities": list(model.inputs), "outputModalities": list(model.outputs)},
        },
    }
    for name, key in (("input", "inputCostPerToken"), ("output", "outputCostPerToken")):
        if name in model.prices:
            nano = model.prices[name] * 1_000
            scale = 9 if nano == nano.to_integral_value() else 12
            record[key] = {"amount": int(nano * 10 ** (scale - 9)), "scale": scale, "currency": "USD"}
    return record


def _aimo(model: SampleModel) -> Record:
    """Served by one or two, each with a price; nobody has written down in which unit."""
    keys = [hashlib.blake2b(f"{model.id}{number}".encode(), digest_size=22).hexdigest() for number in (1, 2)]
    names = {"input": "prompt", "output": "completion"}
    pricing = {names[name]: plain(price.scaleb(-6)) for name, price in model.prices.items() if name in names}
    serving = [{"id": key, "name": f"node {key[:4]}", "pricing": pricing} for key in keys]
    return {
        "name": model.id,
        "display_name": model.name,
        "created": seconds(model),
        "context_length": model.context or 0,
        "architecture": {"input_modalities": list(model.inputs), "output_modalities": list(model.outputs)},
        "providers": serving if model.tools else serving[:1],
    }


_OPENAI_LIST = '{"object":"list","data":['

FORMATS = {
    "groq": WireFormat("/models", _groq, _OPENAI_LIST),
    "cerebras": WireFormat("/models", _cerebras, _OPENAI_LIST),
    "fireworks": WireFormat("/models", _fireworks),
    "nebius": WireFormat("/models", _nebius, _OPENAI_LIST),
    "novita": WireFormat("/models", _novita),
    "alibaba": WireFormat("/models", _alibaba, _OPENAI_LIST),
    "huggingface": WireFormat(
        "/api/models", _huggingface, "[", "]", needs_token=False, pages=Pages("limit", "cursor", 10, linked=True)
    ),
    "featherless": WireFormat("/models", _featherless, needs_token=False),
    "chutes": WireFormat("/models", _chutes, _OPENAI_LIST, needs_token=False),
    "near": WireFormat("/model/list", _near, '{"models":['),
    "aimo": WireFormat("/models", _aimo, needs_token=False),
}
