"""What each provider's record becomes; the expectations are worked out by hand from the provider's documents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from console.catalog.types import CAPABILITIES, Capabilities, Per, PriceKind, PriceState
from console.sync.normalise import normalise
from console.sync.providers import all_specs, spec
from console.sync.providers.base import LinkPages, Page, RecordRefused, Tier

from .provider_records import RECORDS, as_parsed, listing, usd

IN, OUT, READ, WRITE = PriceKind.INPUT, PriceKind.OUTPUT, PriceKind.CACHE_READ, PriceKind.CACHE_WRITE

# id, name, author, kind, context, output limit, modality
FACTS: dict[str, tuple[object, ...]] = {
    "openai": ("gpt-4o-mini", "gpt-4o-mini", "openai", None, None, None, "?->?"),
    "anthropic": ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "anthropic", None, 200_000, 64_000, "?->?"),
    "google-vertex": ("gemini-2.5-pro", "gemini-2.5-pro", "google", None, None, None, "?->?"),
    "mistral": ("mistral-small-2506", "mistral-small-2506", "mistralai", "chat", 131_072, None, "?->?"),
    "deepseek": ("deepseek-chat", "deepseek-chat", "deepseek", None, None, None, "?->?"),
    "xai": ("grok-4", "grok-4", "x-ai", "chat", 256_000, None, "image+text->text"),
    "cohere": ("command-a-03-2025", "command-a-03-2025", "cohere", "chat", 288_000, None, "?->?"),
    "groq": ("openai/gpt-oss-120b", "openai/gpt-oss-120b", "OpenAI", None, 131_072, 65_536, "?->?"),
    "cerebras": ("gpt-oss-120b", "gpt-oss-120b", None, None, None, None, "?->?"),
    "fireworks": (
        "accounts/fireworks/models/qwen2p5-vl-32b-instruct",
        "qwen2p5-vl-32b-instruct",
        None,
        "chat",
        128_000,
        None,
        "?->text",
    ),
    "nebius": (
        "Qwen/Qwen2.5-VL-72B-Instruct",
        "Qwen2.5-VL-72B-Instruct",
        "Qwen",
        "chat",
        32_000,
        None,
        "image+text->text",
    ),
    "novita": ("deepseek/deepseek-r1", "DeepSeek R1", "deepseek", "chat", 64_000, 8_192, "text->text"),
    "alibaba": ("qwen-max", "qwen-max", None, None, None, None, "?->?"),
    "huggingface": ("Qwen/Qwen2.5-7B-Instruct",) * 2 + ("Qwen", "chat", None, None, "text->text"),
    "featherless": ("NousResearch/Hermes-3-Llama-3.1-8B",) * 2 + ("NousResearch", None, 16_384, 4_096, "?->?"),
    "chutes": ("deepseek-ai/DeepSeek-V3-0324",) * 2 + ("deepseek-ai", "chat", 163_840, 65_536, "text->text"),
    "near": ("zai-org/GLM-5.1-FP8", "GLM 5.1", "zai-org", "chat", 202_752, None, "text->text"),
    "aimo": (
        "4VfPuyCDC3mkCJDFyHVYBUeScQ7pGQCT:deepseek-v3",
        "DeepSeek V3",
        None,
        "chat",
        65_536,
        None,
        "text->text",
    ),
    "vercel-ai-gateway": (
        "anthropic/claude-3-haiku",
        "Claude 3 Haiku",
        "anthropic",
        "chat",
        200_000,
        4_096,
        "?->text",
    ),
    "helicone": ("gpt-4o-mini", "OpenAI GPT-4o-mini", "openai", "chat", 128_000, 16_384, "image+text->text"),
    "aihubmix": ("claude-sonnet-4-5", "Claude Sonnet 4.5", None, "chat", 200_000, 64_000, "image+text->text"),
    "anannas": ("openai/gpt-5-mini", "GPT-5 Mini", "openai", None, 400_000, None, "?->?"),
    "fal": ("fal-ai/flux/dev", "FLUX.1 [dev]", "fal-ai", "image", None, None, "text->image"),
}

# USD per token; what is not here has no amount.
PRICES: dict[str, dict[PriceKind, str]] = {
    "xai": {IN: "0.000003", OUT: "0.000015", READ: "0.00000075"},  # 30000 cents per 100M tokens are $3 per 1M
    "nebius": {IN: "0.00000025", OUT: "0.00000075"},
    "novita": {IN: "0.000004", OUT: "0.000004"},  # 40000 × 0.0001 USD are $4 per 1M
    "chutes": {IN: "0.00000024", OUT: "0.00000084", READ: "0.00000012"},
    "near": {IN: "0.00000085", OUT: "0.0000033"},
    "vercel-ai-gateway": {IN: "0.00000025", OUT: "0.00000125", READ: "0.00000003", WRITE: "0.0000003"},
    "helicone": {IN: "0.00000015", OUT: "0.0000006", READ: "0.000000075"},
    "aihubmix": {IN: "0.000003", OUT: "0.000015", READ: "0.0000003", WRITE: "0.00000375"},
    "anannas": {IN: "0.00000025", OUT: "0.000002"},
}

STATED: dict[str, Capabilities] = {
    "anthropic": Capabilities(vision=True, json_mode=False, reasoning=True),
    "mistral": Capabilities(tools=True, vision=True),
    "xai": Capabilities(vision=True),
    "cohere": Capabilities(tools=True, vision=False, json_mode=True, reasoning=False),
    "fireworks": Capabilities(tools=False, vision=True),
    "nebius": Capabilities(tools=True, vision=True, json_mode=True),
    "novita": Capabilities(tools=True, vision=False, reasoning=True),
    "huggingface": Capabilities(vision=False),
    "chutes": Capabilities(tools=True, vision=False, json_mode=True, reasoning=False),
    "near": Capabilities(vision=False),
    "aimo": Capabilities(vision=False),
    "vercel-ai-gateway": Capabilities(tools=True, vision=True),
    "helicone": Capabilities(tools=True, vision=True, json_mode=True, reasoning=False),
    "aihubmix": Capabilities(tools=True, vision=True, reasoning=True),
    "anannas": Capabilities(tools=True, json_mode=True),
    "fal": Capabilities(vision=False),
}
NEW = sorted(FACTS)


def test_every_provider_has_a_record_and_an_expectation() -> None:
    assert set(RECORDS) == set(all_specs())
    assert set(FACTS) | {"openrouter", "together", "deepinfra"} == set(RECORDS)


@pytest.mark.parametrize("slug", NEW)
def test_the_facts_of_a_record(slug: str) -> None:
    found = listing(slug)
    told = (found.native_id, found.name, found.author, found.kind, found.context_tokens, found.max_output_tokens)
    assert (*told, found.modality) == FACTS[slug]


@pytest.mark.parametrize("slug", NEW)
def test_the_prices_of_a_record(slug: str) -> None:
    found = listing(slug)
    amounts = {price.kind: usd(found, price.kind) for price in found.prices if price.usd is not None}
    assert amounts == PRICES.get(slug, {})
    for price in found.prices:
        assert (price.state is PriceState.KNOWN) == (price.kind in amounts)
        if price.kind in amounts:
            assert price.per is Per.TOKEN


@pytest.mark.parametrize("slug", NEW)
def test_the_capabilities_of_a_record_are_those_that_it_states(slug: str) -> None:
    found = listing(slug).capabilities
    assert {name: getattr(found, name) for name in CAPABILITIES} == {
        name: getattr(STATED.get(slug, Capabilities()), name) for name in CAPABILITIES
    }


def test_the_tiers_are_those_of_the_seed() -> None:
    tiers = {slug: found.tier for slug, found in all_specs().items()}
    assert {slug for slug, tier in tiers.items() if tier is Tier.HIGH} == {
        "openrouter",
        "groq",
        "together",
        "fireworks",
    }
    assert {slug for slug, tier in tiers.items() if tier is Tier.MEDIUM} == {
        "google-vertex",
        "cerebras",
        "nebius",
        "xai",
    }


def test_the_aliases_of_the_seeds_are_known() -> None:
    for alias, slug in (("google", "google-vertex"), ("hug", "huggingface"), ("vercel", "vercel-ai-gateway")):
        assert spec(alias).slug == slug


def refused(slug: str, **changes: Any) -> str:
    with pytest.raises(RecordRefused) as caught:
        normalise(spec(slug), as_parsed(RECORDS[slug] | changes))
    return str(caught.value)


def flaws(slug: str, **changes: Any) -> list[str]:
    return normalise(spec(slug), as_parsed(RECORDS[slug] | changes))[1]


def test_a_price_of_xais_picture_is_in_cents() -> None:
    found = listing("xai", image_price=7, prompt_text_token_price=0, output_modalities=["image"])
    assert (usd(found, PriceKind.IMAGE), found.kind) == ("0.07", "image")
    assert found.price(IN).state is PriceState.UNKNOWN  # type: ignore[union-attr]


def test_models_that_are_not_offered_are_refused_with_a_reason() -> None:
    assert refused("groq", active=False) == "Groq says that it is not active"
    assert refused("huggingface", private=True) == "it is private"
    for serving in ([], None, "x", [None], [3]):
        assert refused("aimo", providers=serving) == "nobody serves it"
    for key in (None, "", "a b", "x\x1b", "k" * 101):
        assert refused("aimo", providers=[{"id": key}]) == "who serves it has no usable public key"
    assert refused("google-vertex", name="publishers/google/models/") == "its name ends with a slash"


def test_an_id_that_is_put_together_is_no_longer_than_others() -> None:
    assert "characters long" in refused("aimo", name="n" * 290)


def test_mistrals_deprecation_has_a_date_and_a_successor() -> None:
    found = listing("mistral")
    assert (found.deprecated, found.replaced_by) == (True, "mistral-small-2603")
    assert found.retires_at == datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert listing("mistral", deprecation=None).deprecated is None
    assert listing("mistral", capabilities={"completion_chat": False}).kind is None


def test_what_coheres_endpoints_say() -> None:
    assert listing("cohere", endpoints=["embed"]).kind == "embedding"
    assert listing("cohere", endpoints=["rerank"], is_deprecated=True).deprecated is True
    assert listing("cohere", endpoints=None, features=None).capabilities == Capabilities()


@pytest.mark.parametrize("scale", [9, -9])
def test_nears_scale_means_the_same_with_either_sign(scale: int) -> None:
    found = listing("near", inputCostPerToken={"amount": 850, "scale": scale, "currency": "USD"})
    assert usd(found, IN) == "0.00000085"


@pytest.mark.parametrize(
    ("cost", "flaw"),
    [
        ({"amount": 1, "scale": 99}, "its scale is not a small whole number"),
        ({"amount": 1, "scale": "9"}, "its scale is not a small whole number"),
        ({"amount": 1, "scale": True}, "its scale is not a small whole number"),
        ({"amount": 1, "scale": 9, "currency": "NEAR"}, "it is not in USD"),
        ({"amount": {}, "scale": 9}, "a dict is not a price"),
        ({"amount": 850, "scale": 0}, "not a credible price"),
        ("0.1", "it is no amount with a scale"),
    ],
)
def test_a_cost_of_nears_that_cannot_be_read_is_unknown(cost: object, flaw: str) -> None:
    found, told = normalise(spec("near"), as_parsed(RECORDS["near"] | {"inputCostPerToken": cost}))
    price = found.price(IN)
    assert price is not None
    assert price.state is PriceState.UNKNOWN
    assert len(told) == 1
    assert flaw in told[0]


def test_nears_zero_is_not_free() -> None:
    found = listing("near", outputCostPerToken={"amount": 0, "scale": 9, "currency": "USD"})
    assert found.price(OUT).state is PriceState.UNKNOWN  # type: ignore[union-attr]


def test_endpoints_of_helicones_that_do_not_agree_make_the_price_depend() -> None:
    endpoints = [{"pricing": {"prompt": 0.15, "completion": 0.6}}, {"pricing": {"prompt": 0.2, "completion": 0.6}}]
    found = listing("helicone", endpoints=endpoints)
    price = found.price(IN)
    assert price is not None
    assert (price.state, price.usd, price.raw) == (PriceState.DYNAMIC, None, "0.15 or 0.2")
    assert usd(found, OUT) == "0.0000006"
    assert listing("helicone", endpoints=[]).prices == ()
    assert listing("helicone", endpoints=None).prices == ()
    assert flaws("helicone", endpoints=[{"pricing": {"prompt": "call"}}]) == [
        "endpoints.pricing.prompt: it is not a number"
    ]


def test_aimos_prices_are_kept_as_sent_and_count_as_unknown() -> None:
    found = listing("aimo")
    price = found.price(IN)
    assert price is not None
    assert (price.state, price.usd, price.raw, price.raw_unit) == (PriceState.UNKNOWN, None, "0.3", "not documented")
    assert (found.canonical_key, found.family) == ("deepseek-v3", "deepseek")


def test_aihubmixs_free_mark_and_units() -> None:
    zero = {"input": 0, "output": 0}
    assert listing("aihubmix", model_id="coding-glm-5.1-free", pricing=zero).price_state is PriceState.FREE
    assert listing("aihubmix", pricing=zero).price_state is PriceState.UNKNOWN
    picture = listing("aihubmix", types="image_generation", pricing={"input": 2, "output": 2})
    assert (picture.kind, picture.price_state) == ("image", PriceState.UNKNOWN)
    assert picture.price(IN).raw == "2"  # type: ignore[union-attr]
    assert usd(listing("aihubmix", types="embedding", pricing={"input": 0.02}), IN) == "0.00000002"


def test_vercels_types_and_pictures() -> None:
    picture = listing("vercel-ai-gateway", type="image", pricing={"image": "0.04"})
    assert (picture.kind, picture.modality, usd(picture, PriceKind.IMAGE)) == ("image", "?->image", "0.04")


def test_fals_words_that_are_unknown_are_kept_and_not_guessed() -> None:
    found = listing("fal", metadata={"category": "training", "status": "deprecated"})
    assert (found.kind, found.modality, found.facts, found.deprecated) == (None, "?->?", {"kind": "training"}, True)


def test_huggingfaces_kinds() -> None:
    assert listing("huggingface", tags=["transformers"]).kind == "completion"
    assert listing("huggingface", pipeline_tag="feature-extraction").modality == "?->embedding"
    assert listing("huggingface", pipeline_tag="zero-shot-classification").facts["kind"] == "zero-shot-classification"


def test_both_sides_of_a_modality_in_one_word() -> None:
    def of(word: object) -> str:
        return listing("nebius", architecture={"modality": word}).modality

    assert of("text->embedding") == "text->embedding"
    assert of("text+image->") == "image+text->?"
    for word in ("text", None, 3, ["text->text"], "->"):
        assert of(word) == "?->?"


def test_a_link_tells_only_the_parameters_of_the_next_page() -> None:
    pages = LinkPages()
    assert pages.first() == {"limit": "1000"}
    link = "https://elsewhere.example/other?limit=1000&cursor=eyJ%3D&sort=createdAt"
    assert pages.after(Page(1, 5, {}, link)) == {"limit": "1000", "cursor": "eyJ=", "sort": "createdAt"}
    for nothing in ("", "https://[::1", "https://huggingface.co/api/models"):
        assert pages.after(Page(1, 5, {}, nothing)) is None
