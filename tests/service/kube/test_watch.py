"""Watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from console.local.kube import KubeServer
from tests.service.kube.driving import ROUTES, SECRETS, TOKENS, Http, Object, namespace, route, secret
from tests.support.waiting import until


async def following(events: AsyncIterator[Object], count: int) -> list[tuple[str, str]]:
    """The next events: type and name."""
    found = []
    async with asyncio.timeout(60):
        while len(found) < count:
            event = await anext(events)
            found.append((event["type"], event["object"]["metadata"].get("name", "")))
    return found


async def test_a_watch_begins_with_what_is_there(http: Http) -> None:
    await http.post(ROUTES, route("a"))
    async with http.watch(ROUTES) as events:
        assert await following(events, 1) == [("ADDED", "a")]
        await http.post(ROUTES, route("b"))
        await http.patch(f"{ROUTES}/a", {"spec": {"hostnames": []}})
        await http.delete(f"{ROUTES}/a")
        assert await following(events, 3) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_watch_continues_from_a_version(http: Http) -> None:
    await http.post(ROUTES, route("a"))
    version = (await http.get(ROUTES)).json()["metadata"]["resourceVersion"]
    await http.post(ROUTES, route("b"))
    await http.delete(f"{ROUTES}/a")
    async with http.watch(ROUTES, resourceVersion=version) as events:
        assert await following(events, 2) == [("ADDED", "b"), ("DELETED", "a")]


async def test_a_deletion_carries_the_last_state_and_a_new_version(http: Http) -> None:
    made = (await http.post(ROUTES, route("a"))).json()
    async with http.watch(ROUTES, resourceVersion=made["metadata"]["resourceVersion"]) as events:
        await http.delete(f"{ROUTES}/a")
        event = await anext(events)
    assert event["object"]["spec"] == made["spec"]
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


async def test_a_selection_is_entered_and_left(http: Http) -> None:
    version = (await http.get(ROUTES)).json()["metadata"]["resourceVersion"]
    await http.post(ROUTES, route("a"))
    async with http.watch(ROUTES, labelSelector="on=yes", resourceVersion=version) as live:
        await http.patch(f"{ROUTES}/a", {"metadata": {"labels": {"on": "yes"}}})
        await http.patch(f"{ROUTES}/a", {"spec": {}, "metadata": {"labels": {"more": "x"}}})
        await http.patch(f"{ROUTES}/a", {"metadata": {"labels": {"on": "no"}}})
        await http.patch(f"{ROUTES}/a", {"metadata": {"labels": {"on": "still no"[:5]}}})
        expected = [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
        assert await following(live, 3) == expected
    async with http.watch(ROUTES, labelSelector="on=yes", resourceVersion=version) as again:
        assert await following(again, 3) == expected


async def test_other_namespaces_kinds_and_names_are_not_told(http: Http) -> None:
    await http.post("/api/v1/namespaces", namespace("other"))
    async with http.watch(ROUTES, fieldSelector="metadata.name=mine") as events:
        await http.post(ROUTES.replace("acme", "other"), route("mine"))
        await http.post(SECRETS, secret("mine"))
        await http.post(ROUTES, route("yours"))
        await http.post(ROUTES, route("mine"))
        assert await following(events, 1) == [("ADDED", "mine")]
    async with http.watch(ROUTES.replace("/namespaces/acme", "")) as everywhere:
        assert len(await following(everywhere, 3)) == 3


async def test_a_compacted_version_is_gone(http: Http, server: KubeServer) -> None:
    await http.post(ROUTES, route("a"))
    version = (await http.get(ROUTES)).json()["metadata"]["resourceVersion"]
    await http.post(ROUTES, route("b"))
    await server.compact()
    async with http.watch(ROUTES, resourceVersion=version) as events:
        event = await anext(events)
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert [one async for one in events] == []


async def test_a_version_that_is_not_yet_there(http: Http) -> None:
    answer = await http.get(ROUTES, watch="true", resourceVersion="99999")
    assert (answer.status_code, answer.json()["reason"]) == (504, "Timeout")


async def test_old_history_is_forgotten(tmp_path: Path) -> None:
    server = KubeServer(tmp_path / "objects.db", tokens=TOKENS, history=10)
    await server.start()
    async with Http(server.url, "admin-token") as http:
        await http.post("/api/v1/namespaces", namespace("acme"))
        await http.post(ROUTES, route("a"))
        for number in range(300):
            await http.patch(f"{ROUTES}/a", {"metadata": {"labels": {"n": str(number)}}})
        async with http.watch(ROUTES, resourceVersion="3") as events:
            assert (await anext(events))["object"]["code"] == 410
        async with http.watch(ROUTES, resourceVersion=str(server.resource_version - 5)) as events:
            assert len(await following(events, 5)) == 5
    await server.stop()


async def test_bookmarks(http: Http, server: KubeServer) -> None:
    async with http.watch(ROUTES, allowWatchBookmarks="true", resourceVersion=str(server.resource_version)) as events:
        await http.post(SECRETS, secret())
        async with asyncio.timeout(60):
            event = await anext(events)
            while event["object"]["metadata"]["resourceVersion"] != str(server.resource_version):
                event = await anext(events)
    assert event["type"] == "BOOKMARK"
    assert event["object"]["kind"] == "HTTPRoute"


async def test_initial_events_end_with_a_bookmark(http: Http) -> None:
    await http.post(ROUTES, route("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with http.watch(ROUTES, **query) as events:
        assert await following(events, 1) == [("ADDED", "a")]
        bookmark = await anext(events)
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (await http.get(ROUTES, watch="true", sendInitialEvents="true")).status_code == 422


async def test_a_watch_ends_in_time(http: Http) -> None:
    async with asyncio.timeout(60), http.watch(ROUTES, timeoutSeconds="1") as events:
        assert [one async for one in events] == []


async def test_a_watch_ends_with_the_server(http: Http, server: KubeServer) -> None:
    async with http.watch(ROUTES) as events:
        ending = asyncio.ensure_future(anext(events, None))
        await until(lambda: server.watches == 1)
        async with asyncio.timeout(60):
            await server.stop()
            assert await ending is None
    assert server.watches == 0
    await server.start()


async def test_a_client_that_leaves_leaves_nothing(http: Http, server: KubeServer) -> None:
    async with http.watch(ROUTES):
        await until(lambda: server.watches == 1)
    await until(lambda: server.watches == 0)


async def test_every_watch_sees_every_change_once_and_in_order(http: Http, server: KubeServer) -> None:
    version = str(server.resource_version)

    async def watched(start: asyncio.Event) -> list[int]:
        versions: list[int] = []
        async with http.watch(ROUTES, resourceVersion=version) as events:
            start.set()
            async for event in events:
                versions.append(int(event["object"]["metadata"]["resourceVersion"]))
                if len(versions) == 60:
                    return versions
        return versions

    starts = [asyncio.Event() for _ in range(5)]
    watches = []
    for number in range(60):
        if number % 12 == 0:
            start = starts[number // 12]
            watches.append(asyncio.create_task(watched(start)))
            await start.wait()
        await http.post(ROUTES, route(f"r{number}"))
    async with asyncio.timeout(60):
        seen = await asyncio.gather(*watches)
    assert all(one == sorted(set(one)) for one in seen)
    assert all(one == seen[0] for one in seen)


async def test_a_table_is_watched_row_by_row(http: Http) -> None:
    await http.post(ROUTES, route("a"))
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    http.client.headers.update(headers)
    async with http.watch(ROUTES) as events:
        first = await anext(events)
        await http.post(ROUTES, route("b"))
        second = await anext(events)
    assert first["object"]["kind"] == "Table"
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "b"
