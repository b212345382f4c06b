"""Who used what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.outcome import Ending, Outcome
from tests.support.world.common import moment


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
