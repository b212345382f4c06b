"""The health of every part that a profile names, asked all at once and each within its own time."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError

from console.access.link import events_are_on
from console.access.propagation import everywhere, instances
from console.access.redis import as_unavailable
from console.access.writer import EPOCH_KEY
from console.call import Call
from console.outcome import Ending, ModeldeckError, Outcome, Unavailable, counted
from console.services import Services

_PART_SECONDS = 8.0
_APPLY_SECONDS = 2.0
Check = Callable[[Services], Awaitable[str]]


async def show(call: Call) -> Outcome:
    """A row for each part: ok with a figure, or down with the reason."""
    found = await rows(call.services)
    down = [row["part"] for row in found if row["state"] != "ok"]
    if down:
        return Outcome(Ending.PARTIAL, f"not well: {', '.join(down)}", data=found)
    return Outcome(Ending.DONE, f"profile {call.services.profile.name}: all parts are well", data=found)


async def rows(services: Services) -> list[dict[str, str]]:
    """Every part: ``part``, ``state`` (ok or down) and ``detail``."""
    checks: dict[str, Check] = {
        "redis": _redis,
        "kubernetes": _kubernetes,
        "database": _database,
        "gateway": _gateway,
        "authorizer": _authorizer,
        "operations": _operations,
    }
    found = await asyncio.gather(*(_row(services, part, check) for part, check in checks.items()))
    return [*found, *_stack_rows(services)]


async def _row(services: Services, part: str, check: Check) -> dict[str, str]:
    try:
        async with asyncio.timeout(_PART_SECONDS):
            return {"part": part, "state": "ok", "detail": await check(services)}
    except TimeoutError:
        return {"part": part, "state": "down", "detail": f"no answer within {_PART_SECONDS:g} s"}
    except ModeldeckError as problem:
        return {"part": part, "state": "down", "detail": str(problem)}
    except RedisError as problem:
        return {"part": part, "state": "down", "detail": str(as_unavailable(problem))}


async def _redis(services: Services) -> str:
    redis = await services.redis()
    started = time.monotonic()
    await redis.ping()
    took = (time.monotonic() - started) * 1000
    if not await events_are_on(redis):
        raise Unavailable("keyspace events are off on the server: changes are only found by polling")
    return f"{services.profile.redis.url} answers in {took:.1f} ms, keyspace events on"


async def _kubernetes(services: Services) -> str:
    cluster = await services.cluster()
    version = await cluster.version()
    started = time.monotonic()
    await cluster.version()  # on the open connection: the figure is the server's
    return f"{version} answers in {(time.monotonic() - started) * 1000:.1f} ms"


async def _database(services: Services) -> str:
    from console.store.migrate import current

    store = await services.store()
    return f"{store.shown_url} at schema {await current(store)}"


async def _gateway(services: Services) -> str:
    import httpx

    url = services.profile.gateway.url
    started = time.monotonic()
    try:
        answer = await (await services.http()).get(f"{url}/v1/models")
    except httpx.HTTPError as problem:
        raise Unavailable(f"{url} does not answer: {type(problem).__name__}") from None
    # Without a key it has to refuse: anything else means that nobody checks keys.
    if answer.status_code != 401:
        raise Unavailable(f"{url} answers {answer.status_code} to a request without a key; 401 was expected")
    return f"{url} refuses a request without a key in {(time.monotonic() - started) * 1000:.1f} ms"


async def _authorizer(services: Services) -> str:
    redis = await services.redis()
    workers = await instances(redis)
    if not workers:
        raise Unavailable("no gateway worker reports to this Redis")
    written = int(await redis.get(EPOCH_KEY) or 0)
    propagation = await everywhere(redis, written, timeout=_APPLY_SECONDS)
    if propagation.behind:
        raise Unavailable(
            f"{', '.join(propagation.behind)} reports and has not applied the last write: it decides by an old view"
        )
    oldest = max(time.time() - worker.at for worker in workers)
    return f"{counted(len(workers), 'worker')}, {counted(workers[0].entries, 'key')}, last report {oldest:.0f} s ago"


async def _operations(services: Services) -> str:
    left = await (await services.journal()).interrupted()
    if left:
        raise Unavailable(
            f"{counted(len(left), 'operation is', 'operations are')} interrupted: recovery ends that within a minute"
        )
    return "none is interrupted"


def _stack_rows(services: Services) -> list[dict[str, str]]:
    """The parts of an embedded stack, as its process last wrote them down."""
    path = services.profile.stack
    if path is None:
        return []
    try:
        state = json.loads(path.read_text("utf-8"))
        age = time.time() - float(state["at"])
        parts = dict(state["parts"])
    except (OSError, ValueError, KeyError, TypeError):
        return [{"part": "stack", "state": "down", "detail": "it is not running: modeldeck up"}]
    if not _runs(state.get("pid")):
        return [{"part": "stack", "state": "down", "detail": "its process has ended: modeldeck up"}]
    if age > 10:
        since = datetime.fromtimestamp(state["at"], UTC).isoformat(timespec="seconds")
        return [{"part": "stack", "state": "down", "detail": f"its process has not reported since {since}"}]
    return [{"part": f"stack {name}", "state": part["state"], "detail": part["detail"]} for name, part in parts.items()]


def _runs(pid: Any) -> bool:
    """Whether the stack's process is there; a state without its number is from a version that wrote none."""
    if not isinstance(pid, int):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
