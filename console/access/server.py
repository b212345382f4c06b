"""The ext_authz service: Envoy asks it about every request (Envoy's HTTP form of the protocol).

A 200 lets the request through with the headers that it carries; any other answer goes to the client as it is.
The paths:

    /authz…                 decide on the original path that follows
    /authz/model/NAME/…     the same, for a route that stands for one model whatever the body says
    /v1/models              not a decision: the models that the presented key may call (an upstream of the gateway)
    /healthz                200 while its view of Redis may be decided on, else 503
    /-/status               that view's age, entries and faults (loopback only)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.body import inspect_body
from console.access.budgets import READ_SECONDS, BudgetGate, read_budgets
from console.access.decision import MODELS_PATH, Allowed, Ask, Body, Denied, bearer, decide
from console.access.keeping import TableKeeper
from console.access.mirror import Mirror
from console.access.types import digest_of
from console.access.used import FLUSH_SECONDS, Tally
from console.config import AccessRules
from console.serving import Serving

if TYPE_CHECKING:
    from console.access.grpc_server import GrpcServing

MODEL_HEADER = b"x-ai-eg-model"
BODY_HEADER = b"x-modeldeck-body"
REQUEST_ID_HEADER = b"x-request-id"
_LONGEST_ID = 128
_PREFIX = "/authz"
_MODEL_PREFIX = "/authz/model/"
_PARTIAL_HEADER = b"x-envoy-auth-partial-body"
_MAX_BODY_BYTES = 16 * 1024 * 1024
_GRACE_SECONDS = 5
_FIRST_LOAD_SECONDS = 5.0
_LOOK_SECONDS = 0.01

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Judge:
    """Decides by what the mirror knows, and counts.

    Args:
        tally: where decisions are counted; None where nobody asks
        gate: which knows what is left of budgets; None where there are none
    """

    def __init__(
        self, mirror: Mirror, rules: AccessRules, tally: Tally | None = None, gate: BudgetGate | None = None
    ) -> None:
        self.mirror = mirror
        self.rules = rules
        self._tally = tally
        self._gate = gate
        self._tenant_header = f"{rules.header_prefix}-tenant"

    async def judge(self, ask: Ask, request: Callable[[], str], now: float) -> Allowed | Denied:
        """The decision, and whether the budgets of the key and its tenant have room for it.

        Args:
            request: tells its id, as the gateway's log will have it; "" where it has none
        """
        answer = self._decide(ask, now)
        if self._gate is not None and isinstance(answer, Allowed) and not _looked(ask):
            budgets = self._gate.of(answer.key_id, answer.headers.get(self._tenant_header))
            if budgets:
                denied = await self._gate.admit(budgets, request() or uuid4().hex, now)
                if denied is not None:
                    tenant = answer.headers.get(self._tenant_header)
                    answer = replace(denied, key_id=answer.key_id, tenant=tenant)
        self._count(answer, ask, now)
        return answer

    def decide(self, ask: Ask, now: float) -> Allowed | Denied:
        """The decision alone, for what spends nothing; 503 while the mirror's view may not be decided on.

        Looking at the list of models is no use of a key: it is also how Modeldeck proves a key after a rotation, and
        that must not look as if somebody still used the old text.
        """
        answer = self._decide(ask, now)
        self._count(answer, ask, now)
        return answer

    def _decide(self, ask: Ask, now: float) -> Allowed | Denied:
        return self.unavailable(now) or decide(
            self.mirror.snapshot, ask, now=now, salt=self.rules.salt, prefix=self.rules.header_prefix
        )

    def _count(self, answer: Allowed | Denied, ask: Ask, now: float) -> None:
        if self._tally is not None and not (isinstance(answer, Allowed) and _looked(ask)):
            self._tally.saw(answer, ask.client, now)

    def unavailable(self, now: float) -> Denied | None:
        if self.mirror.usable(now):
            return None
        return Denied(503, "access_unknown", "The gateway cannot check keys at the moment.", "view is usable", 1)


def _looked(ask: Ask) -> bool:
    return ask.path.partition("?")[0] == MODELS_PATH


class Authorizer:
    """The ASGI application of one worker. Raw ASGI: this runs once per request of every client.

    Args:
        reads: where the model is found: ``header`` (the local Envoy has extracted it) or ``body``
    """

    def __init__(self, judge: Judge, *, reads: Literal["header", "body"]) -> None:
        self._judge = judge
        self._reads = reads
        self.draining = False

    @property
    def mirror(self) -> Mirror:
        return self._judge.mirror

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(_PREFIX):
            ask = await self._ask(scope, receive)
            answer = await self._judge.judge(ask, lambda: _request_id(scope), time.time())
            if isinstance(answer, Allowed):
                headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
                await _answer(send, 200, headers, b"")
            else:
                await _refuse(send, answer, self._judge.rules.header_prefix)
        elif path == MODELS_PATH:
            await self._list_models(scope, send)
        elif path == "/healthz":
            healthy = not self.draining and self.mirror.usable(time.time())
            await _json(send, 200 if healthy else 503, {"healthy": healthy, "draining": self.draining})
        elif path == "/-/status":
            await _json(send, 200, self.mirror.status.as_json())
        else:
            await _refuse(send, Denied(404, "not_found", "There is nothing here.", "path"), "")

    async def _ask(self, scope: Scope, receive: Receive) -> Ask:
        authorizations: list[str] = []
        model: str | None = None
        body = Body.NONE
        client: str | None = None
        partial = False
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorizations.append(value.decode("latin-1"))
            elif name == MODEL_HEADER and self._reads == "header":
                model = value.decode("utf-8", "replace")
            elif name == BODY_HEADER and self._reads == "header":
                body = body_state(value.decode("latin-1"), None)
            elif name == _PARTIAL_HEADER and value == b"true":
                partial = True
            elif name == b"x-forwarded-for":
                client = value.decode("latin-1").split(",")[0].strip()
        if self._reads == "body":
            body, model = await _inspect(receive)
            body = Body.TOO_LARGE if partial else body
        elif model is not None and body is Body.NONE:
            body = Body.OK
        path, route_model = original(scope["raw_path"].decode("latin-1"))
        return Ask(tuple(authorizations), scope["method"], path, model, body, route_model, client)

    async def _list_models(self, scope: Scope, send: Send) -> None:
        """What the key may call, in OpenAI's list form; prompts of a budgateway are no models."""
        authorizations = tuple(v.decode("latin-1") for n, v in scope["headers"] if n == b"authorization")
        ask = Ask(authorizations, scope["method"], MODELS_PATH, body=Body.NONE)
        answer = self._judge.decide(ask, time.time())
        if isinstance(answer, Denied):
            await _refuse(send, answer, self._judge.rules.header_prefix)
            return
        presented = bearer(authorizations)
        assert isinstance(presented, str)
        snapshot = self.mirror.snapshot
        entry = snapshot.keys.get(digest_of(presented, self._judge.rules.salt))
        names = [] if entry is None else sorted(snapshot.models_of(entry, presented))
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "modeldeck"}
            for name in names
            if not name.startswith("prompt:")
        ]
        await _json(send, 200, {"object": "list", "data": models})


def _request_id(scope: Scope) -> str:
    found = next((value for name, value in scope["headers"] if name == REQUEST_ID_HEADER), b"")
    return found.decode("latin-1")[:_LONGEST_ID] if found else ""


def original(path: str) -> tuple[str, str | None]:
    """The client's path, and the model that the route stands for where its policy names one."""
    if path.startswith(_MODEL_PREFIX):
        name, slash, rest = path[len(_MODEL_PREFIX) :].partition("/")
        return slash + rest, unquote(name)
    return path[len(_PREFIX) :] or "/", None


def body_state(value: str, model: str | None) -> Body:
    """What the gateway says of a body; nothing said and a model named means that all is well."""
    if not value:
        return Body.OK if model is not None else Body.NONE
    try:
        return Body(value)
    except ValueError:
        return Body.MALFORMED


async def _inspect(receive: Receive) -> tuple[Body, str | None]:
    """Read the body that Envoy sent along, up to 16 MiB, and see which model it names."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return Body.MALFORMED, None
        part = message.get("body", b"")
        size += len(part)
        if size > _MAX_BODY_BYTES:
            return Body.TOO_LARGE, None
        parts.append(part)
        if not message.get("more_body", False):
            return inspect_body(b"".join(parts))


async def _refuse(send: Send, denied: Denied, prefix: str) -> None:
    headers = [(name.encode(), value.encode()) for name, value in denied.told(prefix).items()]
    await _answer(send, denied.status, headers, denied.body())


async def _json(send: Send, status: int, document: Any) -> None:
    await _answer(send, status, [(b"content-type", b"application/json")], json.dumps(document).encode())


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a worker listens. ``grpc`` None: over HTTP only."""

    http: tuple[str, int]
    grpc: tuple[str, int] | None = None


async def serve(
    redis: Redis,
    rules: AccessRules,
    *,
    listening: Listening,
    reads: Literal["header", "body"],
    ready: Callable[[], None] = lambda: None,
    key_table: Path | None = None,
) -> None:
    """One worker, until SIGTERM or SIGINT. Several may share a port (SO_REUSEPORT).

    Args:
        key_table: the directory in which the gateway looks up what it need not ask; None: it asks about everything
        ready: told once it listens and its view may be decided on

    Raises:
        OSError: an address cannot be had.
    """
    mirror = Mirror(redis, rules, instance=f"{socket.gethostname()}-{os.getpid()}")
    tally = Tally(redis)
    gate = BudgetGate(redis, fail=rules.budgets_fail)
    judge = Judge(mirror, rules, tally, gate)
    keeper = None
    if key_table is not None:
        keeper = TableKeeper(key_table, rules, tally, usable=mirror.usable, budgets=lambda: read_budgets(redis))
        mirror.follower = keeper.follow
    authorizer = Authorizer(judge, reads=reads)
    host, port = listening.http
    serving = Serving(
        authorizer,
        host=host,
        port=port,
        reuse_port=True,
        grace_seconds=_GRACE_SECONDS,
        lifespan="off",
        date_header=False,
        timeout_keep_alive=600,
    )
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    # First the view, then the door: a worker that shares its port gets requests from the moment it listens.
    following = asyncio.create_task(mirror.run())
    await _until_usable(mirror, stopping)
    await serving.start()
    over_grpc = await _over_grpc(judge, listening.grpc, reads)
    stopped = asyncio.create_task(stopping.wait())
    duties = [
        following,
        stopped,
        asyncio.create_task(_read_budgets(gate)),
        asyncio.create_task(_beat(mirror)),
        asyncio.create_task(_count(tally, keeper)),
    ]
    duties += [asyncio.create_task(keeper.keep())] if keeper is not None else []
    try:
        ready()
        await asyncio.wait({stopped, following}, return_when=asyncio.FIRST_COMPLETED)
        authorizer.draining = True
        if following.done():
            following.result()  # a worker that has gone deaf must not go on deciding
    finally:
        if over_grpc is not None:
            await over_grpc.stop(_GRACE_SECONDS)
        await serving.stop()
        for task in duties:
            task.cancel()
        await asyncio.gather(*duties, return_exceptions=True)
        if keeper is not None:
            keeper.count(time.time())
            keeper.close()
        with contextlib.suppress(RedisError, OSError):
            await tally.flush()
            await mirror.withdraw()
        await redis.aclose()


async def _until_usable(mirror: Mirror, stopping: asyncio.Event) -> None:
    """Wait for the first load, but not for ever: a worker without Redis says so on its health path."""
    for _ in range(int(_FIRST_LOAD_SECONDS / _LOOK_SECONDS)):
        if mirror.usable(time.time()) or stopping.is_set():
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def _over_grpc(
    judge: Judge, address: tuple[str, int] | None, reads: Literal["header", "body"]
) -> GrpcServing | None:
    if address is None:
        return None
    from console.access.grpc_server import GrpcAuthorizer, GrpcServing

    serving = GrpcServing(GrpcAuthorizer(judge, reads=reads), host=address[0], port=address[1])
    await serving.start()
    return serving


async def _read_budgets(gate: BudgetGate) -> None:
    while True:
        with contextlib.suppress(RedisError, OSError):
            await gate.read()
        await asyncio.sleep(READ_SECONDS)


async def _beat(mirror: Mirror) -> None:
    while True:
        await asyncio.sleep(0.5)
        with contextlib.suppress(RedisError, OSError):
            await mirror.heartbeat()


async def _count(tally: Tally, keeper: TableKeeper | None) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        if keeper is not None:
            keeper.count(time.time())
        with contextlib.suppress(RedisError, OSError):
            await tally.flush()
