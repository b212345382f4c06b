"""Every action as every role, on the own tenant and another's, in every sort of profile: the table is what holds."""

from __future__ import annotations

import pytest

from console.actions import REGISTRY
from console.guard import Guard, Policy, Principal, Role
from console.outcome import Refusal

ACTIONS = {
    "look": """
        status overview feed models.search models.show models.compare models.export sync.status sync.providers
        sync.history sync.events sync.schedule sync.webhooks sync.held published tenants.list publications.docs
        sync.rejects publications.export publications.drift publications.leftovers
        keys.list keys.show keys.find
        access.explain access.status operations.list operations.show audit usage budgets.list limits.show replay
    """,
    "ask": "sync.diff sync.check keys.copy",
    "change": """
        cache.invalidate models.hide models.pin models.price models.note sync.run sync.pause sync.resume sync.every
        sync.accept sync.refuse publish update publications.publish publications.update publications.apply
        publications.repair publications.adopt
        keys.create keys.rotate keys.extend keys.edit keys.resume keys.restore keys.renew
        operations.recover
    """,
    "destroy": """
        unpublish publications.unpublish publications.undo publications.prune
        keys.suspend keys.finish keys.withdraw keys.revoke
    """,
    "administer": "gateway.buffer tenants.resume tokens.create budgets.set budgets.remove keys.import",
    "read secrets": "tokens.list",
    "remove": "tenants.suspend tokens.revoke",
}
"""Every action, by the rows of the table that hold for it."""

# Each cell: yes, or why not. "yes" as a confirmation was given; "name" is where the target's name is asked for.
TABLE = """
                         own tenant                          another's
                         normal  readonly protected unarmed  normal  readonly protected unarmed
look          viewer     yes     yes      yes       yes      tenant  tenant   tenant    tenant
look          publisher  yes     yes      yes       yes      tenant  tenant   tenant    tenant
look          admin      yes     yes      yes       yes      tenant  tenant   tenant    tenant
ask           viewer     role    role     role      role     role    role     role      role
ask           publisher  yes     yes      yes       yes      tenant  tenant   tenant    tenant
ask           admin      yes     yes      yes       yes      tenant  tenant   tenant    tenant
change        viewer     role    readonly role      unarmed  role    readonly role      unarmed
change        publisher  yes     readonly yes       unarmed  tenant  readonly tenant    unarmed
change        admin      yes     readonly yes       unarmed  tenant  readonly tenant    unarmed
destroy       viewer     role    readonly role      unarmed  role    readonly role      unarmed
destroy       publisher  yes     readonly name      unarmed  tenant  readonly tenant    unarmed
destroy       admin      yes     readonly name      unarmed  tenant  readonly tenant    unarmed
administer    viewer     role    readonly role      unarmed  role    readonly role      unarmed
administer    publisher  role    readonly role      unarmed  role    readonly role      unarmed
administer    admin      yes     readonly yes       unarmed  tenant  readonly tenant    unarmed
read secrets  viewer     role    role     role      role     role    role     role      role
read secrets  publisher  role    role     role      role     role    role     role      role
read secrets  admin      yes     yes      yes       yes      tenant  tenant   tenant    tenant
remove        viewer     role    readonly role      unarmed  role    readonly role      unarmed
remove        publisher  role    readonly role      unarmed  role    readonly role      unarmed
remove        admin      yes     readonly name      unarmed  tenant  readonly tenant    unarmed
"""
PROFILES = {
    "normal": Policy("p"),
    "readonly": Policy("p", read_only=True),
    "protected": Policy("p", protected=True),
    "unarmed": Policy("p", protected=True, armed=False),
}
SAID = {
    "role": "needs the role",
    "readonly": "is read-only",
    "tenant": "has no access to tenant globex",
    "unarmed": "are not armed",
    "name": "not confirmed",
}


def cells() -> list[tuple[str, str, str, str, str]]:
    """Row, role, tenant, profile, and what is expected there."""
    found = []
    for line in TABLE.strip("\n").splitlines()[2:]:
        row, rest = line[:14].strip(), line[14:].split()
        for place, expected in enumerate(rest[1:]):
            tenant = "acme" if place < len(PROFILES) else "globex"
            found.append((row, rest[0], tenant, list(PROFILES)[place % len(PROFILES)], expected))
    return found


def test_the_table_has_every_action_and_every_case() -> None:
    named = [action for text in ACTIONS.values() for action in text.split()]
    assert len(named) == len(set(named))
    assert set(named) == {action.id for action in REGISTRY}
    assert len({cell[:4] for cell in cells()}) == len(ACTIONS) * len(Role) * 2 * len(PROFILES)


@pytest.mark.parametrize(("row", "role", "tenant", "profile", "expected"), cells())
async def test_what_the_guard_says(row: str, role: str, tenant: str, profile: str, expected: str) -> None:
    who = Principal("op", Role.named(role), frozenset({"acme"}))
    guard = Guard(PROFILES[profile])
    for identifier in ACTIONS[row].split():
        asked = guard.permit(REGISTRY[identifier], who, tenant=tenant, target="it", confirmed="yes")
        if expected == "yes":
            assert (await asked).action == identifier
            continue
        with pytest.raises(Refusal, match=f"{SAID[expected]}.*nothing was changed"):
            await asked
