"""Envoy's two forms of asking, with a real Envoy in front; and workers that are replaced while it asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from console.access.server import Listening, serve
from console.access.types import digest_of
from console.config import AccessRules
from console.local.envoy import envoy_binary
from console.local.ports import free_ports
from console.local.valkey import Valkey
from console.outcome import Unavailable
from console.serving import Serving
from tests.support.profiles import profile_for
from tests.support.waiting import until

GRANT = {"endpoint_id": "e1", "model_id": "m1", "project_id": "p1"}
TYPES = "type.googleapis.com/envoy.extensions.filters"
HTTP_FILTERS = f"{TYPES}.http"


@pytest.fixture(autouse=True)
def _needs_envoy() -> None:
    try:
        envoy_binary()
    except Unavailable as problem:
        pytest.skip(str(problem))


def bootstrap(port: int, upstream: int, authz: int, check: dict[str, Any], *, http2: bool) -> dict[str, Any]:
    """An Envoy that asks our service about every request, and then sends it to ``upstream``."""

    def cluster(name: str, to: int, *, http2: bool = False) -> dict[str, Any]:
        address = {"socket_address": {"address": "127.0.0.1", "port_value": to}}
        made: dict[str, Any] = {
            "name": name,
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        }
        if http2:
            options = {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"}
            options |= {"explicit_http_config": {"http2_protocol_options": {}}}  # type: ignore[dict-item]
            made["typed_extension_protocol_options"] = {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
            }
        return made

    gate = {"@type": f"{HTTP_FILTERS}.ext_authz.v3.ExtAuthz", "transport_api_version": "V3", **check}
    router = {"@type": f"{HTTP_FILTERS}.router.v3.Router"}
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "use_remote_address": True,
        "http_filters": [{"name": "gate", "typed_config": gate}, {"name": "router", "typed_config": router}],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}
            ]
        },
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "front",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [cluster("up", upstream), cluster("authz", authz, http2=http2)],
        }
    }


async def echo(scope: dict[str, Any], _receive: Any, send: Any) -> None:
    """An upstream that answers with the headers that it got."""
    if scope["type"] != "http":
        return
    body = json.dumps({name.decode(): value.decode() for name, value in scope["headers"]}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def front(directory: Path, authz: int, check: dict[str, Any], *, http2: bool = False) -> AsyncIterator[str]:
    upstream = Serving(echo, lifespan="off")
    await upstream.start()
    port = free_ports(1)[0]
    path = directory / "envoy.json"
    path.write_text(json.dumps(bootstrap(port, upstream.port, authz, check, http2=http2)))
    command = [envoy_binary(), "-c", path, "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    envoy = subprocess.Popen(command, stderr=(directory / "envoy.log").open("wb"))
    try:
        url = f"http://127.0.0.1:{port}"

        async def answers() -> bool:
            async with httpx.AsyncClient(trust_env=False) as client:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(url)).status_code > 0
            return False

        await until(answers, what=(directory / "envoy.log").read_text()[-500:])
        yield url
    finally:
        envoy.terminate()
        envoy.wait(10)
        await upstream.stop()


GRPC = {
    "grpc_service": {"envoy_grpc": {"cluster_name": "authz"}, "timeout": "2s"},
    "with_request_body": {"max_request_bytes": 4096, "allow_partial_message": True, "pack_as_bytes": True},
}


@pytest.fixture
async def over_grpc(valkey: Valkey, redis: Redis, tmp_path: Path) -> AsyncIterator[str]:
    pytest.importorskip("grpc")
    await redis.set("api_key:" + digest_of("good"), json.dumps({"own": GRANT}))
    http, grpc = free_ports(2)
    listening = Listening(("127.0.0.1", http), ("127.0.0.1", grpc))
    rules = AccessRules(fail_static_seconds=0.3)
    task = asyncio.create_task(serve(valkey.gateway_client(), rules, listening=listening, reads="body"))
    async with front(tmp_path, grpc, GRPC, http2=True) as url:

        async def decides() -> bool:
            return (await asyncio.to_thread(ask, url, None, {})).status_code == 401

        await until(decides)
        yield url
    os.kill(os.getpid(), signal.SIGTERM)
    await task


def ask(url: str, key: str | None, body: bytes | dict[str, Any], **headers: str) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{url}/v1/chat/completions", content=raw, headers=given | headers, trust_env=False)


async def test_the_grpc_form_decides_as_the_http_form_does(over_grpc: str) -> None:
    async def answer(*arguments: Any, **headers: str) -> httpx.Response:
        return await asyncio.to_thread(ask, over_grpc, *arguments, **headers)

    good = await answer("good", {"model": "own"}, **{"x-modeldeck-endpoint-id": "spoofed"})
    assert good.status_code == 200
    assert good.json()["x-modeldeck-endpoint-id"] == "e1"
    missing = await answer(None, {"model": "own"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (401, "missing_api_key")
    assert missing.headers["www-authenticate"] == "Bearer"
    assert (await answer("wrong", {"model": "own"})).status_code == 401
    assert (await answer("good", {"model": "other"})).json()["error"]["code"] == "model_not_found"
    assert (await answer("good", b'{"model": "own", "model": "other"}')).status_code == 400
    assert (await answer("good", b"not json")).status_code == 400
    assert (await answer("good", {"model": "own", "pad": "x" * 9000})).status_code == 413


async def test_without_a_view_nobody_gets_through_over_grpc(over_grpc: str, valkey: Valkey) -> None:
    await valkey.stop()

    async def refused() -> bool:
        return (await asyncio.to_thread(ask, over_grpc, "good", {"model": "own"})).status_code == 503

    await until(refused)


async def test_workers_are_replaced_without_a_failed_request(valkey: Valkey, redis: Redis, tmp_path: Path) -> None:
    await redis.set("api_key:" + digest_of("good"), json.dumps({"own": GRANT}))
    profile = profile_for(tmp_path, valkey)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[profiles.test.redis]\nurl = "{profile.redis.url}"\npassword = "{profile.redis.password}"\n'
        '[profiles.test.gateway]\nauthorizer_reads = "body"\n'
    )
    port = free_ports(1)[0]
    command = ["-m", "console", "authz", "--listen", f"127.0.0.1:{port}", "--workers", "2", "--config", str(config)]
    log = tmp_path / "workers.log"
    workers = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=log.open("wb"))
    check = {
        "http_service": {
            # The time that Envoy Gateway gives an authorizer: two processes are being replaced on a busy machine.
            "server_uri": {"uri": "http://authz", "cluster": "authz", "timeout": "10s"},
            "path_prefix": "/authz",
            "retry_policy": {"retry_on": "connect-failure,reset,refused-stream", "num_retries": 2},
        },
        "allowed_headers": {"patterns": [{"exact": "authorization"}]},
        "with_request_body": {"max_request_bytes": 4096},
    }
    answers: list[int] = []
    done = asyncio.Event()

    async def load(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            while not done.is_set():
                headers = {"authorization": "Bearer good"}
                answer = await client.post(f"{url}/v1/chat/completions", json={"model": "own"}, headers=headers)
                answers.append(answer.status_code)

    try:
        async with front(tmp_path, port, check) as url:

            async def works() -> bool:
                return (await asyncio.to_thread(ask, url, "good", {"model": "own"})).status_code == 200

            await until(works, within=20)
            callers = [asyncio.create_task(load(url)) for _ in range(4)]
            for times in (1, 2):
                workers.send_signal(signal.SIGHUP)
                await until(lambda: log.read_text().count("2 workers replaced") == times, within=40)  # noqa: B023
            done.set()
            await asyncio.gather(*callers)
        # The worst end of all: what they belonged to is gone without a word.
        workers.kill()
        await workers.wait()

        async def gone() -> bool:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return False
            return True

        await until(gone, within=20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            workers.kill()
        await workers.wait()
    assert len(answers) > 50
    assert set(answers) == {200}
