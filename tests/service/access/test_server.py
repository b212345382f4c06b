"""The ext_authz worker over real HTTP, with a real Valkey behind it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import httpx
import pytest
from redis.asyncio import Redis

from console.access.propagation import instances
from console.access.server import Listening, serve
from console.access.types import digest_of
from console.config import AccessRules
from console.local.ports import free_ports
from console.local.valkey import Valkey
from console.tls import trusted
from tests.support.waiting import until

GRANT = {"endpoint_id": "e1", "model_id": "m1", "project_id": "p1"}
KEY = {"authorization": "Bearer good"}


@asynccontextmanager
async def serving(valkey: Valkey, reads: Literal["header", "body"]) -> AsyncIterator[httpx.AsyncClient]:
    port = free_ports(1)[0]
    rules = AccessRules(fail_static_seconds=0.3)
    listening = Listening(("127.0.0.1", port))
    task = asyncio.create_task(serve(valkey.gateway_client(), rules, listening=listening, reads=reads))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=trusted()) as client:

        async def healthy() -> bool:
            try:
                return (await client.get("/healthz")).status_code == 200
            except httpx.TransportError:
                return False

        await until(healthy)
        yield client
    os.kill(os.getpid(), signal.SIGTERM)
    await task


@pytest.fixture
async def by_header(valkey: Valkey, redis: Redis) -> AsyncIterator[httpx.AsyncClient]:
    await redis.set("api_key:" + digest_of("good"), json.dumps({"own": GRANT, "prompt:x": GRANT}))
    async with serving(valkey, "header") as client:
        yield client


async def test_an_allowed_request_gets_200_and_the_upstreams_headers(by_header: httpx.AsyncClient) -> None:
    answer = await by_header.post("/authz/v1/chat/completions", headers=KEY | {"x-ai-eg-model": "own"})
    assert answer.status_code == 200
    assert answer.headers["x-modeldeck-endpoint-id"] == "e1"
    assert answer.content == b""


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-ai-eg-model": "own"}, 401, "missing_api_key"),
        ({"authorization": "Bearer bad", "x-ai-eg-model": "own"}, 401, "invalid_api_key"),
        (KEY | {"x-ai-eg-model": "other"}, 404, "model_not_found"),
        (KEY | {"x-modeldeck-body": "malformed"}, 400, "invalid_json"),
        (KEY | {"x-modeldeck-body": "duplicate-model"}, 400, "duplicate_model"),
        (KEY | {"x-modeldeck-body": "???"}, 400, "invalid_json"),
        (KEY, 400, "missing_model"),
    ],
)
async def test_a_refusal_has_openais_shape(
    by_header: httpx.AsyncClient, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await by_header.post("/authz/v1/chat/completions", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_a_route_may_stand_for_a_model(by_header: httpx.AsyncClient) -> None:
    path = "/t/acme/v2/models/whatever/infer"
    assert (await by_header.post("/authz/model/own" + path, headers=KEY)).status_code == 200
    assert (await by_header.post("/authz/model/a%2Fb" + path, headers=KEY)).status_code == 404


async def test_the_body_is_read_where_the_gateway_sends_it(valkey: Valkey, redis: Redis) -> None:
    await redis.set("api_key:" + digest_of("good"), json.dumps({"own": GRANT}))
    async with serving(valkey, "body") as client:

        async def status(content: bytes, **headers: str) -> int:
            sent = KEY | {"content-type": "application/x-www-form-urlencoded"} | headers
            return (await client.post("/authz/v1/chat/completions", content=content, headers=sent)).status_code

        assert await status(b'{"model": "own"}') == 200
        assert await status(b'{"model": "other"}') == 404
        assert await status(b'{"model": "own", "model": "own"}') == 400
        assert await status(b"{") == 400
        assert await status(b'{"model": "other"}', **{"x-ai-eg-model": "own"}) == 404, "a client's header is no proof"
        assert await status(b'{"model": "own", "x": "' + b"a" * 17_000_000 + b'"}') == 413


async def test_models_are_listed_per_key(by_header: httpx.AsyncClient) -> None:
    answer = await by_header.get("/v1/models", headers=KEY)
    assert [model["id"] for model in answer.json()["data"]] == ["own"]
    assert (await by_header.get("/v1/models")).status_code == 401


async def test_it_reports_itself_and_withdraws(valkey: Valkey, redis: Redis) -> None:
    async with serving(valkey, "header") as client:
        assert len(await instances(redis)) == 1
        status = (await client.get("/-/status")).json()
        assert status["state"] == "live"
    assert await instances(redis) == []


async def test_it_fails_static_for_a_while_and_then_closed(by_header: httpx.AsyncClient, valkey: Valkey) -> None:
    async def status() -> int:
        return (await by_header.post("/authz/x", headers=KEY | {"x-ai-eg-model": "own"})).status_code

    await valkey.child.stop()
    assert await status() == 200, "the last view is served"

    async def closed() -> bool:
        return await status() == 503

    await until(closed)
    await valkey.start()
    await (writer := valkey.client()).set("api_key:" + digest_of("good"), json.dumps({"own": GRANT}))
    await writer.aclose()

    async def back() -> bool:
        return await status() == 200

    await until(back)


async def test_several_workers_share_a_port(valkey: Valkey, redis: Redis, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    config = tmp_path / "profile.toml"
    secret = tmp_path / "secret"
    secret.write_text("gateway-for-tests")
    config.write_text(
        f'[profiles.gateway.redis]\nurl = "{valkey.link.url}"\nusername = "gateway"\npassword = "file:{secret}"\n'
    )
    command = [sys.executable, "-m", "console", "authz", "--config", str(config), "--listen", f"127.0.0.1:{port}"]
    workers = [await asyncio.create_subprocess_exec(*command) for _ in range(2)]
    try:

        async def both() -> bool:
            return len(await instances(redis)) == 2

        await until(both, within=20)
    finally:
        for worker in workers:
            worker.terminate()
        codes = [await worker.wait() for worker in workers]
    assert codes == [0, 0]
    assert await instances(redis) == []
