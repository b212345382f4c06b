"""One record of each provider as its documents have it, written apart from the samples and from the declarations."""

from __future__ import annotations

import json
from typing import Any

from console.catalog.types import Listing, PriceKind
from console.sync.normalise import normalise
from console.sync.providers import spec
from console.sync.records import RecordReader

OPENROUTER = {
    "id": "openai/gpt-4o-mini",
    "canonical_slug": "openai/gpt-4o-mini",
    "hugging_face_id": None,
    "name": "OpenAI: GPT-4o-mini",
    "created": 1721260800,
    "description": "GPT-4o mini is small.",
    "context_length": 128000,
    "architecture": {
        "modality": "text+image->text",
        "input_modalities": ["text", "image", "file"],
        "output_modalities": ["text"],
        "tokenizer": "GPT",
        "instruct_type": None,
    },
    "pricing": {
        "prompt": "0.00000015",
        "completion": "0.0000006",
        "request": "0",
        "image": "0.000217",
        "web_search": "0",
        "internal_reasoning": "0",
        "input_cache_read": "0.000000075",
    },
    "top_provider": {"context_length": 128000, "max_completion_tokens": 16384, "is_moderated": True},
    "per_request_limits": None,
    "supported_parameters": ["max_tokens", "tools", "tool_choice", "response_format", "structured_outputs"],
    "expiration_date": None,
}
TOGETHER = {
    "id": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "object": "model",
    "created": 1733466629,
    "type": "chat",
    "running": False,
    "display_name": "Meta Llama 3.3 70B Instruct Turbo",
    "organization": "Meta",
    "link": "https://huggingface.co/meta-llama/Llama-3.3-70B-Instruct",
    "license": "llama-3.3",
    "context_length": 131072,
    "config": {"chat_template": "{{ bos_token }}", "stop": ["<|eot_id|>"], "bos_token": "<s>", "eos_token": "</s>"},
    "pricing": {"hourly": 0, "input": 0.88, "output": 0.88, "base": 0, "finetune": 0},
}
DEEPINFRA = {
    "model_name": "zai-org/GLM-4.6",
    "type": "text-generation",
    "reported_type": "text-generation",
    "tags": ["openai", "tools"],
    "version": "1",
    "description": "GLM-4.6",
    "pricing": {
        "type": "tokens",
        "cents_per_input_token": 4.3e-05,
        "cents_per_output_token": 0.000174,
        "rate_per_input_token_cached": 0.2,
    },
    "max_tokens": 202752,
    "max_output_tokens": None,
    "replaced_by": None,
    "deprecated": None,
    "quantization": "fp4",
}
RECORDS: dict[str, dict[str, Any]] = {
    "openrouter": OPENROUTER,
    "together": TOGETHER,
    "deepinfra": DEEPINFRA,
    "openai": {"id": "gpt-4o-mini", "object": "model", "created": 1721172741, "owned_by": "system"},
    "anthropic": {
        "type": "model",
        "id": "claude-sonnet-4-5-20250929",
        "display_name": "Claude Sonnet 4.5",
        "created_at": "2025-09-29T00:00:00Z",
        "max_input_tokens": 200000,
        "max_tokens": 64000,
        "capabilities": {
            "image_input": {"supported": True},
            "structured_outputs": {"supported": False},
            "thinking": {"supported": True},
        },
    },
    "google-vertex": {
        "name": "publishers/google/models/gemini-2.5-pro",
        "versionId": "default",
        "openSourceCategory": "PROPRIETARY",
        "launchStage": "GA",
    },
    "mistral": {
        "id": "mistral-small-2506",
        "object": "model",
        "created": 1750000000,
        "owned_by": "mistralai",
        "capabilities": {
            "completion_chat": True,
            "completion_fim": False,
            "function_calling": True,
            "fine_tuning": False,
            "vision": True,
        },
        "name": "mistral-small-2506",
        "description": "Small and quick.",
        "max_context_length": 131072,
        "aliases": ["mistral-small-latest"],
        "deprecation": "2026-11-30T12:00:00Z",
        "deprecation_replacement_model": "mistral-small-2603",
        "type": "base",
    },
    "deepseek": {"id": "deepseek-chat", "object": "model", "owned_by": "deepseek"},
    "xai": {
        "id": "grok-4",
        "object": "model",
        "created": 1752019200,
        "owned_by": "xai",
        "aliases": ["grok-4-latest"],
        "context_length": 256000,
        "prompt_text_token_price": 30000,
        "cached_prompt_text_token_price": 7500,
        "completion_text_token_price": 150000,
        "prompt_image_token_price": 0,
        "image_price": None,
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
    },
    "cohere": {
        "name": "command-a-03-2025",
        "is_deprecated": False,
        "endpoints": ["chat"],
        "finetuned": False,
        "context_length": 288000,
        "features": ["json_mode", "json_schema", "strict_tools", "tools"],
    },
    "groq": {
        "id": "openai/gpt-oss-120b",
        "object": "model",
        "created": 1754408224,
        "owned_by": "OpenAI",
        "active": True,
        "context_window": 131072,
        "max_completion_tokens": 65536,
    },
    "cerebras": {"id": "gpt-oss-120b", "object": "model", "created": 1754400000, "owned_by": "Cerebras"},
    "fireworks": {
        "id": "accounts/fireworks/models/qwen2p5-vl-32b-instruct",
        "object": "model",
        "owned_by": "fireworks",
        "created": 1743392739,
        "kind": "HF_BASE_MODEL",
        "supports_chat": True,
        "supports_image_input": True,
        "supports_tools": False,
        "context_length": 128000,
    },
    "nebius": {
        "id": "Qwen/Qwen2.5-VL-72B-Instruct",
        "name": "Qwen2.5-VL-72B-Instruct",
        "created": 1738368000,
        "description": "Sees and reads.",
        "context_length": 32000,
        "architecture": {"modality": "text+image->text", "tokenizer": "Qwen"},
        "quantization": "fp8",
        "supported_features": ["function_calling", "json_mode"],
        "pricing": {"completion": "0.00000075", "image": "0", "prompt": "0.00000025", "request": "0"},
    },
    "novita": {
        "created": 1755129600,
        "id": "deepseek/deepseek-r1",
        "object": "model",
        "input_token_price_per_m": 40000,
        "output_token_price_per_m": 40000,
        "title": "deepseek/deepseek-r1",
        "display_name": "DeepSeek R1",
        "description": "Reasons.",
        "context_size": 64000,
        "max_output_tokens": 8192,
        "features": ["function-calling", "reasoning"],
        "input_modalities": ["text"],
        "output_modalities": ["text"],
        "model_type": "chat",
        "status": 1,
    },
    "alibaba": {"id": "qwen-max", "object": "model", "created": 1705536000, "owned_by": "system"},
    "huggingface": {
        "_id": "66e6d04ee3c2e60c7b1cf3ca",
        "id": "Qwen/Qwen2.5-7B-Instruct",
        "likes": 800,
        "private": False,
        "downloads": 9000000,
        "tags": ["transformers", "conversational", "license:apache-2.0"],
        "pipeline_tag": "text-generation",
        "library_name": "transformers",
        "createdAt": "2024-09-16T11:55:40.000Z",
        "modelId": "Qwen/Qwen2.5-7B-Instruct",
    },
    "featherless": {
        "id": "NousResearch/Hermes-3-Llama-3.1-8B",
        "name": "NousResearch/Hermes-3-Llama-3.1-8B",
        "created": 1724803200,
        "owned_by": "NousResearch",
        "model_class": "llama31-8b-16k",
        "is_gated": False,
        "context_length": 16384,
        "max_completion_tokens": 4096,
        "available_on_current_plan": True,
    },
    "chutes": {
        "id": "deepseek-ai/DeepSeek-V3-0324",
        "root": "deepseek-ai/DeepSeek-V3-0324",
        "object": "model",
        "created": 1755000000,
        "owned_by": "sglang",
        "pricing": {"prompt": 0.24, "completion": 0.84, "input_cache_read": 0.12},
        "quantization": "fp8",
        "max_model_len": 163840,
        "context_length": 163840,
        "max_output_length": 65536,
        "input_modalities": ["text"],
        "output_modalities": ["text"],
        "supported_features": ["json_mode", "tools", "structured_outputs"],
        "confidential_compute": False,
    },
    "near": {
        "modelId": "zai-org/GLM-5.1-FP8",
        "inputCostPerToken": {"amount": 850, "scale": 9, "currency": "USD"},
        "outputCostPerToken": {"amount": 3300, "scale": 9, "currency": "USD"},
        "metadata": {
            "contextLength": 202752,
            "modelDisplayName": "GLM 5.1",
            "modelDescription": "In an enclave.",
            "ownedBy": "nearai",
            "architecture": {"inputModalities": ["text"], "outputModalities": ["text"]},
        },
    },
    "aimo": {
        "name": "deepseek-v3",
        "display_name": "DeepSeek V3",
        "created": 1735000000,
        "context_length": 65536,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "providers": [
            {
                "id": "4VfPuyCDC3mkCJDFyHVYBUeScQ7pGQCT",
                "name": "node",
                "pricing": {"prompt": "0.3", "completion": "1.1"},
            }
        ],
    },
    "vercel-ai-gateway": {
        "id": "anthropic/claude-3-haiku",
        "object": "model",
        "created": 1755815280,
        "released": 1710288000,
        "owned_by": "anthropic",
        "name": "Claude 3 Haiku",
        "description": "Quick.",
        "context_window": 200000,
        "max_tokens": 4096,
        "type": "language",
        "tags": ["tool-use", "vision"],
        "pricing": {
            "input": "0.00000025",
            "output": "0.00000125",
            "input_cache_read": "0.00000003",
            "input_cache_write": "0.0000003",
        },
    },
    "helicone": {
        "id": "gpt-4o-mini",
        "name": "OpenAI GPT-4o-mini",
        "author": "openai",
        "contextLength": 128000,
        "endpoints": [
            {
                "provider": "OpenAI",
                "providerSlug": "openai",
                "supportsPtb": True,
                "pricing": {"prompt": 0.15, "completion": 0.6, "cacheRead": 0.075},
            },
            {
                "provider": "Azure",
                "providerSlug": "azure",
                "supportsPtb": True,
                "pricing": {"prompt": 0.15, "completion": 0.6, "cacheRead": 0.075},
            },
        ],
        "maxOutput": 16384,
        "description": "Small.",
        "inputModalities": ["text", "image"],
        "outputModalities": ["text"],
        "supportedParameters": ["max_tokens", "tools", "response_format"],
    },
    "aihubmix": {
        "model_id": "claude-sonnet-4-5",
        "model_name": "Claude Sonnet 4.5",
        "desc": "Through AIHubMix.",
        "pricing": {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
        "types": "llm",
        "features": "thinking,tools,function_calling",
        "input_modalities": "text,image",
        "max_output": 64000,
        "context_length": 200000,
    },
    "anannas": {
        "id": "openai/gpt-5-mini",
        "name": "GPT-5 Mini",
        "provider": "openai",
        "description": "Small.",
        "context_length": 400000,
        "pricing": {"prompt": "0.00000025", "completion": "0.000002", "request": "0"},
        "capabilities": ["text", "tool_calling", "json_mode"],
    },
    "fal": {
        "endpoint_id": "fal-ai/flux/dev",
        "metadata": {
            "display_name": "FLUX.1 [dev]",
            "category": "text-to-image",
            "description": "Fast text-to-image generation",
            "status": "active",
            "tags": ["fast", "pro"],
            "updated_at": "2025-01-15T12:00:00Z",
            "date": "2024-08-01T00:00:00Z",
        },
    },
}


def as_parsed(record: object) -> Any:
    """The record as it comes out of the reader, numbers as their text."""
    reader = RecordReader(())
    data = json.dumps([record]).encode()
    return [*reader.feed(data), *reader.finish()][0]


def listing(slug: str, **changes: Any) -> Listing:
    """The listing in the provider's record, with these top-level fields instead; nothing of it is unreadable."""
    found, flaws = normalise(spec(slug), as_parsed(RECORDS[slug] | changes))
    assert flaws == []
    return found


def usd(found: Listing, kind: PriceKind) -> str | None:
    """The exact amount, None where there is none."""
    price = found.price(kind)
    return None if price is None or price.usd is None else format(price.usd, "f")
