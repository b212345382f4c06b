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
    CLIENT_TRAFFIC_POLICY,
    HTTP_ROUTE,
    LLM_INFERENCE_SERVICE,
    NAMESPACE,
    SECRET,
    SECURITY_POLICY,
    Ref,
)
from console.keys.quotas import MAX_PUBLICATIONS, MAX_RPM
from console.operations.types import Progress, StepState
from console.outcome import Ending, Failure
from console.publishing import holders
from console.publishing.types import Effect, Plan
from console.services import Services
from tests.support.stack import ADMIN, MODEL, Running, fault_at
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS = Ref(CLIENT_TRAFFIC_POLICY, "modeldeck-requests", "modeldeck-system")
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


@pytest.mark.parametrize("access", ["native", "ext_authz"])
async def test_only_what_clients_ask_is_counted(stack: Running, access: str) -> None:
    """Modeldeck's own probe is nobody's use."""
    name = f"counted-{access.replace('_', '-')}"
    outcome = await stack.publish(name, access=access)
    assert any(proof.startswith("live probe: 200") for proof in outcome.proof)
    assert (await stack.chat(await stack.key(name), name)).status_code == 200

    async def requests() -> int:
        return int((await stack.do("published", name=name)).data[0]["requests"])

    await until(requests, every=0.1)
    assert await requests() == 1


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
    planned = await stack.publish("local", "isvc/acme/llama-local", plan=True)
    assert planned.as_json()["data"]["reasons"] == [
        "modelFormat huggingface serves OpenAI's API under /openai/v1",
        "/openai/v1/models answered a list of 1 model, as OpenAI's API does",
        "/v1/models answered a list of 1 model, as OpenAI's API does",
        "/v2/health/ready answered that it is ready",
        "/v1/models/llama-local answered as KServe's protocol does",
    ]
    assert not planned.data.warnings[1:], planned.data.warnings
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


async def test_an_llm_inference_service_is_published_and_one_of_its_adapters_stands_in(stack: Running) -> None:
    port = await stack.stack._upstreams.add("llm", token=None)
    cluster = await stack.cluster()
    permit = system_permit("make a service")
    service = {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {
            "name": "poems",
            "namespace": "acme",
            "annotations": {"local.modeldeck.dev/upstream": f"127.0.0.1:{port}"},
        },
        "spec": {
            "model": {"uri": "hf://x/y", "name": "x/y", "lora": {"adapters": [{"name": "haiku", "uri": "hf://h"}]}},
            "replicas": 1,
        },
    }
    await cluster.apply(permit, service)
    ref = Ref(LLM_INFERENCE_SERVICE, "poems", "acme")
    await until(lambda: _is_ready(stack, ref), within=10)
    outcome = await stack.publish("poems", "llmisvc/acme/poems", tenant="acme", fallback=["llmisvc/acme/poems/haiku"])
    assert outcome.ending is Ending.DONE, outcome
    answer = await stack.chat(await stack.key("poet"), "poems")
    assert answer.headers["x-sample-upstream"] == "llm"
    assert answer.json()["model"] == "x/y"
    kinds = {target.split()[0] for target in outcome.data["objects"]}
    assert kinds == {"Backend", "AIServiceBackend", "BackendTrafficPolicy", "SecurityPolicy", "AIGatewayRoute"}
    declared = await stack.do("publications.export", name="poems", declaration=True)
    assert "llmisvc/acme/poems/haiku" in str(declared.data)
    assert (await stack.publish("poems", "llmisvc/acme/poems", fallback=["llmisvc/acme/poems/haiku"])).ending is (
        Ending.UNCHANGED
    )
    assert (await stack.publish("p", "llmisvc/acme/poems", type="traditional")).code == "INVALID_PARAMETER"
    assert (await stack.publish("p", "llmisvc/acme/none")).code == "MODEL_NOT_FOUND"
    await cluster.delete(permit, ref)


async def _is_ready(stack: Running, ref: Ref) -> bool:
    found = await (await stack.cluster()).get(ref) or {}
    conditions = found.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def test_the_operator_decides_how_a_service_is_called(stack: Running) -> None:
    outcome = await stack.publish("local", "isvc/acme/llama-local", type="traditional")
    assert outcome.ending is Ending.DONE, outcome
    assert (outcome.data["kind"], outcome.data["url"].partition("/t/")[2]) == (
        "traditional",
        "acme/v1/models/local:predict",
    )


async def test_a_long_prompt_is_taken_and_a_gateway_that_would_refuse_it_is_told_of(stack: Running) -> None:
    planned = await stack.publish(plan=True)
    assert not any("413" in warning for warning in planned.data.warnings)
    await stack.publish()
    key = await stack.key("long")
    long = [{"role": "user", "content": "word " * 200_000}]
    assert (await stack.chat(key, "llama", messages=long)).status_code == 200
    try:
        refused = await stack.do("gateway.buffer", size="64Ki")
        assert (refused.ending, "is managed by modeldeck-local" in refused.summary) == (Ending.REFUSED, True), refused
        outcome = await stack.do("gateway.buffer", size="64Ki", take_over=True)
        assert outcome.ending is Ending.DONE, outcome
        assert (await stack.do("gateway.buffer", size="64Ki")).ending is Ending.UNCHANGED
        planned = await stack.publish("other", plan=True)
        assert any("more than 64 KiB is answered 413" in warning for warning in planned.data.warnings)
        await until(lambda: _is_refused(stack, key, long), within=10)
        # One that fails is undone.
        with fault_at(0, "after", Failure("the network is down")):
            assert (await stack.do("gateway.buffer", size="1Mi", take_over=True)).ending is Ending.FAILED
        assert await _buffer(stack) == "64Ki"
        # Without any, it gets one of ours, and loses it again where that fails.
        await (await stack.cluster()).delete(system_permit("by hand"), REQUESTS)
        with fault_at(0, "after", Failure("the network is down")):
            assert (await stack.do("gateway.buffer", size="1Mi")).ending is Ending.FAILED
        assert await _buffer(stack) is None
    finally:
        assert (await stack.do("gateway.buffer", size="8Mi", take_over=True)).ending is Ending.DONE
    assert (await stack.chat(key, "llama", messages=long)).status_code == 200


async def test_how_large_a_request_may_be_is_for_who_has_every_tenant(stack: Running) -> None:
    mine = Principal("a", Role.ADMIN, frozenset({"acme"}))
    assert (await stack.do("gateway.buffer", who=mine, size="1Mi")).code == "TENANT_FORBIDDEN"
    assert (await stack.do("gateway.buffer", who=Principal("p", Role.PUBLISHER), size="1Mi")).status == 403
    for size in ("1", "2Gi", "much", "-1Mi"):
        assert (await stack.do("gateway.buffer", size=size)).code == "INVALID_PARAMETER"


async def _buffer(stack: Running) -> str | None:
    found = await (await stack.cluster()).get(REQUESTS)
    return None if found is None else str(found["spec"]["connection"]["bufferLimit"])


async def _is_refused(stack: Running, key: str, messages: list[dict[str, str]]) -> bool:
    return (await stack.chat(key, "llama", messages=messages)).status_code == 413


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
    again = await stack.do("unpublish", name="llama")
    assert (again.ending, again.summary) == (Ending.UNCHANGED, "llama is not published any more")
    assert (await stack.do("unpublish", name="never")).status == 404


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
            await asyncio.sleep(0.01)

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


async def test_nothing_is_brought_about_for_a_suspended_tenant_and_what_is_there_can_still_go(stack: Running) -> None:
    """Its live probe would be refused: that is said before anything is changed."""
    assert (await stack.publish("there")).ending is Ending.DONE
    assert (await stack.do("tenants.suspend", tenant="acme")).ending is Ending.DONE
    try:
        assert (await stack.publish("there")).ending is Ending.UNCHANGED
        row = (await stack.do("published", name="there")).data[0]
        assert (row["status"], row["ready"]) == ("not ready", False)
        assert row["reason"] == "tenant acme is suspended: its keys are refused with 403"
        documented = await stack.do("publications.docs", name="there")
        assert (documented.ending, "FAILED" in documented.summary) == (Ending.PARTIAL, True)
        cluster = await stack.cluster()
        await cluster.delete(system_permit("somebody"), Ref(SECURITY_POLICY, "pub-there", "acme"))
        objects, operations = await stack.objects(*EVERY_KIND), await stack.do("operations.list")
        for action, values in (
            ("publish", {"name": "new", "model": MODEL, "tenant": "acme"}),
            ("publish", {"name": "new", "model": MODEL, "tenant": "acme", "plan": True}),
            ("publish", {"name": "there", "model": MODEL, "tenant": "acme"}),
            ("update", {"name": "there", "rpm": "60"}),
            ("publications.repair", {"name": "there"}),
        ):
            outcome = await stack.do(action, **values)
            assert (outcome.ending, outcome.code) == (Ending.REFUSED, "TENANT_SUSPENDED"), action
            assert outcome.then == "modeldeck tenants resume acme"
        assert await stack.objects(*EVERY_KIND) == objects
        assert len((await stack.do("operations.list")).data) == len(operations.data)
        assert (await stack.do("unpublish", name="there")).ending is Ending.DONE
    finally:
        assert (await stack.do("tenants.resume", tenant="acme")).ending is Ending.DONE
    assert (await stack.publish("new")).ending is Ending.DONE


async def test_another_tenants_publication_looks_like_none(stack: Running) -> None:
    await stack.publish("there")
    other = Principal("v", Role.VIEWER, frozenset({"globex"}))
    for name in ("there", "nothing"):
        outcome = await stack.do("published", who=other, name=name)
        assert (outcome.code, outcome.status) == ("NOT_PUBLISHED", 404)
        assert outcome.summary == f"nothing is published as {name}"


@pytest.mark.parametrize("text", ["mdt_-iiecXbbKsXc0ZlOmTcX0abcd", "bud_client_e_2OXBr4WU85SIx-H9zYIl8OmTcX0"])
async def test_a_key_that_was_pasted_where_a_name_belongs_is_not_repeated(stack: Running, text: str) -> None:
    """In no answer, and not in the audit."""
    told = [
        (await stack.do("publish", model=text, tenant="acme")).as_json(),
        (await stack.do("update", name=text, rpm="3")).as_json(),
        (await stack.do("unpublish", name=text)).as_json(),
        (await stack.do("publish", file=f"{text}: 1\n")).as_json(),
        (await stack.do("publish", file="root:*:20228:0:99999:7:: 1\n")).as_json(),
        [row.as_json() for row in await (await stack.services.audit()).recent(8)],
    ]
    assert text[:30] not in json.dumps(told)
    assert "20228" not in json.dumps(told)


async def test_no_key_is_left_with_a_model_that_goes_or_never_came(stack: Running) -> None:
    """Whoever is quicker: a key that is made while a model is published, or while it is removed."""
    reached = asyncio.Event()
    with fault_at(2, "before", None, reached):
        publishing = asyncio.create_task(stack.publish())
        await reached.wait()
        refused = await stack.do("keys.create", name="early", tenant="acme", kind="admin", model=["llama"])
        assert (refused.ending, refused.code) == (Ending.REFUSED, "OPERATION_UNDER_WAY")
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    await stack.publish()
    await stack.publish("other")
    await stack.key("own", kind="admin", model=["other"])
    with pytest.MonkeyPatch.context() as patched:
        real = holders.holders

        async def while_it_is_planned(call: Any, publication: Any) -> Any:
            found = await real(call, publication)
            await stack.key("quick", kind="admin", model=["llama"])
            return found

        patched.setattr(holders, "holders", while_it_is_planned)
        outcome = await stack.do("unpublish", name="llama")
    assert (outcome.ending, outcome.code) == (Ending.REFUSED, "CHANGED_MEANWHILE")
    reached.clear()
    with fault_at(2, "before", None, reached):
        removing = asyncio.create_task(stack.do("unpublish", name="llama"))
        await reached.wait()
        refused = await stack.do("keys.edit", key="own", model=["other", "llama"])
        assert (refused.ending, refused.code) == (Ending.REFUSED, "OPERATION_UNDER_WAY")
        removing.cancel()
        ended = await removing
    # There is no way back from a route that is gone: it is finished, and says so.
    assert (ended.ending, ended.summary) == (Ending.DONE, "llama is not published any more")
    models = {row["name"]: row["models"] for row in (await stack.do("keys.list")).data if row["state"] != "revoked"}
    assert not any("llama" in some for some in models.values()), models


async def test_while_a_foreign_entry_freezes_the_registry_nothing_is_said_to_be_in_effect(stack: Running) -> None:
    """One malformed entry, and gateways keep the map that they have (DESIGN.md)."""
    assert (await stack.publish("thawed")).ending is Ending.DONE
    redis = await stack.services.redis()
    document = json.loads(await redis.get(PUBLISHED_KEY))
    await redis.set(PUBLISHED_KEY, json.dumps(document | {"foreign": {"endpoint_id": 7}}))
    refused = await stack.publish("late")
    assert (refused.ending, refused.code) == (Ending.REFUSED, "MALFORMED_REGISTRY")
    assert "'foreign'" in refused.summary
    assert "nothing was changed" in refused.summary
    (row,) = (await stack.do("published", name="thawed")).data
    assert not row["ready"]
    assert "gateways keep an older published_model_info" in row["reason"]
    taken = await stack.do("unpublish", name="thawed")
    assert taken.ending is Ending.PENDING, taken
    assert "gateways keep an older published_model_info, where it still is" in taken.summary
    document = json.loads(await redis.get(PUBLISHED_KEY))
    assert set(document) == {"foreign"}
    await redis.set(PUBLISHED_KEY, "{}")
    assert (await stack.publish("late")).ending is Ending.DONE
    assert (await stack.do("unpublish", name="late")).ending is Ending.DONE
