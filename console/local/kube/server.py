"""The server: one file of objects, one port on loopback, in the event loop of whoever starts it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn

from console.local.kube import definitions
from console.local.kube.access import Identity, Tokens
from console.local.kube.api import Api
from console.local.kube.builtin import BUILTIN
from console.local.kube.collector import Collector
from console.local.kube.core import LASTING_NAMESPACES
from console.local.kube.faults import Faults
from console.local.kube.kinds import Registry
from console.local.kube.metadata import Object
from console.local.kube.state import Body, Options, State, Target
from console.local.kube.status import ApiError
from console.local.kube.storage import Event, Storage
from console.local.kube.watch import Hub
from console.local.kube.writing import APPLY, create, patch
from console.outcome import Failure, Refusal

_DEFINITIONS = f"{definitions.GROUP}/customresourcedefinitions"
_STOP_SECONDS = 3


class _Server(uvicorn.Server):
    """Leaves signals to the program that it runs in, and stops when it is told to, not a tick later."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    async def main_loop(self) -> None:
        await self.told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, without its pauses: let requests under way finish for a while, then end them."""
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                # uvicorn tells nobody when a connection ends
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        late = list(self.server_state.tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class KubeServer:
    """A small Kubernetes API server.

    database        the SQLite file; it and its directory are made where they are missing
    port            0 takes a free one; `port` and `url` say which after `start`
    tokens          bearer token to identity; tokens are kept as digests only
    history         how many resourceVersions back a watch may begin
    bookmark_every  seconds between the bookmarks of a watch

    It may be started again after `stop`. `faults`, `drop_watches` and `compact` are switches for tests.
    """

    def __init__(
        self,
        database: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tokens: Mapping[str, Identity],
        history: int = 10_000,
        bookmark_every: float = 30.0,
    ) -> None:
        self.host = host
        self.port = port
        self.faults = Faults()
        self._database = database
        self._tokens = Tokens(tokens)
        self._history = history
        self._bookmark_every = bookmark_every
        self._hub = Hub()
        self._state: State | None = None
        self._server: _Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    @property
    def watches(self) -> int:
        """How many watches are open now."""
        return len(self._hub)

    # --- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the file and the port.

        Raises:
            Refusal: the port or the file is in use, or we may not write there.
            Failure: the file is not a database of ours, or damaged.
        """
        listening = self._listen()
        try:
            state = State(Storage(self._database, history=self._history), Registry(BUILTIN))
            await state.storage.open()
        except BaseException:
            listening.close()
            raise
        try:
            collector = Collector(state)
            state.storage.listener = lambda event: self._committed(state, collector, event)
            self._state = state
            await self._load(state)
            collector.survey()
            await self._serve(state, collector, listening)
        except BaseException:
            listening.close()
            await self.stop()
            raise

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # The protocol is named because asyncio sets TCP_NODELAY only then: without, every answer takes 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self.host, self.port))
            listening.listen(512)
        except OSError as problem:
            listening.close()
            raise Refusal(
                f"the local Kubernetes API cannot listen on {self.host}:{self.port}: {problem.strerror or problem}",
                code="KUBE_PORT_IN_USE",
                then="stop the program that uses the port, or choose another port",
                status=409,
            ) from problem
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        return listening

    async def _load(self, state: State) -> None:
        """Serve what the stored definitions define, and make sure of the namespaces that are always there."""
        records, _revision = state.storage.collection(_DEFINITIONS)

        def parse() -> list[Any]:
            contents = [record.object("apiextensions.k8s.io/v1", "CustomResourceDefinition") for record in records]
            return [definitions.resource_of(one) for one in contents]

        for resource in await asyncio.to_thread(parse):
            state.registry.install(resource)
        for name in LASTING_NAMESPACES:
            content = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            with contextlib.suppress(ApiError):  # it is there
                await create(state, self._target(state, "namespaces"), Body(content), Options("modeldeck"))

    async def _serve(self, state: State, collector: Collector, listening: socket.socket) -> None:
        api = Api(state, self._hub, self._tokens, self.faults, bookmark_every=self._bookmark_every)
        config = uvicorn.Config(
            api,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            ws="none",
            timeout_keep_alive=75,
        )
        self._server = _Server(config)
        serving = asyncio.create_task(self._server.serve([listening]), name="kube api")
        self._tasks = [serving, asyncio.create_task(collector.run(), name="kube collector")]
        while not self._server.started:
            if serving.done():
                raise Failure(
                    "the local Kubernetes API did not start", code="KUBE_NOT_STARTED"
                ) from serving.exception()
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """End every watch at once, finish the requests under way, close the file."""
        if self._server is not None:
            self._server.told.set()
            self._hub.end_all()
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._server = None
        if self._state is not None:
            state, self._state = self._state, None
            await state.storage.close()

    def _committed(self, state: State, collector: Collector, event: Event) -> None:
        key = event.record.key
        if event.change == "DELETED" and key.resource == _DEFINITIONS:
            plural, _, group = key.name.partition(".")
            state.registry.uninstall(f"{group}/{plural}")
        self._hub.publish(event)
        collector.notice(event)

    # --- for the stack and for tests ---------------------------------------------------------------------------

    async def install_crd(self, definition: Object) -> None:
        """Install or renew a CustomResourceDefinition, as `kubectl apply --server-side --force-conflicts` would.

        Raises:
            Refusal: it is no valid definition.
        """
        state = self._opened()
        target = self._target(state, _DEFINITIONS, definition["metadata"]["name"])
        try:
            body = Body(copy.deepcopy(definition), 1 << 20)
            await patch(state, target, APPLY, body, Options("modeldeck", force=True))
        except ApiError as problem:
            raise Refusal(f"{target.name} was not installed: {problem}", code="KUBE_DEFINITION_REFUSED") from problem

    def drop_watches(self) -> None:
        """End every watch now."""
        self._hub.end_all()

    async def compact(self) -> None:
        """Forget all history now: every older resourceVersion is answered with 410."""
        await self._opened().storage.compact()

    @property
    def resource_version(self) -> int:
        return self._opened().storage.revision

    def _opened(self) -> State:
        if self._state is None:
            raise Failure("the local Kubernetes API is not running", code="KUBE_NOT_RUNNING", then="modeldeck up")
        return self._state

    @staticmethod
    def _target(state: State, key: str, name: str = "") -> Target:
        resource = state.registry.get(key)
        assert resource is not None
        return Target(resource, resource.versions[0], "", name)
