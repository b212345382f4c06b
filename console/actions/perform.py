"""Performing an action: check, permit, do, write down. Every face goes through here."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from console.actions.parameters import NAME, checked
from console.actions.registry import Action
from console.call import Call
from console.guard import Danger, Principal
from console.outcome import Ending, ModeldeckError, Outcome
from console.services import Services
from console.terminal.redaction import without_keys


async def perform(
    services: Services,
    action: Action,
    given: Mapping[str, Any],
    principal: Principal,
    *,
    confirmed: str = "",
    emit: Callable[[Any], None] | None = None,
) -> Outcome:
    """Do one action to its end. Never raises a `ModeldeckError`: it becomes the outcome.

    Args:
        confirmed: ``yes``, or the target's name; what destroys asks for it (console/guard.py)
    """
    target, name, tenant = "", "", None
    permitted = False
    try:
        values = checked(action, given)
        target = _target(values.get(action.target)) if action.target else ""
        name = values[NAME] if isinstance(values.get(NAME), str) else ""
        # Where several may be named, the handler judges each of them.
        tenant = values.get("tenant") if isinstance(values.get("tenant"), str) else None
        if values.get("plan"):  # to look at what would be done does nothing: it asks and records like a read
            action = dataclasses.replace(action, danger=Danger.READ)
        find = action.load_tenant_of() if action.danger > Danger.READ and target else None
        if tenant is None and find is not None:
            tenant = await find(services, principal, target)
        guard = await services.guard(records=action.danger > Danger.READ)
        permit = await guard.permit(action, principal, tenant=tenant, target=target, confirmed=confirmed)
        permitted = True
        if permit.doubt and emit is not None:
            emit(permit.doubt)
        call = Call(services, permit, values, emit) if emit is not None else Call(services, permit, values)
        outcome = await action.load()(call)
    except ModeldeckError as problem:
        outcome = problem.outcome()
    except Exception as problem:
        outcome = _unforeseen(action, problem)
    except asyncio.CancelledError:
        if action.danger > Danger.READ:
            cancelled = Outcome(Ending.CANCELLED, f"{action.id}: cancelled")
            await _written(services, action, principal, tenant, target, name, cancelled)
        raise
    # A key may have been typed or pasted where a name belongs.
    outcome = dataclasses.replace(outcome, summary=without_keys(outcome.summary), then=without_keys(outcome.then))
    if action.danger > Danger.READ and permitted:
        return await _written(services, action, principal, tenant, target, name, outcome)
    return outcome


def _target(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value or "")


def _unforeseen(action: Action, problem: Exception) -> Outcome:
    """What an error that no handler told of comes to; nothing is claimed that was not seen.

    Raises:
        Exception: the error itself, where it is a mistake of ours rather than something outside.
    """
    from console.access.redis import as_unavailable

    outside = as_unavailable(problem)
    if outside is None:
        raise problem
    if action.danger is Danger.READ:
        return outside.outcome()
    summary = f"{action.id}: {outside}; how far it came stands in the journal, and recovery ends it"
    return Outcome(Ending.INTERRUPTED, summary, code=outside.code, then="modeldeck operations list")


async def _written(
    services: Services,
    action: Action,
    principal: Principal,
    tenant: str | None,
    target: str,
    name: str,
    outcome: Outcome,
) -> Outcome:
    """The outcome, once it is in the audit; where that cannot be written, with a word on that."""
    data = outcome.data if isinstance(outcome.data, Mapping) else {}
    if tenant is None and isinstance(data.get("tenant"), str):  # whose it is was found by the action itself
        tenant = data["tenant"]
    try:
        audit = await services.audit()
        ended = audit.ended(action.id, principal, tenant=tenant, target=target, outcome=outcome, name=name)
        await asyncio.shield(ended)
    except ModeldeckError as problem:
        told = f"{outcome.summary}; but that is not in the audit: {problem}"
        if not outcome.ending.good:
            return dataclasses.replace(outcome, summary=told)
        then = outcome.then or problem.then
        return dataclasses.replace(outcome, ending=Ending.PARTIAL, summary=told, code="NOT_IN_AUDIT", then=then)
    return outcome
