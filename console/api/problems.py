"""Outcomes as HTTP answers: problem details (RFC 9457) for what was not done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from console.outcome import Ending, Outcome

PROBLEM = "application/problem+json"


def answer(outcome: Outcome, *, body: Any = None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """``body`` in place of the outcome's own form, where a seed document fixes another one."""
    if outcome.ending in (Ending.DONE, Ending.UNCHANGED, Ending.PENDING, Ending.PARTIAL):
        shown = outcome.as_json() if body is None else body
        return JSONResponse(shown, status_code=outcome.status, headers=dict(headers or {}) | _uncached(outcome))
    return problem(outcome, headers=headers)


def problem(outcome: Outcome, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Why it was not done. ``type`` is relative: the codes are explained in docs/http-api.md."""
    body: dict[str, Any] = {
        "type": f"/problems/{outcome.code or outcome.ending.value.upper()}",
        "title": outcome.ending.means,
        "status": outcome.status,
        "detail": outcome.summary,
        "code": outcome.code or outcome.ending.value.upper(),
        "outcome": outcome.ending.value,
    }
    if outcome.then:
        body["then"] = outcome.then
    if outcome.items:
        body["items"] = [{"name": item.name, "state": item.state, "detail": item.detail} for item in outcome.items]
    if isinstance(outcome.data, Mapping) and "operation" in outcome.data:
        body["operation"] = outcome.data["operation"]
    return JSONResponse(body, status_code=outcome.status, media_type=PROBLEM, headers=dict(headers or {}))


def refusal(
    status: int, code: str, detail: str, *, then: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A refusal of the HTTP face itself: no token, too much, no such path."""
    return problem(Outcome(Ending.REFUSED, detail, code=code, http_status=status, then=then), headers=headers)


def _uncached(outcome: Outcome) -> dict[str, str]:
    """A key that is shown once is kept by no cache on its way."""
    return {"cache-control": "no-store"} if outcome.revealed is not None or outcome.reveals else {}
