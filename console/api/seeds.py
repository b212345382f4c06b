"""The paths of the seed documents, with the fields that they show (seeds 002, 003 and 004)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from console.api.asking import Asker, read_body, read_object, together
from console.api.problems import answer, refusal
from console.guard import system_permit
from console.outcome import Ending, ModeldeckError, Outcome
from console.services import Services

router = APIRouter()


def _asker(request: Request) -> Asker:
    asker: Asker = request.app.state.asker
    return asker


# --- syncing (seed 004) -----------------------------------------------------------------------------------------------


@router.get("/admin/model-sync/providers", tags=["sync"], summary="List the providers that can be synced")
async def sync_providers(request: Request) -> Response:
    def shape(outcome: Outcome) -> Any:
        slugs = [row["provider"] for row in outcome.data]
        return {"providers": slugs, "count": len(slugs)}

    return await _asker(request).respond(request, "sync.providers", {}, shape=shape)


@router.post("/admin/model-sync/provider/{slug}", tags=["sync"], summary="Sync one provider")
async def sync_one(request: Request, slug: str, dry_run: bool | None = None) -> Response:
    """``{"dry_run": true}`` as the body says the same as the query."""
    given = await _given_in_both(request, {"dry_run": dry_run})
    return given if isinstance(given, Response) else await _sync(request, {**given, "provider": [slug]}, _one_synced)


@router.post("/admin/model-sync/all", tags=["sync"], summary="Sync all providers, or those that are named")
async def sync_all(
    request: Request,
    dry_run: bool | None = None,
    providers: list[str] = Query(default=[]),  # noqa: B008 - FastAPI's way
) -> Response:
    """``{"dry_run": true, "providers": ["groq"]}`` as the body says the same as the query."""
    given = await _given_in_both(request, {"dry_run": dry_run, "providers": providers})
    return given if isinstance(given, Response) else await _sync(request, given, _all_synced)


async def _given_in_both(request: Request, query: Mapping[str, Any]) -> dict[str, Any] | Response:
    """What a query and a body may both say; `console.actions.parameters` looks at the values."""
    body = await read_object(request)
    if isinstance(body, JSONResponse):
        return body
    unknown = sorted(set(body) - set(query))
    if unknown:
        what = f"the body has no field {unknown[0][:40]}: it takes {', '.join(query)}; nothing was changed"
        return refusal(422, "INVALID_PARAMETER", what)
    return together(query, body)


async def _sync(request: Request, values: Mapping[str, Any], shape: Any) -> Response:
    asker = _asker(request)
    if "respond-async" in request.headers.get("prefer", "") or "idempotency-key" in request.headers:
        return await asker.respond(request, "sync.run", values, shape=shape)
    outcome = await asker.do("sync.run", values, request.state.principal)
    # A failed sync has a report too, and the seed's clients read it.
    has_report = isinstance(outcome.data, Mapping) and "providers" in outcome.data
    if has_report:
        return JSONResponse(shape(outcome), status_code=outcome.status)
    return answer(outcome)


def _one_synced(outcome: Outcome) -> dict[str, Any]:
    report = outcome.data["providers"][0]
    skipped = report["rejected"]
    return {
        "success": outcome.ending in (Ending.DONE, Ending.UNCHANGED),
        "message": (
            f"{'Would sync' if outcome.data['dry_run'] else 'Synced'} {report['written']} models from "
            f"{report['provider']}. Fetched: {report['fetched']}, Transformed: {report['normalised']}, "
            f"Skipped: {skipped}"
        ),
        "outcome": report["outcome"],
        "details": {
            "provider": report["provider"],
            "models_fetched": report["fetched"],
            "models_transformed": report["normalised"],
            "models_skipped": skipped,
            "models_synced": report["written"],
            "models_unchanged": report["unchanged"],
            "sentence": report["sentence"],
        },
        "caches_told": outcome.data["caches_told"],
        "run": outcome.data["run"],
    }


def _all_synced(outcome: Outcome) -> dict[str, Any]:
    reports, total = outcome.data["providers"], outcome.data["total"]
    errors = [
        {"provider": report["provider"], "error": report["sentence"], "outcome": report["outcome"]}
        for report in reports
        if report["outcome"] not in ("ok", "unchanged")
    ]
    good = len(reports) - len(errors)
    return {
        "success": outcome.ending in (Ending.DONE, Ending.UNCHANGED),
        "message": (
            f"Processed {len(reports)} providers. Success: {good}, Errors: {len(errors)}. "
            f"Total synced: {total['written']} models"
        ),
        "details": {
            "providers_processed": len(reports),
            "total_models_fetched": total["fetched"],
            "total_models_transformed": total["normalised"],
            "total_models_skipped": total["rejected"],
            "total_models_synced": total["written"],
            "total_models_unchanged": total["unchanged"],
            "errors": errors,
        },
        "caches_told": outcome.data["caches_told"],
        "run": outcome.data["run"],
    }


@router.get("/admin/model-sync/status", tags=["sync"], summary="What the catalog holds, and how true it is")
async def sync_status(request: Request) -> Response:
    from console.catalog import read
    from console.sync.providers import specs

    asker = _asker(request)
    outcome = await asker.do("sync.status", {}, request.state.principal)
    if outcome.data is None:
        return answer(outcome)
    store = await asker.services.store()
    known = {provider.slug: provider for provider in await read.providers(store)}
    stats = await read.stats(store)
    fetchable = [spec.slug for spec in specs()]
    healthy = sum(row["outcome"] in ("ok", "unchanged") for row in outcome.data)
    body = {
        "providers": {
            "in_database": len(known),
            "with_fetch_functions": len(fetchable),
            "fetchable_in_db": sum(slug in known for slug in fetchable),
            "fetchable_not_in_db": sum(slug not in known for slug in fetchable),
            "stats": {
                "total": len(known),
                "active": sum(provider.models > 0 for provider in known.values()),
                "healthy": healthy,
            },
        },
        "models": {
            "stats": {
                "total": stats.models + stats.retired + stats.hidden,
                "active": stats.models,
                "by_modality": stats.by_modality,
            }
        },
        "syncs": outcome.data,
    }
    return JSONResponse(body)


# --- syncing, webhooks and caches (seed 002) --------------------------------------------------------------------------


@router.post("/api/sync/models", tags=["sync"], summary="Sync a gateway, or all")
async def sync_models(request: Request) -> Response:
    body = await read_object(request)
    if isinstance(body, JSONResponse):
        return body
    gateway = body.get("gateway", "all")
    if not isinstance(gateway, str) or set(body) - {"gateway", "dry_run"}:
        return refusal(
            422, "INVALID_PARAMETER", 'the body is {"gateway": "all" or a provider, "dry_run": true or false}'
        )
    values = {"provider": [] if gateway == "all" else [gateway], "dry_run": body.get("dry_run", False)}
    return await _sync(request, values, _all_synced)


@router.get("/api/sync/status", tags=["sync"], summary="How each gateway's last sync went")
async def gateway_status(request: Request, gateway: str | None = None) -> Response:
    asker = _asker(request)
    outcome = await asker.do("sync.status", {}, request.state.principal)
    if outcome.data is None:
        return answer(outcome)
    rows = outcome.data
    if gateway is not None:
        from console.sync.providers import find

        spec = find(gateway)
        rows = [row for row in rows if spec is not None and row["provider"] == spec.slug]
        if not rows:
            return refusal(404, "PROVIDER_NOT_FOUND", f"there is no provider {gateway[:80]}")
    return JSONResponse({"gateways": rows, "count": len(rows)})


@router.post("/api/cache/invalidate", tags=["catalog"], summary="Void caches of the catalog")
async def invalidate(request: Request) -> Response:
    body = await read_object(request)
    if isinstance(body, JSONResponse):
        return body
    names = {"type": "kind", "gateway": "gateway", "model": "model", "modelId": "model"}
    if set(body) - set(names) or "type" not in body:
        return refusal(422, "INVALID_PARAMETER", 'the body is {"type": …, "gateway": …, "model": …}')
    values = {names[name]: value for name, value in body.items()}
    return await _asker(request).respond(request, "cache.invalidate", values, shape=lambda outcome: outcome.data)


@router.get("/api/webhooks/models-updated", tags=["webhooks"], summary="What the webhook takes")
async def webhook_description(request: Request) -> Response:
    from console.sync.webhook_book import description

    return JSONResponse({**description(), **await _webhooks_state(_asker(request).services)})


async def _webhooks_state(services: Services) -> dict[str, str]:
    """``off`` where every delivery is refused, for there is nothing to check a signature with."""
    reference = services.profile.sync.webhook_secret
    try:
        secret = (await services.secret(reference)).get_secret_value() if reference is not None else ""
    except ModeldeckError:  # the answer needs no token: not even where the secret should be is told
        return {"status": "off", "reason": "the secret cannot be read"}
    if secret.strip() or (reference is None and os.environ.get("MODEL_WEBHOOK_SECRET", "").strip()):
        return {"status": "active"}
    return {"status": "off", "reason": "no secret is set"}


@router.post("/api/webhooks/models-updated", tags=["webhooks"], summary="A signed notice that models have changed")
async def webhook(request: Request) -> Response:
    from console.sync import service
    from console.sync.webhooks import BODY_LIMIT

    raw = await read_body(request, BODY_LIMIT)
    if isinstance(raw, JSONResponse):
        return raw
    origin = request.client.host if request.client is not None else ""
    services = _asker(request).services
    try:
        book = await service.webhook_book(services)
        outcome = await book.receive(system_permit("sync.webhook"), raw, dict(request.headers), origin=origin)
    except ModeldeckError as problem:
        after = getattr(problem, "retry_after", None)
        return answer(problem.outcome(), headers={"retry-after": str(after)} if after is not None else None)
    return answer(outcome, body=outcome.data)


# --- publishing (seed 003) --------------------------------------------------------------------------------------------

_PUBLISHED = "/api/models/{name:path}/publish"


@router.get("/api/published-models", tags=["publishing"], summary="Everything that is published")
async def published_models(request: Request, tenant: str | None = None) -> Response:
    def shape(outcome: Outcome) -> Any:
        return {"publishedModels": outcome.data, "total": len(outcome.data)}

    return await _asker(request).respond(request, "published", _given(tenant=tenant), shape=shape)


@router.post(f"{_PUBLISHED}/rotate-key", tags=["publishing"], summary="Rotate a key of this model's tenant")
async def rotate_key(request: Request, name: str, tenant: str | None = None) -> Response:
    """The body names the key: ``{"key": "k7f3", "grace": "15m"}``; without one the model's only own key is meant."""
    body = await read_object(request)
    if isinstance(body, JSONResponse):
        return body
    asker = _asker(request)
    found = await _published(request, name, tenant)
    if isinstance(found, Response):
        return found
    if "key" not in body:
        listed = await asker.do("keys.list", {"tenant": found["tenant"]}, request.state.principal)
        if listed.data is None:
            return answer(listed)
        own = [row["id"] for row in listed.data if name in row["models"]]
        if len(own) != 1:
            what = "no key has this model as its own" if not own else f"{len(own)} keys have it: {', '.join(own)}"
            return refusal(409, "KEY_AMBIGUOUS", f"which key? {what}; nothing was changed", then='send {"key": ID}')
        body = body | {"key": own[0]}
    return await asker.respond(request, "keys.rotate", body)


@router.post(_PUBLISHED, tags=["publishing"], summary="Publish a model")
async def publish(request: Request, name: str, tenant: str | None = None) -> Response:
    """``name`` is the catalog's reference, ``isvc/NAMESPACE/NAME``, or the public name beside a ``model``."""
    body = await read_object(request)
    if isinstance(body, JSONResponse):
        return body
    if not name:
        return _no_name()
    values = together({"tenant": tenant}, body)
    if isinstance(values, JSONResponse):
        return values
    if "model" not in values:
        values["model"] = name
    elif "name" not in values:
        values["name"] = name
    elif name not in (values["model"], values["name"]):
        what = "the path names neither the model of the body nor its name; nothing was changed"
        return refusal(422, "INVALID_PARAMETER", what, then="say it in one place")
    return await _asker(request).respond(request, "publish", values)


@router.get(_PUBLISHED, tags=["publishing"], summary="A publication as it stands")
async def publication(request: Request, name: str, tenant: str | None = None) -> Response:
    found = await _published(request, name, tenant)
    return found if isinstance(found, Response) else JSONResponse(found)


@router.put(_PUBLISHED, tags=["publishing"], summary="Change a publication's limits")
async def update(request: Request, name: str, tenant: str | None = None) -> Response:
    body = await read_object(request)
    if isinstance(body, JSONResponse):
        return body
    values = together({"name": name}, body)
    if isinstance(values, JSONResponse):
        return values
    wrong = await _wrong_tenant(request, name, tenant)
    return wrong or await _asker(request).respond(request, "update", values)


@router.delete(_PUBLISHED, tags=["publishing"], summary="Unpublish a model")
async def unpublish(request: Request, name: str, tenant: str | None = None, plan: bool | None = None) -> Response:
    """``{"plan": true}`` as the body says the same as the query."""
    given = await _given_in_both(request, {"plan": plan})
    if isinstance(given, Response):
        return given
    wrong = await _wrong_tenant(request, name, tenant)
    return wrong or await _asker(request).respond(request, "unpublish", {**given, "name": name})


async def _published(request: Request, name: str, tenant: str | None) -> Mapping[str, Any] | Response:
    """A publication that the token's tenants have; what another tenant has published looks as if it were not there."""
    if not name:
        return _no_name()
    outcome = await _asker(request).do("published", _given(name=name, tenant=tenant), request.state.principal)
    if outcome.ending not in (Ending.DONE, Ending.UNCHANGED):
        return answer(outcome)
    row: Mapping[str, Any] = outcome.data[0]
    return row


async def _wrong_tenant(request: Request, name: str, tenant: str | None) -> Response | None:
    """The refusal where a tenant was named and the publication is another's, or where nothing was named."""
    if tenant is None:
        return None if name else _no_name()
    found = await _published(request, name, tenant)
    return found if isinstance(found, Response) else None


def _no_name() -> JSONResponse:
    return refusal(422, "INVALID_PARAMETER", "the path names no model: /api/models/NAME/publish; nothing was changed")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
