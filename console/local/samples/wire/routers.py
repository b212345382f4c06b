"""OpenRouter, Together and DeepInfra: three shapes and three price units."""

from __future__ import annotations

from typing import Any

from console.local.samples.source import SampleModel
from console.local.samples.wire.form import Record, WireFormat, number, plain, seconds


def _openrouter(model: SampleModel) -> Record:
    """USD per token as text; -1 for a router."""
    inputs = ["file" if name == "pdf" else name for name in model.inputs]
    parameters = ["max_tokens", "temperature", "top_p", "stop"]
    parameters += ["tools", "tool_choice"] if model.tools else []
    parameters += ["reasoning", "include_reasoning"] if model.reasoning else []
    parameters += ["response_format", "structured_outputs"] if model.structured else []
    names = {"input": "prompt", "output": "completion", "cache_read": "input_cache_read"}
    names["cache_write"] = "input_cache_write"
    pricing = {names[name]: plain(price.scaleb(-6)) for name, price in model.prices.items()}
    if model.dynamic:
        pricing = {"prompt": "-1", "completion": "-1"}
    else:
        pricing |= {"request": "0", "image": "0"}
    author = model.id.partition("/")[0]
    return {
        "id": model.id,
        "canonical_slug": model.id.partition(":")[0],
        "hugging_face_id": "",
        "name": f"{author.strip('~').replace('-', ' ').title()}: {model.name}",
        "created": seconds(model),
        "description": f"{model.name} takes {' and '.join(inputs)} and gives {' and '.join(model.outputs)}.",
        "context_length": model.context or 0,
        "architecture": {
            "modality": f"{'+'.join(inputs)}->{'+'.join(model.outputs)}",
            "input_modalities": inputs,
            "output_modalities": list(model.outputs),
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": pricing,
        "top_provider": {
            "context_length": model.context,
            "max_completion_tokens": model.max_output,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": parameters,
        "default_parameters": {},
        "expiration_date": None,
    }


def _together(model: SampleModel) -> Record:
    """USD per 1M tokens as numbers; 0 for what is not paid by the token."""
    pricing: dict[str, float | int] = {"hourly": 0, "input": 0, "output": 0, "base": 0, "finetune": 0}
    pricing |= {name: number(model.prices[name]) for name in ("input", "output") if name in model.prices}
    if "cache_read" in model.prices:
        pricing["cached_input"] = number(model.prices["cache_read"])
    return {
        "id": model.id,
        "object": "model",
        "created": seconds(model),
        "type": model.kind or "chat",
        "running": False,
        "display_name": model.name,
        "organization": model.id.partition("/")[0],
        "link": f"https://huggingface.co/{model.id}",
        "license": "other",
        "context_length": model.context or 0,
        "config": {"chat_template": None, "stop": [], "bos_token": None, "eos_token": None},
        "pricing": pricing,
    }


def _deepinfra(model: SampleModel) -> Record:
    """US cents per token as numbers; cached input as a fraction of the input price."""
    pricing: dict[str, Any] = dict(model.pricing or {})
    if not pricing:
        pricing = {"type": "tokens"}
        for name in ("input", "output"):
            pricing[f"cents_per_{name}_token"] = number(model.prices[name].scaleb(-4))
        for name, key in (("cache_read", "cached"), ("cache_write", "cache_write")):
            if name in model.prices:
                pricing[f"rate_per_input_token_{key}"] = number(model.prices[name] / model.prices["input"])
    kind = model.kind or "text-generation"
    tags = ["tools"] if model.tools else []
    tags += ["reasoning"] if model.reasoning else []
    return {
        "model_name": model.id,
        "type": kind,
        "reported_type": "multimodal" if "image" in model.inputs and not model.kind else kind,
        "tags": tags,
        "version": "1",
        "description": f"{model.name}, served by DeepInfra.",
        "featured": False,
        "public": True,
        "pricing": pricing,
        "max_tokens": model.context,
        "max_output_tokens": model.max_output,
        "replaced_by": f"{model.id}-next" if model.deprecated else None,
        "deprecated": 1_751_328_000 if model.deprecated else None,
        "quantization": "fp8" if "Turbo" in model.id else None,
        "mmlu": None,
        "expected": None,
        "is_partner": False,
    }


FORMATS = {
    "openrouter": WireFormat("/models", _openrouter, needs_token=False),
    "together": WireFormat("/models", _together, "[", "]"),
    "deepinfra": WireFormat("/models/list", _deepinfra, "[", "]", needs_token=False),
}
