"""What was counted equals the provider's own books, to the last token, or is told as unmetered."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from console.catalog import read as catalog
from console.outcome import Ending
from console.usage.collecting import Collector
from console.usage.pricing import rates_of
from tests.service.usage.provider import FORMS, Provider, published_at, stack_of
from tests.support.stack import MODEL, Running
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> AsyncIterator[Running]:
    async with stack_of(provider, tmp_path_factory.mktemp("stack")) as running:
        yield running


async def _call(client: httpx.AsyncClient, key: str, form: str) -> None:
    headers = {"authorization": f"Bearer {key}"}
    body: dict[str, Any] = {"model": "llama", "messages": [], "form": form}
    if form in ("stream", "stream with usage", "aborted"):
        body["stream"] = True
    if form == "stream with usage":
        body["stream_options"] = {"include_usage": True}
    async with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        if form == "aborted":
            async for _ in answer.aiter_bytes():
                return
        await answer.aread()


async def test_a_mixed_load_is_counted_to_the_last_token_and_pico_dollar(stack: Running, provider: Provider) -> None:
    assert (await published_at(stack, provider)).ending is Ending.DONE
    keys = [await stack.key(name) for name in ("one", "two", "three")]
    provider.books.clear()
    await _probe_is_counted(stack)
    before = await _report(stack)
    chosen = random.Random(3)
    forms = [chosen.choice(FORMS) for _ in range(200)] + list(FORMS)
    waiting = iter(forms)

    async def caller(number: int) -> None:
        # A connection of its own, for an aborted stream takes its connection along.
        async with httpx.AsyncClient(
            base_url=stack.services.profile.gateway.url, trust_env=False, timeout=20
        ) as client:
            for form in waiting:
                await _call(client, keys[number % len(keys)], form)

    await asyncio.gather(*(caller(number) for number in range(16)))
    wrong = {"authorization": "Bearer bud_client_wrong"}
    for _ in range(5):
        assert (
            await stack.client.post("/v1/chat/completions", json={"model": "llama"}, headers=wrong)
        ).status_code == 401

    async def counted() -> bool:
        return int((await _report(stack))["requests"]) - before["requests"] >= len(forms) + 5

    await until(counted, within=15, what="everything is counted")
    after = await _report(stack)
    grown = {name: after[name] - before[name] for name in after if isinstance(after[name], int)}
    model = await catalog.get_model(await stack.services.store(), *MODEL.split("/", 1))
    assert model is not None
    rates = rates_of(model)
    assert rates is not None
    assert grown["requests"] == len(forms) + 5
    assert grown["input_tokens"] == sum(tokens for tokens, _, _ in provider.books)
    assert grown["output_tokens"] == sum(tokens for _, tokens, _ in provider.books)
    log = (stack.layout.envoy / "access.log").read_text("utf-8").splitlines()
    cached = sum(int(json.loads(one)["cached_tokens"] or 0) for one in log)
    assert cached == sum(tokens for _, _, tokens in provider.books) > 0
    # By the catalog's own price, added up by code that shares nothing with the collector.
    less = rates.input - (rates.input if rates.cached is None else rates.cached)
    spent = sum(
        (rates.input * one + rates.output * two - less * three for one, two, three in provider.books), Decimal(0)
    )
    assert Decimal(after["cost_usd"]) - Decimal(before["cost_usd"]) == spent
    count = forms.count
    assert grown["unmetered"] == count("aborted") + count("silent") + count("failed")
    assert (grown["aborted"], grown["failed"]) == (count("aborted"), count("failed"))
    assert grown["refused"] == count("refused") + 5
    assert after["cost"].startswith("≥")  # some of it is not known, and that is said
    rows = (await stack.do("usage", by="key", since="1h")).data["rows"]
    assert {row["label"].split()[0] for row in rows} >= {"one", "two", "three", "probe", "(no"}
    denied = (await stack.do("usage", by="reason", since="1h")).data["rows"]
    assert [(row["name"], row["requests"]) for row in denied] == [("invalid_api_key", 5)]


async def _probe_is_counted(stack: Running) -> None:
    async def counted() -> bool:
        rows = (await stack.do("usage", by="key", since="1h")).data["rows"]
        return any(row["name"] == "probe" for row in rows)

    await until(counted, within=15, what="the live probe is counted")


async def _report(stack: Running) -> dict[str, Any]:
    data = (await stack.do("usage", by="tenant", since="1h")).data
    assert data["notes"] == []
    return dict(data["total"]) | {"cost_usd": data["total"]["cost_usd"] or "0"}


async def test_the_same_numbers_by_every_view_and_in_csv(stack: Running) -> None:
    total = await _report(stack)
    for by in ("model", "tenant", "key", "time"):
        for per in ("minute", "hour", "day"):
            rows = (await stack.do("usage", by=by, since="24h", per=per)).data["rows"]
            assert sum(row["input_tokens"] for row in rows) == total["input_tokens"]
            assert sum(row["requests"] for row in rows) == total["requests"]
    document = (await stack.do("usage", by="model", format="csv")).data
    heading, *lines = document.text.splitlines()
    assert heading.startswith("name,label,requests,answered,refused,failed,aborted,input_tokens")
    assert any(line.startswith("llama,llama,") for line in lines)
    assert set(document.as_json()) == set((await stack.do("usage", by="model")).data)
    by_key = (await stack.do("usage", by="key", format="csv")).data
    for row in by_key.rows:
        assert f"{row['name'] or ''},{row['label']}," in by_key.text


async def test_what_was_not_kept_is_not_made_up(stack: Running) -> None:
    refused = await stack.do("usage", per="minute", since="30d")
    assert (refused.ending, refused.code) == (Ending.REFUSED, "NOT_KEPT")
    assert (await stack.do("usage", by="time", per="hour", since="89d")).ending is Ending.DONE
    for name, code in (("key", "KEY_NOT_FOUND"), ("tenant", "INVALID_TENANT"), ("model", "NOT_PUBLISHED")):
        unknown = await stack.do("usage", **{name: "nobody"})
        assert (unknown.ending, unknown.code) == (Ending.REFUSED, code), name
    key = await stack.key("unused")
    empty = await stack.do("usage", key="unused")
    assert (empty.data["rows"], empty.data["total"]["requests"]) == ([], 0)
    assert key


async def test_a_refusal_is_counted_for_the_key_with_its_reason(stack: Running) -> None:
    key = await stack.key("shut")
    assert (await stack.do("keys.suspend", key="shut")).ending is Ending.DONE
    refused = await stack.chat(key, "llama")
    assert (refused.status_code, refused.headers["x-modeldeck-reason"]) == (403, "key_suspended")

    async def counted() -> bool:
        rows = (await stack.do("usage", key="shut", by="reason")).data["rows"]
        return [(row["name"], row["requests"]) for row in rows] == [("key_suspended", 1)]

    await until(counted, within=15)
    (row,) = (await stack.do("usage", key="shut", by="key")).data["rows"]
    assert (row["label"].split()[0], row["requests"], row["refused"], row["unmetered"]) == ("shut", 1, 1, 0)


async def test_a_log_that_cannot_be_read_is_waited_for(stack: Running, tmp_path: Path) -> None:
    assert await Collector(stack.services, tmp_path / "none" / "access.log").collect() == 0
