"""What is said of keys is what is so: without Redis, after a revocation, of a name, of a refusal."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from console.access.budgets import read_budgets
from console.access.types import KEY_PREFIX, digest_of
from console.actions import REGISTRY
from console.actions.perform import perform
from console.config import RedisLink
from console.outcome import Ending
from console.rendering import data_text
from console.services import Services
from console.usage.budgets import Settler
from tests.service.keys.test_keys import ADMIN, Bench, bench, text_of

__all__ = ["bench"]


@pytest.mark.parametrize("none", ["0", "0s", "0d", "0h0m"])
async def test_an_expiry_of_nothing_is_refused(bench: Bench, none: str) -> None:
    refused = await bench.do("keys.create", name="web", tenant="acme", expires=none)
    assert (refused.ending, refused.code) == (Ending.REFUSED, "INVALID_PARAMETER")
    assert "expires must be longer than nothing" in refused.summary
    assert (await bench.do("keys.list")).data == []
    assert (await bench.do("tokens.create", name="ci", role="viewer", expires=none)).code == "INVALID_PARAMETER"


async def test_an_edit_to_an_expiry_of_nothing_is_refused_and_a_grace_of_nothing_is_none(bench: Bench) -> None:
    await bench.create("web", expires="1d")
    refused = await bench.do("keys.edit", key="web", expires="0")
    assert (refused.ending, refused.code) == (Ending.REFUSED, "INVALID_PARAMETER")
    assert (await bench.do("keys.show", key="web")).data["expires_at"] is not None
    assert (await bench.do("keys.rotate", key="web", grace="0")).ending is Ending.DONE
    assert (await bench.do("keys.show", key="web")).data["state"] == "active"


async def test_a_key_without_an_entry_is_explained_as_such(bench: Bench, redis: Redis) -> None:
    text = await bench.create("web", form="mdk")
    await redis.delete(KEY_PREFIX + digest_of(text))

    async def explained() -> tuple[str, dict[str, Any]]:
        outcome = await bench.do("access.explain", key="web", model="qwen")
        return outcome.summary, {row["rule"]: row for row in outcome.data["rows"]}

    for lost in (True, False):
        summary, rules = await explained()
        assert "mistyped" not in summary + str(rules)
        assert rules["key's checksum is right"]["verdict"] == "without effect"
        assert rules["key is known"]["verdict"] == "refused"
        why = "Redis has no entry for generation 1 of web" if lost else "key web (k"
        assert why in rules["key is known"]["found"]
        assert why in summary
        await bench.do("keys.revoke", key="web")
    assert "was revoked" in summary
    by_digest = await bench.do("access.explain", key=digest_of(text), model="qwen")
    assert "was revoked" in by_digest.summary
    unknown = await bench.do("access.explain", key=digest_of("nobody's"), model="qwen")
    assert "no key of Modeldeck's has that text" in unknown.summary


async def test_a_rotation_that_was_taken_back_is_explained_by_the_text_that_works(bench: Bench) -> None:
    await bench.create("web")
    await bench.do("keys.rotate", key="web")
    await bench.do("keys.withdraw", key="web")
    assert (await bench.do("access.explain", key="web")).data["status"] == 200


async def test_without_redis_a_list_says_what_is_not_known(bench: Bench) -> None:
    await bench.create("web")
    closed = bench.services.profile.model_copy(update={"redis": RedisLink(url="redis://127.0.0.1:1/0")})
    async with Services(closed) as services:
        listed = await perform(services, REGISTRY["keys.list"], {}, ADMIN)
        shown = await perform(services, REGISTRY["keys.show"], {"key": "web"}, ADMIN)
        overview = await perform(services, REGISTRY["overview"], {}, ADMIN)
    assert (listed.ending, listed.code) == (Ending.PARTIAL, "REDIS_UNAVAILABLE")
    assert "Redis cannot be asked" in listed.summary
    (row,) = listed.data
    assert (row["used"], row["last_used"]) == ("unknown", None)
    assert "unknown" in data_text(REGISTRY["keys.list"], listed.data)
    assert shown.ending is Ending.PARTIAL
    assert "Redis cannot be asked what the gateway has" in str(overview.data["needs"])


async def test_of_a_key_that_may_call_everything_the_list_says_all(bench: Bench) -> None:
    await bench.create("web")
    listed = await bench.do("keys.list")
    assert (listed.data[0]["models_text"], listed.data[0]["used"]) == ("all", "never")
    assert " all " in data_text(REGISTRY["keys.list"], listed.data)


async def test_a_request_whose_rotation_was_taken_back_is_refused(bench: Bench) -> None:
    await bench.create("lim")
    text_of(await bench.do("keys.rotate", key="lim", idempotency_key="d1"))
    await bench.do("keys.withdraw", key="lim")
    again = await bench.do("keys.rotate", key="lim", idempotency_key="d1")
    assert (again.ending, again.code, again.status) == (Ending.REFUSED, "GENERATION_ENDED", 409)
    assert "generation 2 of lim" in again.summary
    assert (await bench.do("keys.rotate", key="lim", idempotency_key="d2")).revealed is not None


async def test_a_revoked_key_has_no_budget(bench: Bench, redis: Redis) -> None:
    await bench.create("web")
    await bench.create("other")
    for name in ("web", "other"):
        assert (await bench.do("budgets.set", target=f"key:{name}", usd="1")).ending is Ending.DONE
    await bench.do("keys.revoke", key="web")
    assert [row["called"] for row in (await bench.do("budgets.list")).data] == ["key other"]
    await Settler(bench.services).look()
    assert len(await read_budgets(redis)) == 1
    # One that an older Modeldeck has left can be taken away by the name that is shown.
    assert (await bench.do("budgets.remove", target="key:web")).ending is Ending.UNCHANGED
    assert (await bench.do("budgets.set", target="key:web", usd="1")).code == "KEY_NOT_FOUND"


async def test_a_key_is_revoked_once_and_known_afterwards(bench: Bench) -> None:
    await bench.create("tmp")
    await bench.do("keys.revoke", key="tmp")
    again = await bench.do("keys.revoke", key="tmp")
    assert (again.ending, "was revoked" in again.summary) == (Ending.UNCHANGED, True), again
    assert (await bench.do("keys.show", key="tmp")).data["state"] == "revoked"
    assert (await bench.do("keys.rotate", key="tmp")).code == "KEY_NOT_FOUND"
    await bench.create("tmp")
    assert (await bench.do("keys.show", key="tmp")).data["state"] == "active"
    assert (await bench.do("keys.revoke", key="tmp")).ending is Ending.DONE


@pytest.mark.parametrize("name", [" ", " web", "web ", "a\u200bb", "a\nb", "x" * 121, "\u202eweb"])
async def test_what_no_list_can_show_is_no_name(bench: Bench, name: str) -> None:
    refused = await bench.do("keys.create", name=name, tenant="acme")
    assert (refused.ending, refused.code) == (Ending.REFUSED, "INVALID_PARAMETER"), refused


async def test_what_can_be_known_before_is_refused_before_anything_begins(bench: Bench) -> None:
    await bench.create("dup")
    began = (await bench.do("operations.list")).data
    told: list[Any] = []
    values = {"name": "dup", "tenant": "acme"}
    refused = await perform(bench.services, REGISTRY["keys.create"], values, ADMIN, emit=told.append)
    assert (refused.ending, refused.code) == (Ending.REFUSED, "KEY_EXISTS")
    assert (refused.items, [one for one in told if not isinstance(one, str)]) == ((), [])
    assert "operations show" not in refused.then
    assert (await bench.do("operations.list")).data == began
