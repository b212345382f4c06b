"""The HTTP API over real HTTP, with a real Valkey and a real database behind it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.actions import REGISTRY
from console.actions.perform import perform
from console.api.app import OPEN_PATHS, ApiLimits, create_app
from console.config import ProviderLink
from console.guard import Danger, Principal, Role
from console.local.valkey import Valkey
from console.services import Services
from console.serving import Serving
from console.tls import trusted
from tests.support.profiles import profile_for
from tests.support.samples import samples_in_a_thread
from tests.support.waiting import until

ADMIN = Principal("op", Role.ADMIN, None, "cli", "10.0.0.1")
SECRET = "whsec-for-tests"
WIDE = ApiLimits(per_second=10_000, burst=10_000, unknown_per_second=10_000, unknown_burst=10_000)


@dataclass
class Api:
    services: Services
    url: str
    directory: Path
    tokens: dict[str, str]

    async def token(self, name: str, role: str = "admin", **values: Any) -> str:
        """The text of a new token."""
        given = {"name": name, "role": role, **values}
        outcome = await perform(self.services, REGISTRY["tokens.create"], given, ADMIN)
        assert outcome.revealed is not None, outcome
        self.tokens[name] = outcome.revealed.take() or ""
        return self.tokens[name]

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        if token is None:
            token = self.tokens.get("admin") or await self.token("admin")
        given = {"authorization": f"Bearer {token}"} if token else {}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, verify=trusted(), timeout=30) as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, content=content, headers=given | named)


@pytest.fixture
async def api(valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setenv("MODEL_WEBHOOK_SECRET", SECRET)
    async with Services(profile_for(tmp_path, valkey)) as services:
        serving = Serving(create_app(services, WIDE))
        await serving.start()
        yield Api(services, serving.url, tmp_path, {})
        await serving.stop()


async def test_every_path_is_denied_without_a_token(api: Api) -> None:
    document = (await api.ask("GET", "/openapi.json")).json()
    asked = 0
    for path, methods in document["paths"].items():
        for method in methods:
            concrete = path.replace("{name}", "x").replace("{slug}", "x").replace("{identifier}", "x")
            answer = await api.ask(method.upper(), concrete, {}, token="")
            asked += 1
            if path in OPEN_PATHS:
                assert answer.status_code != 404, path
            else:
                assert answer.status_code == 401, (method, path)
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["www-authenticate"] == "Bearer"
    assert asked > 60
    assert (await api.ask("GET", "/nothing", token="")).status_code == 401, "what is not there is not told either"


@pytest.mark.parametrize(
    "header",
    ["Basic YTpi", "Bearer", "Bearer nonsense", "Bearer mdt_wrong", "mdt_x", "Bearer " + "x" * 5000],
    ids=range(6),
)
async def test_what_is_no_token_opens_nothing(api: Api, header: str) -> None:
    async with httpx.AsyncClient(base_url=api.url, trust_env=False) as client:
        answer = await client.get("/models", headers={"authorization": header})
    assert answer.status_code == 401


async def test_a_viewers_token_changes_nothing_whatever_it_asks(api: Api) -> None:
    token = await api.token("viewer", "viewer")
    for action in REGISTRY:
        if action.streams:
            continue
        values = {parameter.name: "1" for parameter in action.parameters if parameter.required}
        answer = await api.ask("POST", f"/api/actions/{action.id}", values, token=token)
        if action.danger > Danger.READ or action.role > Role.VIEWER:
            assert answer.status_code == 403, (action.id, answer.text)
        else:
            assert answer.status_code != 403, (action.id, answer.text)


async def test_a_tokens_tenants_hold(api: Api) -> None:
    token = await api.token("acme-only", "publisher", tenant=["acme"])
    body = {"name": "chat", "tenant": "globex"}
    assert (await api.ask("POST", "/api/actions/keys.create", body, token=token)).status_code == 403
    assert (
        await api.ask("POST", "/api/actions/keys.create", body | {"tenant": "acme"}, token=token)
    ).status_code == 202
    await api.ask("POST", "/api/actions/keys.create", body)
    listed = (await api.ask("POST", "/api/actions/keys.list", {}, token=token)).json()
    assert [row["tenant"] for row in listed["data"]] == ["acme"]


async def test_a_revoked_or_expired_token_counts_no_more(api: Api) -> None:
    token = await api.token("short")
    assert (await api.ask("GET", "/models", token=token)).status_code == 200
    (row,) = [
        row for row in (await api.ask("POST", "/api/actions/tokens.list", {})).json()["data"] if row["name"] == "short"
    ]
    assert (await api.ask("POST", "/api/actions/tokens.revoke", {"token": row["id"]})).status_code == 200
    assert (await api.ask("GET", "/models", token=token)).status_code == 401
    brief = await api.token("brief", expires="1s")

    async def refused() -> bool:
        return (await api.ask("GET", "/models", token=brief)).status_code == 401

    await until(refused, within=10)


async def test_nobody_makes_a_token_that_can_more_than_himself(api: Api) -> None:
    publisher = await api.token("publisher", "publisher")
    answer = await api.ask("POST", "/api/actions/tokens.create", {"name": "x", "role": "admin"}, token=publisher)
    assert answer.status_code == 403
    admin_of_acme = await api.token("acme-admin", "admin", tenant=["acme"])
    for body in ({"name": "x", "role": "admin"}, {"name": "x", "tenant": ["globex"]}):
        assert (await api.ask("POST", "/api/actions/tokens.create", body, token=admin_of_acme)).status_code == 403


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "BAD_JSON"),
        (b"[]", 400, "BAD_JSON"),
        (b'"text"', 400, "BAD_JSON"),
        (b" \n", 400, "BAD_JSON"),
        (b"[" * 100_000, 400, "BAD_JSON"),
        (b'{"name": "' + b"x" * 2_000_000 + b'"}', 413, "TOO_LARGE"),
        ({}, 422, "INVALID_PARAMETER"),
        ({"name": "a", "tenant": "acme", "colour": "red"}, 422, "INVALID_PARAMETER"),
        ({"name": "a\u0000b", "tenant": "acme"}, 422, "INVALID_PARAMETER"),
        ({"name": "x" * 3000, "tenant": "acme"}, 422, "INVALID_PARAMETER"),
        ({"name": {"a": 1}, "tenant": "acme", "kind": "nonsense"}, 422, "INVALID_PARAMETER"),
        ({"name": "a", "tenant": "acme", "expires": "soon"}, 422, "INVALID_PARAMETER"),
    ],
    ids=range(12),
)
async def test_a_bad_body_is_refused_by_a_problem(api: Api, body: Any, status: int, code: str) -> None:
    answer = await api.ask("POST", "/api/actions/keys.create", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= answer.json().keys()
    assert (await api.ask("POST", "/api/actions/keys.list", {})).json().get("data") == []


async def test_nothing_that_is_sent_breaks_it(api: Api) -> None:
    hostile: list[Any] = [
        None,
        True,
        -1,
        2**70,
        1.5,
        "",
        "../../etc/passwd",
        "\u202e",
        [],
        [[]],
        {"a": {}},
        "%00",
        "💥" * 50,
    ]
    for at, action in enumerate(REGISTRY):
        if action.streams or not action.parameters:
            continue
        for value in (hostile[(at * 4 + turn) % len(hostile)] for turn in range(4)):
            body = {parameter.name: value for parameter in action.parameters}
            answer = await api.ask("POST", f"/api/actions/{action.id}", body)
            assert answer.status_code != 500, (action.id, value, answer.text)


@pytest.mark.parametrize(
    "path",
    ["/api/operations?limits=3", "/models?serch=llama", "/providers?x", "/api/keys?tenants=acme", "/metrics?a=b"],
)
async def test_a_parameter_that_nothing_reads_is_refused(api: Api, path: str) -> None:
    answer = await api.ask("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER"), answer.text
    assert "there is no such parameter" in answer.json()["detail"]
    assert (await api.ask("GET", path.partition("?")[0])).status_code == 200


async def test_one_value_that_is_given_twice_is_refused(api: Api) -> None:
    answer = await api.ask("GET", "/api/published-models?tenant=acme&tenant=globex")
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER"), answer.text
    assert "was given several times" in answer.json()["detail"]
    answer = await api.ask("GET", "/api/keys?label=team%3Da&label=stage%3Db")
    assert answer.status_code == 200, answer.text


async def test_a_key_is_in_the_answer_once_and_no_cache_keeps_it(api: Api) -> None:
    answer = await api.ask(
        "POST", "/api/actions/keys.create", {"name": "chat", "tenant": "acme"}, idempotency_key="one"
    )
    body = answer.json()
    assert body["key"].startswith("bud_client_")
    assert answer.headers["cache-control"] == "no-store"
    again = await api.ask("POST", "/api/actions/keys.create", {"name": "chat", "tenant": "acme"}, idempotency_key="one")
    assert again.status_code == answer.status_code
    assert "key" not in again.json()
    assert again.json()["data"]["id"] == body["data"]["id"]
    assert again.headers["idempotent-replay"] == "true"
    other = await api.ask(
        "POST", "/api/actions/keys.create", {"name": "other", "tenant": "acme"}, idempotency_key="one"
    )
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    listed = (await api.ask("POST", "/api/actions/keys.list", {})).json()["data"]
    assert len(listed) == 1
    assert body["key"].encode() not in (api.directory / "modeldeck.db").read_bytes()
    await api.token("second")
    theirs = await api.ask("POST", "/api/actions/keys.list", {}, token=api.tokens["second"], idempotency_key="one")
    assert theirs.status_code == 200, "another token's keys are its own"


async def test_a_key_that_is_no_idempotency_key_is_refused(api: Api) -> None:
    body = {"name": "chat", "tenant": "acme"}
    answer = await api.ask("POST", "/api/actions/keys.create", body, idempotency_key="x" * 300)
    assert answer.json()["code"] == "BAD_IDEMPOTENCY_KEY"


async def test_a_long_operation_can_be_watched(api: Api) -> None:
    body = {"name": "chat", "tenant": "acme"}
    made = await api.ask("POST", "/api/actions/keys.create", body, prefer="respond-async")
    assert made.json()["key"].startswith("bud_client_"), "its text is told now or never"
    answer = await api.ask("POST", "/api/actions/keys.suspend", {"key": "chat"}, prefer="respond-async")
    assert answer.status_code == 202, answer.text
    place = answer.headers["location"]
    shown = await api.ask("GET", place)
    assert shown.json()["data"]["kind"] == "keys.suspend"
    events = (await api.ask("GET", f"{place}/events")).text
    assert events.count("event: step") >= 3
    assert '"state": "done"' in events.split("event: end")[1]
    assert (await api.ask("GET", "/api/operations/ffff/events")).status_code == 404


async def test_too_many_requests_are_told_when_to_come_back(valkey: Valkey, tmp_path: Path) -> None:
    async with Services(profile_for(tmp_path, valkey)) as services:
        limits = ApiLimits(per_second=0.1, burst=3, unknown_per_second=0.1, unknown_burst=2)
        serving = Serving(create_app(services, limits))
        await serving.start()
        api = Api(services, serving.url, tmp_path, {})
        token = await api.token("busy")
        statuses = [(await api.ask("GET", "/models", token=token)).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        refused = await api.ask("GET", "/models", token=token)
        assert int(refused.headers["retry-after"]) > 0
        guesses = [(await api.ask("GET", "/models", token=f"mdt_{number}")).status_code for number in range(4)]
        assert guesses == [401, 401, 429, 429]
        await serving.stop()


async def test_health_says_whether_and_not_what(api: Api, valkey: Valkey) -> None:
    assert (await api.ask("GET", "/healthz", token="")).json()["status"] == "ok"
    await valkey.stop()
    answer = await api.ask("GET", "/readyz", token="")
    assert answer.status_code == 503
    assert "redis" in answer.json()["down"]
    assert "127.0.0.1" not in answer.text


async def test_a_lost_redis_is_a_problem_with_a_status_of_its_own(api: Api, valkey: Valkey) -> None:
    await valkey.stop()
    answer = await api.ask("POST", "/api/actions/keys.create", {"name": "chat", "tenant": "acme"})
    assert answer.status_code == 503
    assert "Redis" in answer.json()["detail"]


# --- the seeds' paths -------------------------------------------------------------------------------------------------


@pytest.fixture
async def synced(api: Api) -> AsyncIterator[Api]:
    """The API on sample providers."""
    with samples_in_a_thread("sample-token") as samples:
        secret = api.directory / "sample-token"
        secret.write_text("sample-token")
        links = {
            slug: ProviderLink(url=samples.base_url(slug), credential=f"file:{secret}")
            for slug in ("openrouter", "together", "deepinfra")
        }
        api.services.profile = api.services.profile.model_copy(update={"providers": links})
        yield api


async def test_the_providers_are_listed(api: Api) -> None:
    body = (await api.ask("GET", "/admin/model-sync/providers")).json()
    assert body["count"] == len(body["providers"]) >= 26
    assert {"openrouter", "google-vertex", "alibaba"} <= set(body["providers"])


async def test_one_provider_is_synced_with_the_fields_of_the_seed(synced: Api) -> None:
    dry = (await synced.ask("POST", "/admin/model-sync/provider/openrouter?dry_run=true")).json()
    assert dry["success"]
    assert dry["details"]["models_fetched"] > 100
    assert (await synced.ask("GET", "/models/stats")).json()["total"] == 0, "a dry run writes nothing"
    body = (await synced.ask("POST", "/admin/model-sync/provider/openrouter")).json()
    details = body["details"]
    assert details["provider"] == "openrouter"
    assert details["models_fetched"] == details["models_transformed"] + details["models_skipped"]
    assert details["models_synced"] == details["models_transformed"]
    again = (await synced.ask("POST", "/admin/model-sync/provider/openrouter")).json()
    assert again["success"]
    assert again["details"]["models_synced"] == 0
    assert (await synced.ask("POST", "/admin/model-sync/provider/nowhere")).status_code in (404, 422)


async def test_several_are_synced_and_the_status_counts_them(synced: Api) -> None:
    path = "/admin/model-sync/all?providers=openrouter&providers=deepinfra"
    body = (await synced.ask("POST", path)).json()
    assert body["details"]["providers_processed"] == 2
    assert body["details"]["errors"] == []
    status = (await synced.ask("GET", "/admin/model-sync/status")).json()
    assert status["providers"]["in_database"] == 2
    assert status["providers"]["with_fetch_functions"] >= 26
    assert status["providers"]["stats"]["healthy"] == 2
    assert status["models"]["stats"]["active"] == body["details"]["total_models_synced"]
    rows = (await synced.ask("GET", "/api/sync/status?gateway=deepinfra")).json()
    assert [row["provider"] for row in rows["gateways"]] == ["deepinfra"]
    assert (await synced.ask("GET", "/api/sync/status?gateway=nowhere")).status_code == 404
    one = (await synced.ask("POST", "/api/sync/models", {"gateway": "together"})).json()
    assert one["details"]["providers_processed"] == 1
    assert (await synced.ask("POST", "/api/sync/models", {"gateway": 7})).status_code == 422


async def test_a_provider_that_refuses_is_in_the_errors_and_not_a_success(synced: Api) -> None:
    links = dict(synced.services.profile.providers)
    wrong = synced.directory / "wrong"
    wrong.write_text("wrong")
    links["together"] = links["together"].model_copy(update={"credential": f"file:{wrong}"})
    synced.services.profile = synced.services.profile.model_copy(update={"providers": links})
    answer = await synced.ask("POST", "/admin/model-sync/all?providers=openrouter&providers=together")
    body = answer.json()
    assert answer.status_code == 207
    assert body["success"] is False
    assert [error["provider"] for error in body["details"]["errors"]] == ["together"]
    assert "wrong" not in json.dumps(body["details"]["errors"]).replace("went wrong", "")


async def test_the_catalog_is_read_in_pages_with_tags(synced: Api) -> None:
    await synced.ask("POST", "/admin/model-sync/provider/deepinfra")
    first = await synced.ask("GET", "/models?q=llama&limit=2&sort=input")
    assert len(first.json()["models"]) == 2
    tag = first.headers["etag"]
    same = await synced.ask("GET", "/models?q=llama&limit=2&sort=input", if_none_match=tag)
    assert (same.status_code, same.content) == (304, b"")
    other = await synced.ask("GET", "/models?q=llama&limit=3&sort=input", if_none_match=tag)
    assert other.status_code == 200
    identifier = first.json()["models"][0]["id"]
    one = await synced.ask("GET", f"/models/{identifier}")
    assert one.json()["id"] == identifier
    await synced.ask("POST", "/admin/model-sync/provider/openrouter")
    changed = await synced.ask("GET", "/models?q=llama&limit=2&sort=input", if_none_match=tag)
    assert changed.status_code == 200, "a sync makes it another answer"
    assert (await synced.ask("GET", "/models/nobody/nothing")).status_code == 404
    assert (await synced.ask("GET", "/models?q=ctx%3E%3Dhuge")).json()["code"] == "BAD_QUERY"
    assert (await synced.ask("GET", "/models?limit=100000")).status_code == 400
    assert (await synced.ask("GET", "/models?limit=many")).status_code == 422
    assert (await synced.ask("GET", "/providers")).json()["total"] >= 26
    assert (await synced.ask("GET", "/providers/stats")).json()["healthy"] == 2


def signed(body: bytes) -> dict[str, str]:
    return {"X_Webhook_Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}


async def test_a_signed_webhook_needs_no_token_and_an_unsigned_one_changes_nothing(api: Api) -> None:
    event = {
        "event_type": "models.added",
        "gateway": "openrouter",
        "models": [{"id": "new/model"}],
        "timestamp": 1795219200000,
    }
    body = json.dumps(event).encode()
    path = "/api/webhooks/models-updated"
    assert (await api.ask("GET", path, token="")).json()["status"] == "active"
    unsigned = await api.ask("POST", path, body, token="")
    assert (unsigned.status_code, unsigned.json()["code"]) == (401, "BAD_SIGNATURE")
    taken = await api.ask("POST", path, body, token="", **signed(body))
    assert taken.status_code == 200, taken.text
    unknown = json.dumps(event | {"event_type": "models.exploded"}).encode()
    assert (await api.ask("POST", path, unknown, token="", **signed(unknown))).status_code == 422
    huge = b"x" * 300_000
    assert (await api.ask("POST", path, huge, token="", **signed(huge))).status_code == 413
    shown = (await api.ask("POST", "/api/actions/sync.webhooks", {})).json()
    assert "openrouter" in json.dumps(shown["data"])


async def test_caches_are_voided_by_hand_as_in_the_seed(api: Api) -> None:
    answer = await api.ask("POST", "/api/cache/invalidate", {"type": "models", "gateway": "openrouter"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["invalidated"]["tags"] == ["models:gateway:openrouter"]
    assert (await api.ask("POST", "/api/cache/invalidate", {"type": "everything"})).status_code == 422
    assert (await api.ask("POST", "/api/cache/invalidate", {})).status_code == 422
    assert (await api.ask("POST", "/api/cache/invalidate", {"type": "models"}, token="")).status_code == 401


async def test_metrics_name_providers_and_codes_and_no_keys(synced: Api) -> None:
    await synced.ask("POST", "/admin/model-sync/provider/deepinfra")
    created = await synced.ask("POST", "/api/actions/keys.create", {"name": "chat", "tenant": "acme"})
    text = (await synced.ask("GET", "/metrics")).text
    assert 'modeldeck_provider_healthy{provider="deepinfra"} 1' in text
    assert 'modeldeck_keys{state="active"} 1' in text
    assert "modeldeck_operations_interrupted 0" in text
    assert created.json()["data"]["id"] not in text


async def test_the_audit_says_which_token_did_it_and_from_where(api: Api) -> None:
    await api.ask("POST", "/api/actions/keys.create", {"name": "chat", "tenant": "acme"})
    rows = (await api.ask("POST", "/api/actions/audit", {"limit": 1})).json()["data"]
    assert (rows[0]["actor"], rows[0]["via"], rows[0]["origin"]) == ("admin", "api", "127.0.0.1")


async def test_the_feed_is_streamed(api: Api) -> None:
    token = await api.token("admin")
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(base_url=api.url, trust_env=False, timeout=20) as client,
        client.stream("GET", "/api/feed", headers=headers) as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()

        async def first() -> dict[str, Any]:
            async for line in lines:
                if line.startswith("data: "):
                    found: dict[str, Any] = json.loads(line.removeprefix("data: "))
                    return found
            raise AssertionError("the stream ended")

        waiting = asyncio.create_task(first())
        while not waiting.done():
            await api.ask("POST", "/api/actions/keys.create", {"name": "chat", "tenant": "acme"})
            await api.ask("POST", "/api/actions/keys.rotate", {"key": "chat", "grace": "0s"})
            await asyncio.sleep(0.05)
        event = await waiting
    assert event["actor"] == "admin@127.0.0.1"
    assert event["key"].startswith("api_key:")
