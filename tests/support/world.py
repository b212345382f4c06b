"""What the services would answer to a console, in the shapes that they answer with: a small gateway at 02:44.

tests/e2e/test_console.py holds these shapes against those of the real services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from console.access.feed import FeedEvent
from console.access.link import LinkState, LinkStatus
from console.bridge import Health
from console.catalog.completion import Vocabulary
from console.catalog.index import Row
from console.config import Profile
from console.operations.types import Progress, StepState
from console.outcome import Ending, Outcome, Refusal, Revealed, Unavailable
from console.publishing.documentation import Check, Documentation, markdown
from console.publishing.examples import examples_of
from console.publishing.types import (
    Effect,
    Endpoint,
    FieldChange,
    Limits,
    Origin,
    Plan,
    PlannedChange,
    Publication,
    PublicationKind,
)
from tests.support.console import NOW, Play, Script, live

KEY_TEXT = "bud_client_not-a-real-key-only-a-picture-of-one-000000000"
LOST = Unavailable("Redis does not answer at redis://valkey.internal:6379/0", then="press r to look again")
_URL = "https://llm.example.com/v1/chat/completions"


def moment(**before: float) -> str:
    """So long before now, as the services write it."""
    return (NOW - timedelta(**before)).isoformat(timespec="seconds")


# --- the catalog ----------------------------------------------------------------------------------------------------


def _row(
    number: int,
    provider: str,
    native_id: str,
    context: int | None,
    prices: tuple[float | None, float | None],
    *,
    state: str = "known",
    can: str = "",
    hours: float = 50,
    **more: Any,
) -> Row:
    femto = [None if price is None else int(price * 10**9) for price in prices]
    author, slash, _ = native_id.partition("/")
    values = {
        "id": number,
        "provider": provider,
        "native_id": native_id,
        "canonical_key": native_id.rpartition("/")[2].casefold().replace(".", "-"),
        "name": native_id,
        "author": author if slash else None,
        "family": None,
        "kind": "chat",
        "context_tokens": context,
        "max_output_tokens": None,
        "input_modalities": '["text"]',
        "output_modalities": '["text"]',
        "streaming": True,
        "tools": "f" in can,
        "vision": "v" in can,
        "json_mode": None,
        "reasoning": "r" in can,
        "deprecated": False,
        "price_state": state,
        "price_in": femto[0],
        "price_out": femto[1],
        "price_image": None,
        "changed_at": int((NOW - timedelta(hours=hours)).timestamp() * 1e6),
        "missing": False,
        "retired": False,
        "hidden": False,
        "pinned": False,
    }
    return Row(**(values | more))


MODELS = (
    _row(1, "deepinfra", "meta-llama/Llama-3.1-8B-Instruct", 131_072, (0.02, 0.05), can="f"),
    _row(2, "deepinfra", "meta-llama/Llama-3.1-8B-Instruct-Turbo", 131_072, (0.02, 0.03), can="f", hours=3),
    _row(3, "deepinfra", "meta-llama/Llama-3.3-70B-Instruct", 131_072, (0.10, 0.32), can="f"),
    _row(4, "deepinfra", "Qwen/Qwen2.5-VL-72B-Instruct", 128_000, (0.25, 0.75), can="fv"),
    _row(5, "groq", "llama-3.3-70b-versatile", 131_072, (0.59, 0.79), can="f"),
    _row(6, "groq", "allam-2-7b", 4_096, (None, None), state="unknown"),
    _row(7, "openrouter", "anthropic/claude-sonnet-4.5", 1_000_000, (3.0, 15.0), can="fvr"),
    _row(8, "openrouter", "meta-llama/llama-3.1-8b-instruct", 131_072, (0.02, 0.03), can="f"),
    _row(9, "openrouter", "openrouter/auto", 2_000_000, (None, None), state="dynamic", can="f"),
    _row(10, "openrouter", "deepseek/deepseek-r1:free", 163_840, (0, 0), state="free", can="r"),
    _row(11, "openrouter", "openai/gpt-4.1-nano", 1_047_576, (0.1, 0.4), can="fv"),
    _row(12, "together", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", 131_072, (0.18, 0.18), can="f", pinned=True),
    _row(13, "together", "mistralai/Mixtral-8x7B-Instruct-v0.1", 32_768, (0.6, 0.6), missing=True, hours=0.2),
    _row(14, "together", "Qwen/Qwen2-72B-Instruct", 32_768, (0.9, 0.9), deprecated=True),
    _row(15, "together", "meta-llama/Llama-2-7b-chat-hf\x1b[31m", 4_096, (0.2, 0.2), retired=True),
)
VOCABULARY = Vocabulary(("deepinfra", "groq", "openrouter", "together"), ("meta-llama", "qwen"), (), ("chat",), ())


def _model(row: Row) -> dict[str, Any]:
    prices = {"input": row.price_in, "output": row.price_out}
    shown = {kind: None if femto is None else f"{femto / 10**9:g}" for kind, femto in prices.items()}
    return {
        "id": f"{row.provider}/{row.native_id}",
        "number": row.id,
        "name": row.name,
        "provider": row.provider,
        "kind": row.kind,
        "context": row.context_tokens,
        **shown,
        "price_state": row.price_state,
        **{name: getattr(row, name) for name in ("streaming", "tools", "vision", "json_mode", "reasoning")},
    }


def show_model(values: Mapping[str, Any]) -> Outcome:
    row = next(row for row in MODELS if f"{row.provider}/{row.native_id}" == values["model"])
    model = _model(row)
    known = {
        kind: {
            "state": row.price_state,
            "per": "token",
            "usd": None if model[kind] is None else f"{float(model[kind]) / 1e6:.8f}",
            "raw": None if model[kind] is None else f"{float(model[kind]) / 1e4:g}",
            "raw_unit": "cents/token",
            "source": "provider",
        }
        for kind in ("input", "output")
    }
    return Outcome(
        Ending.DONE,
        "a model",
        data=model
        | {
            "native_id": row.native_id,
            "canonical_key": row.canonical_key,
            "author": row.author,
            "family": row.family,
            "description": f"{row.name}, served by {row.provider}.",
            "max_output": 16_384,
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "deprecated": row.deprecated,
            "retires_at": None,
            "replaced_by": None,
            "released_at": None,
            "facts": {},
            "prices": known,
            "first_seen_at": moment(days=80),
            "changed_at": moment(days=2, hours=2),
            "last_seen_at": None,
            "missing_runs": 0,
            "retired_at": None,
            "hidden": False,
            "pinned": row.pinned,
            "note": "cheapest of the small ones" if row.id == 1 else "",
        },
    )


def compare_model(values: Mapping[str, Any]) -> Outcome:
    same = (1, 8, 12) if "8B" in values["model"] or "8b" in values["model"] else ()
    return Outcome(Ending.DONE, "offers", data=[_model(row) for row in MODELS if row.id in same])


# --- publications ---------------------------------------------------------------------------------------------------


def _publication(name: str, tenant: str, offer: str, reason: str = "", **more: Any) -> dict[str, Any]:
    slug = f"pub-{name}-f9b45b"
    kinds = ("Secret", "Backend", "AIServiceBackend", "BackendTrafficPolicy", "SecurityPolicy", "AIGatewayRoute")
    return {
        "name": name,
        "tenant": tenant,
        "kind": "openai",
        "source": f"catalog {offer}",
        "state": "ready",
        "status": more.get("state") or ("not ready" if reason else "ready"),
        "ready": not reason,
        "reason": reason,
        "url": _URL,
        "limits": Limits(60).as_spec(),
        "backends": [{"source": f"catalog {offer}", "weight": 1, "priority": 0}],
        "hostnames": [],
        "access": "ext_authz",
        "created_at": moment(days=12),
        "objects": [f"{kind} {tenant}/{slug}" for kind in kinds],
        "drift": [],
        "endpoint_id": "e4659130-cda1-41a1-9de3-7bbb3d98a81a",
        "requests": 41_302,
    } | more


PUBLISHED = [
    _publication("claude-sonnet", "globex", "openrouter/anthropic/claude-sonnet-4.5"),
    _publication("iris", "acme", "", kind="traditional", limits=Limits(timeout_seconds=30).as_spec(),
        url="https://llm.example.com/v1/models/iris:predict",
        requests=12, source="isvc ml/sklearn-iris"),
    _publication("llama", "acme", "deepinfra/meta-llama/Llama-3.1-8B-Instruct"),
]  # fmt: skip
DRIFT = _publication(
    "mixtral", "acme", "together/mistralai/Mixtral-8x7B-Instruct-v0.1",
    "changed by hand: BackendTrafficPolicy acme/pub-mixtral-f9b45b spec.timeout.http.requestTimeout is 30s, not 300s,"
    " by kubectl-edit, and 1 more",
    requests=0, status="drifted", ready=True,
    drift=[
        {"object": "BackendTrafficPolicy acme/pub-mixtral-f9b45b", "field": field, "wanted": wanted, "found": found,
         "by": "kubectl-edit", "at": moment(minutes=20), "repairable": True}
        for field, wanted, found in (("spec.timeout.http.requestTimeout", "300s", "30s"), ("spec.retry", None, "{…}"))
    ],
)  # fmt: skip
PUBLISHING = _publication("qwen", "acme", "deepinfra/Qwen/Qwen2.5-VL-72B-Instruct", "the route is not programmed yet",
                          state="publishing", requests=0)  # fmt: skip
_PUBLICATION = Publication(
    "e4659130-cda1-41a1-9de3-7bbb3d98a81a",
    "llama",
    "acme",
    PublicationKind.OPENAI,
    Origin("catalog", "deepinfra/meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct",
           Endpoint("api.deepinfra.com", 443, tls=True)),
    Limits(60),
)  # fmt: skip
_TARGETS = (
    "Secret acme/pub-llama-f9b45b",
    "Backend acme/pub-llama-f9b45b",
    "AIServiceBackend acme/pub-llama-f9b45b",
    "BackendTrafficPolicy acme/pub-llama-f9b45b",
    "SecurityPolicy acme/pub-llama-f9b45b",
    "AIGatewayRoute acme/pub-llama-f9b45b",
    "published_model_info llama",
)


def _created(target: str) -> PlannedChange:
    kind, _, name = target.partition(" ")
    fields = (
        FieldChange("kind", None, f'"{kind}"'),
        FieldChange("metadata.name", None, f'"{name}"'),
        FieldChange("spec.endpoints[0].fqdn.hostname", None, '"api.deepinfra.com"'),
    )
    if kind == "Secret":
        fields = (FieldChange("stringData.apiKey", None, "•••"),)
    return PlannedChange(target, Effect.CREATE, fields)


PLAN = Plan(
    "publish deepinfra/meta-llama/Llama-3.1-8B-Instruct as llama for acme",
    _PUBLICATION,
    tuple(_created(target) for target in _TARGETS),
    ("no credential for deepinfra is set: calls go out without one",),
)
REPAIR = replace(
    PLAN,
    title="repair mixtral",
    warnings=(),
    changes=(
        PlannedChange("Backend acme/pub-mixtral-f9b45b", Effect.NOTHING),
        PlannedChange(
            "BackendTrafficPolicy acme/pub-mixtral-f9b45b",
            Effect.CHANGE,
            (
                FieldChange("spec.rateLimit.global.rules[0].limit.requests", "6000", "60"),
                FieldChange("spec.timeout.http.requestTimeout", '"10s"', '"300s"'),
            ),
        ),
        PlannedChange("AIGatewayRoute acme/pub-mixtral-f9b45b", Effect.NOTHING),
    ),
)
REMOVAL = replace(
    PLAN,
    title="unpublish llama",
    warnings=(),
    changes=tuple(PlannedChange(target, Effect.REMOVE) for target in reversed(_TARGETS)),
)


def plan(values: Mapping[str, Any]) -> Outcome:
    if not values.get("tenant"):
        return Outcome(Ending.REFUSED, "for which tenant?", code="NO_TENANT", then="add --tenant NAME")
    return Outcome(Ending.DONE, PLAN.title, data=PLAN)


# --- keys -----------------------------------------------------------------------------------------------------------


def _generation(number: int, digest: str, last_four: str, **more: Any) -> dict[str, Any]:
    return {
        "generation": number,
        "digest": digest,
        "last_four": last_four,
        "issued_at": moment(days=30),
        "not_after": None,
        "revoked_at": None,
        "last_used": moment(seconds=12),
        "last_used_from": "10.4.2.9",
        "uses": 88,
    } | more


def _key(identifier: str, name: str, tenant: str, **more: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "name": name,
        "tenant": tenant,
        "owner": tenant,
        "kind": "client",
        "models": [],
        "networks": [],
        "allowed_tenants": [],
        "labels": {},
        "form": "bud",
        "state": "active",
        "imported_from": None,
        "created_at": moment(days=30),
        "expires_at": None,
        "expires_soon": False,
        "generations": [_generation(1, "9f3c…e1", "x7Qa")],
        "model_count": 0,
        "label_text": "",
        "grace_left": None,
        "last_used": moment(seconds=12),
        "last_used_from": "10.4.2.9",
        "uses": 88,
    } | more


KEYS = [
    _key("9b2k1x", "batch", "acme", kind="admin", models=["llama"], model_count=1, owner="nightly jobs",
         expires_at=moment(days=-6), expires_soon=True, last_used=moment(days=4)),
    _key("k7f3aa", "chat", "acme", state="rotating", grace_left=200, generations=[
        _generation(1, "41aa…07", "p0Lk", not_after=moment(seconds=-200)),
        _generation(2, "9f3c…e1", "x7Qa", issued_at=moment(minutes=12)),
    ]),
    _key("zz81q0", "mobile-app", "globex", state="suspended", last_used=None, uses=0),
    _key("m3n4b5", "notebook", "globex", state="expired", expires_at=moment(days=1), last_used=None, uses=None),
]  # fmt: skip


def show_key(values: Mapping[str, Any]) -> Outcome:
    key = next(key for key in KEYS if values["key"] in (key["id"], key["name"]))
    data = {name: value for name, value in key.items() if name not in ("model_count", "grace_left", "label_text")}
    own = [
        {"model": name, "source": "own", "endpoint": f"pub-{name}", "tenant": key["tenant"], "clash": None}
        for name in key["models"]
    ]
    published = {"model": "qwen", "source": "published", "endpoint": "pub-qwen", "tenant": "globex", "clash": None}
    data["effective"] = [*own, published] if key["kind"] == "client" else own
    data["hours"] = [0] * 18 + [3, 8, 21, 34, 13, 9] if key["uses"] else [0] * 24
    data["timeline"] = [
        {"at": key["created_at"], "what": "created", "detail": "everywhere after 21 ms (2 of 2 workers)", "by": "mara"}
    ]
    return Outcome(Ending.DONE, f"key {key['id']}", data=data)


def list_keys(_: Mapping[str, Any]) -> Outcome:
    """Without how often each generation was used."""
    used = ("last_used", "last_used_from", "uses")
    rows = [
        key
        | {"generations": [{n: v for n, v in one.items() if n not in used} for one in key["generations"]]}
        | {"used": key["last_used"] or "never", "models_text": str(key["model_count"] or "all")}
        for key in KEYS
    ]
    return listed(rows)


# --- usage ------------------------------------------------------------------------------------------------------------


def _used(name: str | None, label: str, requests: int, **more: Any) -> dict[str, Any]:
    refused, failed = more.pop("refused", 0), more.pop("failed", 0)
    row = {
        "name": name,
        "label": label,
        "requests": requests,
        "answered": requests - refused - failed,
        "refused": refused,
        "failed": failed,
        "aborted": 0,
        "input_tokens": requests * 412,
        "output_tokens": requests * 180,
        "metered": requests - refused - failed,
        "unmetered": 0,
        "unpriced": 0,
        "cost_usd": f"{requests * 0.0004:.6f}",
        "cost": f"${requests * 0.0004:.2f}",
        "p50_ms": 640,
        "p95_ms": 2210,
    }
    return row | more


_NOT_COSTED = {"input_tokens": 0, "output_tokens": 0, "metered": 0, "cost_usd": None, "cost": ""}
USED = {
    "model": [
        _used("llama", "llama", 41_302, refused=12, unmetered=3, cost="≥ $16.52"),
        _used("claude-sonnet", "claude-sonnet", 8_104, failed=41, p95_ms=9840),
        _used(None, "(no published model)", 212, refused=212, p50_ms=1, p95_ms=2, **_NOT_COSTED),
    ],
    "tenant": [_used("acme", "acme", 41_302), _used("globex", "globex", 8_104)],
    "key": [_used("k7f3aa", "chat k7f3aa", 40_000), _used("9b2k1x", "batch 9b2k1x", 1_302)],
    "reason": [
        _used("rate_limit_exceeded", "rate_limit_exceeded", 9, refused=9, **_NOT_COSTED),
        _used("not_found", "not_found", 3, refused=3, **_NOT_COSTED),
    ],
}
_HOURLY = (9, 4, 2, 1, 0, 0, 3, 12, 40, 61, 72, 70, 51, 66, 75, 80, 77, 60, 41, 30, 24, 20, 16, 11)


def usage(values: Mapping[str, Any]) -> Outcome:
    by = values.get("by", "model")
    if by == "time":
        rows = [
            _used(moment(hours=24 - hour), moment(hours=24 - hour), share * 60, refused=share // 9)
            for hour, share in enumerate(_HOURLY)
        ]
    else:
        rows = USED[by]
    data = {"by": by, "per": "hour", "since": moment(hours=24), "until": moment(), "rows": rows, "notes": []}
    total = None if by == "reason" else _used("total", "total", 49_618, refused=224, failed=41, cost="≥ $19.76")
    return Outcome(Ending.DONE, "49,618 requests", data=data | {"total": total})


def no_usage(values: Mapping[str, Any]) -> Outcome:
    """Of a gateway that nobody has called."""
    note = "no log was read yet: `modeldeck run` reads the local gateway's, `modeldeck collector` a cluster's"
    data = dict(usage(values).data) | {"rows": [], "notes": [note], "total": _used("total", "total", 0, **_NOT_COSTED)}
    return Outcome(Ending.DONE, "0 requests", data=data)


# --- syncs, feed, audit, health -------------------------------------------------------------------------------------


LISTS_OF_SYNCS = ("sync.status", "sync.schedule", "sync.providers", "sync.held")


def _sync(provider: str, outcome: str, sentence: str, minutes: float | None = 9) -> dict[str, Any]:
    at = None if minutes is None else moment(minutes=minutes)
    good = outcome in ("ok", "unchanged")
    runs = () if minutes is None else (0, 15, 30, 45)
    return {
        "provider": provider,
        "outcome": outcome,
        "finished_at": at,
        "good_at": at if good else moment(hours=30),
        "next_run_at": moment(minutes=-6),
        "paused": False,
        "sentence": sentence,
        "changed_at": None if minutes is None else moment(hours=5),
        "recent": [
            {
                "run": 40 - number,
                "at": moment(minutes=(minutes or 0) + ago),
                "outcome": outcome if not number else "ok",
                "written": 3 * number,
                "milliseconds": 900,
            }
            for number, ago in enumerate(runs)
        ],
    }


def _due(provider: str) -> dict[str, Any]:
    return {"provider": provider, "next_run_at": moment(minutes=-6), "minutes": 15.0, "own_interval": False,
            "slowed": 1, "state": "waiting", "failures": 0, "not_before": None, "reason": "its list changes",
            "changed_by": ""}  # fmt: skip


def _about(provider: str, models: int) -> dict[str, Any]:
    return {"provider": provider, "name": provider.title(), "aliases": [], "tier": "high", "minutes": 15,
            "models": models, "listed_at": moment(minutes=9), "credential": f"{provider.upper()}_API_KEY",
            "list_url": f"https://api.{provider}.example/v1/models",
            "capabilities": ["streaming", "tools"]}  # fmt: skip


PROVIDERS = {"openrouter": 358, "together": 22, "deepinfra": 71, "groq": 0}
SYNCS = [
    _sync("openrouter", "ok", "358 models: 2 new, 1 price changed"),
    _sync("together", "unchanged", "the list has not been modified since it was taken over: 22 models"),
    _sync("deepinfra", "ok", "71 models: none changed"),
    _sync("groq", "never synced", "", None),
]
BAD_SYNCS = [
    _sync("openrouter", "suspicious", "the list has shrunk from 358 to 12 models: held until somebody decides", 4),
    _sync("together", "unreachable", "no answer from api.together.xyz within 30 s; tried 4 times", 4),
    _sync("deepinfra", "refused", "401: the key is not accepted; check DEEPINFRA_API_KEY", 4),
    _sync("groq", "no credentials", "GROQ_API_KEY is not set", 4),
]


def _event(seconds: float, event: str, key: str, *changes: str, action: str | None = None, **more: Any) -> FeedEvent:
    at = NOW - timedelta(seconds=seconds)
    prefix = key.partition(":")[0]
    return FeedEvent(at, event, key, prefix, changes, "op" if action else None, action, "f500ad837006", **more)


EVENTS = [
    _event(48.5, "set", "published_model_info", "+llama", action="publish"),
    _event(30.1, "set", "api_key:41aa…07", "k7f3aa gen 1 until 900 s from now", action="keys.rotate"),
    _event(30.0, "set", "api_key:9f3c…e1", "k7f3aa gen 2  3 models", action="keys.rotate"),
    _event(17.3, "set", "published_model_info", "−old-mistral", "gemma → 2c9a", writes=3),
    _event(9.8, "faulty", "api_key:legacy", "not JSON: line 1 column 7"),
    _event(8.0, "expired", "api_key:0c71…b2", "m3n4b5 gen 1 gone"),
    _event(2.2, "del", "api_key:6b7d…b9", "probe gen 1 gone", action="publish"),
]


def _audit(
    seq: int, minutes: float, action: str, target: str, outcome: str, summary: str, **more: Any
) -> dict[str, Any]:
    at = (NOW - timedelta(minutes=minutes)).isoformat()
    return {
        "seq": seq,
        "at": at,
        "actor": "op",
        "via": "console",
        "origin": "10.0.0.1",
        "action": action,
        "tenant": "acme",
        "target": target,
        "outcome": outcome,
        "detail": {"operation": "f500ad837006459183b088e93198215b", "summary": summary},
        "previous_hash": "967ba76a0d017af4b51303250bde92a8",
        "hash": "3d4aba164651169b827f48f0fde2d5af",
    } | more


AUDIT = [
    _audit(104, 1, "publish", "deepinfra/meta-llama/Llama-3.1-8B-Instruct", "done", f"llama is published: {_URL}"),
    _audit(103, 12, "keys.rotate", "k7f3aa", "done", "key k7f3aa (chat) rotated: in effect at 2 of 2 workers"),
    _audit(102, 40, "unpublish", "old-mistral", "failed", "the cluster refused it; undone", actor="kim", via="cli"),
    _audit(101, 55, "sync.run", "", "partial", "25 of 26 providers in order", actor="schedule", via="run"),
    _audit(100, 90, "keys.revoke", "qq11zz", "refused", "the profile is read-only; nothing was changed", via="api"),
    _audit(99, 300, "update", "claude-sonnet", "interrupted", "the process was killed", actor="kim"),
]
_PARTS = {
    "redis": "redis://valkey.internal:6379/0 answers in 0.4 ms, keyspace events on",
    "kubernetes": "v1.36.0 answers in 2.1 ms",
    "database": "postgresql+psycopg://modeldeck@db.internal/modeldeck at schema 0007",
    "gateway": "https://llm.example.com refuses a request without a key in 1.8 ms",
    "authorizer": "2 workers, 112 keys, last report 0 s ago",
    "operations": "none is interrupted",
}


def health(**down: str) -> Health:
    rows = ({"part": part, "state": "down" if part in down else "ok", "detail": down.get(part, detail)}
            for part, detail in _PARTS.items())  # fmt: skip
    return Health(tuple(rows), 0.0)


OVERVIEW: dict[str, Any] = {
    "catalog": {"models": 4812, "providers": 26, "fresh": 24, "late": 1, "in_trouble": 1, "newest": moment(minutes=9)},
    "published": {"total": 4, "ready": 3, "not_ready": 1},
    "keys": {"active": 112, "rotating": 1, "expiring": 1, "total": 120},
    "budgets": {"total": 0, "spent": 0},
    "operations": {"interrupted": 1},
    "needs": [
        {"state": "refused", "what": "sync novita", "detail": "401: the key is not accepted (02:10)", "view": "sync",
         "key": "novita"},
        {"state": "drift", "what": "mixtral", "detail": DRIFT["reason"], "view": "published", "key": "mixtral"},
        {"state": "rotating", "what": "key chat", "detail": "two texts work; the old one until 3 min from now",
         "view": "keys", "key": "k7f3aa"},
        {"state": "expiring", "what": "key batch", "detail": "in 6 d", "view": "keys", "key": "9b2k1x"},
        {"state": "interrupted", "what": "update claude-sonnet", "detail": "recovery ends it within a minute wherever "
         "`modeldeck run` runs", "view": "audit", "key": "f500ad83"},
    ],
}  # fmt: skip
CALM = OVERVIEW | {
    "catalog": {"models": 1305, "providers": 26, "fresh": 26, "late": 0, "in_trouble": 0, "newest": moment(minutes=2)},
    "published": {"total": 3, "ready": 3, "not_ready": 0},
    "keys": {"active": 3, "rotating": 0, "expiring": 0, "total": 3},
    "budgets": {"total": 0, "spent": 0},
    "operations": {"interrupted": 0},
    "needs": [],
}
NOTHING = CALM | {
    "catalog": {"models": 0, "providers": 0, "fresh": 0, "late": 0, "in_trouble": 0, "newest": None},
    "published": {"total": 0, "ready": 0, "not_ready": 0},
    "keys": {"active": 0, "rotating": 0, "expiring": 0, "total": 0},
}
LINK = LinkStatus(LinkState.LIVE, since=NOW.timestamp() - 900, last_load=NOW.timestamp() - 900, loads=1, events=7)
LOST_LINK = LinkStatus(LinkState.LOST, since=NOW.timestamp() - 4, problem="Connection closed by server.", reconnects=1)


def listed(rows: list[Any]) -> Outcome:
    return Outcome(Ending.DONE, f"{len(rows)} rows", data=rows)


def steps(taken: int, failed: bool = False) -> list[Progress]:
    """Progress of a publication: so many steps taken, the next under way, or failed."""
    names = ("name llama", *_TARGETS, "ready", "live probe")
    found = [Progress("f500ad83", at, len(names), names[at], StepState.TAKEN, 0.1, "created") for at in range(taken)]
    if failed:
        why = "the cluster refused it: admission webhook denied the request: no listener accepts this route"
        found.append(Progress("f500ad83", taken, len(names), names[taken], StepState.FAILED, 0.2, why))
        found += [Progress("f500ad83", at, len(names), names[at], StepState.UNDONE, 0.1) for at in range(taken)]
    elif taken < len(names):
        found.append(Progress("f500ad83", taken, len(names), names[taken], StepState.TAKING, 0.0))
    return found


PUBLISH_DONE = Outcome(Ending.DONE, f"llama is published: {_URL}", data=PUBLISHED[2])
PUBLISH_FAILED = Outcome(
    Ending.FAILED, "AIGatewayRoute acme/pub-llama-f9b45b was refused by the cluster; everything is undone",
    code="APPLY_REFUSED", then="modeldeck operations show f500ad83",
)  # fmt: skip
ISSUED = Outcome(
    Ending.DONE, "key k7f3aa (chat) issued: in effect at 2 of 2 gateway workers after 0.040 s", data=KEYS[1]
)


def issued(**changes: Any) -> Play:
    """A key is shown once: every play has a text of its own."""
    return Play(outcome=replace(ISSUED, revealed=Revealed(KEY_TEXT), **changes))


ACCESS = {
    "rows": [{"worker": f"edge-{at}", "epoch": 1795249914166, "entries": 112, "reported": "0 s ago"} for at in (1, 2)],
    "entries": 112,
    "published": 3,
    "epoch": 1795249914166,
    "suspended_tenants": [],
    "faults": [],
    "denials": {},
    "notes": [],
}


def docs(values: Mapping[str, Any]) -> Outcome:
    """The page of the publication that is asked for, its examples checked a moment ago."""
    row = next(row for row in PUBLISHED if row["name"] == values["name"])
    publication = replace(REPAIR.publication, name=row["name"], tenant=row["tenant"])
    base = row["url"].removesuffix("/v1/chat/completions")
    told = "the examples' request was answered 200 in 23 ms"
    examples = examples_of(publication, base)
    text = markdown(publication, base, examples, Check(NOW, 200, told))
    facts = {
        "name": row["name"],
        "checked": {"at": NOW.isoformat(timespec="seconds"), "status": 200, "good": True, "sentence": told},
        "examples": [asdict(example) for example in examples],
    }
    return Outcome(Ending.DONE, f"{row['name']}: {told}", data=Documentation(text, [], facts))


def world(**changes: Any) -> Script:
    """All is well."""
    script = Script(
        Profile(name="local", database="sqlite:////none"),
        {
            "overview": Outcome(Ending.DONE, "nothing needs anybody", data=CALM),
            "status": Outcome(Ending.DONE, "all parts are well", data=list(health().rows)),
            "published": listed(PUBLISHED),
            "tenants.list": listed(
                [
                    {
                        "name": name,
                        "published": 1,
                        "max_published": None,
                        "publications": "1",
                        "keys": 3,
                        "max_keys": 20,
                        "keys_used": "3/20",
                        "max_rpm": None,
                        "problem": "",
                        "state": "active",
                        "created_at": moment(days=80),
                    }
                    for name in ("acme", "globex")
                ]
            ),
            "keys.list": list_keys,
            "keys.show": show_key,
            "sync.status": listed(SYNCS),
            "sync.schedule": listed([_due(provider) for provider in PROVIDERS]),
            "sync.providers": listed([_about(provider, models) for provider, models in PROVIDERS.items()]),
            "sync.held": listed([]),
            "access.status": Outcome(Ending.DONE, "2 workers", data=ACCESS),
            "audit": listed(AUDIT),
            "usage": usage,
            "budgets.list": listed([]),
            "models.show": show_model,
            "models.compare": compare_model,
            "publish": plan,
            "update": Outcome(Ending.UNCHANGED, REPAIR.title, data=replace(REPAIR, changes=REPAIR.changes[:1])),
            "publications.repair": Outcome(
                Ending.UNCHANGED, REPAIR.title, data=replace(REPAIR, changes=REPAIR.changes[:1])
            ),
            "publications.docs": docs,
            "unpublish": Outcome(Ending.DONE, REMOVAL.title, data=REMOVAL),
        },
        rows=MODELS,
        vocabulary=VOCABULARY,
        live=live(EVENTS, link=LINK, health=health()),
    )
    return replace(script, **changes)


def empty() -> Script:
    """A gateway that nobody has used yet."""
    none = listed([])
    script = world(rows=(), vocabulary=Vocabulary(), live=live(link=LINK, health=health()))
    script.answers |= dict.fromkeys(("published", "tenants.list", "keys.list", "sync.status", "audit"), none)
    script.answers["overview"] = Outcome(Ending.DONE, "nothing needs anybody", data=NOTHING)
    script.answers["usage"] = no_usage
    return script


def broken() -> Script:
    """Redis is lost, the gateway is down, and what can be wrong is."""
    down = health(redis="Redis does not answer at redis://valkey.internal:6379/0",
                  gateway="https://llm.example.com does not answer: ConnectError")  # fmt: skip
    script = world(rows=LOST, live=live(EVENTS, link=LOST_LINK, health=down))
    script.answers |= dict.fromkeys(("keys.list", "audit", "tenants.list", "usage"), LOST)
    script.answers |= {
        "overview": Outcome(Ending.PARTIAL, "not known: keys", data=OVERVIEW | {"keys": None}),
        "published": listed([*PUBLISHED, DRIFT, PUBLISHING]),
        "sync.status": listed(BAD_SYNCS),
        "publish": Refusal(
            "the cluster has no GatewayClass eg; nothing was changed", code="NO_GATEWAY", then="modeldeck status"
        ),
    }
    return script


def prod(*, armed: float | None = 0.0, read_only: bool = False) -> Script:
    """A protected profile."""
    script = world(profile=Profile(name="prod", protected=True, read_only=read_only), armed=armed)
    script.answers["overview"] = Outcome(Ending.DONE, "5 need somebody", data=OVERVIEW)
    script.answers["published"] = listed([*PUBLISHED, DRIFT])
    return script
