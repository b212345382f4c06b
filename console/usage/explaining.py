"""``access explain`` whole: the rules that the authorizer asks, and the budgets and limits that come behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError

from console.access.decision import MODELS_PATH
from console.call import Call
from console.keys.explaining import explain_access
from console.outcome import ModeldeckError, Outcome
from console.usage import limits

_RULE = "budgets and limits have room"


async def explain(call: Call) -> Outcome:
    """Which rule lets a key through or refuses it, and which budget or limit would refuse it all the same."""
    outcome = await explain_access(call)
    data = outcome.data
    key_id = data.get("headers", {}).get(f"{call.services.profile.access.header_prefix}-key-id")
    if data["status"] != 200 or not call["model"] or not key_id or call["path"] == MODELS_PATH:
        return outcome
    try:
        shown = await limits.show(dataclasses.replace(call, values={"key": key_id, "model": call["model"]}))
    except (ModeldeckError, RedisError, OSError) as problem:
        unknown = _with(outcome, "unknown", str(problem) or type(problem).__name__)
        unknown.data["status"] = None
        what = "whether a budget or a limit refuses it could not be read"
        return dataclasses.replace(unknown, summary=f"{outcome.summary} by the key's rules; {what}")
    rows: Sequence[Mapping[str, Any]] = shown.data["rows"]
    refusing = [row for row in rows if row["refuses"]]
    if not refusing:
        if all(row["refuses"] is False for row in rows):
            return _with(outcome, "passed", shown.summary)
        unknown = _with(outcome, "unknown", shown.summary)
        unknown.data["status"] = None  # 200 or 429: the gateway alone can tell
        what = "whether a limit refuses it is not known here"
        return dataclasses.replace(unknown, summary=f"{outcome.summary} by the key's rules; {what}: {shown.summary}")
    status = 402 if any(row["says"] == "402" for row in refusing) else 429
    refused = _with(outcome, "refused", shown.summary)
    refused.data.update(status=status, refused_by=_RULE)
    return dataclasses.replace(refused, summary=f"refused with {status}: {shown.summary}")


def _with(outcome: Outcome, verdict: str, found: str) -> Outcome:
    row = {"rule": _RULE, "verdict": verdict, "found": found}
    return dataclasses.replace(outcome, data={**outcome.data, "rows": [*outcome.data["rows"], row]})
