"""Keys over HTTP: every action of theirs, by role and tenant; problem details; requests that come again."""

from __future__ import annotations

import asyncio
from typing import Any

from console.access.types import digest_of
from console.actions import REGISTRY
from console.guard import Danger, Role
from tests.service.api.test_api import Api, api

__all__ = ["api"]

GOOD = (200, 202, 207)


async def act(api: Api, action: str, token: str = "admin", **values: Any) -> Any:
    text = api.tokens.get(token) or await api.token(token)
    return await api.ask("POST", f"/api/actions/{action}", values, token=text)


async def test_every_action_on_keys_is_there_for_its_role_and_its_tenants(api: Api) -> None:
    await api.token("viewer", "viewer", tenant=["acme"])
    await api.token("publisher", "publisher", tenant=["acme"])
    await api.token("other", "publisher", tenant=["globex"])
    await api.token("other-admin", "admin", tenant=["globex"])
    created = (await act(api, "keys.create", name="chat", tenant="acme")).json()
    about: dict[str, dict[str, Any]] = {
        "keys.create": {"name": "more", "tenant": "acme"},
        "keys.list": {"tenant": "acme"},
        "keys.restore": {"tenant": "acme"},
        "keys.import": {"tenant": "acme"},
        "keys.find": {"digest": digest_of(created["key"])},
        "keys.renew": {"key": ["chat"]},
        "keys.edit": {"key": "chat", "owner": "web"},
        "keys.extend": {"key": "chat", "grace": "1h"},
    }
    order = ("show", "list", "find", "edit", "suspend", "resume", "rotate", "extend", "withdraw", "renew", "finish")
    rest = ("copy", "create", "restore", "import", "revoke")
    actions = [f"keys.{verb}" for verb in (*order, *rest)]
    assert set(actions) == {action.id for action in REGISTRY if action.id.startswith("keys.")}
    for identifier in actions:
        action, values = REGISTRY[identifier], about.get(identifier, {"key": "chat"})
        for_viewer = await act(api, identifier, "viewer", **values)
        if action.role > Role.VIEWER:
            assert (for_viewer.status_code, for_viewer.json()["code"]) == (403, "FORBIDDEN"), identifier
        else:
            assert for_viewer.status_code in GOOD, (identifier, for_viewer.text)
        for_other = await act(api, identifier, "other-admin" if action.role is Role.ADMIN else "other", **values)
        refused = for_other.json()
        if identifier == "keys.renew":
            refused |= {"status": 403} if refused["items"][0]["state"] == "refused" else {}
        assert refused["status"] == 403, (identifier, for_other.text)
        assert for_other.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "detail", "code", "outcome"} <= refused.keys()
        if identifier == "keys.copy":
            continue  # a keyring is its operator's, and never this process's
        who = "publisher" if action.role <= Role.PUBLISHER else "admin"
        answer = await act(api, identifier, who, **values)
        assert answer.status_code in GOOD, (identifier, answer.text)
    rows = (await act(api, "audit", limit=200)).json()["data"]
    writes = {identifier for identifier in actions if REGISTRY[identifier].danger > Danger.READ}
    assert writes <= {row["action"] for row in rows if row["outcome"] not in ("refused",)}
    assert created["key"] not in str(rows)


async def test_a_rotation_that_is_asked_for_again_answers_with_its_generation(api: Api) -> None:
    await act(api, "keys.create", name="chat", tenant="acme")
    path, body = "/api/actions/keys.rotate", {"key": "chat"}
    first = await api.ask("POST", path, body, idempotency_key="deploy-7")
    text = first.json()["key"]
    assert first.headers["cache-control"] == "no-store"
    again = await api.ask("POST", path, body, idempotency_key="deploy-7")
    answered = again.json()
    assert (again.status_code, answered["outcome"], answered["data"]["generation"]) == (200, "unchanged", 2)
    assert "key" not in answered
    assert "kept nowhere" in answered["summary"]
    assert (again.headers["idempotent-replay"], text in again.text) == ("true", False)
    other = await api.ask("POST", path, {"key": "chat", "grace": "1h"}, idempotency_key="deploy-7")
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    named = await api.ask("POST", path, body | {"idempotency_key": "deploy-7"})
    assert named.json()["data"]["generation"] == 2, "the same by the body as by the header"


async def test_of_equal_rotations_at_one_moment_one_has_the_text(api: Api) -> None:
    await act(api, "keys.create", name="chat", tenant="acme")
    asked = (api.ask("POST", "/api/actions/keys.rotate", {"key": "chat"}, idempotency_key="x") for _ in range(4))
    answers = await asyncio.gather(*asked)
    assert sum("key" in answer.json() for answer in answers) == 1
    assert {answer.status_code for answer in answers} <= {200, 202, 409}


async def test_several_keys_are_rotated_with_a_text_for_each(api: Api) -> None:
    for name in ("a", "b"):
        await act(api, "keys.create", name=name, tenant="acme")
    body = {"key": ["a", "b"]}
    answer = await api.ask("POST", "/api/actions/keys.renew", body, idempotency_key="y")
    assert len(answer.json()["keys"]) == 2
    assert answer.headers["cache-control"] == "no-store"
    again = await api.ask("POST", "/api/actions/keys.renew", body, idempotency_key="y")
    assert "keys" not in again.json()
    assert [item["state"] for item in again.json()["items"]] == ["pending", "pending"]
