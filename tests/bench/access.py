"""The gateway's view of Redis: how long a change takes, a full load, a decision.

Floors, in the same run: a bare SET and GET for the change, a bare SCAN and MGET for the load, SHA-256 and one dict
lookup for the decision.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from redis.asyncio import Redis

from console.access.codec import encode_entry
from console.access.decision import Allowed, Ask, decide
from console.access.mirror import Mirror
from console.access.server import Listening, serve
from console.access.types import Grant, digest_of
from console.config import AccessRules
from console.local.ports import free_ports
from console.local.valkey import Valkey
from tests.support.valkey import valkey_in
from tests.support.waiting import until

KEYS = 100_000
CHANGES = 3_000
PER_SECOND = 1_000
DECISIONS = 200_000
GRANT = {"endpoint_id": "e", "model_id": "m", "project_id": "p"}
OURS = encode_entry(
    {f"model-{n}": Grant("e", "m", "p") for n in range(3)},
    key_id="k", user_id=None, project_id="p", tenant="acme", generation=1,
)  # fmt: skip
THEIRS = json.dumps({f"model-{n}": GRANT for n in range(3)} | {"__metadata__": {"api_key_id": "k"}})
REVOCATIONS = 40
CALLERS = 4


def main() -> None:
    asyncio.run(_main())


async def _main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        valkey = valkey_in(Path(directory))
        await valkey.start()
        writer = valkey.client()
        try:
            for whose, value in (("entries of Modeldeck's", OURS), ("entries of a budgateway's", THEIRS)):
                await _fill(writer, value)
                await _full_load(valkey, writer, whose)
            await _measure(valkey, writer)
            await writer.flushdb()
            await _revocations(valkey, writer)
        finally:
            await writer.aclose()
            await valkey.stop()


async def _fill(writer: Redis, value: str) -> None:
    for start in range(0, KEYS, 5_000):
        names = (f"api_key:{digest_of(f'key-{n}')}" for n in range(start, start + 5_000))
        await writer.mset(dict.fromkeys(names, value))


async def _full_load(valkey: Valkey, writer: Redis, whose: str) -> None:
    floor = await _bare_load(writer)
    client = valkey.gateway_client()
    mirror = Mirror(client, AccessRules())
    began = time.perf_counter()
    await mirror.load()
    took = time.perf_counter() - began
    ratio = f"bare SCAN+MGET {floor:.2f} s    ×{took / floor:.1f}"
    print(f"full load of {KEYS:,} {whose:<26} {took:6.2f} s    {ratio}")
    await client.aclose()


async def _revocations(valkey: Valkey, writer: Redis) -> None:
    """From a DEL until the last request that a worker lets through, over HTTP, while others ask without a pause."""
    port = free_ports(1)[0]
    rules = AccessRules()
    serving = asyncio.create_task(
        serve(valkey.gateway_client(), rules, listening=Listening(("127.0.0.1", port)), reads="header")
    )
    took: list[float] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        async def asks(number: int) -> int:
            headers = {"authorization": f"Bearer key-{number}", "x-ai-eg-model": "model-0"}
            with contextlib.suppress(httpx.TransportError):
                return (await client.post("/authz/v1/chat/completions", headers=headers)).status_code
            return 0

        async def ask_on(number: int, last: list[float], done: asyncio.Event) -> None:
            while not done.is_set():
                if await asks(number) == 200:
                    last[0] = time.perf_counter()

        for number in range(REVOCATIONS):
            name = f"api_key:{digest_of(f'key-{number}')}"
            await writer.set(name, OURS)

            async def works(number: int = number) -> bool:
                return await asks(number) == 200

            await until(works, within=30)
            last, done = [0.0], asyncio.Event()
            callers = [asyncio.create_task(ask_on(number, last, done)) for _ in range(CALLERS)]
            await asyncio.sleep(0.02)
            await writer.delete(name)
            deleted = time.perf_counter()
            await asyncio.sleep(0.15)
            done.set()
            await asyncio.gather(*callers)
            took.append(max(0.0, last[0] - deleted))
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    p50, worst = statistics.median(took) * 1000, max(took) * 1000
    figures = f"p50 {p50:.2f} ms  worst of {REVOCATIONS} {worst:.2f} ms"
    print(f"revoke to the last request let through, {CALLERS} callers    {figures}")


async def _measure(valkey: Valkey, writer: Redis) -> None:
    client = valkey.gateway_client()
    mirror = Mirror(client, AccessRules(), full_load_seconds=3600)
    task = asyncio.create_task(mirror.run())
    await until(lambda: mirror.status.state == "live", within=60)
    await _changes(mirror, writer)
    _decisions(mirror)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await client.aclose()


async def _bare_load(writer: Redis) -> float:
    began = time.perf_counter()
    names = [name async for name in writer.scan_iter(match="api_key:*", count=1000)]
    for start in range(0, len(names), 500):
        await writer.mget(names[start : start + 500])
    return time.perf_counter() - began


async def _changes(mirror: Mirror, writer: Redis) -> None:
    """A thousand SETs a second; each is timed from before the SET until the mirror decides by it."""
    waiting: dict[str, tuple[float, str]] = {}
    took: list[float] = []

    async def watch() -> None:
        while len(took) < CHANGES:
            now = time.perf_counter()
            for digest in list(waiting):
                began, mark = waiting[digest]
                entry = mirror.snapshot.keys.get(digest)
                if entry is not None and entry.key_id == mark:
                    took.append(now - began)
                    del waiting[digest]
            await asyncio.sleep(0.0002)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    bare: list[float] = []
    for number in range(CHANGES):
        digest, mark = digest_of(f"key-{number}"), f"v{number}"
        value = json.dumps({"m": GRANT, "__metadata__": {"api_key_id": mark}})
        start = time.perf_counter()
        waiting[digest] = (start, mark)
        await writer.set(f"api_key:{digest}", value)
        bare.append(time.perf_counter() - start)
        ahead = began + (number + 1) / PER_SECOND - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)
    await asyncio.wait_for(watching, 30)
    rate = CHANGES / (time.perf_counter() - began)
    p50, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
    print(
        f"SET to effect, {rate:,.0f}/s       p50 {p50 * 1000:.2f} ms  p99 {p99 * 1000:.2f} ms"
        f"    bare SET p50 {statistics.median(bare) * 1000:.2f} ms"
    )


def _decisions(mirror: Mirror) -> None:
    snapshot = mirror.snapshot
    ask = Ask(("Bearer key-50000",), model="model-1")
    assert isinstance(decide(snapshot, ask, now=0.0), Allowed)
    began = time.perf_counter()
    for _ in range(DECISIONS):
        decide(snapshot, ask, now=0.0)
    took = (time.perf_counter() - began) / DECISIONS
    plain = {entry.digest: entry for entry in snapshot.keys}
    began = time.perf_counter()
    for _ in range(DECISIONS):
        plain.get(hashlib.sha256(b"bud-key-50000").hexdigest())
    floor = (time.perf_counter() - began) / DECISIONS
    print(
        f"a decision among {KEYS:,} keys {took * 1e6:6.2f} µs   SHA-256 and a lookup {floor * 1e6:.2f} µs"
        f"    ×{took / floor:.1f}"
    )
