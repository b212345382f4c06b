"""A running server for each test, with everything that one needs to talk to it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from console.k8s.cluster import Cluster
from console.local.kube import KubeServer, write_kubeconfig
from tests.service.kube.driving import DEFINITIONS, TOKENS, Http, Kubectl, namespace, published


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[KubeServer]:
    """With the namespace ``acme``, and no definitions."""
    made = KubeServer(tmp_path / "kube" / "objects.db", tokens=TOKENS, bookmark_every=0.2)
    await made.start()
    async with Http(made.url, "admin-token") as admin:
        await admin.post("/api/v1/namespaces", namespace("acme"))
    yield made
    await made.stop()


@pytest.fixture
async def http(server: KubeServer) -> AsyncIterator[Http]:
    """As the admin."""
    async with Http(server.url, "admin-token") as client:
        yield client


@pytest.fixture
def http_as(server: KubeServer) -> Callable[[str], Http]:
    return lambda name: Http(server.url, f"{name}-token" if name else "")


@pytest.fixture
def kubeconfig(server: KubeServer, tmp_path: Path) -> Path:
    return _kubeconfig(server, tmp_path, "admin")


def _kubeconfig(server: KubeServer, directory: Path, name: str) -> Path:
    path = directory / f"{name}.kubeconfig"
    write_kubeconfig(path, server=server.url, token=f"{name}-token", user=name)
    return path


@pytest.fixture
async def cluster(kubeconfig: Path) -> AsyncIterator[Cluster]:
    """As the admin."""
    made = await Cluster.connect(kubeconfig=kubeconfig, timeout=5)
    yield made
    await made.close()


@pytest.fixture
def kubectl(server: KubeServer, tmp_path: Path) -> Kubectl:
    """As the admin; ``kubectl.as_("viewer")`` for another."""
    return Kubectl(tmp_path, lambda name: _kubeconfig(server, tmp_path, name))


# --- with definitions ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def defined_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which all published definitions are installed. Installing takes two seconds: once is enough."""
    if not DEFINITIONS.is_dir():
        pytest.skip("the published definitions are not here")
    path = tmp_path_factory.mktemp("defined") / "objects.db"

    async def install() -> None:
        made = KubeServer(path, tokens=TOKENS)
        await made.start()
        try:
            for definition in published():
                await made.install_crd(definition)
            async with Http(made.url, "admin-token") as admin:
                await admin.post("/api/v1/namespaces", namespace("acme"))
        finally:
            await made.stop()

    asyncio.run(install())
    return path


@pytest.fixture
async def defined(defined_database: Path, tmp_path: Path) -> AsyncIterator[KubeServer]:
    """A server with all published definitions and the namespace ``acme``."""
    path = tmp_path / "defined" / "objects.db"
    path.parent.mkdir()
    shutil.copy(defined_database, path)
    made = KubeServer(path, tokens=TOKENS)
    await made.start()
    yield made
    await made.stop()
