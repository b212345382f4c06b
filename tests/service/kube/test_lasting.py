"""What lasts: restarts, a killed process, a second server; and how a start fails."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from pathlib import Path

import httpx
import pytest

from console.local.kube import ADMIN, KubeServer
from console.outcome import Failure, Refusal
from tests.service.kube.driving import ROUTES, SECRETS, Http, namespace, route, secret
from tests.support.waiting import until


async def test_a_restart_keeps_everything(http: Http, server: KubeServer) -> None:
    made = (await http.post(ROUTES, route())).json()
    version = server.resource_version
    await http.delete(f"{ROUTES}/r")
    await http.post(ROUTES, {**route(), "spec": {}})
    before = (await http.get(ROUTES)).json()
    await server.stop()
    await server.start()
    assert (await http.get(ROUTES)).json() == before
    async with http.watch(ROUTES, resourceVersion=str(version)) as events:
        assert (await anext(events))["type"] == "DELETED"
    new = (await http.post(SECRETS, secret())).json()
    assert int(new["metadata"]["resourceVersion"]) == int(before["metadata"]["resourceVersion"]) + 1
    assert made["metadata"]["uid"] != before["items"][0]["metadata"]["uid"]


async def test_versions_never_go_back_even_when_all_is_gone(http: Http, server: KubeServer) -> None:
    await http.post(SECRETS, secret())
    await http.delete(f"{SECRETS}/s")
    version = server.resource_version
    await server.compact()
    await server.stop()
    await server.start()
    assert server.resource_version == version


SERVE = """
import asyncio, sys
from pathlib import Path
from console.local.kube import ADMIN, KubeServer
async def main():
    server = KubeServer(Path(sys.argv[1]), tokens={"t": ADMIN})
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_a_killed_server_loses_no_acknowledged_write(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    acknowledged: set[str] = set()

    async def write(http: Http, number: int) -> None:
        with contextlib.suppress(httpx.TransportError):
            if (await http.post(SECRETS, secret(f"s{number}"))).status_code == 201:
                acknowledged.add(f"s{number}")

    async with Http(url, "t") as http:
        await http.post("/api/v1/namespaces", namespace("acme"))
        writes = [asyncio.create_task(write(http, number)) for number in range(300)]
        await until(lambda: len(acknowledged) >= 50)
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.gather(*writes)
    await process.wait()
    server = KubeServer(path, tokens={"t": ADMIN})
    await server.start()
    async with Http(server.url, "t") as http:
        kept = {one["metadata"]["name"] for one in (await http.get(SECRETS)).json()["items"]}
    await server.stop()
    assert len(acknowledged) >= 50
    assert acknowledged <= kept


async def test_signals_are_left_to_the_program(tmp_path: Path) -> None:
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(one) for one in watched]
    server = KubeServer(tmp_path / "objects.db", tokens={})
    await server.start()
    assert [signal.getsignal(one) for one in watched] == before
    await server.stop()
    assert [signal.getsignal(one) for one in watched] == before


# --- starts that fail ------------------------------------------------------------------------------------------


async def test_a_port_in_use(server: KubeServer, tmp_path: Path) -> None:
    other = KubeServer(tmp_path / "other.db", port=server.port, tokens={})
    with pytest.raises(Refusal, match=f"cannot listen on 127.0.0.1:{server.port}") as caught:
        await other.start()
    assert caught.value.code == "KUBE_PORT_IN_USE"
    assert not (tmp_path / "other.db").exists()


async def test_a_file_in_use(server: KubeServer, tmp_path: Path) -> None:
    other = KubeServer(tmp_path / "kube" / "objects.db", tokens={})
    with pytest.raises(Refusal, match="in use by another process") as caught:
        await other.start()
    assert caught.value.code == "KUBE_DATABASE_IN_USE"
    assert server.running


async def test_no_right_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    other = KubeServer(tmp_path / "file" / "objects.db", tokens={})
    with pytest.raises(Refusal, match="cannot be opened") as caught:
        await other.start()
    assert caught.value.then


@pytest.mark.parametrize("damage", ["text", "torn", "future"])
async def test_a_damaged_file_is_left_as_it_is(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "objects.db"
    if damage == "text":
        path.write_bytes(b"this is no database " * 400)
    else:
        server = KubeServer(path, tokens={})
        await server.start()
        await server.stop()
        if damage == "torn":
            content = bytearray(path.read_bytes())
            content[4096:12288] = b"\xff" * 8192
            path.write_bytes(content)
        else:
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE meta SET value = '99' WHERE name = 'format'")
            connection.close()
    before = path.read_bytes()
    with pytest.raises(Failure, match="cannot be read") as caught:
        await KubeServer(path, tokens={}).start()
    assert caught.value.code == "KUBE_DATABASE_DAMAGED"
    assert path.read_bytes() == before


async def test_a_stop_does_not_wait_for_requests_that_never_end(
    server: KubeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.local.kube.server._STOP_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = f"POST {SECRETS} HTTP/1.1\r\nAuthorization: Bearer admin-token\r\nContent-Length: 99\r\n\r\n"
    writer.write(head.encode())
    async with Http(server.url, "admin-token") as http:
        server.faults.delay_seconds = 600
        waiting = asyncio.create_task(http.get(ROUTES))
        await until(lambda: len(server._server.server_state.tasks) == 2)
        async with asyncio.timeout(60):
            await server.stop()
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            with pytest.raises(httpx.TransportError):
                await waiting
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


async def test_a_stopped_server_says_so(server: KubeServer) -> None:
    await server.stop()
    assert not server.running
    with pytest.raises(Failure, match="not running"):
        await server.compact()
    await server.stop()
    await server.start()
    assert server.running
