"""The access log as a real Envoy streams it, and what becomes of it where the database is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from console.local.envoy import CLUSTERS_FILE, LISTENERS_FILE, Envoy
from console.local.layout import write_private
from console.local.ports import LOOPBACK, free_ports
from console.outcome import Unavailable
from console.services import Services
from console.store.engine import Store
from console.store.migrate import upgrade
from console.usage import book
from console.usage.reading import Question, Sums, reasons, sums
from tests.service.gateway.conftest import needs_envoy
from tests.service.gateway.driving import Upstream
from tests.support.waiting import until

pytest.importorskip("grpc")
from console.usage.streaming import LogStream

_TYPE = "type.googleapis.com/envoy."
ALL = Question(86_400, 0, 2**40)


def services_of(store: Store) -> Services:
    async def given() -> Store:
        return store

    return cast("Services", SimpleNamespace(store=given))


def listener(port: int) -> dict[str, Any]:
    """A gateway with a log that is streamed, as an EnvoyProxy of Envoy Gateway's asks for it."""
    noted = {
        "@type": _TYPE + "extensions.filters.http.set_metadata.v3.Config",
        "metadata": [
            {
                "metadata_namespace": "io.envoy.ai_gateway",
                "value": {"llm_input_token": 7, "llm_output_token": 5, "llm_total_token": 12},
            }
        ],
    }
    headers = ["x-modeldeck-key-id", "x-modeldeck-tenant", "x-ai-eg-model"]
    log = {
        "@type": _TYPE + "extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        "common_config": {
            "log_name": "modeldeck",
            "grpc_service": {"envoy_grpc": {"cluster_name": "collector"}},
            "transport_api_version": "V3",
            "buffer_flush_interval": "0.05s",
        },
        "additional_request_headers_to_log": headers,
    }
    routes = [
        {"match": {"path": "/denied"}, "direct_response": {"status": 429}},
        {"match": {"prefix": "/"}, "route": {"cluster": "up"}},
    ]
    manager = {
        "@type": _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "access_log": [{"name": "streamed", "typed_config": log}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "note", "typed_config": noted},
            {"name": "router", "typed_config": {"@type": _TYPE + "extensions.filters.http.router.v3.Router"}},
        ],
    }
    return {
        "@type": _TYPE + "config.listener.v3.Listener",
        "name": "test",
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def cluster(name: str, port: int, *, http2: bool = False) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": LOOPBACK, "port_value": port}}}}
    options = {
        "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "@type": _TYPE + "config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        **({"typed_extension_protocol_options": {options["@type"].rpartition("/")[2]: options}} if http2 else {}),
    }


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'm.db'}")
    await upgrade(made)
    yield made
    await made.close()


async def test_what_an_envoy_streams_is_counted(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_envoy()
    stream = LogStream(services_of(store), "test", prefix="x-modeldeck")
    await stream.start(LOOPBACK, 0)
    up = Upstream("up")
    await up.start()
    envoy = Envoy(tmp_path / "envoy", workers=1)
    port = free_ports(1)[0]
    envoy.configuration.mkdir(parents=True)
    clusters = [cluster("up", up.port), cluster("collector", stream.port, http2=True)]
    for name, resources in ((LISTENERS_FILE, [listener(port)]), (CLUSTERS_FILE, clusters)):
        document = {"version_info": "1", "type_url": resources[0]["@type"], "resources": resources}
        write_private(envoy.configuration / name, json.dumps(document))
    await envoy.start()
    try:
        known = {"x-modeldeck-key-id": "k1", "x-modeldeck-tenant": "acme", "x-ai-eg-model": "llama"}
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False) as client:
            await until(lambda: _listens(client), within=10, what="the listener is there")
            await stream.write()
            before = await _counted(store)
            for _ in range(20):
                await client.post("/v1/chat/completions", headers=known)
            for _ in range(3):
                await client.post("/denied", headers=known)

        async def arrived() -> bool:
            return len(stream._waiting) >= 23

        await until(arrived, within=10, what="the entries arrive")
        # The database takes it, and its answer is lost: what was written is not written again.
        real = book.write

        async def deaf(*arguments: Any) -> None:
            await real(*arguments)
            raise Unavailable("the answer was lost")

        monkeypatch.setattr(book, "write", deaf)
        with pytest.raises(Unavailable):
            await stream.write()
        monkeypatch.undo()
        await stream.write()
        after = await _counted(store)
        assert (after.requests - before.requests, after.refused) == (23, 3)
        assert after.input_tokens - before.input_tokens == 7 * (after.metered - before.metered)
        assert after.metered - before.metered >= 20
        assert [reason for reason, _ in await reasons(store, ALL)] == ["rate_limit_exceeded"]
        (named,) = await sums(store, ALL, "key")
        assert named.name == "k1"
    finally:
        await envoy.stop()
        await up.stop()
        await stream.stop()


async def _listens(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/v1/models")).status_code == 200
    except httpx.HTTPError:
        return False


async def _counted(store: Store) -> Sums:
    return sum(await sums(store, ALL, "model"), Sums("all"))


async def test_raw_bytes_are_no_crash(store: Store) -> None:
    import grpc

    stream = LogStream(services_of(store), "test", prefix="x-modeldeck")
    await stream.start(LOOPBACK, 0)
    path = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
    codes: list[str] = []
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{stream.port}") as channel:
        for raw in (b"\xff" * 100, b"", b"\x12\x00", b"\x12\x04\x0a\x02\x0a\x00"):
            call = channel.stream_unary(path)(iter([raw]))
            codes.append((await asyncio.wait_for(call.code(), 20)).name)
    assert set(codes) <= {"OK", "INTERNAL", "UNKNOWN"}
    assert await stream.write() == 0
    await stream.stop()
    (place,) = (await book.sources(store)).values()
    assert place.unreadable == 1
