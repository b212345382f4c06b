"""What the tests drive the gateway with: a stack, and an authorizer and upstreams that remember what they saw."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from console.guard import system_permit
from console.k8s.cluster import Cluster
from console.k8s.types import Kind, Object, Ref
from console.local.envoy import Envoy
from console.local.gateway import Controller
from console.local.kube import KubeServer
from console.local.ports import LOOPBACK
from console.serving import Serving

PERMIT = system_permit("test the local gateway")


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Server:
    """An ASGI application on loopback that remembers its requests."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[Seen] = []
        self._serving = Serving(self, lifespan="off", date_header=False)

    @property
    def port(self) -> int:
        return self._serving.port

    async def start(self) -> None:
        await self._serving.start()

    async def stop(self) -> None:
        await self._serving.stop()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode("latin-1"): value.decode("utf-8", "replace") for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        path = scope["raw_path"].decode("latin-1").partition("?")[0] + (f"?{query}" if query else "")
        seen = Seen(scope["method"], path, headers, body)
        self.seen.append(seen)
        await self.answer(seen, send)

    async def answer(self, seen: Seen, send: Any) -> None:
        raise NotImplementedError

    @property
    def last(self) -> Seen:
        return self.seen[-1]


async def respond(send: Any, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    lines = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    lines.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


class Upstream(_Server):
    """Says its name. ``/status/NNN`` answers so, ``/wait`` waits for `release`, ``"stream": true`` sends events.

    ``fails`` is a status with which it answers everything for a while; 0 for none.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.fails = 0
        self.release = asyncio.Event()
        self.next_event = asyncio.Event()

    async def answer(self, seen: Seen, send: Any) -> None:
        path = seen.path.partition("?")[0]
        if self.fails:
            await respond(send, self.fails, b"{}")
        elif path.startswith("/status/"):
            await respond(send, int(path.rpartition("/")[2]), b"{}")
        elif path.endswith("/wait"):
            await self.release.wait()
            await respond(send, 200, self.name.encode())
        elif b'"stream": true' in seen.body:
            await self._stream(send)
        else:
            await respond(send, 200, self.name.encode(), {"content-type": "text/plain"})

    async def _stream(self, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(3):
            await send({"type": "http.response.body", "body": f"data: {number}\n\n".encode(), "more_body": True})
            await self.next_event.wait()
            self.next_event.clear()
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


class Authorizer(_Server):
    """Lets ``Bearer good`` pass and says who that is; any other answer is the one set in `denial`."""

    def __init__(self) -> None:
        super().__init__("authorizer")
        self.denial: tuple[int, dict[str, str]] = (401, {})
        self.extra: dict[str, str] = {}

    async def answer(self, seen: Seen, send: Any) -> None:
        if seen.headers.get("authorization") == "Bearer good":
            model = seen.headers.get("x-ai-eg-model", "")
            allowed = {"x-modeldeck-model": model, "x-modeldeck-key-id": "key-1", "x-modeldeck-tenant": "acme"}
            await respond(send, 200, b"", allowed | {"x-not-listed": "1"} | self.extra)
            return
        status, headers = self.denial
        body = json.dumps({"error": {"message": "no", "type": "t", "param": None, "code": "c"}}).encode()
        await respond(send, status, body, {"content-type": "application/json"} | headers)


@dataclass
class Stack:
    """A Kubernetes API, an Envoy and the controller between them."""

    server: KubeServer
    cluster: Cluster
    envoy: Envoy
    controller: Controller
    port: int
    closing: list[_Server] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def apply(self, *manifests: Object) -> None:
        for one in manifests:
            await self.cluster.apply(PERMIT, one, force=True)

    async def settle(self) -> None:
        await self.controller.settled(20)

    async def put(self, *manifests: Object) -> None:
        """Apply, and wait until it is in force."""
        await self.apply(*manifests)
        await self.settle()

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        await self.cluster.delete(PERMIT, Ref(kind, name, namespace), wait=10)

    async def status(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        found = await self.cluster.get(Ref(kind, name, namespace))
        assert found is not None
        return dict(found.get("status") or {})

    async def upstream(self, name: str) -> Upstream:
        made = Upstream(name)
        await made.start()
        self.closing.append(made)
        return made

    async def authorizer(self) -> Authorizer:
        made = Authorizer()
        await made.start()
        self.closing.append(made)
        return made
