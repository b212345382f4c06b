"""What `keys restore` tells of the suspensions that Redis has lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from console.access.suspensions import standing
from console.call import Call
from console.outcome import Ending, Outcome


async def lost_suspensions(call: Call, tenants: Collection[str] | None) -> list[str]:
    """The tenants, of these (None: of all), that are suspended, and of which Redis does not say so."""
    lost = (await standing(call.services)).lost
    return sorted(one for one in lost if tenants is None or one in tenants)


def suspension_rows(tenants: Sequence[str], state: str = "missing") -> list[dict[str, Any]]:
    """A row for each, with the columns of those of keys."""
    row = dict.fromkeys(("id", "generation", "digest", "not_after"))
    return [row | {"name": "suspension", "tenant": one, "where": "redis", "state": state} for one in tenants]


def with_suspensions(first: Outcome, keys: Outcome, tenants: Sequence[str]) -> Outcome:
    """One outcome of both: of the suspensions of tenants, and of what was lost of keys."""
    rows = suspension_rows(tenants, "restored") + keys.data
    summary = f"{first.summary}; {keys.summary}"
    proof = (*first.proof, *keys.proof)
    if first.ending is Ending.PENDING and keys.ending.good:
        return dataclasses.replace(first, summary=summary, proof=(), data=rows)
    if keys.ending is Ending.UNCHANGED:
        return dataclasses.replace(first, summary=summary, proof=proof, data=rows)
    return dataclasses.replace(keys, summary=summary, proof=proof if keys.proof else (), data=rows)
