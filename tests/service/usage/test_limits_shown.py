"""``limits show``: what it says is what the gateway tells its clients, counter by counter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from console.guard import Principal, Role
from console.outcome import Ending, Outcome
from tests.support.stack import TWO_PROVIDERS, Running, running_stack
from tests.support.waiting import until

pytest.importorskip("grpc")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_stack(tmp_path_factory.mktemp("stack"), synced=TWO_PROVIDERS) as running:
        limits: dict[str, Any] = {"rpd": 3, "tph": 90_000, "tpd": 100_000, "tenant_rpm": 1000, "model_rpm": 2000}
        assert (await running.publish(**limits)).ending is Ending.DONE
        yield running


def row(outcome: Outcome, sentence: str) -> dict[str, Any]:
    (found,) = [one for one in outcome.data["rows"] if sentence in one["sentence"]]
    return dict(found)


async def test_every_counter_of_a_key_is_told_with_what_is_left_and_who_says_no(stack: Running) -> None:
    key, other = await stack.key("demo"), await stack.key("other")
    before = await stack.do("limits.show", key="demo", model="llama")
    assert [one["used"] for one in before.data["rows"] if one["whose"] == "key demo"] == [0, 0, 0]
    assert before.summary == "5 limits; none of them refuses now, as far as is known: 2 cannot be read"
    answers = [await stack.chat(key, "llama") for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    spent = sum(one.json()["usage"]["total_tokens"] for one in answers)
    assert (await stack.chat(other, "llama")).status_code == 200

    async def charged() -> bool:
        return bool(row(await stack.do("limits.show", key="demo"), "tokens per day")["used"] == spent)

    await until(charged, within=5)
    shown = await stack.do("limits.show", key="demo")
    of_the_key = row(shown, "3 requests per day")
    assert of_the_key["left"] == int(answers[-1].headers["x-ratelimit-remaining"]) == 1
    assert (of_the_key["whose"], of_the_key["counted_by"], of_the_key["refuses"]) == ("key demo", "limiter", False)
    assert row(shown, "tokens per hour")["left"] == 90_000 - spent
    for sentence, whose in (("1,000 requests per minute", "tenant acme"), ("2,000 requests per minute", "everybody")):
        minute = row(shown, sentence)
        assert (minute["whose"], minute["counted_by"]) == (whose, "envoy")
        assert (minute["used"], minute["refuses"], minute["says"]) == (None, None, "not known")
    assert any("that Envoy itself counts is not known" in note for note in shown.data["notes"])

    assert (await stack.chat(key, "llama")).status_code == 200
    refused = await stack.chat(key, "llama")
    assert refused.status_code == 429
    shown = await stack.do("limits.show", key="demo", model="llama")
    over = row(shown, "3 requests per day")
    assert (over["refuses"], over["left"], over["says"]) == (True, 0, "429")
    assert over["window_ends_at"].endswith("T00:00:00+00:00")
    assert abs(over["resets_in"] - int(refused.headers["retry-after"])) <= 2
    assert refused.headers["x-ratelimit-reset"] == refused.headers["retry-after"]
    assert shown.summary.startswith("a request now gets 429: 3 requests per day for key demo, used up until")
    assert [one["refuses"] for one in shown.data["rows"]].count(True) == 1
    assert (await stack.do("limits.show", key="other")).summary.startswith("5 limits; none of them refuses now")
    # Whoever asks why the key is refused need not know that limits are asked about elsewhere.
    explained = await stack.do("access.explain", key="demo", model="llama")
    assert explained.summary.startswith("refused with 429: a request now gets 429: 3 requests per day for key demo")
    assert (explained.data["status"], explained.data["rows"][-1]["verdict"]) == (429, "refused")
    fine = await stack.do("access.explain", key="other", model="llama")
    assert (fine.data["status"], fine.data["rows"][-1]["verdict"]) == (None, "unknown"), "Envoy's own are not known"
    assert fine.summary.startswith(
        "let through by the key's rules; whether a limit refuses it is not known here: 5 limits"
    )


async def test_of_a_model_alone_only_what_all_share_is_known(stack: Running) -> None:
    shown = await stack.do("limits.show", model="llama")
    assert {one["whose"] for one in shown.data["rows"]} == {"each key", "each tenant", "everybody"}
    assert "what each key has used is told with --key" in shown.data["notes"]
    assert shown.summary == "5 limits; what is used of them is not known"


async def test_a_minute_outlives_what_others_publish_and_unpublish(stack: Running) -> None:
    assert (await stack.publish("minute", rpm=5, tpd=100_000)).ending is Ending.DONE
    key = await stack.key("steady")
    answers = [await stack.chat(key, "minute") for _ in range(3)]
    assert [one.headers["x-ratelimit-remaining"] for one in answers] == ["4", "3", "2"], "the least of what is left"
    assert (await stack.publish("another", rpm=7919)).ending is Ending.DONE
    assert (await stack.chat(key, "another")).headers["x-ratelimit-limit"].startswith("7919, ")
    assert (await stack.do("unpublish", name="another")).ending is Ending.DONE
    # It fills up by one in twelve seconds, and this is a second's work; a fresh one would have 4 left.
    assert int((await stack.chat(key, "minute")).headers["x-ratelimit-remaining"]) in (1, 2, 3)
    refused = [await stack.chat(key, "minute") for _ in range(5)][-1]
    assert (refused.status_code, refused.headers["x-modeldeck-limit"]) == (429, "5 requests per minute for this key")
    assert 1 <= int(refused.headers["retry-after"]) <= 12


async def test_a_budget_stands_with_the_limits(stack: Running) -> None:
    await stack.key("paying")
    assert (await stack.do("budgets.set", target="key:paying", tokens=10, per="total")).ending is Ending.DONE
    budget = row(await stack.do("limits.show", key="paying"), "10 tokens in all")
    assert (budget["counted_by"], budget["percent"], budget["refuses"], budget["model"]) == (
        "authorizer",
        0,
        False,
        None,
    )


async def test_what_nobody_can_read_is_said_to_be_unknown(stack: Running) -> None:
    services = stack.services
    real = services.profile
    said = {}
    try:
        for name, changes in (
            ("envoy", {"gateway": real.gateway.model_copy(update={"global_limiter": False})}),
            ("envoy gateway", {"stack": None}),
        ):
            services.profile = real.model_copy(update=changes)
            said[name] = await stack.do("limits.show", model="llama")
    finally:
        services.profile = real
    for name, outcome in said.items():
        assert {(one["counted_by"], one["used"], one["refuses"]) for one in outcome.data["rows"]} == {
            (name, None, None)
        }
        assert "not known" in outcome.summary
        assert "not known" in outcome.data["notes"][0]


async def test_who_may_not_see_it_is_refused(stack: Running) -> None:
    await stack.key("seen")
    foreign = Principal("eve", Role.VIEWER, frozenset({"globex"}), "api", "10.0.0.2")
    for model, key in (("llama", None), (None, "seen"), ("llama", "seen")):
        told = await stack.do("limits.show", who=foreign, model=model, key=key)
        assert (told.ending, told.code, told.data) == (Ending.REFUSED, "TENANT_FORBIDDEN", None)
    own = Principal("amy", Role.VIEWER, frozenset({"acme"}), "api", "10.0.0.3")
    assert (await stack.do("limits.show", who=own, key="seen")).ending is Ending.DONE


@pytest.mark.parametrize(
    ("model", "key", "code"),
    [(None, None, "BAD_REQUEST"), (None, "nobody", "KEY_NOT_FOUND"), ("no", None, "NOT_PUBLISHED")],
)
async def test_what_is_not_there_has_no_limits(stack: Running, model: str | None, key: str | None, code: str) -> None:
    told = await stack.do("limits.show", model=model, key=key)
    assert (told.ending, told.code) == (Ending.REFUSED, code)
