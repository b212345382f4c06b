"""What a request through the gateway costs, feature by feature, beside a plain Envoy with the same upstream.

Every row is a listener of one Envoy with one worker thread; the upstream is another Envoy that answers by itself, and
the load generator is the same for all. Rounds of the rows alternate, so that what else the machine does hits all of
them. With 32 connections: requests per second as a share of the plain Envoy's; with one: milliseconds. The processor
time is that of the gateway (Envoy) and of the authorizer for one request, and minds other loads least.

A row holds what the rows above it hold. The prototype's figures stand beside ours by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from console.access.codec import encode_entry
from console.access.types import Grant, digest_of
from console.config import GatewayLink
from console.local import bootstrap
from console.local.envoy import CLUSTERS_FILE, LISTENERS_FILE, Envoy
from console.local.gateway.snapshot import Snapshot
from console.local.gateway.translate import Settings, Translation, generated_objects, translate
from console.local.gateway.translate.limits import FILTER_NAME, RETRY_AFTER_NAME, limits_filter
from console.local.gateway.translate.metering import METER_FILTER
from console.local.gateway.translate.native import ANNOTATION, NATIVE
from console.local.gateway.translate.settings import LIMITS_FILE
from console.local.gateway.translate.short_limits import SHORT_LIMITS_FILTER
from console.local.layout import write_private
from console.local.ports import LOOPBACK, free_ports
from console.publishing.manifests import manifests
from console.publishing.types import Endpoint, Limits, Origin, Publication, PublicationKind
from tests.bench._load import chat, load
from tests.support.valkey import GATEWAY, valkey_in

CONNECTIONS = 32
SECONDS = 1.5
SECONDS_FOR_ONE = 1.0
ROUNDS = 5
MANY_KEYS = 10_000
REVOCATIONS = 50
MODEL = "llama"
KEY = "bud_client_" + "k" * 36
_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Good for much. " * 20}}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 80, "total_tokens": 380},
    }
)  # fmt: skip
_LIMITS = Limits(requests_per_minute=1_000_000)
_GATES = "ext_authz."
_METERING = (METER_FILTER, "override", "decompress")
_LIMITING = (FILTER_NAME, RETRY_AFTER_NAME, SHORT_LIMITS_FILTER)
PROTOTYPE = {
    "plain": (1.00, 0.46), "native": (0.65, 0.52), "ext_authz": (0.50, 0.76), "Portkey": (0.10, 2.0),
    "LiteLLM": (0.008, 19.0),
}  # fmt: skip
"""Of its plain Envoy's rate, and milliseconds with one connection; with equal features (issue 8): no metering."""
PROTOTYPE_RATE = 6_500
"""Requests per second of its plain Envoy, on two shared cores: by a slower load generator and upstream than these."""


@dataclass
class Row:
    """One listener: what it is called, which of our filters it has, and what was measured."""

    title: str
    without: tuple[str, ...] = ()
    access: str = "ext_authz"
    peer: str = ""
    port: int = 0
    rates: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    envoy_us: list[float] = field(default_factory=list)
    authorizer_us: list[float] = field(default_factory=list)


def rows() -> list[Row]:
    return [
        Row("plain Envoy", ("*",), peer="plain"),
        Row("+ headers stripped, access log", ("extract", _GATES, *_LIMITING, *_METERING)),
        Row("+ model extraction", (_GATES, *_LIMITING, *_METERING)),
        Row("+ keys by ext_authz", (*_LIMITING, *_METERING)),
        Row("+ limits per key", _METERING, peer="ext_authz"),
        Row("+ metering of answers"),
        Row("keys natively, with limits", _METERING, access=NATIVE, peer="native"),
        Row("+ metering of answers", access=NATIVE),
    ]


def main() -> None:
    asyncio.run(_main())


async def _main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        valkey = valkey_in(directory)
        await valkey.start()
        bench = _Bench(directory, valkey.port)
        try:
            await bench.start()
            redis = valkey.client()
            _header()
            for keys in (10, MANY_KEYS):
                await _fill(redis, keys)
                await asyncio.sleep(1 + keys / 5_000)
                chosen = bench.rows if keys == 10 else [bench.rows[0], *bench.rows[-4:]]
                requests = [chat("localhost", _key(number), MODEL) for number in range(keys)]
                await asyncio.to_thread(bench.measure, chosen, requests)
                _print(chosen, keys)
            await _revocations(redis, bench.rows[-1], requests[0])
            await redis.aclose()
            _peers()
        finally:
            await bench.stop()
            await valkey.stop()


def _key(number: int) -> str:
    return f"{KEY}{number:07d}"


async def _fill(redis: Any, keys: int) -> None:
    grants = {MODEL: Grant("e-1", "m-1", "acme"), "other": Grant("e-2", "m-2", "acme")}
    for start in range(0, keys, 1_000):
        await redis.mset(
            {
                f"api_key:{digest_of(_key(number))}": encode_entry(
                    grants, key_id=f"key-{number}", user_id=None, project_id="acme", tenant="acme", generation=1
                )
                for number in range(start, min(keys, start + 1_000))
            }
        )


async def _revocations(redis: Any, row: Row, request: bytes) -> None:
    """From a DEL until the last request with the key that is let through, while others keep asking."""
    name, entry = f"api_key:{digest_of(_key(0))}", await redis.get(f"api_key:{digest_of(_key(0))}")
    took = []
    for _ in range(REVOCATIONS):
        await redis.set(name, entry)
        while not await asyncio.to_thread(_passes, row, request, 0.02):
            pass
        asking = asyncio.create_task(asyncio.to_thread(_last_passed, row, request, 0.25))
        await asyncio.sleep(0.05)
        await redis.delete(name)
        deleted = time.perf_counter()
        took.append(max(0.0, await asking - deleted))
    worst, p50 = max(took) * 1000, statistics.median(took) * 1000
    print(f"native: revoke to the last request let through, {MANY_KEYS:,} keys: p50 {p50:.2f} ms, "
          f"worst of {REVOCATIONS} {worst:.2f} ms")  # fmt: skip


def _passes(row: Row, request: bytes, seconds: float) -> bool:
    return set(load((LOOPBACK, row.port), [request], connections=1, seconds=seconds).statuses) == {200}


def _last_passed(row: Row, request: bytes, seconds: float) -> float:
    """When the last answer of 200 came, while four callers ask without a pause."""
    return load((LOOPBACK, row.port), [request], connections=4, seconds=seconds).last_passed


class _Bench:
    """The processes: upstream, gateway, authorizer."""

    def __init__(self, directory: Path, redis_port: int) -> None:
        self._directory = directory
        self._redis_port = redis_port
        self._upstream = Envoy(directory / "upstream", workers=1)
        self._gateway = Envoy(directory / "gateway", workers=1)
        self._table = directory / "gateway" / "keys"
        self._authorizer: subprocess.Popen[bytes] | None = None
        self.rows = rows()

    async def start(self) -> None:
        upstream, authorizer, *ports = free_ports(2 + len(self.rows))
        _lay_out(self._upstream, [_answering(upstream)], [])
        await self._upstream.start()
        self._start_authorizer(authorizer)
        listeners, clusters, tiers = [], {}, set()
        for row, port in zip(self.rows, ports, strict=True):
            row.port = port
            translation = self._translated(row, upstream, authorizer)
            listeners.append(_only(translation, row, port))
            clusters |= translation.clusters
            tiers |= translation.tiers
            for name, routes in translation.routes.items():
                _put(self._gateway, f"rds-{name}.json", [routes])
        _put(self._gateway, LIMITS_FILE, [limits_filter(tiers)])
        _lay_out(self._gateway, listeners, list(clusters.values()))
        await self._gateway.start()

    async def stop(self) -> None:
        if self._authorizer is not None:
            self._authorizer.terminate()
            self._authorizer.wait(20)
        await self._gateway.stop()
        await self._upstream.stop()

    def measure(self, chosen: Sequence[Row], requests: Sequence[bytes]) -> None:
        """Every row in every round; first a look whether it answers at all."""
        for row in chosen:
            row.rates, row.medians, row.envoy_us, row.authorizer_us = [], [], [], []
            self._load(row, requests, 1, 0.3)
        for _ in range(ROUNDS):
            for row in chosen:
                before = self._cpu()
                measured = self._load(row, requests, CONNECTIONS, SECONDS)
                after = self._cpu()
                count = sum(measured.statuses.values())
                row.rates.append(measured.rate)
                row.envoy_us.append((after[0] - before[0]) / count * 1e6)
                row.authorizer_us.append((after[1] - before[1]) / count * 1e6)
        for _ in range(2):
            for row in chosen:
                row.medians.append(self._load(row, requests, 1, SECONDS_FOR_ONE).median_ms)

    def _load(self, row: Row, requests: Sequence[bytes], connections: int, seconds: float) -> Any:
        measured = load((LOOPBACK, row.port), requests, connections=connections, seconds=seconds)
        if set(measured.statuses) != {200}:
            raise SystemExit(f"{row.title}: it answers {dict(measured.statuses)}")
        return measured

    def _cpu(self) -> tuple[float, float]:
        """Seconds of processor time of the gateway and of the authorizer, until now."""
        assert self._gateway.pid is not None
        assert self._authorizer is not None
        return _cpu_below(self._gateway.pid), _cpu_below(self._authorizer.pid)

    def _start_authorizer(self, port: int) -> None:
        password = self._directory / "password"
        write_private(password, GATEWAY.get_secret_value())
        profile = self._directory / "profile.toml"
        lines = ["[profiles.gateway]", "[profiles.gateway.redis]"]
        lines += [f'url = "redis://{LOOPBACK}:{self._redis_port}/0"', 'username = "gateway"']
        lines += [f'password = "file:{password}"', "[profiles.gateway.gateway]", 'authorizer_reads = "header"']
        write_private(profile, "\n".join(lines) + "\n")
        command = [sys.executable, "-m", "console", "authz", "--listen", f"{LOOPBACK}:{port}", "--tell-ready"]
        command += ["--config", str(profile), "--profile", "gateway", "--key-table", str(self._table)]
        pipe = subprocess.PIPE
        self._authorizer = subprocess.Popen(command, stdin=pipe, stdout=pipe)
        assert self._authorizer.stdout is not None
        if self._authorizer.stdout.readline().strip() != b"ready":
            raise SystemExit("the authorizer did not start")

    def _translated(self, row: Row, upstream: int, authorizer: int) -> Translation:
        """A publication as the product makes it, through its own translation."""
        gateway = GatewayLink(
            name=bootstrap.GATEWAY,
            namespace=bootstrap.SYSTEM,
            authorizer=f"{bootstrap.SYSTEM}/{bootstrap.AUTHORIZER}:80",
            authorizer_reads="header",
        )
        origin = Origin("catalog", "sample/llama", MODEL, Endpoint(LOOPBACK, upstream, tls=False))
        publication = Publication("e-1", MODEL, bootstrap.SYSTEM, PublicationKind.OPENAI, origin, _LIMITS)
        # Where nobody says which model it is, the Gateway's own route leads to the same upstream.
        names = (bootstrap.DEFAULT_UPSTREAM, *(one[1] for one in bootstrap.INFERENCE_SERVICES))
        upstreams = dict.fromkeys(names, upstream)
        objects = [*bootstrap.manifests(gateway_port=row.port, authorizer_port=authorizer, upstreams=upstreams)]
        objects += manifests(publication, gateway)
        for number, one in enumerate(objects):
            one["metadata"]["uid"] = f"uid-{number}"
            if one["kind"] == "SecurityPolicy" and row.access == NATIVE:
                one["metadata"]["annotations"] = {ANNOTATION: NATIVE}
        objects += generated_objects(Snapshot(objects)).objects
        settings = Settings(
            directory=self._gateway.configuration, access_log=self._gateway.access_log, key_table=self._table
        )
        return translate(Snapshot(objects), settings)


def _only(translation: Translation, row: Row, port: int) -> dict[str, Any]:
    """The listener of a row: the product's, without the filters that the row does not have."""
    (listener,) = copy.deepcopy(list(translation.listeners.values()))
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert listener["address"]["socket_address"]["port_value"] == port
    if row.without == ("*",):
        upstream = next(name for name in translation.clusters if bootstrap.DEFAULT_UPSTREAM in name)
        route = {"match": {"prefix": "/"}, "route": {"cluster": upstream}}
        manager = {
            "@type": manager["@type"],
            "stat_prefix": manager["stat_prefix"],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": [manager["http_filters"][-1]],
        }
        listener["filter_chains"][0]["filters"][0]["typed_config"] = manager
    else:
        manager["http_filters"] = [
            one for one in manager["http_filters"] if not one["name"].startswith(row.without or ("-",))
        ]
    return listener


def _answering(port: int) -> dict[str, Any]:
    """A listener that answers everything by itself."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": _ANSWER}}}
    answer["response_headers_to_add"] = [
        {"header": {"key": "content-type", "value": "application/json"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    ]
    type_ = "type.googleapis.com/envoy.extensions.filters."
    manager = {
        "@type": f"{type_}network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "upstream",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
        # An answer before the request has ended would close the connection; providers keep theirs.
        "http_filters": [
            {"name": "buffer", "typed_config": {"@type": f"{type_}http.buffer.v3.Buffer", "max_request_bytes": 65_536}},
            {"name": "router", "typed_config": {"@type": f"{type_}http.router.v3.Router"}},
        ],
    }
    return {
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": f"port-{port}",
        "address": {"socket_address": {"address": LOOPBACK, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _lay_out(envoy: Envoy, listeners: list[dict[str, Any]], clusters: list[dict[str, Any]]) -> None:
    _put(envoy, LISTENERS_FILE, listeners)
    _put(envoy, CLUSTERS_FILE, clusters)


def _put(envoy: Envoy, file: str, resources: list[dict[str, Any]]) -> None:
    envoy.configuration.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(envoy.configuration / file, json.dumps({"version_info": "bench", "resources": resources}))


def _cpu_below(pid: int) -> float:
    """Processor seconds of a process and of all below it, to the nanosecond."""
    parents: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.read_text("utf-8", "replace").rpartition(")")[2].split()[1])].append(int(path.parent.name))
    nanoseconds, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        waiting += parents[one]
        for path in Path(f"/proc/{one}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                nanoseconds += int(path.read_text("ascii").split()[0])
    return nanoseconds / 1e9


def _header() -> None:
    names = (
        f"{'of plain':>9} {'prototype':>10} {'a second':>9} {'prototype':>10} {'one connection':>15} {'prototype':>10}"
    )
    print(f"{'':36} {names} {'Envoy':>8} {'authz':>8}")


def _print(chosen: Sequence[Row], keys: int) -> None:
    print(f"{keys:,} keys")
    for row in chosen:
        ratios = [rate / base for rate, base in zip(row.rates, chosen[0].rates, strict=True)]
        share, milliseconds = PROTOTYPE.get(row.peer, (None, None))
        rate = None if share is None else f"{share * PROTOTYPE_RATE:,.0f}"
        print(
            f"{row.title:36} {statistics.median(ratios):9.2f} {_maybe(share):>10}"
            f" {statistics.median(row.rates):9,.0f} {rate or '':>10}"
            f" {statistics.median(row.medians):12.2f} ms {_maybe(milliseconds, ' ms'):>10}"
            f" {statistics.median(row.envoy_us):5.0f} µs {statistics.median(row.authorizer_us):5.0f} µs"
        )


def _peers() -> None:
    for name in ("Portkey", "LiteLLM"):
        share, milliseconds = PROTOTYPE[name]
        rate = f"{share * PROTOTYPE_RATE:>10,.0f}"
        print(f"{name + ' (not run: its figures)':36} {'':9} {share:>10} {'':9} {rate} {'':15} {milliseconds:>7} ms")


def _maybe(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.2f}{unit}"
