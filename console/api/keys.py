"""Keys and tenants under paths of their own; what each does is an action of the registry."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from console.api.asking import Asker, read_object, together
from console.outcome import Outcome

router = APIRouter()


class KeyVerb(StrEnum):
    """What is done to a key beside changing and revoking it."""

    ROTATE = "rotate"
    EXTEND = "extend"
    FINISH = "finish"
    WITHDRAW = "withdraw"
    SUSPEND = "suspend"
    RESUME = "resume"


class TenantVerb(StrEnum):
    """What is done to a tenant."""

    SUSPEND = "suspend"
    RESUME = "resume"


@router.get("/api/keys", tags=["keys"], summary="Keys that the token's tenants have")
async def keys(
    request: Request,
    tenant: str | None = None,
    label: list[str] = Query(default=[]),  # noqa: B008 - FastAPI's way
    revoked: bool = False,
) -> Response:
    """``label`` is ``team=search``, or ``team`` for whatever value; a key has all that are named."""

    def shape(outcome: Outcome) -> Any:
        return {"keys": outcome.data, "total": len(outcome.data)}

    values = {"tenant": tenant, "label": label, "all": revoked}
    return await _asker(request).respond(request, "keys.list", values, shape=shape)


@router.post("/api/keys", tags=["keys"], summary="Issue a key; its text is in this answer only")
async def create(request: Request) -> Response:
    """The parameters of ``keys create``: ``{"name": "chat", "tenant": "acme"}``."""
    return await _with_body(request, "keys.create", {})


@router.get("/api/keys/{identifier}", tags=["keys"], summary="Everything about one key but its text")
async def one(request: Request, identifier: str) -> Response:
    return await _asker(request).respond(request, "keys.show", {"key": identifier})


@router.patch("/api/keys/{identifier}", tags=["keys"], summary="Change what a key may do")
async def edit(request: Request, identifier: str) -> Response:
    """The parameters of ``keys edit``: ``{"label": ["team=search"], "expires": "90d"}``."""
    return await _with_body(request, "keys.edit", {"key": identifier})


@router.delete("/api/keys/{identifier}", tags=["keys"], summary="Revoke a key")
async def revoke(request: Request, identifier: str) -> Response:
    return await _with_body(request, "keys.revoke", {"key": identifier})


@router.post("/api/keys/{identifier}/{verb}", tags=["keys"], summary="Rotate a key, end its grace, suspend it, …")
async def act(request: Request, identifier: str, verb: KeyVerb) -> Response:
    """The parameters of the action: ``{"grace": "15m"}`` to rotate."""
    return await _with_body(request, f"keys.{verb.value}", {"key": identifier})


@router.get("/api/tenants", tags=["tenants"], summary="The token's tenants, with what each has and may have")
async def tenants(request: Request) -> Response:
    def shape(outcome: Outcome) -> Any:
        return {"tenants": outcome.data, "total": len(outcome.data)}

    return await _asker(request).respond(request, "tenants.list", {}, shape=shape)


@router.post(
    "/api/tenants/{name}/{verb}", tags=["tenants"], summary="Refuse every key of a tenant, or let them through"
)
async def act_on_tenant(request: Request, name: str, verb: TenantVerb) -> Response:
    return await _with_body(request, f"tenants.{verb.value}", {"tenant": name})


async def _with_body(request: Request, action: str, values: dict[str, Any]) -> Response:
    body = await read_object(request)
    if isinstance(body, JSONResponse):
        return body
    both = together(values, body)
    return both if isinstance(both, JSONResponse) else await _asker(request).respond(request, action, both)


def _asker(request: Request) -> Asker:
    asker: Asker = request.app.state.asker
    return asker
