"""What a request says in its body counts, or is refused: nothing is passed over without a word."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.api.test_api import Api, api, synced  # noqa: F401 - fixtures

SYNC_ONE, SYNC_ALL = "/admin/model-sync/provider/openrouter", "/admin/model-sync/all"


async def _models(synced: Api) -> int:  # noqa: F811
    return int((await synced.ask("GET", "/models/stats")).json()["total"])


async def test_a_dry_run_may_be_asked_for_in_the_body(synced: Api) -> None:  # noqa: F811
    one = await synced.ask("POST", SYNC_ONE, {"dry_run": True})
    assert (one.status_code, one.json()["run"]) == (200, None), one.text
    assert one.json()["message"].startswith("Would sync ")
    two = await synced.ask("POST", SYNC_ALL, {"dry_run": True, "providers": ["together", "deepinfra"]})
    assert (two.status_code, two.json()["details"]["providers_processed"]) == (200, 2), two.text
    both = await synced.ask("POST", f"{SYNC_ALL}?dry_run=true&providers=together", {"providers": ["together"]})
    assert (both.status_code, both.json()["details"]["providers_processed"]) == (200, 1), both.text
    assert await _models(synced) == 0, "a dry run writes nothing"
    real = await synced.ask("POST", SYNC_ALL, {"providers": ["together"]})
    assert real.json()["details"]["total_models_synced"] == await _models(synced) > 0


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (SYNC_ONE, b'{"dry_run": tr', 400, "is not JSON"),
        (SYNC_ONE, [], 400, "not a JSON object"),
        (SYNC_ONE, b'{"dry_run": true, "dry_run": false}', 400, '"dry_run" twice'),
        (SYNC_ONE, {"dry_run": "maybe"}, 422, "dry_run is yes or no"),
        (SYNC_ONE, {"providers": ["groq"]}, 422, "no field providers: it takes dry_run"),
        (SYNC_ALL, {"bogus": 1}, 422, "no field bogus"),
        (SYNC_ALL, {"providers": 7}, 422, "providers is a list"),
        (SYNC_ALL, {"providers": ["together", "nope"]}, 404, "there is no provider 'nope'"),
        (f"{SYNC_ALL}?dry_run=true", {"dry_run": False}, 422, "dry_run is one thing in the address and another"),
        (f"{SYNC_ALL}?providers=together", {"providers": ["groq"]}, 422, "providers is one thing in the address"),
    ],
)
async def test_a_body_that_is_wrong_syncs_nothing(
    synced: Api,  # noqa: F811
    path: str,
    body: Any,
    status: int,
    said: str,
) -> None:
    answer = await synced.ask("POST", path, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert (await synced.ask("POST", "/api/actions/sync.history", {})).json()["data"]["rows"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/api/tenants/acme/suspend", {"tenant": "globex"}, "tenant is one thing in the address"),
        ("POST", "/api/tenants/acme/suspend", {"colour": "red"}, "no parameter colour"),
        ("POST", "/api/keys/k1/rotate", {"key": "k2"}, "key is one thing in the address"),
        ("DELETE", "/api/keys/k1", {"key": "k2"}, "key is one thing in the address"),
        ("PUT", "/api/models/a/publish", {"name": "b"}, "name is one thing in the address"),
        ("DELETE", "/api/models/a/publish", {"force": True}, "no field force"),
        ("DELETE", "/api/models/a/publish?plan=true", {"plan": False}, "plan is one thing in the address"),
        ("POST", "/api/models/a/publish?tenant=acme", {"tenant": "globex"}, "tenant is one thing in the address"),
        ("POST", "/api/models/a/publish", {"model": "b", "name": "c", "tenant": "acme"}, "neither the model"),
    ],
)
async def test_a_body_that_contradicts_the_address_is_refused(
    api: Api,  # noqa: F811
    method: str,
    path: str,
    body: Any,
    said: str,
) -> None:
    answer = await api.ask(method, path, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER"), answer.text
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/actions/keys.create", "/api/keys", "/api/models/x/publish"])
async def test_a_field_that_stands_twice_is_refused(api: Api, path: str) -> None:  # noqa: F811
    answer = await api.ask("POST", path, b'{"tenant": "acme", "name": "z", "name": "y"}')
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_JSON"), answer.text
    assert "nothing was changed" in answer.json()["detail"]
    assert (await api.ask("GET", "/api/keys")).json()["total"] == 0


async def test_the_webhook_says_whether_it_takes_anything(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    described = (await api.ask("GET", "/api/webhooks/models-updated", token="")).json()
    assert described["status"] == "active"
    monkeypatch.delenv("MODEL_WEBHOOK_SECRET")
    described = (await api.ask("GET", "/api/webhooks/models-updated", token="")).json()
    assert (described["status"], described["reason"]) == ("off", "no secret is set")
