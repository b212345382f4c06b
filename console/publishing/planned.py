"""The plan as an answer: as a diff, as manifests, or as what stops it."""

from __future__ import annotations

from console.call import Call
from console.outcome import Ending, Item, Outcome, Refusal
from console.publishing.as_yaml import manifests_of
from console.publishing.types import Plan, Publication


def as_asked(call: Call, plan: Plan, publication: Publication) -> Outcome:
    """The plan as a diff, or the manifests that it would apply."""
    if not call.values.get("manifests"):
        return planned(plan)
    document = manifests_of(publication, call.services.profile)
    return Outcome(Ending.DONE, plan.summary, data=document)


def refuse_without_plan(call: Call) -> None:
    """Manifests are part of a plan."""
    if call["manifests"] and not call["plan"]:
        raise Refusal(
            "--manifests shows what would be applied; nothing was changed",
            code="INVALID_PARAMETER",
            then="add --plan, or leave it out",
        )


def planned(plan: Plan) -> Outcome:
    then = "add --take-over to take them over, or leave them to their manager" if plan.conflicts else ""
    return Outcome(Ending.UNCHANGED if plan.changes_nothing else Ending.DONE, plan.summary, data=plan, then=then)


def another_managers(plan: Plan) -> Refusal:
    return Refusal(
        f"{plan.conflicts[0]}{f', and {len(plan.conflicts) - 1} more' if len(plan.conflicts) > 1 else ''}; "
        "nothing was changed",
        code="FIELD_CONFLICT",
        status=409,
        then="see what they want, then take them over with --take-over; --plan shows before and after",
        items=tuple(Item(one, "conflict") for one in plan.conflicts),
    )
