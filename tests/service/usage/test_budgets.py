"""Budgets: nothing beyond what is under way, whoever calls at once, and nothing forgotten whatever fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from console.access import budgets as gate
from console.access.budgets import Budget, BudgetGate, Period, Spent
from console.outcome import Ending
from console.sync import analytics
from console.usage.budgets import Settler, _standing
from tests.service.usage.provider import Provider, published_at, stack_of
from tests.support.stack import Running
from tests.support.valkey import valkey_in
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def now() -> float:
    """When the test begins: Valkey's own clock ends what is held."""
    return time.time()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> AsyncIterator[Running]:
    async with stack_of(provider, tmp_path_factory.mktemp("stack")) as running:
        assert (await published_at(running, provider)).ending is Ending.DONE
        yield running


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def without_budgets(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """What a test has left, where it failed, is not the next one's."""
    yield
    if "stack" in request.fixturenames:
        running = request.getfixturevalue("stack")
        for row in (await running.do("budgets.list")).data:
            await running.do("budgets.remove", target=f"{row['scope']}:{row['name']}")


async def _state(stack: Running, name: str) -> dict[str, Any]:
    rows = (await stack.do("budgets.list")).data
    return dict(next(row for row in rows if row["name"] == name))


async def _key_id(stack: Running, name: str) -> str:
    return str((await stack.do("keys.show", key=name)).data["id"])


async def _call(client: httpx.AsyncClient, key: str) -> int:
    body = {"model": "llama", "messages": [], "form": "json"}
    answer = await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
    return answer.status_code


async def test_sixty_four_callers_spend_no_more_than_is_under_way(stack: Running, provider: Provider) -> None:
    key, other = await stack.key("busy"), await stack.key("other")
    provider.books.clear()
    identifier = await _key_id(stack, "busy")
    limit = 200_000
    for _ in range(10):  # what is held for a request is what they have cost so far, in the mean
        assert await _call(stack.client, key) == 200
    history = sum(given + made for given, made, _ in provider.books)

    async def known() -> bool:
        return bool((await stack.do("usage", key=identifier)).data["total"]["metered"] == 10)

    await until(known, within=15, what="they are counted")
    outcome = await stack.do("budgets.set", target="key:busy", tokens=limit, per="day")
    assert outcome.ending is Ending.DONE, outcome
    statuses: list[int] = []
    stop = asyncio.Event()

    async def caller() -> None:
        async with httpx.AsyncClient(
            base_url=stack.services.profile.gateway.url, trust_env=False, timeout=20
        ) as client:
            while not stop.is_set():
                statuses.append(await _call(client, key))
                # Who was refused waits a little: what is under test is how many pass at once, not how many are refused.
                await asyncio.sleep(0.1 if statuses[-1] == 402 else 0)

    callers = [asyncio.create_task(caller()) for _ in range(64)]
    await until(lambda: 402 in statuses and statuses[-64:] == [402] * 64, within=40, what="the budget is used up")

    async def settled() -> bool:
        state = await _state(stack, identifier)
        return state["under_way"] == 0 and bool(state["percent"] >= 100)

    await until(settled, within=60, what="everything is settled")
    stop.set()
    await asyncio.gather(*callers)
    spent = sum(given + made for given, made, _ in provider.books)
    state = await _state(stack, identifier)
    assert state["spent_tokens"] == spent
    assert set(statuses) == {200, 402}
    # Each answer costs 10,000 at most: 64 that were under way when the last token was left are the bound.
    assert limit <= spent <= limit + 64 * 10_000
    assert history < limit
    print(f"\n{spent:,} of {limit:,} tokens: {(spent - limit) / limit:.1%} over, by 64 callers")
    assert await _call(stack.client, other) == 200
    refused = await stack.chat(key, "llama", form="json")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (402, "insufficient_quota")
    assert error["message"].startswith("The budget of this key, 200,000 tokens a day, is used up. It begins anew on ")
    told = await analytics.recent(await stack.services.redis(), name="budget.reached")
    assert {event.data["reached"] for event in told} <= {80, 100}
    assert [event.data["reached"] for event in told].count(100) == 1
    # More of it, and it works again; without it too.
    assert (await stack.do("budgets.set", target="key:busy", tokens=10 * limit, per="day")).ending is Ending.DONE
    await until(lambda: _works(stack, key), within=5, what="more may be spent")
    assert (await stack.do("budgets.remove", target="key:busy")).ending is Ending.DONE
    assert (await stack.do("budgets.remove", target="key:busy")).ending is Ending.UNCHANGED


async def _works(stack: Running, key: str) -> bool:
    return await _call(stack.client, key) == 200


async def test_money_of_a_tenant_and_an_answer_whose_cost_nobody_knows(stack: Running, provider: Provider) -> None:
    key = await stack.key("spender")
    before = (await stack.do("usage", by="tenant", since="1h")).data["total"]["cost_usd"]
    limit = (Decimal(before or 0) + Decimal("0.0004")).quantize(Decimal("0.000001"))
    assert (await stack.do("budgets.set", target="tenant:acme", usd=str(limit), per="month")).ending is Ending.DONE

    async def refused() -> bool:
        return await _call(stack.client, key) == 402

    await until(refused, within=30, what="the tenant's money is used up")

    async def settled() -> bool:
        return bool((await _state(stack, "acme"))["percent"] >= 100)

    await until(settled, within=15, what="it is settled")
    await stack.do("budgets.remove", target="tenant:acme")
    await until(lambda: _works(stack, key), within=5, what="it may be spent again")


async def test_a_budget_whose_rest_is_less_than_a_request_is_told_apart() -> None:
    known = Spent(0, 0, 50, 2_000)
    assert [_standing(budget(tokens=1000), tokens // 10, tokens, 0, known) for tokens in (0, 800, 951, 1000)] == [
        "open",
        "spending",
        "one at a time",
        "spent",
    ]
    assert _standing(budget(usd="0.000005"), 80, 0, 4_000, known) == "one at a time"


async def test_what_is_wrong_with_a_budget_is_said(stack: Running) -> None:
    for target, values, code in (
        ("key:busy", {}, "BAD_REQUEST"),
        ("key:busy", {"usd": "much"}, "BAD_REQUEST"),
        ("key:busy", {"usd": "-1"}, "BAD_REQUEST"),
        ("key:busy", {"usd": "0,50"}, "BAD_REQUEST"),  # half a dollar to some, and not fifty
        ("key:busy", {"usd": "NaN"}, "BAD_REQUEST"),
        ("key:busy", {"usd": "1e99"}, "BAD_REQUEST"),
        ("key:busy", {"tokens": 0}, "INVALID_PARAMETER"),
        ("busy", {"tokens": 5}, "BAD_REQUEST"),
        ("tenant:", {"tokens": 5}, "BAD_REQUEST"),
        ("key:nobody", {"tokens": 5}, "KEY_NOT_FOUND"),
        ("tenant:nobody", {"tokens": 5}, "INVALID_TENANT"),
    ):
        outcome = await stack.do("budgets.set", target=target, **values)
        assert (outcome.ending, outcome.code) == (Ending.REFUSED, code), (target, values, outcome)
    assert await gate.read_budgets(await stack.services.redis()) == {}


async def test_redis_that_was_emptied_gets_its_budgets_back(stack: Running) -> None:
    await stack.do("budgets.set", target="tenant:acme", tokens=10**9)
    redis = await stack.services.redis()
    await redis.delete(gate.BUDGETS, f"{gate.SPENT}tenant:acme")
    await redis.hset(gate.BUDGETS, mapping={"key:ghost": '{"period": "day", "tokens": 1, "usd": null}', "x": "y"})
    await Settler(stack.services).look()
    assert list(await gate.read_budgets(redis)) == ["tenant:acme"]
    assert int(await redis.hget(f"{gate.SPENT}tenant:acme", "tokens")) > 0
    await stack.do("budgets.remove", target="tenant:acme")


# --- the gate alone ---------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def redis(tmp_path: Path) -> AsyncIterator[Any]:
    valkey = valkey_in(tmp_path)
    await valkey.start()
    client = valkey.gateway_client()
    yield client
    await client.aclose()
    await valkey.stop()


def budget(tokens: int | None = None, usd: str | None = None, name: str = "k") -> Budget:
    return Budget("key", name, Period.DAY, tokens, None if usd is None else Decimal(usd))


async def test_places_are_held_exactly(redis: Any, now: float) -> None:
    gates = [BudgetGate(redis, fail="closed") for _ in range(2)]
    one = budget(tokens=1000)
    await gate.settle(redis, one, Spent(500, 0, 50, 0), (), now=now)
    answers = await asyncio.gather(*(gates[number % 2].admit([one], f"r{number}", now) for number in range(64)))
    # Something must be left beside what is held: 500 + 9 x 50 + 50 would be all of it.
    assert answers.count(None) == 9
    assert all(denied.status == 402 for denied in answers if denied is not None)
    # The same request holds one place, however often the gateway asks.
    admitted = [f"r{number}" for number, denied in enumerate(answers) if denied is None]
    assert await gates[0].admit([one], admitted[0], now) is None
    assert (await gate.held(redis, one, now)).requests == 9
    # What the log tells of makes room; what nobody knows the cost of keeps what was held.
    after = await gate.settle(redis, one, Spent(500, 0, 50, 0), [(admitted[0], True), (admitted[1], False)], now=now)
    assert (after.tokens, (await gate.held(redis, one, now)).requests) == (550, 7)
    assert [await gates[0].admit([one], f"s{number}", now) for number in range(2)].count(None) == 1
    # To settle the same again changes nothing.
    again = await gate.settle(redis, one, Spent(500, 0, 50, 0), [(admitted[0], True), (admitted[1], False)], now=now)
    assert again.tokens == 550


async def test_a_hold_that_nobody_settles_ends(redis: Any, now: float) -> None:
    one, door = budget(tokens=100), BudgetGate(redis, fail="closed")
    await gate.settle(redis, one, Spent(0, 0, 60, 0), (), now=now)
    assert await door.admit([one], "a", now) is None
    assert await door.admit([one], "b", now) is not None
    assert await door.admit([one], "b", now + gate.HOLD_SECONDS + 1) is None


async def test_all_budgets_or_none(redis: Any, now: float) -> None:
    full, empty, door = budget(tokens=100, name="full"), budget(usd="0.5", name="empty"), BudgetGate(redis, fail="open")
    await gate.settle(redis, empty, Spent(0, 500_000_000), (), now=now)
    denied = await door.admit([full, empty], "a", now)
    assert denied is not None
    assert "$0.5 a day" in denied.message
    assert (await gate.held(redis, full, now)).requests == 0


async def test_what_was_spent_in_another_period_counts_nothing(redis: Any, now: float) -> None:
    one, door = budget(tokens=100), BudgetGate(redis, fail="closed")
    await gate.settle(redis, one, Spent(100, 0), (), now=now)
    assert await door.admit([one], "a", now) is not None
    assert await door.admit([one], "a", now + 86_400) is None


async def test_without_redis_the_profile_decides(redis: Any, now: float) -> None:
    await redis.aclose()
    redis.connection_pool.connection_kwargs["port"] = 1
    assert await BudgetGate(redis, fail="open").admit([budget(tokens=1)], "a", now) is None
    denied = await BudgetGate(redis, fail="closed").admit([budget(tokens=1)], "a", now)
    assert denied is not None
    assert (denied.status, denied.retry_after) == (503, 1)


async def test_random_admissions_and_settlements_keep_their_sums(redis: Any, now: float) -> None:
    chosen, door, under_way, spent = random.Random(5), BudgetGate(redis, fail="closed"), [], 0
    one = budget(tokens=10_000)
    for number in range(400):
        if chosen.random() < 0.6:
            if await door.admit([one], f"q{number}", now) is None:
                under_way.append(f"q{number}")
        elif under_way:
            ended = [under_way.pop(chosen.randrange(len(under_way)))]
            spent += chosen.randrange(100)
            await gate.settle(redis, one, Spent(spent, 0, chosen.randrange(100), 0), [(ended[0], True)], now=now)
    assert (await gate.held(redis, one, now)).requests == len(under_way)
    await gate.settle(redis, one, Spent(spent, 0), [(name, True) for name in under_way], now=now)
    assert [int(value) for value in await redis.hmget(f"{gate.HELD}key:k", ["t", "c"])] == [0, 0]


@pytest.mark.parametrize("period", list(Period))
async def test_periods_begin_and_end_where_the_calendar_says(period: Period) -> None:
    end = period.end(1_767_225_599)  # 2025-12-31 23:59:59
    assert end == {Period.DAY: 1_767_225_600, Period.MONTH: 1_767_225_600, Period.TOTAL: None}[period]
    assert (
        period.start(1_767_225_600) == {Period.DAY: 1_767_225_600, Period.MONTH: 1_767_225_600, Period.TOTAL: 0}[period]
    )
