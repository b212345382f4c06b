"""A Kubernetes API, an Envoy and a controller for the tests of a module; each test has a namespace of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from console.k8s.cluster import Cluster
from console.local.envoy import Envoy, envoy_binary
from console.local.gateway import Controller
from console.local.kube import ADMIN, CONTROLLER, KubeServer, write_kubeconfig
from console.local.ports import free_ports
from console.outcome import Unavailable
from tests.service.gateway.driving import Stack
from tests.unit.gateway.manifests import (
    SYSTEM,
    gateway,
    gateway_class,
    namespace,
)

_numbers = itertools.count()


def needs_envoy() -> None:
    """Skip where there is no real Envoy."""
    try:
        envoy_binary()
    except Unavailable as problem:
        pytest.skip(str(problem))


async def connect(server: KubeServer, directory: Path, name: str) -> Cluster:
    path = directory / f"{name}.kubeconfig"
    write_kubeconfig(path, server=server.url, token=f"{name}-token", user=name)
    return await Cluster.connect(kubeconfig=path, timeout=5, manager=name)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    needs_envoy()
    directory = tmp_path_factory.mktemp("gateway")
    tokens = {"admin-token": ADMIN, "controller-token": CONTROLLER}
    server = KubeServer(directory / "objects.db", tokens=tokens, bookmark_every=5)
    await server.start()
    admin = await connect(server, directory, "admin")
    own = await connect(server, directory, "controller")
    envoy = Envoy(directory / "envoy", workers=1)
    await envoy.start()
    controller = Controller(own, envoy, grace_seconds=1)
    await controller.start()
    made = Stack(server, admin, envoy, controller, free_ports(1)[0])
    await made.put(namespace(SYSTEM), gateway_class(), gateway(made.port))
    yield made
    await controller.stop()
    await envoy.stop()
    await asyncio.gather(*(one.stop() for one in made.closing))
    await admin.close()
    await own.close()
    await server.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=10) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def place(stack: Stack) -> str:
    """A namespace of the test's own. Hostnames below ``place.test`` are its own too."""
    name = f"ns-{next(_numbers)}"
    await stack.apply(namespace(name))
    return name
