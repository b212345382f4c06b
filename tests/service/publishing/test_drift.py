"""Drift: found field by field with who did it, repaired, or adopted."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from console.access.types import PUBLISHED_KEY, digest_of
from console.guard import Principal, Role, system_permit
from console.k8s.cluster import Cluster
from console.k8s.errors import Forbidden
from console.k8s.types import (
    BACKEND,
    BACKEND_TRAFFIC_POLICY,
    REFERENCE_GRANT,
    SECRET,
    SECURITY_POLICY,
    Change,
    Kind,
    Ref,
)
from console.outcome import Ending, Failure
from console.publishing.diff import cleaned
from console.publishing.following import follow
from console.publishing.types import Effect, Plan
from tests.support.stack import Running, fault_at
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
TRAFFIC = Ref(BACKEND_TRAFFIC_POLICY, "pub-llama", "acme")
KIM = system_permit("by hand")


@pytest_asyncio.fixture(loop_scope="module")
async def kim(stack: Running) -> AsyncIterator[Cluster]:
    """Somebody else, with a field manager of her own."""
    cluster = await Cluster.connect(kubeconfig=stack.services.profile.kubernetes.kubeconfig, manager="kim")
    yield cluster
    await cluster.close()


async def _drift(stack: Running, **values: Any) -> list[dict[str, Any]]:
    outcome = await stack.do("publications.drift", **values)
    assert outcome.ending is Ending.DONE, outcome
    return list(outcome.data)


def _limit(stack: Running, requests: int) -> dict[str, Any]:
    rule = {
        "clientSelectors": [{"headers": [{"name": "x-modeldeck-key-id", "type": "Distinct"}]}],
        "limit": {"requests": requests, "unit": "Minute"},
    }
    counted = "global" if stack.services.profile.gateway.global_limiter else "local"
    return {"spec": {"rateLimit": {counted: {"rules": [rule]}}}}


async def test_where_nothing_was_changed_there_is_none(stack: Running) -> None:
    await stack.publish(rpm=60)
    await stack.publish("iris", "isvc/globex/iris", tenant="globex")
    assert await _drift(stack) == []
    assert (await stack.do("publications.repair", name="llama")).ending is Ending.UNCHANGED
    assert (await stack.do("publications.adopt", name="llama")).ending is Ending.UNCHANGED


async def test_it_names_the_field_the_values_and_who(stack: Running, tmp_path: Path) -> None:
    await stack.publish(rpm=60)
    patch = json.dumps({"spec": {"timeout": {"http": {"requestTimeout": "7s"}}, "retry": {"numRetries": 2}}})
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.prefix) / "bin" / "kubectl"),
        f"--kubeconfig={stack.services.profile.kubernetes.kubeconfig}",
        *("patch", "backendtrafficpolicy", "pub-llama", "-n", "acme", "--type=merge", "-p", patch),
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    rows = await _drift(stack, name="llama")
    found = {row["field"]: (row["wanted"], row["found"], row["by"]) for row in rows}
    assert found == {
        "spec.timeout.http.requestTimeout": ('"300s"', '"7s"', "kubectl-patch"),
        "spec.retry": (None, '{"numRetries": 2}', "kubectl-patch"),
    }
    assert all(row["at"].startswith("20") for row in rows)
    outcome = await stack.do("publications.repair", name="llama")
    assert outcome.ending is Ending.DONE, outcome
    assert await _drift(stack) == []
    live = await (await stack.cluster()).get(TRAFFIC)
    assert live is not None
    assert "retry" not in live["spec"]


async def test_what_is_missing_is_made_again_in_the_cluster_and_in_redis(stack: Running, kim: Cluster) -> None:
    await stack.publish()
    redis = await stack.services.redis()
    await kim.delete(KIM, Ref(SECURITY_POLICY, "pub-llama", "acme"))
    await redis.set(PUBLISHED_KEY, "{}")
    planned = await stack.do("publications.repair", name="llama", plan=True)
    assert isinstance(planned.data, Plan)
    created = {change.target for change in planned.data.changes if change.effect is Effect.CREATE}
    assert created == {"SecurityPolicy acme/pub-llama", f"{PUBLISHED_KEY} llama"}
    assert await stack.entries() == {}
    assert (await stack.do("publications.repair", name="llama")).ending is Ending.DONE
    assert await _drift(stack) == []
    assert (await stack.do("published", name="llama")).data[0]["ready"]


async def test_a_limit_is_adopted_and_the_rest_is_named(stack: Running, kim: Cluster) -> None:
    await stack.publish(rpm=60)
    await kim.patch(KIM, TRAFFIC, _limit(stack, 90))
    await kim.patch(KIM, TRAFFIC, {"spec": {"timeout": {"http": {"requestTimeout": "2m"}}}})
    await kim.patch(KIM, Ref(BACKEND, "pub-llama", "acme"), {"metadata": {"annotations": {"modeldeck.dev/model": "x"}}})
    planned = await stack.do("publications.adopt", name="llama", plan=True)
    assert {field.path for field in planned.data.changes[0].fields} == {
        "limits.requests_per_minute",
        "limits.timeout_seconds",
    }
    outcome = await stack.do("publications.adopt", name="llama")
    assert outcome.ending is Ending.PARTIAL, outcome
    assert [item.name for item in outcome.items] == ["Backend acme/pub-llama"]
    limits = (await stack.do("published", name="llama")).data[0]["limits"]
    assert (limits["requests_per_minute"], limits["timeout_seconds"]) == (90, 120)
    assert {row["object"] for row in await _drift(stack)} == {"Backend acme/pub-llama"}
    refused = await stack.do("publications.adopt", name="llama")
    assert (refused.code, len(refused.items)) == ("NOT_ADOPTABLE", 1)


async def test_an_adoption_or_repair_that_fails_is_undone(stack: Running, kim: Cluster) -> None:
    await stack.publish(rpm=60)
    await kim.patch(
        KIM, TRAFFIC, {"spec": {"timeout": {"http": {"requestTimeout": "77s"}}, "mergeType": "StrategicMerge"}}
    )
    before = await _drift(stack)
    for action in ("publications.adopt", "publications.repair"):
        for number in (1, 2):
            with fault_at(number, "after", Failure("it broke")):
                outcome = await stack.do(action, name="llama")
            assert outcome.ending is Ending.FAILED, outcome
            limits = (await stack.do("published", name="llama")).data[0]["limits"]
            assert limits["timeout_seconds"] == 300
            after = await _drift(stack)
            assert {(row["field"], row["found"]) for row in after} >= {
                (row["field"], row["found"]) for row in before if row["field"].startswith("spec.timeout")
            }


async def test_what_belongs_to_somebody_else_is_told_and_not_touched(stack: Running, kim: Cluster) -> None:
    await stack.publish()
    redis = await stack.services.redis()
    theirs = json.dumps({"llama": {"endpoint_id": "theirs"}})
    ours = json.dumps(await stack.entries())
    await redis.set(PUBLISHED_KEY, theirs)
    rows = await _drift(stack)
    assert not any(row["repairable"] for row in rows)
    assert (await stack.do("publications.repair", name="llama")).code == "OBJECT_EXISTS"
    assert await stack.entries() == json.loads(theirs)
    await redis.set(PUBLISHED_KEY, ours)


async def test_what_a_publication_that_is_gone_has_left_is_found(stack: Running, kim: Cluster) -> None:
    left = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": "pub-gone", "namespace": "acme", "labels": {"modeldeck.dev/publication": "gone"}},
        "spec": {"endpoints": [{"ip": {"address": "127.0.0.1", "port": 9}}]},
    }
    await kim.apply(KIM, left)
    try:
        rows = await _drift(stack)
        assert [(row["object"], row["by"]) for row in rows] == [("Backend acme/pub-gone", "kim")]
        globex = Principal("g", Role.VIEWER, frozenset({"globex"}))
        assert (await stack.do("publications.drift", who=globex)).data == []
    finally:
        await kim.delete(KIM, Ref(BACKEND, "pub-gone", "acme"))


async def test_what_is_left_over_is_removed_after_a_plan_and_what_another_modeldeck_may_have_made_is_not(
    stack: Running, kim: Cluster
) -> None:
    published = await stack.publish()
    cluster = await stack.cluster()
    kept = await cluster.get(TRAFFIC)
    backend = await cluster.get(Ref(BACKEND, "pub-llama", "acme"))
    assert kept is not None
    assert backend is not None
    assert (await stack.do("unpublish", name="llama")).ending is Ending.DONE
    # Two objects and the entry come back: a controller that restores a backup, a colleague with an old file.
    for one in (cleaned(kept), cleaned(backend)):
        assert one is not None
        await kim.apply(KIM, one)
    other = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": "pub-gone", "namespace": "acme", "labels": {"modeldeck.dev/publication": "unknown"}},
        "spec": {"endpoints": [{"ip": {"address": "127.0.0.1", "port": 9}}]},
    }
    await kim.apply(KIM, other)
    entry = {"llama": {"endpoint_id": published.data["endpoint_id"]}, "foreign": {"endpoint_id": "x"}}
    await (await stack.services.redis()).set(PUBLISHED_KEY, json.dumps(entry))
    listed = await stack.do("publications.leftovers")
    assert {row["object"]: row["ours"] for row in listed.data} == {
        "BackendTrafficPolicy acme/pub-llama": True,
        "Backend acme/pub-llama": True,
        "Backend acme/pub-gone": False,
        f"{PUBLISHED_KEY} llama": True,
    }
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    assert (await stack.do("publications.leftovers", who=globex)).data == []
    assert (await stack.do("publications.prune", who=globex)).ending is Ending.UNCHANGED
    planned = await stack.do("publications.prune", plan=True)
    assert planned.summary == "remove 3 leftovers: 3 changes"
    assert "Backend acme/pub-gone is left" in planned.data.warnings[0]
    assert (await stack.do("publications.prune", confirmed="")).code == "NOT_CONFIRMED"
    outcome = await stack.do("publications.prune")
    assert outcome.ending is Ending.DONE, outcome
    assert [row["object"] for row in (await stack.do("publications.leftovers")).data] == ["Backend acme/pub-gone"]
    assert await stack.entries() == {"foreign": {"endpoint_id": "x"}}
    assert (await stack.do("publications.prune")).ending is Ending.UNCHANGED
    assert (await stack.do("publications.prune", object=["Backend acme/no"])).code == "NOT_LEFT_OVER"
    assert (await stack.do("publications.prune", object=["Backend acme/pub-gone"])).ending is Ending.DONE
    assert (await stack.do("publications.leftovers")).data == []


async def test_a_change_by_hand_is_seen_by_whoever_is_up_within_seconds(stack: Running, kim: Cluster) -> None:
    await stack.publish(rpm=60)
    news = 0

    def heard() -> None:
        nonlocal news
        news += 1

    async def status() -> tuple[str, list[str]]:
        row = (await stack.do("published")).data[0]
        return row["status"], [one["field"] for one in row["drift"] or ()]

    assert (await stack.do("published")).data[0]["drift"] is None, "nobody watches yet"
    requests = _count_requests(await stack.cluster())
    task = asyncio.create_task(follow(stack.services, heard))
    try:
        await until(lambda: _is(status, ("ready", [])), within=5)
        await until(lambda: _is_still(requests), what="where nothing changes nothing is asked")
        await kim.patch(KIM, TRAFFIC, {"spec": {"timeout": {"http": {"requestTimeout": "7s"}}}})
        await until(lambda: _is(status, ("drifted", ["spec.timeout.http.requestTimeout"])), within=5)
        assert news == 1
        reason = (await stack.do("published", name="llama")).data[0]["reason"]
        assert reason == (
            "changed by hand: BackendTrafficPolicy acme/pub-llama spec.timeout.http.requestTimeout "
            'is "7s", not "300s", by kim'
        )
        # An adoption changes what is asked for, and no object: it is looked at again all the same.
        assert (await stack.do("publications.adopt", name="llama")).ending is Ending.DONE
        await until(lambda: _is(status, ("ready", [])), within=5)
        await kim.delete(KIM, Ref(BACKEND_TRAFFIC_POLICY, "pub-llama", "acme"))
        await until(lambda: _is_missing(stack), within=5)
        assert (await stack.do("publications.repair", name="llama")).ending is Ending.DONE
        await until(lambda: _is(status, ("ready", [])), within=5)
        # What an operation of ours changes is no drift.
        before = news
        assert (await stack.do("update", name="llama", rpm="70")).ending is Ending.DONE
        await asyncio.sleep(1.5)
        assert (news, await status()) == (before, ("ready", []))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_of_a_kind_that_may_not_be_watched_nothing_is_said(
    stack: Running, kim: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.publish()
    real = Cluster.watch

    def watch(self: Cluster, kind: Kind, **more: Any) -> AsyncIterator[Change]:
        if kind == SECRET:
            raise Forbidden("you may not list secrets")
        return real(self, kind, **more)

    monkeypatch.setattr(Cluster, "watch", watch)

    async def told() -> tuple[str, int | None]:
        row = (await stack.do("published", name="llama")).data[0]
        return row["status"], None if row["drift"] is None else len(row["drift"])

    task = asyncio.create_task(follow(stack.services))
    try:
        await until(lambda: _is(lambda: _blind(stack), {"Secret"}), within=5)
        await kim.patch(KIM, TRAFFIC, {"spec": {"timeout": {"http": {"requestTimeout": "7s"}}}})
        await until(lambda: _is(told, ("drifted", 1)), within=5)
        # It goes as it came: what is left is that nothing is known of Secrets.
        await kim.patch(KIM, TRAFFIC, {"spec": {"timeout": {"http": {"requestTimeout": "300s"}}}})
        await until(lambda: _is(told, ("ready", None)), within=5)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert stack.services.drift is None


async def _blind(stack: Running) -> set[str]:
    return stack.services.drift.blind if stack.services.drift is not None else set()


async def test_what_an_operation_is_at_work_on_is_neither_drift_nor_left_over(stack: Running) -> None:
    await stack.publish()
    task = asyncio.create_task(follow(stack.services))
    other = "openrouter/meta-llama/llama-3.1-8b-instruct"
    reached = asyncio.Event()
    try:
        await until(lambda: _is(lambda: _drift_of(stack), []), within=5)
        with fault_at(8, "before", None, reached):
            updating = asyncio.create_task(stack.do("update", name="llama", also=[other]))
            await reached.wait()
            # Its objects are there, and the publication does not ask for them yet.
            assert await stack.objects(BACKEND) == ["Backend acme/pub-llama", "Backend acme/pub-llama-96678397"]
            assert (await stack.do("publications.leftovers")).data == []
            await asyncio.sleep(0.5)
            assert await _drift_of(stack) == []
            updating.cancel()
            await asyncio.gather(updating, return_exceptions=True)
        assert (await stack.do("unpublish", name="llama")).ending is Ending.DONE
        book = stack.services.drift
        assert book is not None
        await until(lambda: not book._known, within=5)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _drift_of(stack: Running) -> Any:
    return (await stack.do("published", name="llama")).data[0]["drift"]


async def test_what_all_publications_of_a_tenant_share_is_put_right_too(stack: Running, kim: Cluster) -> None:
    await stack.publish()
    await stack.publish("iris", "isvc/globex/iris", tenant="globex")
    shared = Ref(REFERENCE_GRANT, "modeldeck-authz-from-acme", "modeldeck-system")
    await kim.delete(KIM, shared)
    outcome = await stack.do("publications.drift")
    assert outcome.summary == "1 difference in 1 publication"
    assert [row["object"] for row in outcome.data] == [str(shared)]
    assert (await stack.do("publications.repair", name="llama")).ending is Ending.DONE
    assert await _drift(stack) == []


async def _is_still(requests: Counter[str]) -> bool:
    asked = sum(requests.values())
    await asyncio.sleep(1.0)
    return sum(requests.values()) == asked


def _count_requests(cluster: Cluster) -> Counter[str]:
    counted: Counter[str] = Counter()
    real = cluster._transport.request

    async def request(method: str, path: str, **more: Any) -> Any:
        counted[f"{method} {path}"] += 1
        return await real(method, path, **more)

    cluster._transport.request = request  # type: ignore[method-assign]
    return counted


async def _is(ask: Callable[[], Awaitable[Any]], wanted: Any) -> bool:
    return bool(await ask() == wanted)


async def _is_missing(stack: Running) -> bool:
    row = (await stack.do("published", name="llama")).data[0]
    return any(one["object"] == str(TRAFFIC) and one["wanted"] == "there" for one in row["drift"] or ())


async def test_the_process_that_runs_the_stack_tells_of_it_over_http(stack: Running, kim: Cluster) -> None:
    await stack.publish()
    await kim.patch(KIM, TRAFFIC, {"spec": {"timeout": {"http": {"requestTimeout": "9s"}}}})
    headers = {"authorization": f"Bearer {stack.layout.api_token()}"}

    async def told() -> bool:
        url = f"http://127.0.0.1:{stack.stack._ports['api']}/api/published-models"
        answer = await stack.client.get(url, headers=headers)
        (row,) = answer.json()["publishedModels"]
        return bool(row["status"] == "drifted")

    await until(told, within=5)


async def test_other_tenants_and_viewers_may_not(stack: Running) -> None:
    await stack.publish()
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    viewer = Principal("v", Role.VIEWER)
    for action in ("publications.drift", "publications.repair", "publications.adopt"):
        assert (await stack.do(action, who=globex, name="llama")).code == "TENANT_FORBIDDEN"
    assert (await stack.do("publications.repair", who=viewer, name="llama")).status == 403


async def test_after_a_flush_keys_and_all_publications_are_back_by_two_commands(stack: Running) -> None:
    names = ("flushed-one", "flushed-two")
    for name in names:
        assert (await stack.publish(name)).ending is Ending.DONE
    key = await stack.key("flushed")
    redis = await stack.services.redis()
    await redis.delete(PUBLISHED_KEY)
    await redis.delete(f"api_key:{digest_of(key)}")
    restored = await stack.do("keys.restore")
    assert "2 publications missing in published_model_info: calls get 404" in restored.summary
    assert restored.then.endswith("modeldeck publications repair --all")
    planned = await stack.do("publications.repair", all=True, plan=True)
    assert sum(one.effect is Effect.CREATE for one in planned.data.changes) == 2
    for wrong in ({}, {"name": names, "all": True}):
        assert (await stack.do("publications.repair", **wrong)).code == "BAD_REQUEST"
    repaired = await stack.do("publications.repair", all=True)
    assert (repaired.ending, {item.name: item.state for item in repaired.items}) == (
        Ending.DONE,
        dict.fromkeys(names, "done"),
    )
    assert (await stack.chat(key, names[1])).status_code == 200
    assert (await stack.do("publications.repair", name=names)).ending is Ending.UNCHANGED
    for name in names:
        assert (await stack.do("unpublish", name=name)).ending is Ending.DONE
