"""The gate: what it refuses, and that nobody passes around it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from console.actions import REGISTRY
from console.guard import LOCAL, Danger, Guard, Permit, Policy, Principal, Role, system_permit
from console.outcome import Refusal


@dataclass(frozen=True)
class Demand:
    id: str = "keys.revoke"
    role: Role = Role.PUBLISHER
    danger: Danger = Danger.DESTRUCTIVE


READ = Demand("models.search", Role.VIEWER, Danger.READ)
WRITE = Demand("keys.rotate", Role.PUBLISHER, Danger.WRITE)
ADMIN = Principal("op", Role.ADMIN)


async def test_a_permit_says_who_may_do_what() -> None:
    permit = await Guard(Policy()).permit(WRITE, Principal("op", Role.ADMIN, None, "cli", "10.0.0.1"), tenant="acme")
    assert (permit.action, permit.actor, permit.tenant) == ("keys.rotate", "op@10.0.0.1", "acme")


def test_nobody_makes_a_permit_but_the_guard() -> None:
    with pytest.raises(TypeError):
        Permit(object(), "keys.revoke", ADMIN, None, "")


@pytest.mark.parametrize(
    ("policy", "demand", "principal", "tenant", "said"),
    [
        (Policy("prod", read_only=True), WRITE, ADMIN, None, "read-only"),
        (Policy(), WRITE, Principal("v", Role.VIEWER), None, "needs the role publisher"),
        (Policy(), WRITE, Principal("p", Role.PUBLISHER, frozenset({"globex"})), "acme", "no access to tenant acme"),
    ],
)
async def test_what_is_not_allowed_is_refused_with_the_reason(
    policy: Policy, demand: Demand, principal: Principal, tenant: str | None, said: str
) -> None:
    guard = Guard(policy)
    assert said in (await guard.why_not(demand, principal, tenant=tenant) or "")
    with pytest.raises(Refusal, match=said) as refusal:
        await guard.permit(demand, principal, tenant=tenant, confirmed="yes")
    assert refusal.value.status == 403
    assert "nothing was changed" in str(refusal.value)


async def test_reading_is_allowed_where_writing_is_not() -> None:
    assert await Guard(Policy(read_only=True)).permit(READ, Principal("v", Role.VIEWER))


@pytest.mark.parametrize(
    ("protected", "confirmed", "passes"),
    [
        (False, "", False),
        (False, "yes", True),
        (False, "k7f3", True),
        (True, "yes", False),
        (True, "k7f4", False),
        (True, "k7f3", True),
    ],
)
async def test_what_destroys_is_confirmed_and_in_a_protected_profile_by_name(
    protected: bool, confirmed: str, passes: bool
) -> None:
    guard = Guard(Policy("prod", protected=protected))
    if passes:
        assert await guard.permit(Demand(), ADMIN, target="k7f3", confirmed=confirmed)
        return
    with pytest.raises(Refusal, match="not confirmed") as refusal:
        await guard.permit(Demand(), ADMIN, target="k7f3", confirmed=confirmed)
    assert refusal.value.then == ("add --confirm k7f3" if protected else "add --yes")


async def test_the_clusters_own_rights_count_too() -> None:
    class NoRights:
        async def why_not(self, demand: object, tenant: str | None) -> str | None:
            return f"the cluster does not let you write in {tenant}"

    guard = Guard(Policy(), reviewer=NoRights())
    with pytest.raises(Refusal, match="does not let you write in acme"):
        await guard.permit(WRITE, ADMIN, tenant="acme")
    assert await guard.permit(READ, ADMIN)


async def test_a_permit_holds_for_its_tenant_only() -> None:
    permit = await Guard(Policy()).permit(WRITE, ADMIN, tenant="acme")
    permit.covers("acme")
    with pytest.raises(Refusal):
        permit.covers("globex")
    system_permit("recovery").covers("globex")


@pytest.mark.parametrize(
    ("connection", "origin", "shown"),
    [("192.0.2.1 50000 192.0.2.2 22", "192.0.2.1", "@192.0.2.1"), ("", LOCAL, "")],
    ids=["over SSH", "at this machine"],
)
async def test_where_somebody_comes_from(
    monkeypatch: pytest.MonkeyPatch, connection: str, origin: str, shown: str
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", connection)
    who = Principal.of_this_terminal(role=Role.ADMIN, tenants=None, via="cli")
    assert who.origin == origin
    permit = await Guard(Policy()).permit(REGISTRY["audit"], who)
    assert permit.actor == f"{who.name}{shown}"
