"""The switches with which others test what they do when a cluster misbehaves."""

from __future__ import annotations

import asyncio

from console.local.kube import KubeServer
from tests.service.kube.driving import ROUTES, SECRETS, Http, route, secret
from tests.support.waiting import until


async def test_answers_can_be_delayed(http: Http, server: KubeServer) -> None:
    server.faults.delay_seconds = 0.2
    loop = asyncio.get_running_loop()
    before = loop.time()
    await http.get(ROUTES)
    assert loop.time() - before >= 0.2
    server.faults.clear()
    assert (await http.get(ROUTES)).status_code == 200


async def test_the_next_writes_can_fail(http: Http, server: KubeServer) -> None:
    server.faults.fail_next_writes(2, status=409, resource="secrets")
    assert (await http.post(ROUTES, route())).status_code == 201
    assert [(await http.post(SECRETS, secret())).status_code for _ in range(3)] == [409, 409, 201]
    assert (await http.get(f"{SECRETS}/s")).status_code == 200


async def test_an_answer_can_be_lost(http: Http, server: KubeServer) -> None:
    server.faults.fail_next_writes(1, status=503, after_commit=True)
    answer = await http.post(SECRETS, secret())
    assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")
    assert (await http.get(f"{SECRETS}/s")).status_code == 200


async def test_watches_can_be_dropped(http: Http, server: KubeServer) -> None:
    async with http.watch(ROUTES) as events:
        await until(lambda: server.watches == 1)
        server.drop_watches()
        async with asyncio.timeout(60):
            assert [one async for one in events] == []
