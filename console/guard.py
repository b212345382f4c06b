"""The one gate that every write passes.

What changes Redis, Kubernetes or the database on somebody's behalf takes a `Permit`, and only this module makes
one. A key binding, a menu or a route that forgets to hide an action can therefore not do harm: it ends here, in
a `Refusal` that says why. Screens ask `Guard.why_not` beforehand, to show what would be refused.
"""

from __future__ import annotations

import dataclasses
import enum
import getpass
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from console.outcome import ModeldeckError, Refusal

LOCAL = "local"
"""The origin of who sits at this machine, and came over no network that we know of."""


class Role(enum.IntEnum):
    """What a principal may do; each role includes the ones below it."""

    VIEWER = 1
    PUBLISHER = 2
    ADMIN = 3

    @classmethod
    def named(cls, name: str) -> Role:
        try:
            return cls[name.upper()]
        except KeyError:
            raise ValueError(f"{name!r} is not a role: viewer, publisher or admin") from None


class Danger(enum.IntEnum):
    """What an action can do at worst; decides what has to be confirmed, and how."""

    READ = 0
    WRITE = 1
    DESTRUCTIVE = 2


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts. ``tenants`` None means all of them. ``origin`` is where from: an SSH client, an address, `LOCAL`."""

    name: str
    role: Role
    tenants: frozenset[str] | None = None
    via: str = "cli"
    origin: str = ""

    @classmethod
    def of_this_terminal(cls, *, role: Role, tenants: frozenset[str] | None, via: str) -> Principal:
        """The OS user, and the SSH client where there is one, else this machine."""
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            name = f"uid {os.getuid()}"
        return cls(name, role, tenants, via, os.environ.get("SSH_CONNECTION", "").split(" ")[0] or LOCAL)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed.

    protected  asks for the target's name, typed, before anything destructive
    armed      False in a session on a protected profile until its operator arms writes
    """

    profile: str = "default"
    read_only: bool = False
    protected: bool = False
    armed: bool = True


class Demand(Protocol):
    """What the guard needs to know of an action (console/actions/registry.py declares them)."""

    @property
    def id(self) -> str: ...
    @property
    def role(self) -> Role: ...
    @property
    def danger(self) -> Danger: ...


class AccessReviewer(Protocol):
    """Asks the cluster whether these credentials may do something (SelfSubjectAccessReview)."""

    async def why_not(self, demand: Demand, tenant: str | None) -> str | None:
        """The sentence that says what is missing, or None; raises a `ModeldeckError` where the cluster did not say."""
        ...


class RefusalLog(Protocol):
    """Where refused attempts are written down (console/audit.py)."""

    async def refused(
        self, demand: Demand, principal: Principal, tenant: str | None, target: str, why: str
    ) -> None: ...


_SEAL = object()


class Permit:
    """Proof that the guard let this through: who, what, on which tenant and target.

    ``doubt`` says what could not be asked beforehand; empty where everything was known.

    Made by `Guard.permit` for operators and by `system_permit` for Modeldeck's own upkeep; the functions that
    write take one as their first argument.
    """

    __slots__ = ("action", "doubt", "principal", "target", "tenant", "when")

    def __init__(
        self, seal: object, action: str, principal: Principal, tenant: str | None, target: str, doubt: str = ""
    ) -> None:
        if seal is not _SEAL:
            raise TypeError("a Permit comes from the guard")
        self.action = action
        self.principal = principal
        self.tenant = tenant
        self.target = target
        self.doubt = doubt
        self.when = datetime.now(UTC)

    @property
    def actor(self) -> str:
        """``name@origin`` for the journal, the attribution stream and annotations; the name alone for this machine."""
        origin = self.principal.origin
        return f"{self.principal.name}@{origin}" if origin not in ("", LOCAL) else self.principal.name

    def on_behalf_of(self, actor: str) -> Permit:
        """The same permit, for a journaled step that an operator asked for: writes are attributed to ``actor``."""
        principal = dataclasses.replace(self.principal, name=actor, origin="")
        return Permit(_SEAL, self.action, principal, self.tenant, self.target)

    def covers(self, tenant: str) -> None:
        """Refuse to act on another tenant than the permit was asked for."""
        allowed = self.principal.tenants
        if (self.tenant is not None and tenant != self.tenant) or (allowed is not None and tenant not in allowed):
            may = self.tenant if allowed is None or self.tenant is not None else ", ".join(sorted(allowed))
            raise Refusal(
                f"{self.action} is permitted for tenant {may or 'none'}, not for {tenant}; nothing was changed",
                code="TENANT_FORBIDDEN",
                status=403,
                then="modeldeck tenants list",
            )

    def __repr__(self) -> str:
        return f"Permit({self.action}, {self.actor}, tenant={self.tenant}, target={self.target!r})"


def system_permit(duty: str, *, target: str = "") -> Permit:
    """For what Modeldeck does by itself: recovery, a controller, an internal probe."""
    return Permit(_SEAL, duty, Principal("modeldeck", Role.ADMIN, None, "system"), None, target)


class Guard:
    """Decides, and writes refused attempts down."""

    def __init__(
        self, policy: Policy, *, reviewer: AccessReviewer | None = None, log: RefusalLog | None = None
    ) -> None:
        self.policy = policy
        self._reviewer = reviewer
        self._log = log

    async def why_not(self, demand: Demand, principal: Principal, *, tenant: str | None) -> str | None:
        """The sentence that says why this would be refused, or None.

        A right that the cluster cannot be asked for is no reason: the action fails with the real one.
        """
        why, _ = await self._judged(demand, principal, tenant)
        return why

    async def _judged(self, demand: Demand, principal: Principal, tenant: str | None) -> tuple[str | None, str]:
        """Why it would be refused, and what is not known."""
        why = self._by_policy(demand, principal, tenant)
        if why is not None or self._reviewer is None or demand.danger is Danger.READ:
            return why, ""
        try:
            return await self._reviewer.why_not(demand, tenant), ""
        except ModeldeckError as problem:
            return None, f"whether the cluster allows {demand.id} in {tenant} is not known: {problem}"

    def _by_policy(self, demand: Demand, principal: Principal, tenant: str | None) -> str | None:
        if demand.danger > Danger.READ and self.policy.read_only:
            return f"profile {self.policy.profile} is read-only"
        if demand.danger > Danger.READ and not self.policy.armed:
            return f"writes to {self.policy.profile} are not armed in this session (W arms them)"
        if principal.role < demand.role:
            has, needs = principal.role.name.lower(), demand.role.name.lower()
            return f"{demand.id} needs the role {needs}, and {principal.name} is {has}"
        if tenant is not None and principal.tenants is not None and tenant not in principal.tenants:
            return f"{principal.name} has no access to tenant {tenant}"
        return None

    async def permit(
        self,
        demand: Demand,
        principal: Principal,
        *,
        tenant: str | None = None,
        target: str = "",
        confirmed: str = "",
    ) -> Permit:
        """A permit, or a `Refusal` (403; 409 where only a confirmation is missing).

        ``confirmed`` is what the operator typed or passed: ``yes``, or the target's name, which a protected
        profile insists on for what destroys.
        """
        why, doubt = await self._judged(demand, principal, tenant)
        if why is not None:
            if self._log is not None:
                await self._log.refused(demand, principal, tenant, target, why)
            raise Refusal(f"{why}; nothing was changed", code="FORBIDDEN", status=403)
        if demand.danger is Danger.DESTRUCTIVE and not self._is_confirmed(target, confirmed):
            asked = f"--confirm {target}" if self.policy.protected and target else "--yes"
            raise Refusal(
                f"{demand.id} {target} destroys something and was not confirmed; nothing was changed",
                code="NOT_CONFIRMED",
                status=409,
                then=f"add {asked}",
            )
        return Permit(_SEAL, demand.id, principal, tenant, target, doubt)

    def _is_confirmed(self, target: str, confirmed: str) -> bool:
        if target and confirmed == target:
            return True
        return confirmed == "yes" and not (self.policy.protected and target)
