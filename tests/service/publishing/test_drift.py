"""Drift: found field by field with who did it, repaired, or adopted."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from console.access.types import PUBLISHED_KEY
from console.guard import Principal, Role, system_permit
from console.k8s.cluster import Cluster
from console.k8s.types import BACKEND, BACKEND_TRAFFIC_POLICY, SECURITY_POLICY, Ref
from console.outcome import Ending, Failure
from console.publishing.types import Effect, Plan
from tests.support.stack import Running, fault_at

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


def _limit(requests: int) -> dict[str, Any]:
    rule = {
        "clientSelectors": [{"headers": [{"name": "x-modeldeck-key-id", "type": "Distinct"}]}],
        "limit": {"requests": requests, "unit": "Minute"},
    }
    return {"spec": {"rateLimit": {"local": {"rules": [rule]}}}}


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
    await kim.patch(KIM, TRAFFIC, _limit(90))
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


async def test_other_tenants_and_viewers_may_not(stack: Running) -> None:
    await stack.publish()
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    viewer = Principal("v", Role.VIEWER)
    for action in ("publications.drift", "publications.repair", "publications.adopt"):
        assert (await stack.do(action, who=globex, name="llama")).code == "TENANT_FORBIDDEN"
    assert (await stack.do("publications.repair", who=viewer, name="llama")).status == 403
