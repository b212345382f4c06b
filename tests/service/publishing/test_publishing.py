"""Publishing on the whole stack: what clients get, what is left, what an operator is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from console.access.types import PUBLISHED_KEY
from console.actions import REGISTRY
from console.actions.perform import perform
from console.guard import Principal, Role, system_permit
from console.k8s.types import (
    AI_GATEWAY_ROUTE,
    AI_SERVICE_BACKEND,
    BACKEND,
    BACKEND_SECURITY_POLICY,
    BACKEND_TRAFFIC_POLICY,
    HTTP_ROUTE,
    NAMESPACE,
    SECRET,
    SECURITY_POLICY,
    Ref,
)
from console.keys.quotas import MAX_PUBLICATIONS, MAX_RPM
from console.operations.types import Progress, StepState
from console.outcome import Ending
from console.publishing.types import Effect, Plan
from console.services import Services
from tests.support.stack import ADMIN, Running
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY_KIND = (
    SECRET,
    BACKEND,
    AI_SERVICE_BACKEND,
    BACKEND_SECURITY_POLICY,
    BACKEND_TRAFFIC_POLICY,
    SECURITY_POLICY,
    AI_GATEWAY_ROUTE,
    HTTP_ROUTE,
)


async def test_a_published_model_is_served_and_proven(stack: Running) -> None:
    heard: list[Any] = []
    outcome = await stack.publish(emit=heard.append)
    assert outcome.ending is Ending.DONE
    assert any(proof.startswith("live probe: 200") for proof in outcome.proof)
    assert isinstance(heard[0], Plan), "the plan is told before anything is done"
    assert {p.state for p in heard[1:] if isinstance(p, Progress)} == {StepState.TAKING, StepState.TAKEN}
    key = await stack.key("served")
    answer = await stack.chat(key, "llama")
    assert answer.status_code == 200
    assert answer.headers["x-sample-upstream"] == "deepinfra"
    # The upstream knows it by its own name, and gets the provider's credential, not the client's key.
    assert answer.json()["model"] == "meta-llama/Llama-3.1-8B-Instruct"
    row = (await stack.do("published", name="llama")).data[0]
    assert (row["ready"], row["state"], row["reason"]) == (True, "ready", "")


async def test_the_plan_changes_nothing_and_shows_every_object_and_entry(stack: Running) -> None:
    before = await stack.entries()
    outcome = await stack.publish(plan=True, rpm=60)
    assert outcome.ending is Ending.DONE
    plan: Plan = outcome.data
    kinds = [change.target.split()[0] for change in plan.changes]
    assert kinds[-8:] == [
        "Secret",
        "Backend",
        "AIServiceBackend",
        "BackendSecurityPolicy",
        "BackendTrafficPolicy",
        "SecurityPolicy",
        "AIGatewayRoute",
        "published_model_info",
    ]
    assert await stack.objects(*EVERY_KIND) == []
    assert await stack.entries() == before
    assert (await stack.do("published")).data == []
    text = json.dumps(plan.as_json(), ensure_ascii=False)
    credential = (stack.layout.secrets / "sample-provider").read_text()
    assert credential not in text
    assert "•••" in text


async def test_publishing_the_same_again_changes_nothing(stack: Running) -> None:
    await stack.publish(rpm=60)
    outcome = await stack.publish(rpm=60)
    assert outcome.ending is Ending.UNCHANGED


async def test_a_name_is_published_once(stack: Running) -> None:
    await stack.publish()
    for other in ({"tenant": "globex"}, {"model": "deepinfra/meta-llama/Llama-3.1-70B-Instruct"}):
        outcome = await stack.publish(**other)
        assert (outcome.ending, outcome.status, outcome.code) == (Ending.REFUSED, 409, "ALREADY_PUBLISHED")


async def test_another_writers_entry_of_that_name_is_respected(stack: Running) -> None:
    redis = await stack.services.redis()
    foreign = {"llama": {"endpoint_id": "theirs"}}
    await redis.set(PUBLISHED_KEY, json.dumps(foreign))
    outcome = await stack.publish()
    assert (outcome.code, outcome.status) == ("ALREADY_PUBLISHED", 409)
    assert await stack.entries() == foreign
    assert await stack.objects(*EVERY_KIND) == []


async def test_an_object_of_somebody_else_is_left_alone(stack: Running) -> None:
    cluster = await stack.cluster()
    mine = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": "pub-llama", "namespace": "acme"},
        "spec": {"endpoints": [{"ip": {"address": "127.0.0.1", "port": 9}}]},
    }
    permit = system_permit("test")
    await cluster.apply(permit, mine)
    try:
        outcome = await stack.publish()
        assert (outcome.code, outcome.status) == ("OBJECT_EXISTS", 409)
        found = await cluster.get(Ref(BACKEND, "pub-llama", "acme"))
        assert found is not None
        assert found["spec"] == mine["spec"]
    finally:
        await cluster.delete(permit, Ref(BACKEND, "pub-llama", "acme"))


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"model": "deepinfra/no/such-model"}, "MODEL_NOT_FOUND"),
        ({"model": "nobody/x"}, "MODEL_NOT_FOUND"),
        ({"model": "isvc/acme/nothing"}, "MODEL_NOT_FOUND"),
        ({"model": "isvc/acme/llama-local", "tenant": "globex"}, "INVALID_TENANT"),
        ({"tenant": "nobody"}, "INVALID_TENANT"),
        ({"tenant": "modeldeck-system"}, "INVALID_TENANT"),
        ({"name": "with space"}, "INVALID_NAME"),
        ({"name": "../../etc"}, "INVALID_NAME"),
        ({"model": "isvc/globex/iris", "tenant": "globex", "name": "a/b"}, "INVALID_NAME"),
        ({"rpm": "none"}, "INVALID_PARAMETER"),
        ({"rpm": "0"}, "INVALID_PARAMETER"),
        ({"type": "soap"}, "INVALID_PARAMETER"),
        ({"name": "x\u202ey"}, "INVALID_PARAMETER"),
    ],
)
async def test_what_cannot_be_published_is_refused_and_nothing_changes(
    stack: Running, values: Mapping[str, Any], code: str
) -> None:
    outcome = await stack.publish(**values)
    assert (outcome.ending, outcome.code) == (Ending.REFUSED, code)
    assert await stack.objects(*EVERY_KIND) == []
    assert await stack.entries() == {}


async def test_roles_and_tenants_are_enforced(stack: Running) -> None:
    viewer = Principal("v", Role.VIEWER)
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    assert (await stack.publish(who=viewer)).status == 403
    assert (await stack.publish(who=globex)).status == 403
    await stack.publish()
    assert (await stack.do("unpublish", who=globex, name="llama")).code == "TENANT_FORBIDDEN"
    assert (await stack.do("update", who=globex, name="llama", rpm="5")).code == "TENANT_FORBIDDEN"
    assert (await stack.do("published", who=globex)).data == []


async def test_an_inference_service_of_either_kind_is_published(stack: Running) -> None:
    traditional = await stack.publish("iris", "isvc/globex/iris", tenant="globex")
    assert traditional.data["kind"] == "traditional"
    openai = await stack.publish("local", "isvc/acme/llama-local")
    assert openai.data["kind"] == "openai"
    key = await stack.key("isvc")
    answer = await stack.chat(key, "local")
    assert answer.headers["x-sample-upstream"] == "llama-local"
    headers = {"authorization": f"Bearer {key}"}
    answer = await stack.client.post("/t/globex/v1/models/iris:predict", json={"instances": [[1]]}, headers=headers)
    assert (answer.status_code, answer.headers["x-sample-upstream"]) == (200, "iris")
    # A body that names a model the key may call opens no door to a route that stands for another.
    admin = await stack.key("only-local", kind="admin", model="local")
    answer = await stack.client.post(
        "/t/globex/v1/models/iris:predict",
        json={"model": "local", "instances": [[1]]},
        headers={"authorization": f"Bearer {admin}"},
    )
    assert answer.status_code == 404


async def test_limits_are_enforced_per_key_and_changed_in_place(stack: Running) -> None:
    await stack.publish(rpm=3)
    first, second = await stack.key("limit-1"), await stack.key("limit-2")
    statuses = [(await stack.chat(first, "llama")).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert (await stack.chat(second, "llama")).status_code == 200
    answer = await stack.chat(first, "llama")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"]
    outcome = await stack.do("update", name="llama", rpm="1000")
    assert outcome.ending is Ending.DONE
    await until(lambda: _ok(stack, first), within=5)
    assert (await stack.do("update", name="llama", rpm="1000")).ending is Ending.UNCHANGED
    assert (await stack.do("update", name="llama")).code == "INVALID_PARAMETER"


async def _ok(stack: Running, key: str) -> bool:
    return (await stack.chat(key, "llama")).status_code == 200


async def test_drift_is_told_and_repaired_by_publishing_again(stack: Running) -> None:
    await stack.publish()
    cluster, redis = await stack.cluster(), await stack.services.redis()
    await cluster.delete(system_permit("somebody"), Ref(SECURITY_POLICY, "pub-llama", "acme"))
    await redis.set(PUBLISHED_KEY, "{}")
    row = (await stack.do("published", name="llama")).data[0]
    assert not row["ready"]
    assert "SecurityPolicy" in row["reason"]
    outcome = await stack.publish()
    assert outcome.ending is Ending.DONE, outcome
    assert "llama" in await stack.entries()
    assert (await stack.do("published", name="llama")).data[0]["ready"]


async def test_unpublishing_removes_everything_of_ours_and_nothing_else(stack: Running) -> None:
    redis = await stack.services.redis()
    await redis.set(PUBLISHED_KEY, json.dumps({"foreign": {"endpoint_id": "x"}}))
    await stack.publish()
    key = await stack.key("gone")
    refused = await stack.do("unpublish", confirmed="", name="llama")
    assert refused.code == "NOT_CONFIRMED"
    outcome = await stack.do("unpublish", name="llama")
    assert outcome.ending is Ending.DONE
    assert await stack.objects(*EVERY_KIND) == []
    assert await stack.entries() == {"foreign": {"endpoint_id": "x"}}
    assert (await stack.chat(key, "llama")).status_code == 404
    assert (await stack.do("unpublish", name="llama")).status == 404


async def test_unpublishing_takes_it_from_the_keys_that_name_it(stack: Running) -> None:
    await stack.publish()
    await stack.publish("other", "deepinfra/meta-llama/Llama-3.1-70B-Instruct")
    only = await stack.key("only-this", kind="admin", model=["llama"])
    both = await stack.key("both", kind="admin", model=["llama", "other"])
    every = await stack.key("every")
    plan: Plan = (await stack.do("unpublish", name="llama", plan=True)).data
    told = [(change.target.split(" (")[0], change.effect) for change in plan.changes if change.target.startswith("key")]
    assert sorted(told) == [("key both", Effect.CHANGE), ("key only-this", Effect.REMOVE)]
    outcome = await stack.do("unpublish", name="llama")
    assert outcome.ending is Ending.DONE, outcome
    listed = {row["name"]: row for row in (await stack.do("keys.list", tenant="acme")).data}
    assert "only-this" not in listed
    assert (listed["both"]["models"], listed["every"]["state"]) == (["other"], "active")
    for key, model, status in ((only, "other", 401), (both, "llama", 404), (both, "other", 200), (every, "other", 200)):
        await until(lambda k=key, m=model, s=status: _answers(stack, k, m, s), within=5)  # type: ignore[misc]
    assert (await stack.do("keys.rotate", key="both", grace="0")).ending is Ending.DONE, "it is whole"


async def _answers(stack: Running, key: str, model: str, status: int) -> bool:
    return (await stack.chat(key, model)).status_code == status


async def test_looking_at_a_plan_is_allowed_where_writing_is_not_and_leaves_no_record(stack: Running) -> None:
    await stack.publish()
    audit = await stack.services.audit()
    newest = (await audit.recent(1))[0].seq
    profile = stack.services.profile.model_copy(update={"read_only": True})
    async with Services(profile) as services:
        for action in ("update", "unpublish"):
            values = {"name": "llama", "plan": True} | ({"rpm": "7"} if action == "update" else {})
            outcome = await perform(services, REGISTRY[action], values, ADMIN)
            assert outcome.ending in (Ending.DONE, Ending.UNCHANGED), outcome
            assert outcome.data.changes
            del values["plan"]
            assert (await perform(services, REGISTRY[action], values, ADMIN, confirmed="yes")).code == "FORBIDDEN"
    assert [row.outcome for row in await audit.recent() if row.seq > newest] == ["refused", "refused"]


async def test_a_publication_can_come_back_under_its_name(stack: Running) -> None:
    for _ in range(2):
        assert (await stack.publish()).ending is Ending.DONE
        assert (await stack.do("unpublish", name="llama")).ending is Ending.DONE


async def test_an_update_fails_no_request(stack: Running) -> None:
    """Requests run all the time while limits and timeouts change; not one of them fails."""
    await stack.publish(rpm=100_000)
    key = await stack.key("load")
    statuses: list[int] = []
    stop = asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            statuses.append((await stack.chat(key, "llama")).status_code)

    callers = [asyncio.create_task(load()) for _ in range(4)]
    for values in ({"rpm": "90000"}, {"timeout": "120"}, {"no_rpm": True}, {"rpm": "80000", "timeout": "300"}):
        assert (await stack.do("update", name="llama", **values)).ending is Ending.DONE
    stop.set()
    await asyncio.gather(*callers)
    assert len(statuses) > 20
    assert set(statuses) == {200}


async def test_a_tenants_quota_holds_for_what_is_published_and_for_its_limits(stack: Running) -> None:
    cluster = await stack.services.cluster()
    namespace = Ref(NAMESPACE, "acme", None)

    async def annotate(values: dict[str, str | None]) -> None:
        labels = (await cluster.get(namespace) or {})["metadata"]["labels"]
        metadata = {"name": "acme", "labels": labels, "annotations": {k: v for k, v in values.items() if v}}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        await cluster.apply(system_permit("test"), manifest, force=True)

    await annotate({MAX_PUBLICATIONS: "1", MAX_RPM: "60"})
    try:
        assert (await stack.publish("unlimited")).code == "QUOTA_EXCEEDED"
        assert (await stack.publish("first", rpm="60")).ending is Ending.DONE
        assert (await stack.publish("second", rpm="60")).code == "QUOTA_EXCEEDED"
        for change in ({"rpm": "61"}, {"no_rpm": True}):
            outcome = await stack.do("update", name="first", **change)
            assert (outcome.ending, outcome.code) == (Ending.REFUSED, "QUOTA_EXCEEDED")
        row = next(row for row in (await stack.do("tenants.list")).data if row["name"] == "acme")
        assert (row["publications"], row["max_rpm"]) == ("1/1", 60)
    finally:
        await annotate({})
