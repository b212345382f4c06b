"""Syncs, the feed, the audit, access, and the health of every part."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from console.access.feed import FeedEvent
from console.access.link import LinkState, LinkStatus
from console.bridge import Health
from tests.support.console import NOW
from tests.support.world.common import URL, moment
from tests.support.world.publications import DRIFT

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


def due(provider: str) -> dict[str, Any]:
    return {"provider": provider, "next_run_at": moment(minutes=-6), "minutes": 15.0, "own_interval": False,
            "slowed": 1, "state": "waiting", "failures": 0, "not_before": None, "reason": "its list changes",
            "changed_by": ""}  # fmt: skip


def about(provider: str, models: int) -> dict[str, Any]:
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
    _audit(104, 1, "publish", "deepinfra/meta-llama/Llama-3.1-8B-Instruct", "done", f"llama is published: {URL}"),
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
