"""Actions on budgets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal

from console.access import budgets as gate
from console.access.budgets import Budget, Period
from console.call import Call
from console.guard import Principal
from console.keys import book as keys
from console.keys.types import Key
from console.outcome import Ending, Outcome, Refusal, not_found
from console.usage import budgets

if TYPE_CHECKING:
    from console.services import Services

_MOST_USD = Decimal(1_000_000)
_SMALLEST_USD = Decimal("0.000001")
_MOST_TOKENS = 10**15


async def listing(call: Call) -> Outcome:
    """Every budget, with what is spent of it."""
    kept = await budgets.listing(await call.services.store())
    known = {one.id: one for one in await keys.list_keys(await call.services.store(), revoked=True)} if kept else {}
    allowed = call.principal.tenants
    if allowed is not None or call["tenant"]:
        tenants = {call["tenant"]} if call["tenant"] else allowed or frozenset()
        kept = [one for one in kept if _tenant(one.budget, known) in tenants]
    rows = [
        {**row, "called": f"key {known[row['name']].name}" if row["name"] in known else f"{row['scope']} {row['name']}"}
        for row in await budgets.states(call.services, kept)
    ]
    return Outcome(Ending.DONE, f"{len(rows)} budget{'s' if len(rows) != 1 else ''}", data=rows)


async def put(call: Call) -> Outcome:
    """Set what a key or a tenant may spend. In effect at the gateway's workers within a second."""
    scope, name, shown = await _subject(call)
    budget = Budget(scope, name, Period(call["per"]), call["tokens"], _usd(call["usd"]))
    if budget.tokens is None and budget.usd is None:
        raise _wrong("a budget has --usd, --tokens or both")
    if budget.tokens is not None and budget.tokens > _MOST_TOKENS:
        raise _wrong(f"tokens must be at most {_MOST_TOKENS:,}")
    store, redis = await call.services.store(), await call.services.redis()
    before = next((one.budget for one in await budgets.listing(store) if one.budget.field == budget.field), None)
    if before == budget:
        return Outcome(Ending.UNCHANGED, f"{shown} has that budget already: {budget.sentence}")
    if before is not None and before.period is not budget.period:
        await gate.drop_budget(redis, scope, name)  # what was counted is of another period
    await budgets.put(store, budget, call.permit.actor, datetime.now(UTC))
    await gate.write_budget(redis, budget)
    # At once, and not with the next line of the log: a budget that is used up already holds from now on.
    settler = budgets.Settler(call.services)
    await settler.look()
    (state,) = await budgets.states(call.services, [budgets.Kept(budget, "", datetime.now(UTC))])
    was = f" (before: {before.sentence})" if before is not None else ""
    return Outcome(
        Ending.DONE,
        f"{shown} may spend {budget.sentence}{was}; {state['percent']} % of it is used",
        proof=("written to the database and to Redis, which the gateway's workers read every half second",),
        data=state,
    )


async def remove(call: Call) -> Outcome:
    """Let a key or a tenant spend without a bound again."""
    scope, name, shown = await _subject(call, revoked=True)
    removed = await budgets.remove(await call.services.store(), scope, name)
    await gate.drop_budget(await call.services.redis(), scope, name)
    if not removed:
        return Outcome(Ending.UNCHANGED, f"{shown} has no budget")
    return Outcome(
        Ending.DONE,
        f"{shown} has no budget any more",
        proof=("removed from the database and from Redis, which the gateway's workers read every half second",),
    )


async def tenant_of(services: Services, principal: Principal, target: str) -> str | None:
    """The tenant that a target is about: itself, or that of the key."""
    scope, _, name = target.partition(":")
    if scope == "tenant":
        return name
    try:
        return (await keys.read_key(await services.store(), name, tenants=principal.tenants)).tenant
    except Refusal:
        return None


async def _subject(call: Call, *, revoked: bool = False) -> tuple[Literal["key", "tenant"], str, str]:
    """Scope, name, and what to call it. ``revoked``: a revoked key is found by its name too.

    Raises:
        Refusal: there is no such thing.
    """
    scope, colon, name = call["target"].partition(":")
    if not colon or not name or scope not in ("key", "tenant"):
        raise _wrong("a budget is of key:NAME or tenant:NAME")
    if scope == "key":
        store = await call.services.store()
        key = await keys.read_key(store, name, tenants=call.principal.tenants, revoked=revoked)
        return "key", key.id, f"key {key}"
    from console.k8s.types import LABEL_TENANT, NAMESPACE

    namespaces, _ = await (await call.services.cluster()).list(NAMESPACE, labels=LABEL_TENANT)
    if name not in {one["metadata"]["name"] for one in namespaces}:
        raise not_found(f"there is no tenant {name}; nothing was changed", code="INVALID_TENANT",
                        then="modeldeck tenants list")  # fmt: skip
    return "tenant", name, f"tenant {name}"


def _usd(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        # A comma is a point to some and nothing to others: neither is guessed where money is limited.
        raise _wrong(f"--usd is an amount such as 25 or 0.50, without commas: {text[:40]!r} is none") from None
    if not amount.is_finite() or not _SMALLEST_USD <= amount <= _MOST_USD:
        raise _wrong(f"--usd must be from {_SMALLEST_USD} to {_MOST_USD:,}")
    return amount.quantize(_SMALLEST_USD).normalize()


def _wrong(sentence: str) -> Refusal:
    return Refusal(f"{sentence}; nothing was changed", code="BAD_REQUEST", status=400)


def _tenant(budget: Budget, known: Mapping[str, Key]) -> str | None:
    if budget.scope == "tenant":
        return budget.name
    return known[budget.name].tenant if budget.name in known else None
