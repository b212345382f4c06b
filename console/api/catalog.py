"""The catalog to read, with ETags: a client that has the newest answer gets 304."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from console.api.asking import Asker
from console.api.problems import answer
from console.catalog import read
from console.outcome import Outcome
from console.services import Services
from console.store.tables.catalog import models, sync_run_providers

router = APIRouter(tags=["catalog"])


@router.get("/models", summary="Search the catalog")
async def search(
    request: Request,
    q: str = "",
    sort: str = "name",
    descending: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> Response:
    """``q`` is the filter language of docs/sync.md: ``provider:groq ctx>=128k in<0.5 vision``."""
    values = {"query": q, "sort": sort, "descending": descending, "limit": limit, "offset": offset}

    def shape(outcome: Outcome) -> dict[str, Any]:
        page = outcome.data
        return {"models": page["rows"], "total": page["total"], "offset": page["offset"], "limit": limit}

    return await _tagged(request, "models.search", values, shape)


@router.get("/models/stats", summary="What the catalog holds, counted")
async def model_stats(request: Request) -> Response:
    tag = await _tag(_services(request), "stats")
    if _has(request, tag):
        return _unchanged(tag)
    stats = await read.stats(await _services(request).store())
    body = {
        "total": stats.models + stats.retired + stats.hidden,
        "active": stats.models,
        "retired": stats.retired,
        "missing": stats.missing,
        "hidden": stats.hidden,
        "deprecated": stats.deprecated,
        "by_provider": stats.by_provider,
        "by_modality": stats.by_modality,
        "by_price_state": stats.by_price_state,
    }
    return JSONResponse(body, headers={"etag": tag})


@router.get("/models/{name:path}", summary="Everything about one model")
async def one(request: Request, name: str) -> Response:
    return await _tagged(request, "models.show", {"model": name}, lambda outcome: outcome.data)


@router.get("/providers", summary="Every provider that can be synced")
async def providers(request: Request) -> Response:
    def shape(outcome: Outcome) -> dict[str, Any]:
        return {"providers": outcome.data, "total": len(outcome.data)}

    return await _tagged(request, "sync.providers", {}, shape)


@router.get("/providers/stats", summary="How the providers are, counted")
async def provider_stats(request: Request) -> Response:
    def shape(outcome: Outcome) -> dict[str, Any]:
        rows = outcome.data
        outcomes: dict[str, int] = {}
        for row in rows:
            outcomes[row["outcome"]] = outcomes.get(row["outcome"], 0) + 1
        healthy = sum(row["outcome"] in ("ok", "unchanged") for row in rows)
        return {"total": len(rows), "healthy": healthy, "by_outcome": outcomes}

    return await _tagged(request, "sync.status", {}, shape)


async def _tagged(request: Request, identifier: str, values: Mapping[str, Any], shape: Any) -> Response:
    asker: Asker = request.app.state.asker
    tag = await _tag(asker.services, f"{identifier} {sorted(values.items())}")
    if _has(request, tag):
        return _unchanged(tag)
    outcome = await asker.do(identifier, values, request.state.principal)
    if outcome.data is None:
        return answer(outcome)
    return JSONResponse(shape(outcome), headers={"etag": tag})


async def _tag(services: Services, what: str) -> str:
    """A tag of the catalog as it is now: by its newest change and its newest sync, and by what was asked."""
    store = await services.store()
    async with store.reading() as db:
        newest = (await db.execute(sa.select(sa.func.max(models.c.changed_at), sa.func.count()))).one()
        synced = (await db.execute(sa.select(sa.func.max(sync_run_providers.c.finished_at)))).scalar_one()
    text = f"{newest[0]} {newest[1]} {synced} {what}"
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def _has(request: Request, tag: str) -> bool:
    """Whether the client has this already (RFC 9110, weak comparison)."""
    offered = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    return tag.removeprefix("W/") in offered or "*" in offered


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers={"etag": tag})


def _services(request: Request) -> Services:
    asker: Asker = request.app.state.asker
    return asker.services
