"""Forms, labels and allowed tenants: through every door, in the decision, in the quotas and before the guard."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from console.access.decision import Allowed, Denied
from console.access.forms import mistyped
from console.access.types import KEY_PREFIX, PUBLISHED_KEY, Grant, digest_of
from console.guard import Principal, Role
from console.k8s.types import LABEL_TENANT
from console.keys.quotas import MAX_KEYS
from console.outcome import Ending
from console.publishing import book
from console.publishing.types import Endpoint, Origin, Publication, PublicationKind, PublicationState
from console.services import Services
from tests.service.keys.test_keys import ADMIN, Bench, text_of
from tests.service.keys.test_secrets import SETUP, fields, server, without_database
from tests.service.keys.test_secrets import bench as with_a_cluster

__all__ = ["server", "with_a_cluster"]

OF_ACME = Principal("p", Role.PUBLISHER, frozenset({"acme"}))
PUBLICATIONS = {"llama": "acme", "qwen": "globex"}


@pytest.fixture
async def bench(with_a_cluster: Bench) -> Bench:
    """A publication of each of two tenants."""
    services = with_a_cluster.services
    store, writer = await services.store(), await services.writer()
    origin = Origin("catalog", "deepinfra/llama", "llama", Endpoint("h", 443, tls=True))
    for name, tenant in PUBLICATIONS.items():
        publication = Publication(f"pub-{name}", name, tenant, PublicationKind.OPENAI, origin)
        await book.reserve(store, publication, [], "op")
        await book.set_state(store, publication.id, PublicationState.READY)
        await writer.publish(SETUP, name, Grant(publication.id, None, tenant))
    return with_a_cluster


async def annotate(services: Services, tenant: str, most: int) -> None:
    metadata = {"name": tenant, "labels": {LABEL_TENANT: tenant}, "annotations": {MAX_KEYS: str(most)}}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    await (await services.cluster()).apply(SETUP, manifest, force=True)


async def effective(bench: Bench, key: str) -> dict[str, tuple[str, str | None]]:
    rows = (await bench.do("keys.show", key=key)).data["effective"]
    return {row["model"]: (row["source"], row["tenant"]) for row in rows}


async def test_a_key_of_our_form_works_keeps_its_form_and_is_told_from_a_mistyped_one(bench: Bench) -> None:
    client = await bench.create("web", form="mdk")
    admin = await bench.create("ops", form="mdk", kind="admin", model="llama")
    assert client.startswith("mdk_client_")
    assert admin.startswith("mdk_admin_")
    assert isinstance(bench.decide(client, "qwen"), Allowed), "a client's key has what is published"
    assert isinstance(bench.decide(admin, "llama"), Allowed)
    assert isinstance(bench.decide(admin, "qwen"), Denied), "an admin's key has its own only"
    wrong = bench.decide(client[:-1] + ("a" if client[-1] != "a" else "b"))
    assert isinstance(wrong, Denied)
    assert (wrong.code, wrong.status) == ("mistyped_api_key", 401)
    new = text_of(await bench.do("keys.rotate", key="web"))
    assert new.startswith("mdk_client_")
    assert not mistyped(new)
    told = (await bench.do("access.explain", key="web", model="qwen", **{"as": "budgateway"})).data
    assert any("begin with bud_client alone" in note for note in told["budgateway"])


async def test_whoever_creates_one_is_told_what_a_budgateway_makes_of_it(bench: Bench) -> None:
    outcome = await bench.do("keys.create", name="web", tenant="acme", form="mdk")
    assert [one for one in outcome.data["warnings"] if "bud_client" in one]
    outcome = await bench.do("keys.create", name="ops", tenant="acme", form="mdk", kind="admin", model="llama")
    assert "warnings" not in outcome.data


async def test_labels_are_given_changed_listed_and_chosen_by(bench: Bench) -> None:
    await bench.create("web", label=["team=search", "env=prod"])
    await bench.create("ci", label=["team=tools"])
    await bench.create("bare")

    async def names(*labels: str) -> list[str]:
        return [row["name"] for row in (await bench.do("keys.list", label=labels)).data]

    assert await names() == ["bare", "ci", "web"]
    assert await names("team") == ["ci", "web"]
    assert await names("team=search") == ["web"]
    assert await names("team=search", "env=test") == []
    await bench.do("keys.edit", key="ci", label=["team=search"])
    assert await names("team=search") == ["ci", "web"]
    await bench.do("keys.edit", key="ci", no_labels=True)
    assert (await bench.do("keys.show", key="ci")).data["labels"] == {}
    explained = (await bench.do("access.explain", key="web")).data["rows"]
    assert any("env=prod, team=search" in row["found"] for row in explained)


@pytest.mark.parametrize("label", ["team", "=x", "team=", "a b=c", "team=a,b", "x" * 70 + "=1", "team=" + "y" * 70])
async def test_what_is_no_label_is_refused(bench: Bench, label: str) -> None:
    refused = await bench.do("keys.create", name="x", tenant="acme", label=[label])
    assert (refused.ending, refused.code) == (Ending.REFUSED, "INVALID_PARAMETER")
    assert "nothing was changed" in refused.summary


async def test_a_key_may_call_the_tenants_that_it_names_and_no_others(bench: Bench) -> None:
    free = await bench.create("free")
    bound = await bench.create("bound", allow_tenant=["acme"])
    both = await bench.create("both", allow_tenant=["globex"])
    assert await effective(bench, "free") == {"llama": ("published", "acme"), "qwen": ("published", "globex")}
    assert await effective(bench, "bound") == {"llama": ("published", "acme")}
    assert set(await effective(bench, "both")) == {"llama", "qwen"}
    assert isinstance(bench.decide(free, "qwen"), Allowed)
    assert isinstance(bench.decide(both, "qwen"), Allowed)
    refused = bench.decide(bound, "qwen")
    assert isinstance(refused, Denied)
    assert (refused.status, refused.step) == (404, "model's tenant may be called")
    assert (await bench.do("keys.edit", key="bound", no_allow_tenants=True)).ending is Ending.DONE
    assert isinstance(bench.decide(bound, "qwen"), Allowed)


async def test_an_own_model_is_of_a_tenant_that_it_names(bench: Bench) -> None:
    asked: dict[str, Any] = {"name": "ops", "tenant": "acme", "kind": "admin", "model": "qwen"}
    assert (await bench.do("keys.create", **asked)).code == "MODEL_NOT_PUBLISHED"
    ops = text_of(await bench.do("keys.create", **asked, allow_tenant=["globex"]))
    assert isinstance(bench.decide(ops, "qwen"), Allowed)
    assert await effective(bench, "ops") == {"qwen": ("own", "globex")}
    refused = await bench.do("keys.edit", key="ops", no_allow_tenants=True)
    assert refused.code == "MODEL_NOT_PUBLISHED", "its model would be of a tenant that it may not call"
    assert isinstance(bench.decide(ops, "qwen"), Allowed)


async def test_an_operator_gives_only_tenants_that_are_there_and_are_his(bench: Bench) -> None:
    asked = {"name": "x", "tenant": "acme"}
    refused = await bench.do("keys.create", who=OF_ACME, **asked, allow_tenant=["globex"])
    assert (refused.code, refused.status) == ("TENANT_FORBIDDEN", 403)
    await bench.create("web")
    refused = await bench.do("keys.edit", who=OF_ACME, key="web", allow_tenant=["globex"])
    assert (refused.code, refused.status) == ("TENANT_FORBIDDEN", 403)
    assert (await bench.do("keys.edit", who=OF_ACME, key="web", allow_tenant=["acme"])).ending is Ending.DONE
    assert (await bench.do("keys.create", **asked, allow_tenant=["nobody"])).code == "INVALID_TENANT"


async def test_a_key_takes_a_place_in_the_quota_of_every_tenant_that_it_names(bench: Bench) -> None:
    await annotate(bench.services, "globex", 1)
    await bench.create("visitor", allow_tenant=["globex"])
    refused = await bench.do("keys.create", name="theirs", tenant="globex")
    assert refused.code == "QUOTA_EXCEEDED"
    assert (await bench.do("keys.create", name="more", tenant="acme", allow_tenant=["globex"])).code == "QUOTA_EXCEEDED"
    await bench.create("plain")
    late = await bench.do("keys.edit", key="plain", allow_tenant=["globex"])
    assert late.code == "QUOTA_EXCEEDED"
    assert (await bench.do("keys.show", key="plain")).data["allowed_tenants"] == []
    assert (await bench.do("keys.edit", key="visitor", allow_tenant=["globex", "acme"])).ending is Ending.DONE
    rows = {row["name"]: row["keys_used"] for row in (await bench.do("tenants.list")).data}
    assert rows["globex"] == "1/1"
    await bench.do("keys.revoke", key="visitor")
    assert (await bench.do("keys.edit", key="plain", allow_tenant=["globex"])).ending is Ending.DONE


async def test_how_many_keys_stand_in_clear_is_said_beside_the_list(bench: Bench, redis: Redis) -> None:
    assert (await bench.do("keys.list")).summary == "0 keys"
    await redis.set("api_key:client_keys", '{"bud_client_a": {"m": {}}, "bud_client_b": {"m": {}}}')
    assert "2 more stand in clear" in (await bench.do("keys.list")).summary
    assert (await bench.do("keys.list", who=OF_ACME)).summary == "0 keys"


async def test_a_key_that_redis_has_lost_is_not_said_to_work(bench: Bench, redis: Redis) -> None:
    text = await bench.create("web")
    await redis.delete(f"api_key:{digest_of(text)}")
    found = await bench.do("keys.find", digest=digest_of(text))
    assert (found.data["works"], found.then) == (False, "modeldeck keys restore")


async def test_a_key_that_two_values_name_in_clear_becomes_one_key(bench: Bench, redis: Redis) -> None:
    for name in ("one", "two"):
        await redis.set(f"api_key:{name}", '{"bud_client_of-two-values-000": {"llama": {"endpoint_id": "e1"}}}')
    outcome = await bench.do("keys.import", tenant="acme")
    assert outcome.ending is Ending.DONE, outcome
    assert len({row["key"] for row in outcome.data}) == 1
    assert len((await bench.do("keys.list")).data) == 1
    assert await redis.exists("api_key:one", "api_key:two") == 0
    assert isinstance(bench.decide("bud_client_of-two-values-000", "llama"), Allowed)


async def test_a_clear_copy_is_not_removed_while_redis_has_lost_the_entry(bench: Bench, redis: Redis) -> None:
    text, clear = "bud_client_half-of-it-is-lost", '{"bud_client_half-of-it-is-lost": {"llama": {"endpoint_id": "e1"}}}'
    await redis.set("api_key:old", clear)
    await bench.do("keys.import", tenant="acme")
    await redis.delete(f"api_key:{digest_of(text)}")
    await redis.set("api_key:old", clear)
    assert (await bench.do("keys.import")).ending is Ending.DONE
    assert isinstance(bench.decide(text, "llama"), Allowed)
    assert await redis.exists("api_key:old") == 0


async def test_what_nobody_foresaw_costs_no_text_of_the_keys_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from console.keys import rotation

    await bench.create("a")
    await bench.create("b")
    real = rotation.rotate

    async def rotate(call: Any) -> Any:
        if call["key"] == "b":
            raise RuntimeError("a mistake")
        return await real(call)

    monkeypatch.setattr(rotation, "rotate", rotate)
    outcome = await bench.do("keys.renew", who=ADMIN, key=["a", "b"])
    assert outcome.ending is Ending.PARTIAL
    assert len(outcome.reveals) == 1
    assert [item.state for item in outcome.items] == ["done", "interrupted"]


async def test_the_published_map_alone_says_whose_a_model_is(bench: Bench, redis: Redis) -> None:
    bound = await bench.create("bound", allow_tenant=["acme"])
    await redis.set(PUBLISHED_KEY, '{"foreign": {"endpoint_id": "e", "project_id": "a-budapp-project"}, "bare": {}}')
    await bench.mirror.load()
    assert isinstance(bench.decide(bound, "foreign"), Denied)
    assert isinstance(bench.decide(bound, "bare"), Denied)


async def test_an_edit_that_contradicts_itself_and_a_name_of_a_mile_are_refused(bench: Bench) -> None:
    await bench.create("web", label=["team=search"])
    both = await bench.do("keys.edit", key="web", label=["team=tools"], no_labels=True)
    assert (both.code, "--label and --no-labels" in both.summary) == ("INVALID_PARAMETER", True)
    assert (await bench.do("keys.show", key="web")).data["labels"] == {"team": "search"}
    assert (await bench.do("keys.create", name="x" * 121, tenant="acme")).code == "INVALID_PARAMETER"


async def test_a_key_from_a_secret_keeps_there_where_its_models_lead(bench: Bench) -> None:
    """The database does not know it yet: what is written over the Secret must not forget it."""
    text = await bench.create("ops", kind="admin", model="llama")
    before = await fields(bench)
    assert next(iter(before.values()))["grants"]["llama"]["endpoint_id"] == "pub-llama"
    bench = await without_database(bench)
    for source in ("secrets", "database"):
        await (await bench.services.redis()).delete(KEY_PREFIX + digest_of(text))
        outcome = await bench.do("keys.restore", **{"from": source})  # type: ignore[arg-type]
        assert await fields(bench) == before, outcome
    planned = await bench.do("keys.restore", plan=True)
    assert {row["where"] for row in planned.data} == {"redis"}, "the Secret is as it should be"
