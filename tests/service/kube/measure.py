"""How fast the local Kubernetes API is: `python -m tests.service.kube.measure`. Prints; fails nothing."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from console.guard import system_permit
from console.k8s.cluster import Cluster
from console.k8s.types import AI_GATEWAY_ROUTE, Object, Ref
from console.local.kube import ADMIN, KubeServer, write_kubeconfig
from tests.service.kube.driving import Http, namespace, published

PERMIT = system_permit("measure")


def route(name: str, host: str = "a.example.com") -> Object:
    match = {"headers": [{"type": "Exact", "name": "x-ai-eg-model", "value": "m"}]}
    return {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": name, "namespace": "acme", "labels": {"a": "b"}},
        "spec": {
            "hostnames": [host],
            "parentRefs": [{"name": "gw", "kind": "Gateway", "group": "gateway.networking.k8s.io"}],
            "rules": [{"matches": [match], "backendRefs": [{"name": "b"}]}],
        },
    }


async def measured(what: str, times: int, call: Callable[[int], Awaitable[object]]) -> None:
    passed = []
    for number in range(times):
        before = time.perf_counter()
        await call(number)
        passed.append((time.perf_counter() - before) * 1000)
    print(f"  {what}: p50 {statistics.median(passed):.2f} ms, worst of {times} {max(passed):.1f} ms")


async def measure(directory: Path, definitions: list[Object]) -> None:
    server = KubeServer(directory / "objects.db", tokens={"t": ADMIN})
    await server.start()
    write_kubeconfig(directory / "config", server=server.url, token="t", user="admin")
    cluster = await Cluster.connect(kubeconfig=directory / "config")
    if definitions:
        before = time.perf_counter()
        for one in definitions:
            await server.install_crd(one)
        print(f"  {len(definitions)} definitions installed in {time.perf_counter() - before:.2f} s")
    async with Http(server.url, "t") as http:
        await http.post("/api/v1/namespaces", namespace("acme"))
        ref = Ref(AI_GATEWAY_ROUTE, "r1", "acme")
        await measured("apply, creating", 1000, lambda number: cluster.apply(PERMIT, route(f"r{number}")))
        await measured("apply, changing", 200, lambda number: cluster.apply(PERMIT, route("r1", f"h{number}")))
        await measured("apply, unchanged", 200, lambda _number: cluster.apply(PERMIT, route("r2")))
        await measured("get", 200, lambda _number: cluster.get(ref))
        path = AI_GATEWAY_ROUTE.path()
        await measured("list of 1,000, as bytes", 10, lambda _number: http.get(path))
        await measured("list of 1,000, as objects in pages", 10, lambda _number: cluster.list(AI_GATEWAY_ROUTE))
    await cluster.close()
    await server.stop()
    before = time.perf_counter()
    await server.start()
    print(f"  started again in {(time.perf_counter() - before) * 1000:.0f} ms")
    await server.stop()


def main() -> None:
    for title, definitions in (("without definitions", []), ("with the published definitions", published())):
        print(title)
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(measure(Path(directory), definitions))


if __name__ == "__main__":
    main()
