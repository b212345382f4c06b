"""Limits, backends and hostnames on the whole stack: what clients get of them, and what changing them costs nobody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.guard import Principal, Role
from console.k8s.types import (
    AI_SERVICE_BACKEND,
    BACKEND,
    BACKEND_SECURITY_POLICY,
    BACKEND_TRAFFIC_POLICY,
    SECRET,
    Ref,
)
from console.local.samples.books import UpstreamFault
from console.operations.journal import LEASE, Journal
from console.operations.recovery import recover_once
from console.operations.runner import Runner
from console.operations.types import NewOperation, OperationState
from console.outcome import Ending, Failure
from console.publishing.types import Effect, Plan
from console.steps import StepKinds
from tests.service.publishing.test_publishing import EVERY_KIND
from tests.support.stack import MODEL, Killed, Running, fault_at
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER = "openrouter/meta-llama/llama-3.1-8b-instruct"
DEAR = "openrouter/anthropic/claude-sonnet-4.5"
STEPS = 13
"""Four objects, the route, spec, entry, ready, probe, and the removal of four objects."""
OF_A_BACKEND = (SECRET, BACKEND, AI_SERVICE_BACKEND, BACKEND_SECURITY_POLICY)


async def policy(stack: Running) -> Mapping[str, Any]:
    found = await (await stack.cluster()).get(Ref(BACKEND_TRAFFIC_POLICY, "pub-llama", "acme"))
    assert found is not None
    spec: Mapping[str, Any] = found["spec"]
    return spec


async def answered_by(stack: Running, key: str, requests: int = 12) -> Counter[str]:
    answers = [await stack.chat(key, "llama") for _ in range(requests)]
    assert {answer.status_code for answer in answers} == {200}
    return Counter(answer.headers["x-sample-upstream"] for answer in answers)


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_every_limit_is_held_here(stack: Running) -> None:
    outcome = await stack.publish(
        rpm=60, rph=600, rpd=6000, burst=2, tenant_rpm=100, model_rpm=200, tph=50_000, tpd=100_000,
        retries=1, retry_on=["503", "connect-failure"],
        max_connections=50, max_pending=50, max_parallel=50,
        timeout="2m", connect_timeout="5s", idle_timeout="1m",
    )  # fmt: skip
    assert outcome.ending is Ending.DONE, outcome
    key = await stack.key("burst")
    statuses = [(await stack.chat(key, "llama")).status_code for _ in range(6)]
    assert 429 in statuses, "more than two in a second"
    await asyncio.sleep(1.0)
    assert (await stack.chat(key, "llama")).status_code == 200, "and in the next second it is let in again"
    row = (await stack.do("published", name="llama")).data[0]
    assert (row["ready"], row["reason"]) == (True, "")
    limits = row["limits"]
    assert (limits["burst"], limits["requests_per_day"], limits["retry_on"]) == (2, 6000, ["503", "connect-failure"])


async def test_tokens_are_charged_and_their_end_is_told(stack: Running) -> None:
    await stack.publish(tpd=30)
    key = await stack.key("tokens")
    first = await stack.chat(key, "llama", stream=True)
    assert first.status_code == 200
    assert "usage" not in first.text, "the client has not asked for it"

    async def refused() -> bool:
        return (await stack.chat(key, "llama")).status_code == 429

    await until(refused, within=20)
    answer = await stack.chat(key, "llama")
    assert answer.headers["x-modeldeck-limit"] == "30 tokens per day for this key"
    assert 0 < int(answer.headers["retry-after"]) <= 86_400
    other = await stack.key("other-tokens")
    assert (await stack.chat(other, "llama")).status_code == 200


async def test_a_total_is_for_all_keys_together(stack: Running) -> None:
    outcome = await stack.publish("total", model_rpm=3)
    assert outcome.ending is Ending.DONE, outcome
    first, second = await stack.key("total-1"), await stack.key("total-2")
    statuses = [(await stack.chat(key, "total")).status_code for key in (first, second, first, second, first)]
    # The probe of the publish was one of the three.
    assert statuses == [200, 200, 429, 429, 429]


async def test_limits_are_lifted_one_by_one(stack: Running) -> None:
    await stack.publish(rpm=60, rpd=600, burst=5, max_parallel=9)
    assert (await stack.do("update", name="llama", no=["rpd", "max-parallel"], rph="100")).ending is Ending.DONE
    spec = await policy(stack)
    units = [rule["limit"]["unit"] for rule in spec["rateLimit"]["global"]["rules"]]
    assert units == ["Second", "Minute", "Hour"]
    assert "circuitBreaker" not in spec
    await stack.do("update", name="llama", no=["rpm", "rph", "burst"])
    assert "rateLimit" not in await policy(stack)
    assert (await stack.do("update", name="llama", no=["rpm"])).ending is Ending.UNCHANGED
    assert (await stack.do("update", name="llama", rpm="5", no=["rpm"])).code == "INVALID_PARAMETER"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"tph": 1000, "tpd": 999}, "RATE_LIMIT_CONFIG_FAILED"),
        ({"rpm": 5, "burst": 6}, "RATE_LIMIT_CONFIG_FAILED"),
        ({"timeout": "2d"}, "INVALID_PARAMETER"),
        ({"retries": 99}, "INVALID_PARAMETER"),
        ({"hostname": ["10.0.0.1"]}, "INVALID_HOSTNAME"),
        ({"also": [f"{OTHER}=much"]}, "INVALID_BACKENDS"),
        ({"also": ["openrouter/no/such"]}, "MODEL_NOT_FOUND"),
        ({"also": ["isvc/globex/iris"]}, "INVALID_BACKENDS"),
    ],
)
async def test_what_cannot_be_is_refused_in_the_plan_and_changes_nothing(
    stack: Running, values: Mapping[str, Any], code: str
) -> None:
    for plan in (True, False):
        outcome = await stack.publish(plan=plan, **values)
        assert (outcome.ending, outcome.code) == (Ending.REFUSED, code)
    assert await stack.objects(*EVERY_KIND) == []


# --- backends -------------------------------------------------------------------------------------------------------


async def test_backends_share_the_requests_by_weight_and_each_is_spoken_to_in_its_own_way(stack: Running) -> None:
    outcome = await stack.publish(also=[OTHER])
    assert outcome.ending is Ending.DONE, outcome
    key = await stack.key("shared")
    assert set(await answered_by(stack, key, 24)) == {"deepinfra", "openrouter"}
    assert (await stack.do("update", name="llama", also=[f"{MODEL}=0"])).ending is Ending.DONE
    assert set(await answered_by(stack, key)) == {"openrouter"}
    assert (await stack.chat(key, "llama")).json()["model"] == "meta-llama/llama-3.1-8b-instruct"
    row = (await stack.do("published", name="llama")).data[0]
    assert [(one["source"], one["weight"]) for one in row["backends"]] == [
        (f"catalog {MODEL}", 0),
        (f"catalog {OTHER}", 1),
    ]
    assert (await stack.publish(also=[OTHER], weight=0)).ending is Ending.UNCHANGED


async def test_a_dropped_backend_leaves_no_object_and_its_name_stays_published(stack: Running) -> None:
    await stack.publish()
    assert (await stack.do("update", name="llama", also=[OTHER])).ending is Ending.DONE
    assert len(await stack.objects(*OF_A_BACKEND)) == 8
    planned = await stack.do("update", name="llama", drop=[MODEL], plan=True)
    plan: Plan = planned.data
    removed = [change.target for change in plan.changes if change.effect is Effect.REMOVE]
    assert [target.split()[0] for target in removed] == [
        "BackendSecurityPolicy", "AIServiceBackend", "Backend", "Secret",
    ]  # fmt: skip
    outcome = await stack.do("update", name="llama", drop=[MODEL])
    assert outcome.ending is Ending.DONE, outcome
    left = await stack.objects(*OF_A_BACKEND)
    assert len(left) == 4
    assert not set(removed) & set(left)
    assert set(await answered_by(stack, await stack.key("dropped"), 3)) == {"openrouter"}
    # What the name stands for has changed, and everything that says so with it.
    assert (await stack.entries())["llama"]["model_id"] == OTHER
    row = (await stack.do("published", name="llama")).data[0]
    assert (row["source"], row["ready"], row["reason"]) == (f"catalog {OTHER}", True, "")


async def test_backends_that_differ_a_lot_are_warned_of(stack: Running) -> None:
    outcome = await stack.publish(also=[DEAR], plan=True)
    assert outcome.ending is Ending.DONE, outcome
    text = " ".join(outcome.data.warnings)
    assert f"the price of output differs a lot: {DEAR}" in text
    assert "the context differs a lot" in text


async def test_a_fallback_answers_where_the_first_is_out_of_order_and_only_then(stack: Running) -> None:
    outcome = await stack.publish(fallback=[OTHER])
    assert outcome.ending is Ending.DONE, outcome
    key = await stack.key("falls-over")
    samples = stack.stack._upstreams
    assert set(await answered_by(stack, key, 6)) == {"deepinfra"}
    samples.fault("deepinfra", UpstreamFault(status=503))
    try:
        assert set(await answered_by(stack, key, 12)) == {"openrouter"}
        answer = await stack.chat(key, "llama")
        assert answer.json()["model"] == "meta-llama/llama-3.1-8b-instruct"
        # What the first has refused is for the client to hear: another would refuse it too, and cost a second time.
        samples.fault("deepinfra", UpstreamFault(status=400))
        await until(lambda: _is_answered(stack, key, 400), within=20, every=0.1)
    finally:
        samples.fault("deepinfra", UpstreamFault())
    assert set(await answered_by(stack, key, 6)) == {"deepinfra"}
    row = (await stack.do("published", name="llama")).data[0]
    assert [one["priority"] for one in row["backends"]] == [0, 1]
    assert (await stack.publish(fallback=[OTHER])).ending is Ending.UNCHANGED
    assert (await stack.do("publications.drift")).data == []
    assert (await stack.do("update", name="llama", drop=[MODEL])).ending is Ending.DONE
    assert set(await answered_by(stack, key, 3)) == {"openrouter"}


async def _is_answered(stack: Running, key: str, status: int) -> bool:
    return (await stack.chat(key, "llama")).status_code == status


@pytest.mark.parametrize("numbers", [range(0, STEPS, 3), pytest.param(range(STEPS), marks=pytest.mark.soak)], ids=str)
async def test_an_update_of_backends_that_fails_at_any_step_is_as_it_was(stack: Running, numbers: range) -> None:
    await stack.publish()
    key = await stack.key("undone")
    with fault_at(-1, "before", None) as begun:
        await stack.do("update", name="llama", also=[OTHER], drop=[MODEL])
    assert len(begun) == STEPS
    await stack.do("update", name="llama", also=[MODEL], drop=[OTHER])
    before, entries = sorted(await stack.objects(*EVERY_KIND)), await stack.entries()
    # From the first object to the last removal; what is done and not told of is harder than what is not done.
    for number in numbers:
        moment = "after" if number % 2 else "before"
        with fault_at(number, moment, Failure("the network is down", code="NETWORK")):
            outcome = await stack.do("update", name="llama", also=[OTHER], drop=[MODEL])
        assert (outcome.ending, outcome.code) == (Ending.FAILED, "NETWORK"), number
        assert sorted(await stack.objects(*EVERY_KIND)) == before, number
        assert await stack.entries() == entries, number
        assert (await stack.do("published", name="llama")).data[0]["source"] == f"catalog {MODEL}", number
        await until(lambda: _is_well(stack), what=f"step {number}")
        await until(lambda: _served_by(stack, key, "deepinfra"))


async def test_a_process_killed_while_it_changes_backends_is_recovered_from(stack: Running) -> None:
    await stack.publish()
    before, entries = sorted(await stack.objects(*EVERY_KIND)), await stack.entries()
    key = await stack.key("killed")
    for number in (0, 4, 6, STEPS - 4, STEPS - 1):
        with fault_at(number, "after", Killed()), contextlib.suppress(Killed):
            await stack.do("update", name="llama", also=[OTHER], drop=[MODEL])
        journal = Journal(await stack.services.store(), clock=lambda: datetime.now(UTC) + LEASE * 2)
        (record,) = await recover_once(journal, Runner(journal, StepKinds(stack.services)))
        assert record.state is OperationState.FAILED
        assert (sorted(await stack.objects(*EVERY_KIND)), await stack.entries()) == (before, entries)
        await until(lambda: _served_by(stack, key, "deepinfra"))


async def _is_well(stack: Running) -> bool:
    """The controllers have seen what was put back."""
    return (await stack.do("published", name="llama")).data[0]["reason"] == ""


async def _served_by(stack: Running, key: str, upstream: str) -> bool:
    answer = await stack.chat(key, "llama")
    return answer.status_code == 200 and answer.headers["x-sample-upstream"] == upstream


# --- hostnames ------------------------------------------------------------------------------------------------------


async def test_a_hostname_is_where_it_is_called_and_nowhere_else(stack: Running) -> None:
    outcome = await stack.publish(hostname=["llm.example.com"])
    assert outcome.ending is Ending.DONE, outcome
    port = stack.client.base_url.port
    assert outcome.data["url"] == f"http://llm.example.com:{port}/v1/chat/completions"
    headers = {"authorization": f"Bearer {await stack.key('hosts')}"}
    body = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}

    async def status(host: str) -> int:
        answer = await stack.client.post("/v1/chat/completions", json=body, headers=headers | {"host": host})
        return answer.status_code if answer.headers.get("x-sample-upstream") == "deepinfra" else 404

    assert [await status(host) for host in ("llm.example.com", "other.example.com")] == [200, 404]
    assert (await stack.do("update", name="llama", hostname=["other.example.com"])).ending is Ending.DONE
    assert [await status(host) for host in ("llm.example.com", "other.example.com")] == [404, 200]
    assert (await stack.do("update", name="llama", no=["hostname"])).ending is Ending.DONE
    assert await status("any.example.com") == 200


# --- two operators --------------------------------------------------------------------------------------------------


async def test_the_second_operator_is_told_who_is_at_work_and_since_when(stack: Running) -> None:
    await stack.publish(rpm=60)
    reached = asyncio.Event()
    kim = Principal("kim", Role.PUBLISHER, None, "cli", "10.0.0.7")
    with fault_at(1, "after", None, reached):
        first = asyncio.create_task(stack.do("update", who=kim, name="llama", rpm="70"))
        await reached.wait()
        for action, values in (("update", {"rpm": "80"}), ("unpublish", {}), ("publications.repair", {})):
            outcome = await stack.do(action, name="llama", **values)
            if outcome.ending is Ending.UNCHANGED:
                continue
            assert (outcome.ending, outcome.code) == (Ending.REFUSED, "OPERATION_UNDER_WAY"), outcome
            assert re.search(
                r"update of model llama by kim@10\.0\.0\.7 is under way since \d\d:\d\d:\d\d UTC", outcome.summary
            )
        first.cancel()
        await first
    assert (await stack.do("published", name="llama")).data[0]["limits"]["requests_per_minute"] == 60


async def test_what_was_planned_on_what_is_not_so_any_more_is_not_applied(stack: Running) -> None:
    """Both have read the publication; the one who comes second would undo what the first has changed."""
    await stack.publish(rpm=60)
    kim = Principal("kim", Role.PUBLISHER, None, "cli", "10.0.0.7")
    real = Runner.run

    async def late(self: Runner, new: NewOperation, listen: Any = None) -> Any:
        patched.undo()
        assert (await stack.do("update", who=kim, name="llama", also=[OTHER])).ending is Ending.DONE
        return await real(self, new, listen)

    for action, values in (("update", {"rpm": "80"}), ("unpublish", {})):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Runner, "run", late)
            outcome = await stack.do(action, name="llama", **values)
        assert (outcome.ending, outcome.code) == (Ending.REFUSED, "CHANGED_MEANWHILE"), outcome
        assert "changed meanwhile by kim@10.0.0.7 (update, " in outcome.summary
        row = (await stack.do("published", name="llama")).data[0]
        assert (len(row["backends"]), row["limits"]["requests_per_minute"], row["ready"]) == (2, 60, True)
        assert (await stack.do("update", name="llama", drop=[OTHER])).ending is Ending.DONE


async def test_another_managers_field_is_named_and_taken_over_only_when_asked(stack: Running, tmp_path: Path) -> None:
    await stack.publish(rpm=60)
    manifest = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "BackendTrafficPolicy",
        "metadata": {"name": "pub-llama", "namespace": "acme"},
        "spec": {"timeout": {"http": {"requestTimeout": "7s"}}},
    }
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(manifest))
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.prefix) / "bin" / "kubectl"),
        f"--kubeconfig={stack.services.profile.kubernetes.kubeconfig}",
        *("apply", "--server-side", "--force-conflicts", "--field-manager=argocd", "-f", str(file)),
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    told = "BackendTrafficPolicy acme/pub-llama spec.timeout.http.requestTimeout is managed by argocd"
    planned = await stack.do("update", name="llama", timeout="2m", plan=True)
    assert planned.data.conflicts == (told,)
    assert "--take-over" in planned.then
    outcome = await stack.do("update", name="llama", timeout="2m")
    assert (outcome.ending, outcome.code, outcome.status) == (Ending.REFUSED, "FIELD_CONFLICT", 409)
    assert outcome.summary.startswith(told)
    assert (await policy(stack))["timeout"]["http"]["requestTimeout"] == "7s"
    planned = await stack.do("update", name="llama", timeout="2m", take_over=True, plan=True)
    assert planned.data.conflicts == ()
    assert planned.data.warnings[0] == f"{told}, and would be taken over"
    outcome = await stack.do("update", name="llama", timeout="2m", take_over=True)
    assert outcome.ending is Ending.DONE, outcome
    assert (await policy(stack))["timeout"]["http"]["requestTimeout"] == "120s"
    assert (await stack.do("update", name="llama", timeout="3m")).ending is Ending.DONE, "it is ours now"


# --- under load -----------------------------------------------------------------------------------------------------


async def test_no_kind_of_update_fails_a_request_even_one_that_is_under_way(stack: Running) -> None:
    """Slow and quick requests all the time, while limits, access, hostnames and backends change; none fails."""
    await stack.publish(rpm=100_000)
    key = await stack.key("held")
    headers = {"authorization": f"Bearer {key}", "host": "llm.example.com"}
    body = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
    statuses: list[int] = []
    stop = asyncio.Event()
    samples = stack.stack._upstreams

    async def load() -> None:
        while not stop.is_set():
            answer = await stack.client.post("/v1/chat/completions", json=body, headers=headers)
            statuses.append(answer.status_code)
            await asyncio.sleep(0.02)  # a load, not all that the machine can do

    # Each answer of this one takes longer than the removal of what leads to it.
    samples.fault("deepinfra", UpstreamFault(delay=0.5))
    callers = [asyncio.create_task(load()) for _ in range(6)]
    try:
        for action, values in (
            ("update", {"rpm": "90000", "burst": "9000", "rpd": "1000000"}),
            ("update", {"also": [OTHER], "retries": "1"}),
            ("update", {"also": [f"{OTHER}=3", f"{MODEL}=1"], "max_connections": "500"}),
            ("update", {"drop": [MODEL]}),
            ("update", {"fallback": [MODEL]}),
            ("update", {"drop": [MODEL], "no": ["retries"]}),
            ("update", {"hostname": ["llm.example.com", "other.example.com"]}),
            ("update", {"hostname": ["*.example.com"]}),
            ("keys.edit", {"model": ["llama"], "network": ["127.0.0.0/8"]}),
            ("keys.rotate", {"grace": "300s"}),
            ("update", {"hostname": ["llm.example.com"], "idle_timeout": "60", "tenant_rpm": "200000"}),
            ("update", {"also": [MODEL], "no": ["burst", "rpd", "retries"], "timeout": "120"}),
            ("keys.edit", {"no_models": True, "no_networks": True}),
            ("update", {"drop": [OTHER], "no": ["hostname"]}),
        ):
            outcome = await stack.do(action, **{"name": "llama"} if action == "update" else {"key": "held"}, **values)
            assert outcome.ending is Ending.DONE, (values, outcome)
    finally:
        stop.set()
        await asyncio.gather(*callers)
        samples.fault("deepinfra", None)
    assert len(statuses) > 20
    assert set(statuses) == {200}, Counter(statuses)
