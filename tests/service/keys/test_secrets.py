"""The digests in the tenants' Secrets, on a real small Kubernetes API and a Valkey; and what comes back from them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from console.access.decision import Allowed, Denied
from console.access.mirror import Mirror
from console.access.types import digest_of
from console.actions import REGISTRY
from console.actions.perform import perform
from console.config import AccessRules, KubernetesLink
from console.guard import Principal, Role, system_permit
from console.k8s.at_rest import AtRest, secrets_at_rest
from console.k8s.types import LABEL_TENANT, SECRET, Ref
from console.keys import digests
from console.keys.book import list_keys
from console.keys.digests import NAME, kept_of, secrets_of, texts_in
from console.keys.unwritten import behind
from console.local.kube import ADMIN as EVERYTHING
from console.local.kube import KubeServer, write_kubeconfig
from console.local.valkey import Valkey
from console.outcome import Ending, Failure
from console.rendering import progress_line
from console.services import Services
from tests.service.keys.test_keys import ADMIN, Bench, text_of
from tests.service.keys.test_rotation import recover, works
from tests.support.profiles import profile_for
from tests.support.stack import Killed, fault_at
from tests.support.waiting import until

SETUP = system_permit("set up a test")
ACME = Ref(SECRET, NAME, "acme")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[KubeServer]:
    made = KubeServer(tmp_path / "objects.db", tokens={"token": EVERYTHING})
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def bench(tmp_path: Path, valkey: Valkey, server: KubeServer) -> AsyncIterator[Bench]:
    """With a cluster that has two tenants."""
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, server=server.url, token="token", user="admin")
    client = valkey.gateway_client()
    mirror = Mirror(client, AccessRules(), instance="w1")
    following = asyncio.create_task(mirror.run())
    await until(lambda: mirror.status.state == "live")
    profile = profile_for(tmp_path, valkey, kubernetes=KubernetesLink(kubeconfig=kubeconfig))
    async with Services(profile) as services:
        for name in ("acme", "globex"):
            metadata = {"name": name, "labels": {LABEL_TENANT: name}}
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
            await (await services.cluster()).apply(SETUP, namespace)
        yield Bench(services, mirror, tmp_path)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await client.aclose()


async def fields(bench: Bench, tenant: str | None = None) -> dict[str, Any]:
    """What the Secrets say, by key id."""
    secrets = await secrets_of(await bench.services.cluster(), tenant)
    return {name: json.loads(text or "{}") for one in secrets for name, text in texts_in(one).items()}


async def as_the_book(bench: Bench) -> bool:
    store, now = await bench.services.store(), datetime.now(UTC)
    kept = {key.id: await kept_of(store, key, now) for key in await list_keys(store, revoked=True)}
    return await fields(bench) == {name: json.loads(one.as_text()) for name, one in kept.items() if one is not None}


async def without_database(bench: Bench) -> Bench:
    """The same profile with a database that has nothing in it."""
    await bench.services.close()
    for path in bench.directory.glob("modeldeck.db*"):
        path.unlink()
    return Bench(bench.services, bench.mirror, bench.directory)


async def test_every_operation_brings_the_secret_up_to_date_and_the_last_key_takes_it_along(bench: Bench) -> None:
    texts = [await bench.create("chat", label=["team=search"])]
    await bench.do("keys.create", name="theirs", tenant="globex")
    assert len(await fields(bench, "acme")) == len(await fields(bench, "globex")) == 1
    rotated = await bench.do("keys.rotate", key="chat", grace="1h")
    assert "warnings" not in rotated.data
    texts.append(text_of(rotated))
    (found,) = (await fields(bench, "acme")).values()
    assert [one["digest"] for one in found["generations"]] == [digest_of(text) for text in texts]
    assert found["generations"][0]["not_after"] is not None
    assert found["key"]["labels"] == {"team": "search"}
    for action, values in (
        ("keys.edit", {"owner": "web"}),
        ("keys.extend", {"grace": "2h"}),
        ("keys.finish", {}),
        ("keys.suspend", {}),
    ):
        assert (await bench.do(action, key="chat", **values)).ending is Ending.DONE
        assert await as_the_book(bench), action
    secret = await (await bench.services.cluster()).get(ACME)
    assert secret is not None
    assert not any(text in json.dumps(secret) + str(texts_in(secret)) for text in texts), "never a text"
    await bench.do("keys.revoke", key="chat")
    assert await (await bench.services.cluster()).get(ACME) is None
    assert len(await fields(bench)) == 1


async def test_keys_that_are_issued_at_one_moment_all_stand_in_it(bench: Bench) -> None:
    await asyncio.gather(*(bench.do("keys.create", name=f"k{number}", tenant="acme") for number in range(6)))
    assert await as_the_book(bench)
    assert len(await fields(bench)) == 6


async def test_a_secret_that_is_full_is_followed_by_another(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_FULL_BYTES", 600)
    for name in ("a", "b", "c"):
        await bench.create(name)
    secrets = await secrets_of(await bench.services.cluster(), "acme")
    assert [one["metadata"]["name"] for one in secrets] == [NAME, f"{NAME}-2", f"{NAME}-3"]
    await bench.do("keys.revoke", key="b")
    assert len(await secrets_of(await bench.services.cluster(), "acme")) == 2
    assert await as_the_book(bench)


async def test_every_crash_point_of_a_rotation_recovers_with_its_secret(bench: Bench) -> None:
    old = await bench.create()
    for number in range(5):
        for moment in ("before", "after"):
            for fault in (Failure("the network is down", code="NETWORK"), Killed()):
                with fault_at(number, moment, fault) as begun, contextlib.suppress(Killed):
                    await bench.do("keys.rotate", key="chat", grace="300s")
                assert len(begun) == number + 1
                await recover(bench)
                assert await works(bench, "chat", [old]) == ([True], 1), (number, moment, fault)
                assert await as_the_book(bench), (number, moment, fault)


async def test_a_cluster_that_is_away_stops_no_rotation_and_is_written_later(bench: Bench, server: KubeServer) -> None:
    await bench.create()
    await server.stop()
    rotated = await bench.do("keys.rotate", key="chat")
    assert rotated.ending is Ending.DONE
    assert "not written: the Kubernetes API" in rotated.data["warnings"][0]
    assert (await bench.do("keys.revoke", key="chat")).ending is Ending.DONE
    assert "the Secrets cannot be read" in (await bench.do("keys.restore")).summary
    await server.start()
    planned = await bench.do("keys.restore", plan=True)
    assert [(row["where"], row["state"]) for row in planned.data] == [("secret", "to be removed")]
    restored = await bench.do("keys.restore")
    assert (restored.ending, [row["state"] for row in restored.data]) == (Ending.DONE, ["removed"])
    assert await fields(bench) == {}


async def test_digests_that_are_not_written_are_remembered_until_they_are(bench: Bench, server: KubeServer) -> None:
    async def unwritten() -> list[str]:
        overview = (await bench.do("overview")).data
        return [need["detail"] for need in overview["needs"] if need["state"] == "unwritten"]

    await bench.create("dup")
    await server.stop()
    reported: list[Any] = []
    values = {"key": "dup"}
    revoked = await perform(
        bench.services, REGISTRY["keys.revoke"], values, ADMIN, confirmed="yes", emit=reported.append
    )
    assert (revoked.ending, revoked.items[-1].state) == (Ending.DONE, "left")
    assert "not written" in revoked.data["warnings"][0]
    assert not any("digests" in one for one in revoked.proof)
    assert progress_line(reported[-1]).startswith("  ! digests of ")
    await bench.do("keys.create", name="new", tenant="acme")
    assert await unwritten() == ["the digests of 2 keys are not written to Secrets: modeldeck keys restore"]
    assert "the Secrets cannot be read" in (await bench.do("keys.restore")).summary
    assert len(await unwritten()) == 1, "nobody has seen that they are written"
    await server.start()
    restored = await bench.do("keys.restore")
    assert sorted(row["state"] for row in restored.data) == ["removed", "restored"]
    assert await unwritten() == []
    assert await as_the_book(bench)


async def test_a_secret_that_somebody_else_put_right_is_behind_no_more(bench: Bench, server: KubeServer) -> None:
    await bench.create("dup")
    await server.stop()
    await bench.do("keys.revoke", key="dup")
    await server.start()
    await (await bench.services.cluster()).delete(SETUP, ACME)
    assert len(await behind(await bench.services.store())) == 1
    assert (await bench.do("keys.restore")).ending is Ending.UNCHANGED
    assert await behind(await bench.services.store()) == frozenset()


async def test_a_secret_of_somebody_else_is_left_as_it_is(bench: Bench) -> None:
    cluster = await bench.services.cluster()
    metadata = {"name": NAME, "namespace": "acme"}
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"x": "eA=="}}
    await cluster.create(SETUP, theirs)
    created = await bench.do("keys.create", name="chat", tenant="acme")
    assert "not written" in created.data["warnings"][0]
    secret = await cluster.get(ACME)
    assert secret is not None
    assert secret["data"] == {"x": "eA=="}


@pytest.mark.parametrize("source", ["database", "secrets"])
async def test_after_a_flush_the_entries_come_back_from_either(bench: Bench, redis: Redis, source: str) -> None:
    old = await bench.create("chat", label=["team=search"], allow_tenant=["acme"], form="mdk")
    new = text_of(await bench.do("keys.rotate", key="chat", grace="1h"))
    gone = await bench.create("gone")
    await bench.do("keys.revoke", key="gone")
    before = {name: await redis.get(name) for name in await redis.keys("api_key:*")}
    if source == "secrets":
        bench = await without_database(bench)
    await redis.flushall()
    await bench.mirror.load()  # a flush tells nobody: workers see it by their full comparison
    assert isinstance(bench.decide(new), Denied)

    planned = await bench.do("keys.restore", plan=True, **{"from": source})
    where = ["database"] * (source == "secrets") + ["redis", "redis"]
    assert [(row["where"], row["state"]) for row in planned.data] == [(one, "missing") for one in where]
    assert await redis.keys("api_key:*") == [], "a plan writes nothing"
    outcome = await bench.do("keys.restore", **{"from": source})
    assert outcome.ending is Ending.DONE, outcome
    assert {name: await redis.get(name) for name in await redis.keys("api_key:*")} == before
    assert isinstance(bench.decide(old), Allowed)
    assert isinstance(bench.decide(new), Allowed)
    assert isinstance(bench.decide(gone), Denied)
    shown = (await bench.do("keys.show", key="chat")).data
    assert (shown["state"], shown["labels"], shown["form"]) == ("rotating", {"team": "search"}, "mdk")
    assert (await bench.do("keys.finish", key="chat")).ending is Ending.DONE
    assert isinstance(bench.decide(old), Denied)
    assert (await bench.do("keys.restore", **{"from": source})).ending is Ending.UNCHANGED
    assert await as_the_book(bench)


async def test_what_cannot_come_back_from_a_secret_is_told(bench: Bench, redis: Redis) -> None:
    for name in ("chat", "ci", "old"):
        await bench.create(name)
    there = await fields(bench)
    by_name = {one["key"]["name"]: one for one in there.values()}
    bench = await without_database(bench)
    by_name["old"]["key"]["expires_at"] = "2020-01-01T00:00:00+00:00"
    forged = json.dumps(by_name["ci"]).replace('"acme"', '"globex"')
    data = {
        by_name["old"]["key"]["id"]: json.dumps(by_name["old"]),
        by_name["ci"]["key"]["id"]: forged,
        "k00000": "{",
    }
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
    await (await bench.services.cluster()).patch(SETUP, ACME, {"data": encoded})
    publisher = Principal("p", Role.PUBLISHER)
    refused = await bench.do("keys.restore", who=publisher, **{"from": "secrets"})
    assert (refused.code, await redis.dbsize() > 0) == ("FORBIDDEN", True)
    outcome = await bench.do("keys.restore", **{"from": "secrets"})
    assert outcome.ending is Ending.PARTIAL, outcome
    reasons = {row["id"]: row["state"] for row in outcome.data}
    assert reasons[by_name["chat"]["key"]["id"]] == "restored"
    assert "has expired" in reasons[by_name["old"]["key"]["id"]]
    assert "another key or tenant" in reasons[by_name["ci"]["key"]["id"]]
    assert "cannot be read" in reasons["k00000"]
    assert [row["name"] for row in (await bench.do("keys.list")).data] == ["chat"]


METRICS = """apiserver_request_total{code="200"} 3
apiserver_storage_transformation_operations_total{%s} 7
"""
ENCRYPTED = 'resource="secrets",status="OK",transformation_type="to_storage",transformer_prefix="k8s:enc:aescbc:v1:k1:"'


@pytest.mark.parametrize(
    ("metrics", "found"),
    [
        (METRICS % ENCRYPTED, AtRest.ENCRYPTED),
        (METRICS % ENCRYPTED.replace('resource="secrets",', ""), AtRest.ENCRYPTED),
        (METRICS % ENCRYPTED.replace("secrets", "configmaps"), AtRest.PLAIN),
        (METRICS % ENCRYPTED.replace("k8s:enc:aescbc:v1:k1:", ""), AtRest.PLAIN),
        (METRICS % ENCRYPTED.replace("to_storage", "from_storage"), AtRest.PLAIN),
        ("other 1\n", AtRest.UNKNOWN),
    ],
)
async def test_whether_secrets_are_encrypted_is_read_from_what_the_api_server_counts(
    metrics: str, found: AtRest
) -> None:
    class Answering:
        @contextlib.asynccontextmanager
        async def metrics(self) -> AsyncIterator[AsyncIterator[bytes]]:
            async def lines() -> AsyncIterator[bytes]:
                for line in metrics.splitlines():
                    yield line.encode()

            yield lines()

    assert await secrets_at_rest(Answering()) is found  # type: ignore[arg-type]


async def test_a_plan_says_what_is_known_of_the_cluster_and_changes_nothing(bench: Bench) -> None:
    planned = await bench.do("keys.create", name="chat", tenant="acme", plan=True, form="mdk")
    assert (planned.ending, planned.revealed) == (Ending.DONE, None)
    assert len(planned.data["steps"]) == 4
    assert "begin with bud_client alone" in planned.data["warnings"][0]
    assert planned.data["warnings"][-1] == AtRest.UNKNOWN.sentence
    assert (await bench.do("keys.list")).data == []


FROM_SECRETS: dict[str, Any] = {"from": "secrets"}
Forging = Callable[[dict[str, Any]], object]
FORGED: dict[str, Forging] = {
    "a time without its zone": lambda one: one["key"].update(expires_at="2999-01-01T00:00:00"),
    "a time that no clock has": lambda one: one["generations"][0].update(not_after="0001-01-01T00:00:00+23:00"),
    "a name that is none": lambda one: one["key"].update(name={"a": 1}),
    "a name for the terminal": lambda one: one["key"].update(name="\x1b]52;c;aGk=\x07"),
    "a name of a mile": lambda one: one["key"].update(name="x" * 5000),
    "models that are letters": lambda one: one["key"].update(models="llama"),
    "a network that is none": lambda one: one["key"].update(networks=["everywhere"]),
    "labels that are none": lambda one: one["key"].update(labels={"a": 1}),
    "a third text": lambda one: one.update(
        generations=[one["generations"][0] | {"generation": n, "digest": digest_of(str(n))} for n in (1, 2, 3)]
    ),
    "a text twice": lambda one: one.update(generations=one["generations"] * 2),
    "no generation": lambda one: one["generations"][0].update(generation=True),
    "a model that it has not": lambda one: one.update(grants={"other": {"project_id": "acme"}}),
    "another's model": lambda one: (
        one["key"].update(models=["qwen"]),
        one.update(grants={"qwen": {"endpoint_id": "pub-qwen", "project_id": "globex"}}),
    ),
    "another's model as its own": lambda one: (
        one["key"].update(models=["qwen"]),
        one.update(grants={"qwen": {"endpoint_id": "x", "project_id": "acme"}}),
    ),
    "another's model by another name": lambda one: (
        one["key"].update(models=["mine"]),
        one.update(grants={"mine": {"endpoint_id": "pub-qwen", "project_id": "acme"}}),
    ),
    "another's model taken over": lambda one: one["key"].update(
        models=["qwen"],
        imported={"source": "api_key:x", "grants": {"qwen": {"endpoint_id": "x", "project_id": "acme"}}},
    ),
}


async def put_into(bench: Bench, tenant: str, documents: dict[str, dict[str, Any]]) -> None:
    """As somebody does who may write Secrets in a namespace."""
    encoded = {name: base64.b64encode(json.dumps(one).encode()).decode() for name, one in documents.items()}
    metadata = {"name": NAME, "namespace": tenant, "labels": {digests.LABEL: "true"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}
    await (await bench.services.cluster()).apply(SETUP, secret, force=True)


async def test_a_forged_secret_opens_nothing_and_stops_no_others_keys(bench: Bench, redis: Redis) -> None:
    text = await bench.create("good")
    (identifier,) = there = await fields(bench)
    good = there[identifier]
    published = {"qwen": {"endpoint_id": "pub-qwen", "project_id": "globex"}}
    bench = await without_database(bench)
    await redis.flushall()
    await bench.mirror.load()  # a flush tells nobody: workers see it by their full comparison
    await redis.set("published_model_info", json.dumps(published))
    documents = {identifier: good}
    for number, (name, forge) in enumerate(FORGED.items()):
        one = json.loads(json.dumps(good))
        one["key"].update(id=f"kforged{number}", name=name)
        one["generations"][0]["digest"] = digest_of(name)
        forge(one)
        documents[f"kforged{number}"] = one
    await put_into(bench, "acme", documents)
    outcome = await bench.do("keys.restore", **FROM_SECRETS)
    assert outcome.ending is Ending.PARTIAL, outcome
    states = {row["id"]: row["state"] for row in outcome.data}
    passed = [name for number, name in enumerate(FORGED) if not states[f"kforged{number}"].startswith("cannot")]
    assert passed == []
    assert states[identifier] == "restored"
    assert await redis.keys("api_key:*") == [f"api_key:{digest_of(text)}".encode()]
    assert all(str(row).isprintable() for row in outcome.data)


async def test_a_key_that_two_namespaces_claim_goes_to_neither(bench: Bench, redis: Redis) -> None:
    await bench.create("chat")
    await bench.create("other")
    there = await fields(bench)
    first, second = (json.loads(json.dumps(one)) for one in there.values())
    bench = await without_database(bench)
    await redis.flushall()
    first["key"].update(tenant="globex")  # the same id, with a text that its forger has
    first["generations"][0]["digest"] = digest_of("mine")
    second["key"].update(tenant="globex", id="kmine")  # the same text, with another id
    await put_into(bench, "globex", {first["key"]["id"]: first, "kmine": second})
    outcome = await bench.do("keys.restore", **FROM_SECRETS)
    assert all("two" in row["state"] for row in outcome.data), outcome.data
    assert len(outcome.data) == 4
    assert await redis.keys("api_key:*") == []


async def test_a_namespace_that_is_no_tenant_has_no_keys(bench: Bench, redis: Redis) -> None:
    await bench.create("chat")
    (one,) = (await fields(bench)).values()
    bench = await without_database(bench)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "builds"}}
    cluster = await bench.services.cluster()
    await cluster.apply(SETUP, namespace)
    one["key"].update(id="kmine", tenant="builds")
    one["generations"][0]["digest"] = digest_of("mine")
    await put_into(bench, "builds", {"kmine": one})
    outcome = await bench.do("keys.restore", **FROM_SECRETS)
    states = {row["id"]: row["state"] for row in outcome.data}
    assert "there is no tenant builds" in states["kmine"]
    assert not await redis.exists(f"api_key:{digest_of('mine')}")


async def test_a_field_in_the_wrong_namespace_is_told_rather_than_looked_for_again(bench: Bench) -> None:
    await bench.create("chat")
    (identifier,) = there = await fields(bench)
    await put_into(bench, "globex", there)
    outcome = await bench.do("keys.restore", plan=True, **FROM_SECRETS)
    assert [(row["id"], row["tenant"]) for row in outcome.data] == [(identifier, "globex")]
    assert "another tenant" in outcome.data[0]["state"]


async def test_an_admin_of_one_tenant_restores_its_keys_alone_and_a_plan_says_what_they_may(bench: Bench) -> None:
    await bench.create("mine", label=["team=search"])
    await bench.create("both", allow_tenant=["globex"])
    await bench.do("keys.create", name="theirs", tenant="globex")
    bench = await without_database(bench)
    limited = Principal("a", Role.ADMIN, frozenset({"acme"}))
    told: list[str] = []
    planned = await perform(
        bench.services,
        REGISTRY["keys.restore"],
        {"from": "secrets", "plan": True},
        limited,
        emit=lambda one: told.append(str(one)),
    )
    assert {row["tenant"] for row in planned.data} == {"acme"}
    assert any("mine" in one and "kind client for tenant acme" in one and "without an end" in one for one in told)
    assert (await bench.do("keys.restore", who=limited, **FROM_SECRETS)).ending is Ending.PARTIAL
    assert [row["name"] for row in (await bench.do("keys.list")).data] == ["mine"]
    nobody = Principal("n", Role.ADMIN, frozenset())
    assert (await bench.do("keys.restore", who=nobody, **FROM_SECRETS)).data == []
