"""Suspending a tenant, over a real Valkey and a mirror that decides."""

from __future__ import annotations

import time
from pathlib import Path

from redis.asyncio import Redis

from console.access.decision import Allowed, Ask, decide
from console.access.mirror import Mirror
from console.access.types import RESTRICTIONS_KEY
from console.actions import REGISTRY
from console.actions.perform import perform
from console.guard import Principal, Role
from console.local.valkey import Valkey
from console.outcome import Ending, Outcome
from console.services import Services
from tests.service.access.test_mirror import following
from tests.support.profiles import profile_for
from tests.support.waiting import until

ADMIN = Principal("op", Role.ADMIN, None, "cli", "10.0.0.1")


def works(mirror: Mirror, key: str) -> bool:
    ask = Ask((f"Bearer {key}",), method="GET", path="/v1/models")
    return isinstance(decide(mirror.snapshot, ask, now=time.time()), Allowed)


async def test_a_suspended_tenant_is_refused_until_it_is_resumed(valkey: Valkey, tmp_path: Path) -> None:
    async with following(valkey, instance="w1") as mirror, Services(profile_for(tmp_path, valkey)) as services:

        async def do(action: str, confirmed: str = "yes", **values: str) -> Outcome:
            return await perform(services, REGISTRY[action], values, ADMIN, confirmed=confirmed)

        keys = {}
        for tenant in ("acme", "globex"):
            outcome = await do("keys.create", name="chat", tenant=tenant)
            assert outcome.revealed is not None
            keys[tenant] = outcome.revealed.take() or ""
        assert (await do("tenants.suspend", "", tenant="acme")).code == "NOT_CONFIRMED"
        assert works(mirror, keys["acme"])
        done = await do("tenants.suspend", tenant="acme")
        assert done.ending is Ending.DONE, done
        assert not works(mirror, keys["acme"])
        assert works(mirror, keys["globex"])
        assert (await do("tenants.suspend", tenant="acme")).ending is Ending.UNCHANGED
        shown = await do("access.status")
        assert shown.data["suspended_tenants"] == ["acme"]
        explained = await do("access.explain", key="chat-unknown")
        assert explained.code == "KEY_NOT_FOUND"
        assert (await do("tenants.resume", tenant="acme")).ending is Ending.DONE
        assert works(mirror, keys["acme"])


async def test_malformed_restrictions_keep_the_last_good_ones_and_are_not_overwritten(
    valkey: Valkey, redis: Redis, tmp_path: Path
) -> None:
    await redis.set(RESTRICTIONS_KEY, '{"suspended_tenants": ["acme"]}')
    async with following(valkey) as mirror:
        assert mirror.snapshot.restrictions.suspended_tenants == {"acme"}
        await redis.set(RESTRICTIONS_KEY, "nonsense")
        await until(lambda: mirror.status.faults)
        assert mirror.snapshot.restrictions.suspended_tenants == {"acme"}
        async with Services(profile_for(tmp_path, valkey)) as services:
            values = {"tenant": "globex"}
            outcome = await perform(services, REGISTRY["tenants.suspend"], values, ADMIN, confirmed="yes")
        assert (outcome.ending, outcome.code) == (Ending.REFUSED, "MALFORMED_RESTRICTIONS")
        assert await redis.get(RESTRICTIONS_KEY) == b"nonsense"
        await redis.delete(RESTRICTIONS_KEY)
        await until(lambda: not mirror.status.faults)
        assert mirror.snapshot.restrictions.suspended_tenants == frozenset()


async def test_a_viewer_suspends_nobody(valkey: Valkey, tmp_path: Path) -> None:
    viewer = Principal("v", Role.PUBLISHER, None, "cli", "")
    async with Services(profile_for(tmp_path, valkey)) as services:
        values = {"tenant": "acme"}
        outcome = await perform(services, REGISTRY["tenants.suspend"], values, viewer, confirmed="yes")
    assert outcome.code == "FORBIDDEN"
