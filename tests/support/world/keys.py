"""Keys, and one that is shown once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from console.outcome import Ending, Outcome, Revealed
from tests.support.console import Play
from tests.support.world.common import KEY_TEXT, listed, moment


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


ISSUED = Outcome(
    Ending.DONE, "key k7f3aa (chat) issued: in effect at 2 of 2 gateway workers after 0.040 s", data=KEYS[1]
)


def issued(**changes: Any) -> Play:
    """A key is shown once: every play has a text of its own."""
    return Play(outcome=replace(ISSUED, revealed=Revealed(KEY_TEXT), **changes))
