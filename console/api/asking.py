"""A request as an action, and its outcome as the answer; long ones in the background, repeated ones once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console.actions import REGISTRY
from console.actions.perform import perform
from console.api.problems import answer, problem, refusal
from console.guard import Danger, Principal
from console.operations.types import Progress
from console.outcome import Ending, Outcome
from console.services import Services
from console.store.tables.access import api_requests as kept
from console.tokens import Token

BODY_LIMIT = 1024 * 1024
_KEPT_FOR = timedelta(hours=24)
_KEY_LIMIT = 255
IDEMPOTENCY_KEY = "idempotency_key"
"""The parameter of an action that knows by itself what it did for a request that is repeated."""
_BEGIN_SECONDS = 10.0
Shape = Callable[[Outcome], Any]
"""From an outcome to the body that a seed document fixes."""


REVEALING = frozenset({"keys.create", "keys.rotate", "keys.renew", "keys.copy", "tokens.create"})
"""What answers with the text of a key, this once: no operation that is watched later can tell it."""


class Asker:
    """Performs actions for requests. Its background tasks end with `close`."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._background: set[asyncio.Task[Outcome]] = set()

    async def do(self, identifier: str, values: Mapping[str, Any], principal: Principal, **more: Any) -> Outcome:
        """The outcome of an action. Over HTTP the role is what allows to destroy; nobody is asked again."""
        action = REGISTRY[identifier]
        target = str(values.get(action.target or "", ""))
        confirmed = target or "yes" if action.danger is Danger.DESTRUCTIVE else ""
        return await perform(self.services, action, values, principal, confirmed=confirmed, **more)

    async def respond(
        self, request: Request, identifier: str, values: Mapping[str, Any], *, shape: Shape | None = None
    ) -> Response:
        """Do it and answer. ``Prefer: respond-async`` answers 202 as soon as the journal has it."""
        token: Token = request.state.token
        key = request.headers.get("idempotency-key")
        if key is not None and REGISTRY[identifier].danger is not Danger.READ:
            return await self._once(request, token, key, identifier, values, shape)
        return await self._answer(request, identifier, values, shape)

    async def _answer(
        self, request: Request, identifier: str, values: Mapping[str, Any], shape: Shape | None
    ) -> JSONResponse:
        principal: Principal = request.state.principal
        if "respond-async" in request.headers.get("prefer", "") and identifier not in REVEALING:
            return await self._begin(identifier, values, principal)
        outcome = await self.do(identifier, values, principal)
        return answer(outcome, body=shape(outcome) if shape is not None and _is_good(outcome) else None)

    async def _begin(self, identifier: str, values: Mapping[str, Any], principal: Principal) -> JSONResponse:
        """Go on in the background; where it ends before it has an operation, the end is the answer."""
        begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def emit(item: Any) -> None:
            if isinstance(item, Progress) and not begun.done():
                begun.set_result(item.operation)

        task = asyncio.create_task(self.do(identifier, values, principal, emit=emit))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        waited: set[asyncio.Future[Any]] = {task, begun}
        await asyncio.wait(waited, timeout=_BEGIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return answer(task.result())
        if not begun.done():
            accepted = Outcome(Ending.PENDING, f"{identifier} is being prepared", then="GET /api/operations")
            return answer(accepted)
        place = f"/api/operations/{begun.result()}"
        accepted = Outcome(Ending.PENDING, f"{identifier} is under way", data={"operation": begun.result()}, then=place)
        return answer(accepted, headers={"location": place})

    # --- idempotency keys -------------------------------------------------------------------------------------

    async def _once(
        self,
        request: Request,
        token: Token,
        key: str,
        identifier: str,
        values: Mapping[str, Any],
        shape: Shape | None,
    ) -> Response:
        """The first request with a key is done, every later one gets its answer; without the text of a key."""
        if not 0 < len(key) <= _KEY_LIMIT or not key.isprintable():
            return refusal(400, "BAD_IDEMPOTENCY_KEY", f"an idempotency key has 1 to {_KEY_LIMIT} printable characters")
        fingerprint = _fingerprint(request, values)
        # An action that knows repetitions by itself answers with what is so now, not with what was.
        knows = any(parameter.name == IDEMPOTENCY_KEY for parameter in REGISTRY[identifier].parameters)
        if knows:
            values = {**values, IDEMPOTENCY_KEY: key}
        store = await self.services.store()
        now = datetime.now(UTC)
        try:
            async with store.writing() as db:
                await db.execute(kept.delete().where(kept.c.created_at < now - _KEPT_FOR))
                await db.execute(
                    kept.insert().values(
                        token_id=token.id, idempotency_key=key, fingerprint=fingerprint, created_at=now
                    )
                )
        except IntegrityError:
            repeated = await self._repeated(token, key, fingerprint)
            if not knows or (repeated.status_code == 422 and "idempotent-replay" not in repeated.headers):
                return repeated
            response = await self._answer(request, identifier, values, shape)
            response.headers["idempotent-replay"] = "true"
            return response
        where = (kept.c.token_id == token.id) & (kept.c.idempotency_key == key)
        # Where this breaks off, nobody knows what it came to: the key stays taken, and a repetition is told to look.
        response = await self._answer(request, identifier, values, shape)
        body = json.loads(bytes(response.body))
        if isinstance(body, dict):
            for text in ("key", "keys"):
                body.pop(text, None)
        async with store.writing() as db:
            await db.execute(kept.update().where(where).values(status=response.status_code, body=body))
        return response

    async def _repeated(self, token: Token, key: str, fingerprint: str) -> Response:
        store = await self.services.store()
        where = (kept.c.token_id == token.id) & (kept.c.idempotency_key == key)
        async with store.reading() as db:
            row = (await db.execute(sa.select(kept).where(where))).mappings().one()
        if row["fingerprint"] != fingerprint:
            return refusal(
                422, "IDEMPOTENCY_KEY_REUSED", "this idempotency key was used for another request; nothing was changed"
            )
        if row["status"] is None:
            return refusal(
                409,
                "STILL_RUNNING",
                "the first request with this idempotency key has not ended, or its end is not known",
                then="GET /api/operations",
            )
        return JSONResponse(row["body"], status_code=row["status"], headers={"idempotent-replay": "true"})

    async def close(self) -> None:
        """Cancel what runs in the background, which undoes it, and wait."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)


def _fingerprint(request: Request, values: Mapping[str, Any]) -> str:
    text = json.dumps([request.method, request.url.path, dict(values)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_good(outcome: Outcome) -> bool:
    return outcome.ending in (Ending.DONE, Ending.UNCHANGED, Ending.PENDING, Ending.PARTIAL)


async def read_object(request: Request) -> dict[str, Any] | JSONResponse:
    """The body as a JSON object; an empty one is an empty object. A refusal where it is anything else."""
    raw = await read_body(request)
    if isinstance(raw, JSONResponse):
        return raw
    if not raw:
        return {}
    try:
        body = json.loads(raw, object_pairs_hook=_each_field_once)
    except _Doubled as doubled:
        what = f"the body has the field {doubled} twice; nothing was changed"
        return refusal(400, "BAD_JSON", what, then="send each field once")
    except (ValueError, RecursionError):
        return refusal(400, "BAD_JSON", "the body is not JSON; nothing was changed")
    if not isinstance(body, dict):
        return refusal(400, "BAD_JSON", "the body is not a JSON object; nothing was changed")
    return body


class _Doubled(ValueError):
    """A field that stands in an object twice: which of the two was meant is not for us to say."""


def _each_field_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Doubled(json.dumps(name[:40]))
        found[name] = value
    return found


def together(address: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any] | JSONResponse:
    """What the path and the query say, and what the body says; a refusal where they say it differently.

    Args:
        address: None, an empty text or an empty list is what was not said there
    """
    said = {name: value for name, value in address.items() if value not in (None, "", [])}
    for name, value in said.items():
        if body.get(name) is not None and body[name] != value:
            what = f"{name} is one thing in the address and another in the body; nothing was changed"
            return refusal(422, "INVALID_PARAMETER", what, then="say it in one place")
    return {**body, **said}


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes | JSONResponse:
    """The raw body, never more than ``limit`` bytes of it; a refusal (413) where there is more."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return refusal(413, "TOO_LARGE", f"a body has at most {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def failed(outcome: Outcome) -> JSONResponse:
    return problem(outcome)
