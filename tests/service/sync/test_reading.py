"""Finding models, on both databases alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from console.catalog import read
from console.catalog.overrides import set_override
from console.catalog.query import BadTerm
from console.catalog.read import Sort
from console.catalog.render import model_json, model_row
from console.catalog.types import Model, Override, PriceKind
from console.outcome import Refusal
from console.store.engine import Store

from .conftest import BOTH, BOTH_FILLED, Deck

NOW = datetime(2026, 11, 2, tzinfo=UTC)
LLAMA = "meta-llama/Llama-3.3-70B-Instruct-Turbo"


async def everything(store: Store) -> tuple[Model, ...]:
    return (await read.search(store, "any", limit=1000)).models


def usd(model: Model, kind: PriceKind = PriceKind.INPUT) -> Decimal | None:
    price = model.price(kind)
    return price.usd if price is not None and price.per == "token" else None


@BOTH_FILLED
async def test_a_query_finds_what_the_same_conditions_find_in_python(deck: Deck) -> None:
    models = await everything(deck.store)
    assert len(models) == 424
    million = Decimal(1_000_000)
    expected = {
        "provider:deepinfra llama ctx>=100k": lambda m: (
            m.provider == "deepinfra"
            and "llama" in (m.native_id + m.name).lower()
            and (m.context_tokens or 0) >= 100_000
        ),
        "in<0.5 out<1 vision tools": lambda m: (
            usd(m) is not None
            and usd(m) * million < Decimal("0.5")
            and usd(m, PriceKind.OUTPUT) is not None
            and usd(m, PriceKind.OUTPUT) * million < 1
            and m.capabilities.vision is True
            and m.capabilities.tools is True
        ),
        "free": lambda m: m.price_state == "free",
        "in=0": lambda m: usd(m) == 0,
        "-in<100": lambda m: usd(m) is None or usd(m) * million >= 100,
        "vision:unknown": lambda m: m.capabilities.vision is None,
        "-vision": lambda m: m.capabilities.vision is not True,
        "price:dynamic,unknown": lambda m: m.price_state in ("dynamic", "unknown"),
        "kind:embedding,image": lambda m: m.kind in ("embedding", "image"),
        "input:audio -output:audio": lambda m: (
            "audio" in (m.input_modalities or ()) and "audio" not in (m.output_modalities or ())
        ),
        "author:META-LLAMA": lambda m: (m.author or "").lower() == "meta-llama",
        "key:gpt-oss-120b": lambda m: m.canonical_key == "gpt-oss-120b",
        "deprecated": lambda m: m.deprecated is True,
        '"70B-INSTRUCT" -turbo': lambda m: (
            "70b-instruct" in (m.native_id + m.name).lower() and "turbo" not in (m.native_id + m.name).lower()
        ),
        "image<0.001": lambda m: (
            (p := m.price(PriceKind.IMAGE)) is not None and p.usd is not None and p.usd < Decimal("0.001")
        ),
        "maxout>=128k family:gpt": lambda m: (m.max_output_tokens or 0) >= 128_000 and m.family == "gpt",
        "100%_": lambda m: False,
    }
    for query, condition in expected.items():
        page = await read.search(deck.store, query, limit=1000)
        wanted = {model.reference for model in models if condition(model)}
        assert {model.reference for model in page.models} == wanted, query
        assert page.total == len(wanted)
        assert wanted or query == "100%_", query


@BOTH_FILLED
async def test_words_are_found_in_names_and_descriptions_alike(deck: Deck) -> None:
    models = await everything(deck.store)

    async def found(query: str) -> set[str]:
        return {model.reference for model in (await read.search(deck.store, query, limit=1000)).models}

    served = {model.reference for model in models if model.provider == "deepinfra"}
    assert await found('about:"served by deep"') == served  # in every description, the last word only begun
    assert await found('about:"deepinfra served"') == set()  # the order counts
    assert await found("provider:deepinfra -about:deepinfra") == set()
    by_name = {model.reference for model in models if "gpt-4o" in model.native_id}
    assert by_name <= await found("about:GPT-4o")
    for word in ("about:3.5", "about:claude-3.5", "about:gives", "about:L'ama", 'about:"a OR b"', "about:NEAR"):
        await found(word)  # nothing of it is taken for syntax
    with pytest.raises(BadTerm, match="needs letters or digits"):
        await found("about:***")
    await deck.run("deepinfra")
    deck.samples.change("deepinfra", "zai-org/GLM-4.6", description="A zebra.")
    await deck.run("deepinfra")
    assert await found("about:zebra") == {"deepinfra/zai-org/GLM-4.6"}
    assert "deepinfra/zai-org/GLM-4.6" not in await found('about:"served by deep"')


@BOTH_FILLED
async def test_pages_are_in_order_and_complete_with_what_is_unknown_last(deck: Deck) -> None:
    for sort in Sort:
        for descending in (False, True):
            await in_order(deck, sort, descending=descending)


async def in_order(deck: Deck, sort: Sort, *, descending: bool) -> None:
    pages = [
        await read.search(deck.store, sort=sort, descending=descending, limit=60, offset=offset)
        for offset in range(0, 480, 60)
    ]
    models = [model for page in pages for model in page.models]
    assert len({model.reference for model in models}) == len(models) == pages[0].total == 424
    key = {
        Sort.NAME: lambda m: m.name.casefold().encode(),
        Sort.PROVIDER: lambda m: m.provider,
        Sort.CONTEXT: lambda m: m.context_tokens,
        Sort.INPUT: usd,
        Sort.OUTPUT: lambda m: usd(m, PriceKind.OUTPUT),
        Sort.CHANGED: lambda m: m.changed_at,
    }[sort]
    values = [key(model) for model in models]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=descending)


@BOTH_FILLED
async def test_a_model_is_found_by_whatever_names_it(deck: Deck) -> None:
    model = await read.find_model(deck.store, f"together/{LLAMA}")
    assert (model.provider, model.native_id) == ("together", LLAMA)
    assert await read.find_model(deck.store, str(model.id)) == model
    assert (await read.find_model(deck.store, "openrouter/auto")).reference == "openrouter/openrouter/auto"
    with pytest.raises(Refusal) as caught:
        await read.find_model(deck.store, LLAMA)
    assert (caught.value.code, caught.value.status) == ("MODEL_AMBIGUOUS", 409)
    assert caught.value.then == f"name one of them, as in deepinfra/{LLAMA}"
    with pytest.raises(Refusal) as caught:
        await read.find_model(deck.store, "together/Llama-3.3")
    assert (caught.value.code, caught.value.status) == ("MODEL_NOT_FOUND", 404)
    assert any(LLAMA in item.name for item in caught.value.items)
    assert await read.get_model(deck.store, "together", LLAMA.lower()) is None


@BOTH_FILLED
async def test_the_same_model_is_compared_across_providers_the_cheapest_first(deck: Deck) -> None:
    found = await read.compare(deck.store, "openai/gpt-oss-120b")
    assert [model.reference for model in found] == [
        "openrouter/openai/gpt-oss-120b:free",
        "openrouter/openai/gpt-oss-120b",
        "deepinfra/openai/gpt-oss-120b",
        "together/openai/gpt-oss-120b",
    ]
    assert found == await read.compare(deck.store, "GPT-OSS-120B")
    prices = [usd(model) for model in found]
    assert prices == sorted(prices)
    with pytest.raises(Refusal):
        await read.compare(deck.store, "no-such-model")


@BOTH
async def test_the_statistics_count_every_model_once(deck: Deck) -> None:
    empty = await read.stats(deck.store)
    assert (empty.models, empty.by_provider) == (0, {})
    await deck.run()
    stats = await read.stats(deck.store)
    assert stats.by_provider == {"openrouter": 358, "together": 22, "deepinfra": 44}
    for parts in (stats.by_provider, stats.by_modality, stats.by_price_state):
        assert sum(parts.values()) == stats.models == 424
    assert stats.by_modality["text->text"] > 100
    assert stats.deprecated == 2


@BOTH_FILLED
async def test_the_vocabulary_is_what_the_catalog_holds(deck: Deck) -> None:
    found = await read.vocabulary(deck.store)
    assert found.providers == ("deepinfra", "openrouter", "together")
    assert {"meta-llama", "openai"} <= set(found.authors)
    assert {"chat", "embedding", "image", "speech"} <= set(found.kinds)
    assert {"text", "image", "file", "audio"} <= set(found.modalities)


async def test_a_bad_query_or_page_is_refused(deck: Deck) -> None:
    with pytest.raises(BadTerm):
        await read.search(deck.store, "provder:x")
    for limit, offset in ((0, 0), (1001, 0), (10, -1)):
        with pytest.raises(Refusal):
            await read.search(deck.store, limit=limit, offset=offset)


@BOTH
async def test_an_operators_decisions_survive_every_sync(deck: Deck) -> None:
    await deck.run("openrouter")
    hidden = await read.find_model(deck.store, "openrouter/openai/gpt-4o")
    priced = await read.find_model(deck.store, "openrouter/openai/gpt-4o-mini")
    await set_override(deck.permit, deck.store, hidden.id, Override(hidden=True, pinned=True, note="why"), now=NOW)
    changed = await set_override(
        deck.permit, deck.store, priced.id, Override(prices={PriceKind.INPUT: Decimal("0.000001")}), now=NOW
    )
    assert usd(changed) == Decimal("0.000001")

    deck.samples.reprice("openrouter", "openai/gpt-4o-mini", "2")
    deck.samples.change("openrouter", "openai/gpt-4o", name="Renamed")
    await deck.run("openrouter")
    deck.samples.remove("openrouter", "openai/gpt-4o")
    for _ in range(4):
        await deck.run("openrouter")

    hidden = await read.find_model(deck.store, "openrouter/openai/gpt-4o")
    assert (hidden.name, hidden.missing_runs, hidden.retired_at) == ("Renamed", 4, None)  # pinned: it stays
    assert hidden.override == Override(True, True, {}, "why", "modeldeck", NOW)
    assert (await read.search(deck.store, '"openai/gpt-4o" hidden')).total == 1
    assert hidden.reference not in {m.reference for m in (await read.search(deck.store, "gpt-4o")).models}
    priced = await read.find_model(deck.store, "openrouter/openai/gpt-4o-mini")
    assert usd(priced) == Decimal("0.000001")
    output = priced.price(PriceKind.OUTPUT)
    assert output is not None
    assert (output.usd, output.source) == (Decimal("0.0000012"), "provider")  # the provider's went on
    assert (await read.search(deck.store, '"openai/gpt-4o-mini" in=1')).total == 1

    await set_override(deck.permit, deck.store, priced.id, Override(), now=NOW)
    priced = await read.find_model(deck.store, "openrouter/openai/gpt-4o-mini")
    assert (usd(priced), priced.override) == (Decimal("0.0000003"), None)
    assert (await read.search(deck.store, '"openai/gpt-4o-mini" in=0.3')).total == 1


@BOTH_FILLED
async def test_a_decision_that_cannot_be_is_refused(deck: Deck) -> None:
    model = await read.find_model(deck.store, f"together/{LLAMA}")
    for override in (
        Override(prices={PriceKind.INPUT: Decimal(3)}),
        Override(prices={PriceKind.INPUT: Decimal("-0.000001")}),
        Override(note="x" * 1001),
    ):
        with pytest.raises(Refusal, match="nothing was changed"):
            await set_override(deck.permit, deck.store, model.id, override, now=NOW)
    with pytest.raises(Refusal):
        await set_override(deck.permit, deck.store, 999_999, Override(hidden=True), now=NOW)
    assert await read.find_model(deck.store, f"together/{LLAMA}") == model


@BOTH_FILLED
async def test_a_model_as_json(deck: Deck) -> None:
    model = await read.find_model(deck.store, f"together/{LLAMA}")
    row = model_row(model)
    assert (row["id"], row["context"], row["input"], row["output"]) == (f"together/{LLAMA}", 131_072, "0.88", "0.88")
    body = model_json(model)
    assert body["prices"]["input"] == {
        "state": "known",
        "per": "token",
        "usd": "0.00000088",
        "raw": "0.88",
        "raw_unit": "USD/1M tokens",
        "source": "provider",
    }
    assert body["prices"]["compute"]["state"] == "unknown"
    assert body["author"] == "meta-llama"
    unknown = replace(model, prices=())
    assert (model_row(unknown)["input"], unknown.price_unknown) == (None, True)
