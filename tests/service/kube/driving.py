"""Clients for the tests: bare HTTP, and the real kubectl."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import yaml

from console.local.kube import ADMIN, CONTROLLER, PUBLISHER, VIEWER, Identity, publisher
from console.tls import trusted

Object = dict[str, Any]

DEFINITIONS = Path(__file__).parents[4] / "shared" / "crds"
"""The published CustomResourceDefinitions; they are not part of the project, and may be missing."""

TOKENS: dict[str, Identity] = {
    "admin-token": ADMIN,
    "viewer-token": VIEWER,
    "publisher-token": PUBLISHER,
    "acme-token": publisher("acme", name="acme-publisher"),
    "controller-token": CONTROLLER,
}

ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/acme/httproutes"
SECRETS = "/api/v1/namespaces/acme/secrets"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def published(pattern: str = "*") -> list[Object]:
    """The published definitions whose file names fit."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    paths = sorted(DEFINITIONS.glob(f"{pattern}.yaml"))
    return [one for path in paths for one in yaml.load_all(path.read_bytes(), loader) if one]


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def route(name: str = "r", *, hosts: tuple[str, ...] = ("a.example.com",), **metadata: Any) -> Object:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, **metadata},
        "spec": {"parentRefs": [{"name": "gw"}], "hostnames": list(hosts)},
    }


def secret(name: str = "s", **more: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **more}


class Http:
    """Bare requests with a token; answers are httpx responses."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False, verify=trusted())

    async def __aenter__(self) -> Http:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(path, params=query)

    async def post(self, path: str, body: Any, **query: Any) -> httpx.Response:
        return await self.client.post(path, json=body, params=query)

    async def put(self, path: str, body: Any, **query: Any) -> httpx.Response:
        return await self.client.put(path, json=body, params=query)

    async def patch(self, path: str, body: Any, kind: str = MERGE, **query: Any) -> httpx.Response:
        return await self.client.patch(path, content=json.dumps(body), headers={"Content-Type": kind}, params=query)

    async def apply(self, path: str, body: Any, manager: str = "me", **query: Any) -> httpx.Response:
        return await self.patch(path, body, APPLY, fieldManager=manager, **query)

    async def delete(self, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return await self.client.request("DELETE", path, json=body, params=query)

    @asynccontextmanager
    async def watch(self, path: str, **query: Any) -> AsyncIterator[AsyncIterator[Object]]:
        """The events of a watch."""
        async with self.client.stream("GET", path, params={"watch": "1", **query}) as response:
            assert response.status_code == 200, await response.aread()

            async def events() -> AsyncIterator[Object]:
                async for line in response.aiter_lines():
                    if line:
                        yield json.loads(line)

            yield events()


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


class Kubectl:
    """The real kubectl, with a home of its own and a kubeconfig of ours."""

    def __init__(self, directory: Path, kubeconfig: Callable[[str], Path], user: str = "admin") -> None:
        self._directory = directory
        self._kubeconfig = kubeconfig
        self._user = user

    def as_(self, user: str) -> Kubectl:
        return Kubectl(self._directory, self._kubeconfig, user)

    def file(self, name: str, *objects: Object) -> str:
        """The path of a file with these objects."""
        path = self._directory / name
        path.write_text("\n---\n".join(json.dumps(one) for one in objects))
        return str(path)

    async def run(self, *arguments: str, stdin: str = "", editor: str = "") -> Ran:
        process = await self.start(*arguments, editor=editor)
        async with asyncio.timeout(30):
            out, err = await process.communicate(stdin.encode())
        return Ran(process.returncode or 0, out.decode(), err.decode())

    async def __call__(self, *arguments: str, stdin: str = "", editor: str = "") -> str:
        """What it printed; fails the test where it fails."""
        ran = await self.run(*arguments, stdin=stdin, editor=editor)
        assert ran.code == 0, f"kubectl {' '.join(arguments)}: {ran.err}{ran.out}"
        return ran.out

    async def start(self, *arguments: str, editor: str = "") -> asyncio.subprocess.Process:
        home = self._directory / "kubectl-home"
        home.mkdir(exist_ok=True)
        return await asyncio.create_subprocess_exec(
            str(Path(sys.prefix) / "bin" / "kubectl"),
            f"--kubeconfig={self._kubeconfig(self._user)}",
            *arguments,
            env={"HOME": str(home), "PATH": os.environ["PATH"], "TMPDIR": str(self._directory), "EDITOR": editor},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
