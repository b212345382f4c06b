"""A publication whose keys the gateway checks itself: the same journey as with the authorizer, on the whole stack."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from console.access.codec import encode_entry
from console.access.table import USES_FILE
from console.access.types import Grant, digest_of
from console.access.used import uses_of
from console.k8s.types import SECURITY_POLICY, Ref
from console.outcome import Ending
from console.publishing.manifests import object_name
from console.publishing.types import Access, Plan
from tests.support.stack import Running
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "native"


async def published(stack: Running, **values: Any) -> None:
    outcome = await stack.publish(MODEL, access="native", **values)
    assert outcome.ending is Ending.DONE, outcome


def uses(stack: Running) -> str:
    """What passed without a question."""
    path: Path = stack.layout.key_table / USES_FILE
    return path.read_text("utf-8")


async def passed_alone(stack: Running, key: str) -> bool:
    """Whether the gateway has let this key through by itself."""
    digest = digest_of(key)
    try:
        await until(lambda: f"{digest}\t{MODEL}\t" in uses(stack), within=1)
    except (TimeoutError, AssertionError):
        return False
    return True


async def code_of(stack: Running, key: str) -> tuple[int, str]:
    answer = await stack.chat(key, MODEL)
    return answer.status_code, answer.json().get("error", {}).get("code", "")


async def test_the_plan_says_what_it_means_and_the_policy_asks_for_it(stack: Running) -> None:
    planned = await stack.publish(MODEL, access="native", plan=True)
    assert isinstance(planned.data, Plan)
    assert any("no key is kept there in clear" in warning for warning in planned.data.warnings)
    await published(stack)
    (row,) = (await stack.do("published", name=MODEL)).data
    assert row["access"] == "native"
    ref = Ref(SECURITY_POLICY, object_name(MODEL), "acme")
    policy = await (await stack.cluster()).get(ref)
    assert policy is not None
    assert policy["metadata"]["annotations"]["modeldeck.dev/access"] == "native"
    assert (await stack.publish(MODEL)).ending is Ending.UNCHANGED, "it is the usual one here"
    again = await stack.publish(MODEL, access="ext_authz")
    assert again.code == "ALREADY_PUBLISHED", "with the authorizer is something else"
    changed = await stack.do("update", name=MODEL, access="ext_authz")
    assert changed.ending is Ending.DONE, changed
    policy = await (await stack.cluster()).get(ref)
    assert policy is not None
    assert "modeldeck.dev/access" not in policy["metadata"]["annotations"]
    key = await stack.key("asked-about")
    assert (await stack.chat(key, MODEL)).status_code == 200
    assert not await passed_alone(stack, key)


async def test_a_gateway_without_a_table_is_not_asked_for_it(stack: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = stack.services.profile
    gateway = profile.gateway.model_copy(update={"native_access": False})
    monkeypatch.setattr(stack.services, "profile", profile.model_copy(update={"gateway": gateway}))
    refused = await stack.publish(MODEL, access="native")
    assert (refused.ending, refused.code) == (Ending.REFUSED, "NATIVE_ACCESS_UNAVAILABLE")
    usual = await stack.publish("asks", plan=True)
    assert isinstance(usual.data, Plan)
    assert usual.data.publication.access is Access.EXT_AUTHZ


async def test_a_key_is_used_counted_logged_rotated_and_revoked(stack: Running) -> None:
    await published(stack)
    key = await stack.key("journey")
    answer = await stack.chat(key, MODEL)
    assert answer.status_code == 200
    assert await passed_alone(stack, key)
    (row,) = [one for one in (await stack.do("keys.list")).data if one["name"] == "journey"]
    redis = await stack.services.redis()

    async def counted() -> bool:
        use = (await uses_of(redis, [digest_of(key)])).get(digest_of(key))
        return use is not None and (use.count, use.client) == (1, "127.0.0.1")

    await until(counted, within=5)
    lines = map(json.loads, (stack.layout.envoy / "access.log").read_text("utf-8").splitlines())
    (line,) = [one for one in lines if one["key"] == row["id"] and one["path"].endswith("/completions")]
    assert (line["tenant"], line["model"], line["status"]) == ("acme", MODEL, 200)
    assert line["tokens"] == answer.json()["usage"]["total_tokens"]
    assert line["metered"] is True
    assert digest_of(key) not in json.dumps(line)

    rotated = await stack.do("keys.rotate", key="journey", grace=60)
    assert rotated.ending is Ending.DONE, rotated
    assert rotated.revealed is not None
    fresh = rotated.revealed.take()
    assert fresh
    assert [(await stack.chat(one, MODEL)).status_code for one in (key, fresh)] == [200, 200]
    revoked = await stack.do("keys.revoke", key="journey")
    assert revoked.ending is Ending.DONE, revoked
    assert [await code_of(stack, one) for one in (key, fresh)] == [(401, "invalid_api_key")] * 2


async def test_an_entry_that_goes_is_refused_within_half_a_second(stack: Running) -> None:
    await published(stack)
    redis = await stack.services.redis()
    name = f"api_key:{digest_of('bud_client_gone')}"
    entry = encode_entry({}, key_id="gone", user_id=None, project_id="acme", tenant="acme", generation=1)
    worst = 0.0
    for _ in range(5):
        await redis.set(name, entry)
        while (await stack.chat("bud_client_gone", MODEL)).status_code != 200:
            await asyncio.sleep(0.005)
        await redis.delete(name)
        began = time.perf_counter()
        while (await stack.chat("bud_client_gone", MODEL)).status_code != 401:
            await asyncio.sleep(0)
        worst = max(worst, time.perf_counter() - began)
    assert await passed_alone(stack, "bud_client_gone")
    assert worst < 0.5


async def test_what_is_not_plain_is_refused_as_the_authorizer_does(stack: Running) -> None:
    await published(stack)
    key = await stack.key("plain")
    assert (await stack.chat(key, MODEL)).status_code == 200
    assert (await stack.do("tenants.suspend", tenant="acme")).ending is Ending.DONE
    assert await code_of(stack, key) == (403, "tenant_suspended")
    assert (await stack.do("tenants.resume", tenant="acme")).ending is Ending.DONE
    assert (await stack.chat(key, MODEL)).status_code == 200
    elsewhere = await stack.key("elsewhere", network=("10.0.0.0/8",))
    assert await code_of(stack, elsewhere) == (403, "network_not_allowed")
    here = await stack.key("here", network=("127.0.0.0/8",))
    assert (await stack.chat(here, MODEL)).status_code == 200
    ends = await stack.key("ends", expires=1)
    assert (await stack.chat(ends, MODEL)).status_code == 200
    await asyncio.sleep(1.1)
    assert (await stack.chat(ends, MODEL)).status_code == 401
    assert await code_of(stack, "nonsense") == (401, "invalid_api_key")
    listed = await stack.client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
    assert [one["id"] for one in listed.json()["data"]] == [MODEL]


async def test_limits_count_each_key_exactly(stack: Running) -> None:
    await published(stack, rpm=3)
    for name in ("one", "two"):
        key = await stack.key(f"limited-{name}")
        answers = [await stack.chat(key, MODEL) for _ in range(5)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert await passed_alone(stack, key)


async def test_ten_thousand_keys_outlive_the_authorizer_and_the_gateway(stack: Running) -> None:
    await published(stack)
    redis = await stack.services.redis()
    grants = {MODEL: Grant("e", "m", "acme")}
    many = {
        f"api_key:{digest_of(f'many-{number}')}": encode_entry(
            grants, key_id=f"many-{number}", user_id=None, project_id="acme", tenant="acme", generation=1
        )
        for number in range(10_000)
    }
    await redis.mset(many)

    async def works(number: int, status: int = 200) -> bool:
        return (await stack.chat(f"many-{number}", MODEL)).status_code == status

    await until(lambda: works(9_999), within=10)
    assert await works(9_999), "the first may have waited for the authorizer"
    assert await passed_alone(stack, "many-9999")

    current = stack.layout.key_table / "current"
    before = current.readlink()
    authorizer = json.loads(stack.layout.state.read_text("utf-8"))["parts"]["authorizer"]["pid"]
    os.kill(_worker_below(authorizer), signal.SIGKILL)
    assert await works(1), "what the table says goes on for a moment"
    await until(lambda: current.readlink() != before, within=20)
    await redis.delete(f"api_key:{digest_of('many-1')}")
    await until(lambda: works(1, 401), within=2)
    assert await works(2)
    await redis.delete(*many)


def _worker_below(pid: int) -> int:
    """The process that a leash holds."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return int(children[0]) if children else pid
