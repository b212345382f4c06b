"""Sample models in the providers' own wire formats (reference/originals.md §2.1, and their API documents).

Written apart from console/sync: were a unit or a field misread there, the samples would not be wrong in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from console.local.samples.source import SampleModel

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """How a provider answers. ``before`` and ``after`` stand around the records, ``path`` is that of the list."""

    path: str
    record: Callable[[SampleModel], Record]
    before: str
    after: str
    needs_token: bool


def _openrouter(model: SampleModel) -> Record:
    """USD per token as text; -1 for a router."""
    inputs = ["file" if name == "pdf" else name for name in model.inputs]
    parameters = ["max_tokens", "temperature", "top_p", "stop"]
    parameters += ["tools", "tool_choice"] if model.tools else []
    parameters += ["reasoning", "include_reasoning"] if model.reasoning else []
    parameters += ["response_format", "structured_outputs"] if model.structured else []
    names = {"input": "prompt", "output": "completion", "cache_read": "input_cache_read"}
    names["cache_write"] = "input_cache_write"
    pricing = {names[name]: _plain(price.scaleb(-6)) for name, price in model.prices.items()}
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
        "created": int(model.released.timestamp()) if model.released else 0,
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
    pricing |= {name: _number(model.prices[name]) for name in ("input", "output") if name in model.prices}
    if "cache_read" in model.prices:
        pricing["cached_input"] = _number(model.prices["cache_read"])
    return {
        "id": model.id,
        "object": "model",
        "created": int(model.released.timestamp()) if model.released else 0,
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
            pricing[f"cents_per_{name}_token"] = _number(model.prices[name].scaleb(-4))
        for name, key in (("cache_read", "cached"), ("cache_write", "cache_write")):
            if name in model.prices:
                pricing[f"rate_per_input_token_{key}"] = _number(model.prices[name] / model.prices["input"])
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
    "openrouter": WireFormat("/models", _openrouter, '{"data":[', "]}", needs_token=False),
    "together": WireFormat("/models", _together, "[", "]", needs_token=True),
    "deepinfra": WireFormat("/models/list", _deepinfra, "[", "]", needs_token=False),
}


def endless(slug: str, model: SampleModel) -> Iterator[Record]:
    """A list without an end."""
    number = 0
    while True:
        number += 1
        record = FORMATS[slug].record(model)
        record["id" if "id" in record else "model_name"] += f"-{number}"
        yield record


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _number(amount: Decimal) -> float | int:
    """As JavaScript would write it: 0.88, 2, 2.7e-05."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)
