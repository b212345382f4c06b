"""A tenant's suspension: kept in the database, seen wherever its keys are, and not lifted by a flush."""

from __future__ import annotations

from redis.asyncio import Redis

from console.access import suspensions
from console.access.decision import Allowed, Denied
from console.access.types import RESTRICTIONS_KEY, digest_of
from console.guard import Principal, Role
from console.local.kube import KubeServer
from console.outcome import Ending, Unavailable
from console.usage.budgets import Settler
from tests.service.keys.test_keys import Bench
from tests.service.keys.test_secrets import bench, server
from tests.support.waiting import until

__all__ = ["bench", "server"]


async def needs(bench: Bench) -> dict[str, str]:
    overview = (await bench.do("overview")).data
    return {need["state"]: f"{need['what']}: {need['detail']}" for need in overview["needs"]}


async def states(bench: Bench) -> dict[str, str]:
    return {row["name"]: row["state"] for row in (await bench.do("keys.list")).data}


async def test_a_flush_does_not_lift_a_suspension(bench: Bench, redis: Redis) -> None:
    chat = await bench.create("chat")
    assert (await bench.do("tenants.suspend", tenant="acme")).ending is Ending.DONE
    assert isinstance(bench.decide(chat), Denied)
    await redis.flushall()

    assert "tenant acme: its suspension: Redis has none" in (await needs(bench))["lost"]
    assert (await bench.do("tenants.list")).data[0]["state"] == suspensions.LOST
    planned = await bench.do("keys.restore", plan=True)
    assert [(row["name"], row["where"], row["state"]) for row in planned.data] == [
        ("suspension", "redis", "missing"),
        ("chat", "redis", "missing"),
    ]
    assert "the suspension of acme would be written" in planned.summary
    globex = Principal("g", Role.PUBLISHER, frozenset({"globex"}))
    assert (await bench.do("keys.restore", who=globex, plan=True)).data == []
    assert not await redis.exists(RESTRICTIONS_KEY)

    await bench.mirror.load()  # a flush tells nobody: workers see it by their full comparison
    restored = await bench.do("keys.restore")
    assert restored.ending is Ending.DONE, restored
    assert "suspension of acme restored" in restored.summary
    assert [row["state"] for row in restored.data] == ["restored", "restored"]
    answer = bench.decide(chat)
    assert isinstance(answer, Denied)
    assert answer.code == "tenant_suspended"
    assert (await bench.do("keys.restore")).ending is Ending.UNCHANGED
    resumed = await bench.do("tenants.resume", tenant="acme")
    assert resumed.ending is Ending.DONE, resumed
    assert isinstance(bench.decide(chat), Allowed)
    assert (await bench.do("tenants.resume", tenant="acme")).ending is Ending.UNCHANGED


async def test_what_puts_budgets_right_puts_suspensions_right(bench: Bench, redis: Redis) -> None:
    await bench.create("chat")
    await bench.do("tenants.suspend", tenant="acme")
    await redis.delete(RESTRICTIONS_KEY)
    await until(lambda: not bench.mirror.snapshot.restrictions.suspended_tenants)
    await Settler(bench.services).look()
    await until(lambda: bench.mirror.snapshot.restrictions.suspended_tenants == {"acme"})
    # What it finds malformed it leaves as it is, and does the rest of its work.
    await redis.set(RESTRICTIONS_KEY, "nonsense")
    await Settler(bench.services).look()
    assert await redis.get(RESTRICTIONS_KEY) == b"nonsense"
    # It lifts nothing that another has written, and resuming lifts that too.
    await redis.set(RESTRICTIONS_KEY, '{"suspended_tenants": ["acme", "globex"]}')
    await Settler(bench.services).look()
    assert "in Redis alone, a flush would lift it" in (await needs(bench))["suspended"]
    assert (await bench.do("tenants.resume", tenant="globex")).ending is Ending.DONE
    assert (await bench.do("tenants.suspend", tenant="acme")).ending is Ending.UNCHANGED


async def test_a_suspended_tenant_is_seen_wherever_its_keys_are(bench: Bench, redis: Redis) -> None:
    text = await bench.create("chat", form="mdk")
    await bench.create("off")
    await bench.do("keys.suspend", key="off")
    await bench.do("keys.create", name="theirs", tenant="globex")
    await bench.do("tenants.suspend", tenant="acme")
    assert await states(bench) == {"chat": "tenant suspended", "off": "suspended", "theirs": "active"}
    assert (await bench.do("keys.show", key="chat")).data["state"] == "tenant suspended"
    tenants = {row["name"]: row["state"] for row in (await bench.do("tenants.list")).data}
    assert tenants == {"acme": "suspended", "globex": "active"}
    overview = (await bench.do("overview")).data
    assert (overview["keys"]["active"], overview["keys"]["total"]) == (1, 3)
    assert (await needs(bench))["suspended"] == ("tenant acme: 2 keys refused with 403: modeldeck tenants resume acme")
    found = await bench.do("keys.find", digest=digest_of(text))
    assert "its tenant is suspended" in found.summary
    await bench.do("tenants.resume", tenant="acme")
    assert await states(bench) == {"chat": "active", "off": "suspended", "theirs": "active"}
    assert "suspended" not in await needs(bench)


async def test_only_a_tenant_that_exists_is_suspended(bench: Bench, server: KubeServer) -> None:
    await bench.create("chat")
    refused = await bench.do("tenants.suspend", tenant="nosuch")
    assert (refused.ending, refused.code) == (Ending.REFUSED, "INVALID_TENANT")
    assert (await bench.do("tenants.suspend", tenant="globex")).ending is Ending.DONE, "the cluster knows it"
    await server.stop()
    refused = await bench.do("tenants.suspend", tenant="nosuch")
    assert refused.code == "INVALID_TENANT"
    assert "the cluster cannot be asked" in refused.summary
    assert (await bench.do("tenants.suspend", tenant="acme")).ending is Ending.DONE, "the database knows its key"


async def test_a_suspension_while_redis_is_away_comes_when_it_is_back(bench: Bench, redis: Redis) -> None:
    chat = await bench.create("chat")
    real = bench.services.redis

    async def away() -> Redis:
        raise Unavailable("Redis cannot be reached", code="REDIS_UNAVAILABLE")

    bench.services.redis = away  # type: ignore[method-assign]
    pending = await bench.do("tenants.suspend", tenant="acme")
    assert pending.ending is Ending.PENDING, pending
    assert await states(bench) == {"chat": "tenant suspended"}
    bench.services.redis = real  # type: ignore[method-assign]
    assert isinstance(bench.decide(chat), Allowed)
    assert await states(bench) == {"chat": "active"}, "what the gateway does"
    await Settler(bench.services).look()
    await until(lambda: isinstance(bench.decide(chat), Denied))
    bench.services.redis = away  # type: ignore[method-assign]
    assert not (await bench.do("tenants.resume", tenant="acme")).ending.good
    bench.services.redis = real  # type: ignore[method-assign]
    assert await states(bench) == {"chat": "tenant suspended"}
    assert set(await suspensions.kept(await bench.services.store())) == {"acme"}
