"""The embedded stack, put together: what starts in which order, and what each part needs of the others.

    Valkey  →  database  →  Kubernetes API  →  samples  →  authorizer  →  limiter  →  Envoy  →  controllers  →  recovery

The Kubernetes API, the controllers, the samples and recovery live in this process; Valkey, Envoy, the ext_authz
worker and the rate-limit service are its children, on leashes (console/local/leash.py).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Literal

import httpx

from console.config import Profile, read_config
from console.guard import system_permit
from console.k8s.cluster import Cluster
from console.k8s.types import CLIENT_TRAFFIC_POLICY, ref_of
from console.local import bootstrap
from console.local.envoy import ACCESS_LOG, Envoy, envoy_binary
from console.local.gateway.controller import Controller
from console.local.gateway.kserve import KServe
from console.local.gateway.translate.settings import GlobalLimiter, Settings
from console.local.kube import ADMIN, CONTROLLER, PUBLISHER, VIEWER, KubeServer, write_kubeconfig
from console.local.layout import Layout, read_json, write_json, write_private
from console.local.ports import LOOPBACK, free_ports, is_free
from console.local.process import Child
from console.local.samples.providers import BIG, SLUGS, SampleProviders
from console.local.samples.upstream import SampleUpstream
from console.local.supervisor import Part, Supervisor
from console.local.valkey import Valkey
from console.operations.recovery import recover_forever
from console.outcome import Failure, Refusal, TimedOut, Unavailable
from console.services import Services
from console.sync.service import look_after
from console.tls import trusted
from console.usage.collecting import collect_forever

_SHARED = "samples"  # the upstream of every provider that has none of its own
_UPSTREAMS = (*BIG, _SHARED, bootstrap.DEFAULT_UPSTREAM, *(name for _, name, _ in bootstrap.INFERENCE_SERVICES))
_PORTS = ("valkey", "kubernetes", "gateway", "envoy", "authorizer", "limiter", "providers", "api", *_UPSTREAMS)
_HAS_GRPC = find_spec("grpc") is not None
_READY_SECONDS = 30.0
_LISTEN_LOOKS = 100
_IDENTITIES = {"admin": ADMIN, "publisher": PUBLISHER, "viewer": VIEWER, "controller": CONTROLLER}

Tell = Callable[[str], None]


class Stack:
    """One stack below one directory.

    Args:
        limits_fail: what becomes of requests with a limit while nobody can count them: ``open`` lets them pass,
            ``closed`` answers 503
    """

    def __init__(
        self,
        layout: Layout,
        *,
        durable: bool,
        gateway_port: int | None,
        models: int | None,
        limits_fail: Literal["open", "closed"] = "open",
    ) -> None:
        self._layout = layout
        self._durable = durable
        self._gateway_port = gateway_port
        self._models = models
        self._limits_fail = limits_fail
        self._supervisor = Supervisor(layout.state)
        self._ports: dict[str, int] = {}
        self._duties: list[asyncio.Task[None]] = []
        self._services: Services | None = None
        self._cluster: Cluster | None = None
        self._upstreams = SampleUpstream()
        self._controller: Controller | None = None
        self.missing: list[str] = []

    async def start(self, tell: Tell) -> None:
        """Start every part, in order; each is healthy before the next begins.

        Raises:
            Refusal: a port or the directory cannot be had.
            Failure: a part did not start; what had been started is stopped by `stop`.
        """
        self._ports = self._choose_ports()
        self._layout.state.unlink(missing_ok=True)
        for name, start in (
            ("valkey", self._start_valkey),
            ("kubernetes", self._start_kubernetes),
            ("samples", self._start_samples),
            ("authorizer", self._start_authorizer),
            ("limiter", self._start_limiter),
            ("gateway", self._start_gateway),
            ("api", self._start_api),
            ("objects", self._set_the_scene),
        ):
            began = asyncio.get_running_loop().time()
            await start()
            tell(f"  ✓ {name:11} {asyncio.get_running_loop().time() - began:5.2f} s")
        for what in self.missing:
            tell(f"  ! {what}")
        self._supervisor.write(ready=True, missing=self.missing)

    async def serve(self) -> None:
        """Keep the parts running and recover interrupted operations, until cancelled."""
        assert self._services is not None
        journal, runner = await self._services.journal(), await self._services.runner()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._supervisor.watch(), name="supervisor")
            tasks.create_task(recover_forever(journal, runner), name="recovery")
            tasks.create_task(collect_forever(self._services, self._layout.envoy / ACCESS_LOG), name="usage")
            if self._durable:  # a throwaway stack is synced by whoever looks at it
                tasks.create_task(look_after(self._services), name="schedule")

    async def stop(self) -> None:
        """Stop everything that was started, the last first."""
        for duty in self._duties:
            duty.cancel()
        await asyncio.gather(*self._duties, return_exceptions=True)
        if self._services is not None:
            await self._services.close()
        if self._cluster is not None:
            await self._cluster.close()
        await self._supervisor.stop()
        await self._upstreams.stop()
        self._layout.state.unlink(missing_ok=True)

    # --- ports and profile ------------------------------------------------------------------------------------

    def _choose_ports(self) -> dict[str, int]:
        """The ports of the last time where they are free, else new ones; the gateway's may be asked for.

        Raises:
            Refusal: the gateway's port was asked for and is in use.
        """
        if self._gateway_port is not None and not is_free(self._gateway_port):
            raise Refusal(
                f"port {self._gateway_port} is in use; nothing was started",
                code="PORT_IN_USE",
                status=409,
                then="choose another --gateway-port, or leave it out",
            )
        kept = read_json(self._layout.ports) or {}
        fresh = iter(free_ports(len(_PORTS)))
        ports = {}
        for name in _PORTS:
            port, new = kept.get(name), next(fresh)
            ports[name] = port if isinstance(port, int) and is_free(port) else new
        if self._gateway_port is not None:
            ports["gateway"] = self._gateway_port
        write_json(self._layout.ports, ports)
        return ports

    def _write_profile(self) -> Profile:
        """The configuration that clients of this stack use: profile ``local``, and ``gateway`` for its workers."""
        layout, ports = self._layout, self._ports
        redis = f'url = "redis://{LOOPBACK}:{ports["valkey"]}/0"'
        lines = [
            'default_profile = "local"',
            "",
            "[profiles.local]",
            f'database = "sqlite:///{layout.database}"',
            f'stack = "{layout.state}"',
            "[profiles.local.redis]",
            redis,
            f'password = "file:{layout.secrets / "redis-operator"}"',
            "[profiles.local.kubernetes]",
            f'kubeconfig = "{layout.kubeconfig("admin")}"',
            *self._gateway_section("local"),
        ]
        for slug in SLUGS:
            lines += [
                f"[profiles.local.providers.{slug}]",
                f'url = "{self._providers.base_url(slug)}"',
                f'inference_url = "http://{LOOPBACK}:{self._ports.get(slug, self._ports[_SHARED])}/v1"',
                f'credential = "file:{layout.secrets / "sample-provider"}"',
            ]
        lines += [
            "",
            "# What the ext_authz workers log in with: they may only read.",
            "[profiles.gateway]",
            "[profiles.gateway.redis]",
            redis,
            'username = "gateway"',
            f'password = "file:{layout.secrets / "redis-gateway"}"',
            *self._gateway_section("gateway"),
        ]
        write_private(layout.profile, "\n".join(lines) + "\n")
        return read_config(layout.profile).profiles["local"].model_copy(update={"name": "local"})

    def _gateway_section(self, profile: str) -> list[str]:
        return [
            f"[profiles.{profile}.gateway]",
            f'name = "{bootstrap.GATEWAY}"',
            f'namespace = "{bootstrap.SYSTEM}"',
            f'url = "http://{LOOPBACK}:{self._ports["gateway"]}"',
            f'authorizer = "{bootstrap.SYSTEM}/{bootstrap.AUTHORIZER}:80"',
            'authorizer_reads = "header"',
            f"global_limiter = {'true' if _HAS_GRPC else 'false'}",
            "native_access = true",
        ]

    # --- parts ------------------------------------------------------------------------------------------------

    async def _start_valkey(self) -> None:
        valkey = Valkey(
            self._layout.valkey,
            port=self._ports["valkey"],
            operator=self._layout.secret("redis-operator"),
            gateway=self._layout.secret("redis-gateway"),
            durable=self._durable,
            log=self._layout.log("valkey"),
        )

        async def health() -> str:
            if not await valkey.healthy():
                raise Unavailable("it does not answer a PING")
            return f"redis://{LOOPBACK}:{valkey.port}"

        await self._supervisor.start(
            Part(
                "valkey", valkey.start, valkey.stop, health, lambda: not valkey.child.running, lambda: valkey.child.pid
            )
        )

    async def _start_kubernetes(self) -> None:
        layout = self._layout
        tokens = {layout.secret(f"kube-{name}").get_secret_value(): who for name, who in _IDENTITIES.items()}
        server = KubeServer(layout.cluster, port=self._ports["kubernetes"], tokens=tokens)

        async def health() -> str:
            await self._get(f"{server.url}/readyz")
            return f"{server.url}, {server.watches} watches"

        await self._supervisor.start(Part("kubernetes", server.start, server.stop, health, lambda: not server.running))
        for name in _IDENTITIES:
            token = layout.secret(f"kube-{name}").get_secret_value()
            write_kubeconfig(layout.kubeconfig(name), server=server.url, token=token, user=name)
        self._cluster = await Cluster.connect(kubeconfig=layout.kubeconfig("controller"), manager="envoy-gateway")

    async def _start_samples(self) -> None:
        token = self._layout.secret("sample-provider").get_secret_value()
        self._providers = SampleProviders(token=token, port=self._ports["providers"], models=self._models)
        for name in _UPSTREAMS:
            await self._upstreams.add(name, port=self._ports[name], token=token if name in (*BIG, _SHARED) else None)

        async def health() -> str:
            await self._get(f"http://{LOOPBACK}:{self._ports['providers']}/health")
            return f"{len(SLUGS)} providers, {len(_UPSTREAMS)} upstreams"

        await self._supervisor.start(
            Part("samples", self._providers.start, self._providers.stop, health, lambda: False)
        )
        profile = self._write_profile()
        self._services = Services(profile)
        await self._services.store()

    async def _start_authorizer(self) -> None:
        address = f"{LOOPBACK}:{self._ports['authorizer']}"
        command = [sys.executable, "-m", "console", "authz", "--listen", address]
        command += ["--key-table", str(self._layout.key_table)]
        command += ["--config", str(self._layout.profile), "--profile", "gateway"]
        child = Child("authorizer", command, log=self._layout.log("authorizer"))

        async def health() -> str:
            await self._get(f"http://{address}/healthz")
            return f"http://{address}"

        async def start() -> None:
            await child.start()
            await self._until_healthy("the authorizer", health, child)

        await self._supervisor.start(
            Part("authorizer", start, child.stop, health, lambda: not child.running, lambda: child.pid)
        )

    async def _start_limiter(self) -> None:
        """The rate-limit service; without gRPC there is none, and global limits are refused in the plan."""
        if not _HAS_GRPC:
            self.missing.append("global limits need gRPC: pip install 'modeldeck[local]'")
            return
        from console.limits.service import is_serving

        address = f"{LOOPBACK}:{self._ports['limiter']}"
        command = [sys.executable, "-m", "console", "limiter", "--listen", address]
        command += ["--config", str(self._layout.profile), "--profile", "gateway"]
        child = Child("limiter", command, log=self._layout.log("limiter"))

        async def health() -> str:
            if not await is_serving(address):
                raise Unavailable(f"{address} does not count")
            return address

        async def start() -> None:
            await child.start()
            await self._until_healthy("the rate-limit service", health, child)

        await self._supervisor.start(
            Part("limiter", start, child.stop, health, lambda: not child.running, lambda: child.pid)
        )

    async def _start_gateway(self) -> None:
        """Envoy and the controllers that configure it; without an Envoy for this machine, only what is said of it."""
        assert self._cluster is not None
        try:
            envoy_binary()
        except Unavailable as problem:
            self.missing.append(str(problem))
            return
        envoy = Envoy(self._layout.envoy, workers=1, log=self._layout.log("envoy"))

        async def health() -> str:
            if not await envoy.ready():
                raise Unavailable("it does not answer on its admin socket")
            return f"http://{LOOPBACK}:{self._ports['gateway']}"

        await self._supervisor.start(
            Part("envoy", envoy.start, envoy.stop, health, lambda: not envoy.running, lambda: envoy.pid)
        )
        controller, kserve = Controller(self._cluster, envoy, self._gateway_settings(envoy)), KServe(self._cluster)
        for name, part in (("controller", controller), ("kserve", kserve)):
            await self._supervisor.start(Part(name, part.start, part.stop, part.health, lambda: False))
        self._controller = controller

    def _gateway_settings(self, envoy: Envoy) -> Settings:
        address = (LOOPBACK, self._ports["limiter"])
        limiter = GlobalLimiter((address,), fail_closed=self._limits_fail == "closed") if _HAS_GRPC else None
        return Settings(
            directory=envoy.configuration,
            access_log=envoy.access_log,
            limiter=limiter,
            alone=True,
            key_table=self._layout.key_table,
        )

    async def _start_api(self) -> None:
        """The HTTP API, and a token for whoever may read this stack's secrets."""
        from console.api.app import create_app
        from console.publishing.following import follow
        from console.serving import Serving
        from console.tokens import ensure_token

        assert self._services is not None
        services = Services(self._services.profile)
        await ensure_token(await services.store(), "local", self._layout.api_token())
        serving = Serving(create_app(services), host=LOOPBACK, port=self._ports["api"])

        self._duties.append(asyncio.create_task(follow(services), name="drift"))

        async def stop() -> None:
            await serving.stop()
            await services.close()

        async def health() -> str:
            await self._get(f"http://{LOOPBACK}:{self._ports['api']}/healthz")
            return f"http://{LOOPBACK}:{self._ports['api']}"

        await self._supervisor.start(Part("api", serving.start, stop, health, lambda: False))

    async def _set_the_scene(self) -> None:
        """The objects that are there from the start, in force before anybody is told that the stack is ready."""
        permit = system_permit("set up the local cluster")
        cluster = await Cluster.connect(kubeconfig=self._layout.kubeconfig("admin"), manager="modeldeck-local")
        try:
            for manifest in bootstrap.manifests(
                gateway_port=self._ports["gateway"],
                authorizer_port=self._ports["authorizer"],
                upstreams={name: self._ports[name] for name in _UPSTREAMS},
            ):
                # How large requests may be is the operator's to change (`modeldeck gateway buffer`), and stays so.
                if manifest["kind"] != CLIENT_TRAFFIC_POLICY.kind or await cluster.get(ref_of(manifest)) is None:
                    await cluster.apply(permit, manifest, force=True)
        finally:
            await cluster.close()
        if self._controller is not None:
            await self._controller.settled(_READY_SECONDS)
            await self._until_listening(self._ports["gateway"])

    # --- how --------------------------------------------------------------------------------------------------

    async def _until_listening(self, port: int) -> None:
        """Wait until something accepts on the gateway's port: Envoy takes a listener whose port it then cannot bind.

        Raises:
            Failure: nothing does.
        """
        for _ in range(_LISTEN_LOOKS):
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return
        raise Failure(
            f"Envoy does not listen on port {port}",
            code="GATEWAY_NOT_LISTENING",
            then=f"choose another --gateway-port; Envoy's words are in {self._layout.log('envoy')}",
        )

    async def _until_healthy(self, what: str, health: Callable[[], Awaitable[str]], child: Child) -> None:
        """Wait for a child to answer.

        Raises:
            Failure: it ended; TimedOut: it runs and does not answer.
        """
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while True:
            try:
                await health()
            except Unavailable as problem:
                if not child.running:
                    raise Failure(f"{what} ended at once: {child.tail(3) or child.exit_code}") from None
                if asyncio.get_running_loop().time() > deadline:
                    raise TimedOut(f"{what} did not answer within {_READY_SECONDS:g} s: {problem}") from None
                await asyncio.sleep(0.03)
            else:
                return

    @staticmethod
    async def _get(url: str) -> None:
        """Raises `Unavailable` unless a GET is answered with 200."""
        try:
            async with httpx.AsyncClient(timeout=3, trust_env=False, verify=trusted()) as client:
                answer = await client.get(url)
        except httpx.HTTPError as problem:
            raise Unavailable(f"{url} does not answer: {type(problem).__name__}") from None
        if answer.status_code != 200:
            raise Unavailable(f"{url} answers {answer.status_code}")
