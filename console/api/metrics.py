"""Health, and what Prometheus wants to know. Labels are providers, publications and codes, of which there are few."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from console.api.asking import Asker
from console.outcome import ModeldeckError
from console.status import rows as parts

router = APIRouter(tags=["health"])
_HEALTHY = ("ok", "unchanged")


@router.get("/healthz", summary="Whether this process answers")
async def alive(request: Request) -> Response:
    return JSONResponse({"status": "ok", "seconds": round(time.time() - request.app.state.started)})


@router.get("/readyz", summary="Whether everything that it works with answers")
async def ready(request: Request) -> Response:
    """Says which parts are not well, and nothing else of them: it needs no token."""
    asker: Asker = request.app.state.asker
    found = await parts(asker.services)
    down = [row["part"] for row in found if row["state"] != "ok"]
    return JSONResponse({"status": "down" if down else "ok", "down": down}, status_code=503 if down else 200)


@router.get("/metrics", summary="Prometheus metrics")
async def metrics(request: Request) -> Response:
    asker: Asker = request.app.state.asker
    lines: list[str] = []
    for collect in (_syncs, _keys, _publications, _denials, _usage, _operations):
        try:
            lines += await collect(asker, request)
        except ModeldeckError:
            lines.append(f"modeldeck_scrape_failed{{part={_quoted(collect.__name__.strip('_'))}}} 1")
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


async def _rows(asker: Asker, request: Request, action: str) -> list[dict[str, Any]]:
    outcome = await asker.do(action, {}, request.state.principal)
    if not isinstance(outcome.data, list):
        raise ModeldeckError(outcome.summary)
    return outcome.data


async def _syncs(asker: Asker, request: Request) -> Iterable[str]:
    lines = _head("modeldeck_provider_healthy", "gauge", "Whether the provider's last sync was ok or unchanged.")
    ages = _head("modeldeck_provider_sync_age_seconds", "gauge", "Seconds since the provider's last sync.")
    for row in await _rows(asker, request, "sync.status"):
        label = f"{{provider={_quoted(row['provider'])}}}"
        lines.append(f"modeldeck_provider_healthy{label} {int(row['outcome'] in _HEALTHY)}")
        if row["finished_at"]:
            age = time.time() - datetime.fromisoformat(row["finished_at"]).timestamp()
            ages.append(f"modeldeck_provider_sync_age_seconds{label} {max(0.0, age):.0f}")
    return [*lines, *ages]


async def _keys(asker: Asker, request: Request) -> Iterable[str]:
    states: dict[str, int] = {}
    for row in await _rows(asker, request, "keys.list"):
        states[row["state"]] = states.get(row["state"], 0) + 1
    lines = _head("modeldeck_keys", "gauge", "API keys by state.")
    return [*lines, *(f"modeldeck_keys{{state={_quoted(state)}}} {count}" for state, count in sorted(states.items()))]


async def _publications(asker: Asker, request: Request) -> Iterable[str]:
    ready_ = _head("modeldeck_publication_ready", "gauge", "Whether a publication is served.")
    requests = _head("modeldeck_publication_requests_total", "counter", "Requests that were let through.")
    for row in await _rows(asker, request, "published"):
        label = f"{{model={_quoted(row['name'])}}}"
        ready_.append(f"modeldeck_publication_ready{label} {int(row['ready'])}")
        requests.append(f"modeldeck_publication_requests_total{label} {row['requests']}")
    return [*ready_, *requests]


async def _denials(asker: Asker, _request: Request) -> Iterable[str]:
    from console.access.used import denials

    lines = _head("modeldeck_denials_total", "counter", "Requests that the gateway refused, by code.")
    found = await denials(await asker.services.redis())
    return [
        *lines,
        *(f"modeldeck_denials_total{{code={_quoted(code)}}} {count}" for code, count in sorted(found.items())),
    ]


_USAGE = (
    ("requests", "Requests to the gateway."),
    ("refused", "Requests that were answered with 4xx."),
    ("failed", "Requests that were answered with 5xx, or not at all."),
    ("aborted", "Requests whose client went away."),
    ("input_tokens", "Tokens that went in, where the answer told them."),
    ("output_tokens", "Tokens that came out, where the answer told them."),
    ("unmetered", "Requests that may have cost tokens, nobody knows how many."),
    ("unpriced", "Requests whose tokens are known, and their price is not."),
)


async def _usage(asker: Asker, _request: Request) -> Iterable[str]:
    """By tenant and published model: of keys there may be many, and of names that clients make up any number."""
    from console.usage.reading import totals

    found = await totals(await asker.services.store())
    labels = [f"{{tenant={_quoted(tenant)},model={_quoted(model)}}}" for tenant, model, _ in found]
    lines: list[str] = []
    for name, help_ in _USAGE:
        lines += _head(f"modeldeck_usage_{name}_total", "counter", help_)
        pairs = zip(labels, found, strict=True)
        lines += [f"modeldeck_usage_{name}_total{label} {getattr(sums, name)}" for label, (_, _, sums) in pairs]
    lines += _head("modeldeck_usage_cost_usd_total", "counter", "What metered requests with a known price have cost.")
    pairs = zip(labels, found, strict=True)
    return [*lines, *(f"modeldeck_usage_cost_usd_total{label} {sums.usd:f}" for label, (_, _, sums) in pairs)]


async def _operations(asker: Asker, _request: Request) -> Iterable[str]:
    left = await (await asker.services.journal()).interrupted()
    lines = _head("modeldeck_operations_interrupted", "gauge", "Operations that wait for recovery.")
    return [*lines, f"modeldeck_operations_interrupted {len(left)}"]


def _head(name: str, kind: str, help_: str) -> list[str]:
    return [f"# HELP {name} {help_}", f"# TYPE {name} {kind}"]


def _quoted(value: str) -> str:
    """A label's value, as Prometheus' text format has it."""
    return '"' + value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") + '"'
