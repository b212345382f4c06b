"""Operations to look at and to watch, the audit, the feed; server-sent events (WHATWG HTML, "Server-sent events")."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from console.api.asking import Asker
from console.api.problems import answer, refusal
from console.outcome import ModeldeckError, Outcome, Unavailable

router = APIRouter(tags=["operations"])
_LOOK_SECONDS = 0.2
_ALIVE_SECONDS = 15.0
_WATCH_SECONDS = 600.0
_QUEUED = 1_000


@router.get("/api/operations", summary="The newest operations")
async def operations(request: Request, limit: int = 20) -> Response:
    return await _asker(request).respond(request, "operations.list", {"limit": limit})


@router.get("/api/operations/{identifier}", summary="An operation with its steps")
async def operation(request: Request, identifier: str) -> Response:
    return await _asker(request).respond(request, "operations.show", {"operation": identifier})


@router.get("/api/operations/{identifier}/events", summary="An operation's steps as they are taken")
async def operation_events(request: Request, identifier: str) -> Response:
    asker = _asker(request)
    found = await asker.do("operations.show", {"operation": identifier}, request.state.principal)
    if found.data is None:
        return answer(found)
    return _stream(_steps(asker, found.data["id"]))


async def _steps(asker: Asker, identifier: str) -> AsyncIterator[bytes]:
    """Each step whenever its state is another, and the end. It reads the journal: any process may be taking them."""
    journal = await asker.services.journal()
    told: dict[int, str] = {}
    deadline = asyncio.get_running_loop().time() + _WATCH_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        record = await journal.read(identifier)
        for step in record.steps:
            if told.get(step.seq, "waiting") != step.state.value:
                told[step.seq] = step.state.value
                yield _event(
                    "step", {"seq": step.seq, "name": step.name, "state": step.state.value, "detail": step.detail}
                )
        if record.state.over:
            yield _event("end", {"state": record.state.value, "summary": record.summary})
            return
        if record.interrupted(datetime.now(UTC)):
            yield _event("interrupted", {"state": "interrupted", "summary": "recovery owns it"})
        await asyncio.sleep(_LOOK_SECONDS)


@router.get("/api/feed", summary="What changes in Redis, as it changes")
async def feed(request: Request, match: str = "") -> Response:
    from console.access.feed import Feed, FeedEvent

    services = _asker(request).services
    if request.state.principal.tenants is not None:  # a change in Redis may be of several tenants, or of none
        what = "the feed shows the changes of every tenant, and this token has not all of them"
        return refusal(403, "TENANT_FORBIDDEN", what, then="GET /api/operations shows those of its own")
    try:
        redis = await services.redis()
    except ModeldeckError as problem:
        return answer(problem.outcome())
    queue: asyncio.Queue[FeedEvent] = asyncio.Queue(_QUEUED)
    lost = 0

    def take(event: FeedEvent) -> None:
        nonlocal lost
        if match in str(event):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                lost += 1

    async def events() -> AsyncIterator[bytes]:
        nonlocal lost
        following = asyncio.create_task(Feed(redis, services.profile.access, take).run())
        try:
            while not following.done():
                try:
                    event = await asyncio.wait_for(queue.get(), _ALIVE_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if lost:
                    yield _event("dropped", {"events": lost})
                    lost = 0
                yield _event("change", event.as_json())
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    return _stream(events())


@router.get("/api/audit", summary="Who did what, the newest first")
async def audit(
    request: Request,
    limit: int = 50,
    who: str | None = None,
    action: str | None = None,
    tenant: str | None = None,
    since: str | None = None,
    match: str | None = None,
) -> Response:
    """``who`` is a name or ``name@origin``, ``action`` one action or a group (``keys``), ``since`` ``7d`` or ``12h``; a
    row has all of the words that ``match`` is."""

    def shape(outcome: Outcome) -> dict[str, Any]:
        return {"rows": outcome.data, "total": len(outcome.data)}

    given = {"who": who, "action": action, "tenant": tenant, "since": since, "match": match}
    return await _asker(request).respond(request, "audit", {"limit": limit, **given}, shape=shape)


def _stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    async def guarded() -> AsyncIterator[bytes]:
        # The answer has begun: what goes wrong from here on can only be said as an event.
        try:
            async for event in events:
                yield event
        except Unavailable as problem:
            yield _event("error", {"detail": str(problem), "code": problem.code})
        finally:
            with contextlib.suppress(RuntimeError):
                await events.aclose()  # type: ignore[attr-defined]

    return StreamingResponse(guarded(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def _event(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _asker(request: Request) -> Asker:
    asker: Asker = request.app.state.asker
    return asker
