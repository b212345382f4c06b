"""Publications as files, and several at once: export, apply, bulk."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.actions import REGISTRY
from console.actions.perform import perform
from console.cli import _show
from console.guard import Principal, Role, system_permit
from console.k8s.types import AI_GATEWAY_ROUTE, BACKEND, HTTP_ROUTE, NAMESPACE, SECRET, Ref
from console.keys.quotas import MAX_PUBLICATIONS
from console.operations.types import Progress
from console.outcome import Ending
from console.publishing.types import Plan
from console.services import Services
from tests.support.faults import recovered, violations
from tests.support.stack import ADMIN, MODEL, Killed, Running, fault_at

pytestmark = pytest.mark.asyncio(loop_scope="module")
OTHER = "deepinfra/meta-llama/Llama-3.1-70B-Instruct"
GEMMA = "openrouter/meta-llama/llama-3.1-8b-instruct"


def _file(*publications: dict[str, Any]) -> str:
    return yaml.safe_dump({"apiVersion": "modeldeck.dev/v1", "publications": list(publications)})


def _entry(name: str, model: str = MODEL, **more: Any) -> dict[str, Any]:
    return {"name": name, "tenant": "acme", "model": model, **more}


async def _text(stack: Running, name: str, **values: Any) -> str:
    outcome = await stack.do("publications.export", name=name, **values)
    assert outcome.ending is Ending.DONE, outcome
    return str(outcome.data.text)


async def test_the_exported_manifests_are_taken_by_kubectl_and_hold_no_secret(stack: Running, tmp_path: Path) -> None:
    await stack.publish(rpm=60)
    text = await _text(stack, "llama")
    assert text == await _text(stack, "llama")
    credential = (stack.layout.secrets / "sample-provider").read_text()
    assert credential not in text
    for gone in ("managedFields", "status:", "resourceVersion", "\ndata:"):
        assert gone not in text
    assert "stringData.apiKey is the credential for deepinfra" in text
    objects = list(yaml.safe_load_all(text))
    assert [one["kind"] for one in objects][-1] == "AIGatewayRoute"
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.prefix) / "bin" / "kubectl"),
        f"--kubeconfig={stack.services.profile.kubernetes.kubeconfig}",
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"),
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(text.encode())
    assert process.returncode == 0, err.decode()
    assert out.decode().count("serverside-applied") == len(objects)


async def test_a_declaration_is_brought_about_once_and_written_back_the_same(stack: Running) -> None:
    text = _file(
        _entry("one", limits={"requests_per_minute": 60, "timeout_seconds": 120}),
        _entry("two", OTHER, also=[f"{MODEL}=3"]),
    )
    planned = await stack.do("publications.apply", file=text, plan=True)
    assert isinstance(planned.data, Plan)
    assert any("one" in change.target for change in planned.data.changes)
    assert (await stack.do("published")).data == []
    outcome = await stack.do("publications.apply", file=text)
    assert (outcome.ending, outcome.data["done"]) == (Ending.DONE, 2), outcome
    assert (await stack.do("publications.apply", file=text)).ending is Ending.UNCHANGED
    assert (await stack.do("publications.apply", file=text, plan=True)).ending is Ending.UNCHANGED
    for name in ("one", "two"):
        back = await _text(stack, name, declaration=True)
        assert (await stack.do("publications.apply", file=back)).ending is Ending.UNCHANGED, back
    changed = back.replace("=3", "=5")
    assert (await stack.do("publications.apply", file=changed)).ending is Ending.DONE
    assert "=5" in await _text(stack, "two", declaration=True)


async def test_a_declaration_does_not_reach_into_another_tenant_or_publication(stack: Running) -> None:
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    assert (await stack.do("publications.apply", who=globex, file=_file(_entry("x")))).ending is Ending.REFUSED
    viewer = Principal("v", Role.VIEWER)
    assert (await stack.do("publications.apply", who=viewer, file=_file(_entry("x")))).status == 403
    await stack.publish("mine")
    other = await stack.do("publications.apply", file=_file(_entry("mine", tenant="globex")))
    assert (other.ending, other.code) == (Ending.REFUSED, "ALREADY_PUBLISHED")
    assert (await stack.do("publications.export", who=globex, name="mine")).code == "TENANT_FORBIDDEN"
    assert (await stack.do("publications.apply", file="publications: 1")).code == "INVALID_DECLARATION"


async def test_a_plan_is_given_as_manifests_and_nothing_is_written(stack: Running) -> None:
    values = {"model": MODEL, "name": "new", "tenant": "acme", "fallback": [OTHER]}
    planned = await stack.do("publish", **values, plan=True, manifests=True)
    assert planned.ending is Ending.DONE, planned
    objects = list(yaml.safe_load_all(planned.data.text))
    assert [one["kind"] for one in objects][-1] == "AIGatewayRoute"
    assert not any("data" in one for one in objects if one["kind"] == "Secret")
    assert await stack.entries() == {}
    assert (await stack.do("publish", **values, manifests=True)).code == "INVALID_PARAMETER"
    await stack.publish("new")
    planned = await stack.do("update", name="new", rpm="7", plan=True, manifests=True)
    assert "requests: 7" in planned.data.text
    assert await _limits(stack, "requests_per_minute") == {"new": None}


async def test_several_are_published_and_one_that_fails_stops_nobody_else(stack: Running) -> None:
    models = (MODEL, "deepinfra/no/such-model", OTHER)
    heard: list[Any] = []
    outcome = await stack.do("publications.publish", model=models, tenant="acme", emit=heard.append)
    assert (outcome.ending, outcome.exit_code) == (Ending.PARTIAL, 4)
    assert {**outcome.data, "run": ""} == {"done": 2, "refused": 1, "run": ""}
    assert [item.state for item in outcome.items] == ["done", "refused", "done"]
    assert "MODEL_NOT_FOUND" in outcome.items[1].detail
    assert len([told for told in heard if isinstance(told, str)]) == 3
    again = await stack.do("publications.publish", model=models, tenant="acme")
    assert again.data == {"unchanged": 2, "refused": 1}
    names = ("Llama-3.1-8B-Instruct", "Llama-3.1-70B-Instruct")
    taken = await stack.do("publications.unpublish", name=(*names, "never-was"))
    assert (taken.ending, taken.data) == (Ending.PARTIAL, {"done": 2, "refused": 1})
    assert (await stack.do("publications.unpublish", name=names)).ending is Ending.UNCHANGED
    assert await stack.objects(SECRET, AI_GATEWAY_ROUTE, HTTP_ROUTE) == []


async def test_stop_and_undo_on_failure(stack: Running) -> None:
    await stack.publish("kept")
    await stack.publish("changed", rpm=10)
    text = _file(
        _entry("kept"),
        _entry("changed", limits={"requests_per_minute": 20}),
        _entry("new"),
        _entry("wrong", "deepinfra/no/such-model"),
        _entry("never", OTHER),
    )
    outcome = await stack.do("publications.apply", file=text, undo_on_failure=True)
    assert (outcome.ending, outcome.code) == (Ending.FAILED, "MODEL_NOT_FOUND"), outcome
    assert [item.state for item in outcome.items] == ["unchanged", "undone", "undone", "refused", "not begun"]
    rows = {row["name"]: row for row in (await stack.do("published")).data}
    assert set(rows) == {"kept", "changed"}
    assert rows["changed"]["limits"]["requests_per_minute"] == 10
    assert set(await stack.entries()) == {"kept", "changed"}
    stopped = await stack.do("publications.apply", file=text, stop=True)
    assert [item.state for item in stopped.items] == ["unchanged", "done", "done", "refused", "not begun"]


async def test_several_are_changed_in_the_same_way_or_none_is(stack: Running) -> None:
    await stack.publish("one", rpm=10)
    await stack.publish("two", OTHER, rpm=20, burst=5)
    planned = await stack.do("publications.update", name=("one", "two"), rpm="90", plan=True)
    assert planned.summary == "update 2 publications: 2 changes"
    outcome = await stack.do("publications.update", name=("one", "two", "no"), rpm="90", undo_on_failure=True)
    assert [item.state for item in outcome.items] == ["undone", "undone", "refused"]
    assert await _limits(stack, "requests_per_minute") == {"one": 10, "two": 20}
    outcome = await stack.do("publications.update", name=("one", "two"), rpm="90", no=["burst"])
    assert (outcome.ending, outcome.data["done"]) == (Ending.DONE, 2)
    assert await _limits(stack, "requests_per_minute") == {"one": 90, "two": 90}
    assert await _limits(stack, "burst") == {"one": None, "two": None}
    # Run again, as after an interruption: what is done is unchanged.
    assert (await stack.do("publications.update", name=("one", "two"), rpm="90")).data == {"unchanged": 2}
    assert (await stack.do("publications.update", name=("one", "two"))).ending is Ending.REFUSED


async def _limits(stack: Running, field: str) -> dict[str, Any]:
    return {row["name"]: row["limits"][field] for row in (await stack.do("published")).data}


async def test_a_cancelled_run_says_what_is_done(stack: Running) -> None:
    begun = asyncio.Event()

    def hear(told: Any) -> None:
        if isinstance(told, Progress) and first_done:
            begun.set()
        elif isinstance(told, str):
            first_done.append(told)

    first_done: list[str] = []
    task = asyncio.create_task(stack.do("publications.publish", model=(MODEL, OTHER), tenant="acme", emit=hear))
    async with asyncio.timeout(60):
        await begun.wait()
    task.cancel()
    outcome = await task
    assert (outcome.ending, [item.state for item in outcome.items]) == (Ending.PARTIAL, ["done", "cancelled"])
    assert list(await stack.entries()) == ["Llama-3.1-8B-Instruct"]


async def test_the_plan_of_several_is_one(stack: Running) -> None:
    planned = await stack.do("publications.publish", model=(MODEL, OTHER), tenant="acme", plan=True)
    assert planned.ending is Ending.DONE
    assert len(json.dumps(planned.as_json())) > 1000
    twice = await stack.do("publications.publish", model=(MODEL, MODEL), tenant="acme")
    assert twice.code == "DUPLICATE_NAME"
    assert await stack.entries() == {}


async def test_a_protected_profile_asks_for_each_name_that_is_unpublished(stack: Running) -> None:
    await stack.publish()
    profile = stack.services.profile.model_copy(update={"protected": True})
    async with Services(profile) as services:
        action = REGISTRY["publications.unpublish"]
        outcome = await perform(services, action, {"name": ["llama"]}, ADMIN, confirmed="yes")
        assert (outcome.code, outcome.then) == ("FORBIDDEN", "modeldeck unpublish NAME")
        planned = await perform(services, action, {"name": ["llama"], "plan": True}, ADMIN)
    assert isinstance(planned.data, Plan)
    assert list(await stack.entries()) == ["llama"]


async def test_publish_takes_a_file_as_apply_does(stack: Running, capsys: pytest.CaptureFixture[str]) -> None:
    text = _file(_entry("one"), _entry("two", OTHER))
    planned = await stack.do("publish", file=text, plan=True, manifests=True)
    kinds = [one["kind"] for one in yaml.safe_load_all(planned.data.text)]
    assert (kinds.count("AIGatewayRoute"), kinds.count("ReferenceGrant")) == (2, 1)
    assert kinds == [one["kind"] for one in planned.as_json()["data"]]
    _show(REGISTRY["publish"], planned)
    assert len(list(yaml.safe_load_all(capsys.readouterr().out))) == len(kinds)
    assert (await stack.do("publish", file=text, manifests=True)).code == "INVALID_PARAMETER"
    decided = {"model": MODEL, "tenant": "acme", "rpm": "5", "also": [OTHER], "type": "openai"}
    for beside in decided.items():
        values: dict[str, Any] = dict([beside])
        refused = await stack.do("publish", file=text, **values)
        assert (refused.code, "the file decides" in refused.summary) == ("INVALID_PARAMETER", True), refused
        assert beside[0] in refused.summary
    assert (await stack.do("publish")).code == "INVALID_PARAMETER"
    assert await stack.entries() == {}
    assert (await stack.do("publish", file=text)).ending is Ending.DONE
    assert (await stack.do("publications.apply", file=text)).ending is Ending.UNCHANGED
    assert (await stack.do("publish", file=text, plan=True)).ending is Ending.UNCHANGED


async def test_a_plan_of_several_counts_them_against_the_quota_together(stack: Running) -> None:
    await stack.publish("there")
    cluster = await stack.cluster()
    namespace = await cluster.get(Ref(NAMESPACE, "acme", None)) or {}

    async def annotate(**values: str) -> None:
        metadata = {"name": "acme", "labels": namespace["metadata"]["labels"], "annotations": values}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        await cluster.apply(system_permit("test"), manifest, force=True)

    text = _file(_entry("there"), _entry("one"), _entry("two", OTHER), _entry("three", OTHER))
    try:
        await annotate(**{MAX_PUBLICATIONS: "3"})
        planned = await stack.do("publications.apply", file=text, plan=True)
        assert (planned.code, "of the 3 new ones 2 would fit" in planned.summary) == ("QUOTA_EXCEEDED", True), planned
        planned = await stack.do("publications.publish", model=(MODEL, OTHER), tenant="acme", plan=True)
        assert planned.ending is Ending.DONE, planned
        await annotate(**{MAX_PUBLICATIONS: "1"})
        planned = await stack.do("publications.publish", model=(MODEL, OTHER), tenant="acme", plan=True)
        assert (planned.code, "has 1 publications and may have 1" in planned.summary) == ("QUOTA_EXCEEDED", True)
    finally:
        await annotate()


async def test_a_run_that_has_ended_is_taken_back(stack: Running) -> None:
    await stack.publish("changed", rpm=10)
    await stack.publish("kept")
    text = _file(
        _entry("changed", limits={"requests_per_minute": 20}, also=[OTHER]),
        _entry("kept"),
        _entry("new"),
        _entry("wrong", "deepinfra/no/such-model"),
    )
    outcome = await stack.do("publications.apply", file=text)
    run = outcome.data["run"]
    assert f"modeldeck publications undo {run} takes back" in outcome.then
    assert (await (await stack.services.audit()).recent(1))[0].detail["summary"].endswith(f", run {run}")
    planned = await stack.do("publications.undo", run=run, plan=True, confirmed="")
    assert isinstance(planned.data, Plan)
    assert planned.summary.startswith(f"undo run {run}: 2 of 2 publications: ")
    assert {"AIGatewayRoute acme/pub-new", "published_model_info new"} <= {c.target for c in planned.data.changes}
    assert set(await stack.entries()) == {"changed", "kept", "new"}
    assert (await stack.do("publications.undo", run=run, confirmed="")).code == "NOT_CONFIRMED"
    undone = await stack.do("publications.undo", run=run)
    assert (undone.ending, undone.data) == (Ending.DONE, {"done": 2}), undone
    assert [item.name for item in undone.items] == ["new", "changed"]
    assert await _limits(stack, "requests_per_minute") == {"changed": 10, "kept": None}
    assert await stack.objects(BACKEND) == ["Backend acme/pub-changed", "Backend acme/pub-kept"]
    again = await stack.do("publications.undo", run=run)
    assert (again.ending, again.data) == (Ending.UNCHANGED, {"unchanged": 2})
    assert (await stack.do("publications.undo", run=run, plan=True)).ending is Ending.UNCHANGED
    for unknown in ("", "x", "%", "0" * 12):
        assert (await stack.do("publications.undo", run=unknown)).ending is Ending.REFUSED


async def test_what_was_changed_since_a_run_is_left_and_named(stack: Running) -> None:
    models = (MODEL, OTHER, GEMMA)
    outcome = await stack.do("publications.publish", model=models, tenant="acme")
    run, names = outcome.data["run"], [item.name for item in outcome.items]
    kim = Principal("kim", Role.PUBLISHER, None, "cli", "10.9.9.9")
    assert (await stack.do("update", who=kim, name=names[0], rpm="5")).ending is Ending.DONE
    await stack.key("since", kind="admin", model=[names[1]])
    other = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    assert (await stack.do("publications.undo", who=other, run=run)).code == "TENANT_FORBIDDEN"
    undone = await stack.do("publications.undo", run=run)
    assert (undone.ending, undone.data) == (Ending.PARTIAL, {"done": 1, "refused": 2}), undone
    said = {item.name: item.detail for item in undone.items}
    assert "changed since, by kim@10.9.9.9 (update, " in said[names[0]]
    assert "given since to" in said[names[1]]
    assert "since (" in said[names[1]]
    assert set(await stack.entries()) == set(names[:2])
    planned = await stack.do("publications.undo", run=run, plan=True)
    assert planned.ending is Ending.UNCHANGED
    assert "kim" in planned.summary


async def test_an_undo_that_was_interrupted_goes_on(stack: Running) -> None:
    outcome = await stack.do("publications.publish", model=(MODEL, OTHER), tenant="acme")
    run = outcome.data["run"]
    with fault_at(0, "after", Killed()), pytest.raises(Killed):
        await stack.do("publications.undo", run=run)
    # Its first operation waits for recovery: until then it is neither undone nor anybody's to touch.
    halfway = await stack.do("publications.undo", run=run)
    assert [item.state for item in halfway.items] == ["refused", "done"], halfway
    await recovered(stack)
    ended = await stack.do("publications.undo", run=run)
    assert (ended.ending, ended.data) == (Ending.UNCHANGED, {"unchanged": 2})
    assert await stack.entries() == {}
    assert await violations(stack) == []


async def test_what_undo_on_failure_took_back_is_no_change_since(stack: Running) -> None:
    await stack.publish("one", rpm=10)
    failed = await stack.do("publications.update", name=("one", "no"), rpm="90", undo_on_failure=True)
    assert [item.state for item in failed.items] == ["undone", "refused"]
    journal = await stack.services.journal()
    undoing = await journal.read((await journal.recent(1))[0].id)
    run = undoing.noted("undoes")
    assert (await stack.do("publications.undo", run=run)).ending is Ending.UNCHANGED
    shown = await stack.do("operations.show", operation=undoing.id)
    assert shown.data["undoes"] == run
    profile = stack.services.profile.model_copy(update={"protected": True})
    published = await stack.do("publications.publish", model=(MODEL,), tenant="acme")
    async with Services(profile) as services:
        values = {"run": published.data["run"]}
        refused = await perform(services, REGISTRY["publications.undo"], values, ADMIN, confirmed=values["run"])
    assert (refused.code, refused.then) == ("FORBIDDEN", "modeldeck unpublish NAME")
