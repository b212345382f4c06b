"""console.k8s against the server: every call, every way in which one fails."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console.guard import Danger, Guard, Permit, Policy, Principal, Role, system_permit
from console.k8s.cluster import Cluster
from console.k8s.errors import Conflict, Forbidden, Invalid, KubeError, Missing, NotServed
from console.k8s.types import (
    AI_GATEWAY_ROUTE,
    DEFINITION,
    GATEWAY,
    HTTP_ROUTE,
    NAMESPACE,
    SECRET,
    Change,
    Conflicting,
    Kind,
    Object,
    Ref,
)
from console.local.kube import KubeServer, write_kubeconfig
from console.outcome import Refusal, TimedOut, Unavailable
from tests.service.kube.driving import ROUTES, TOKENS, Http, route
from tests.support.waiting import until

PERMIT = system_permit("test")
ROUTE = Ref(HTTP_ROUTE, "r", "acme")


def manifest(name: str = "r", **metadata: Any) -> Object:
    return route(name, namespace="acme", **metadata)


async def as_(user: str, server: KubeServer, tmp_path: Path, **more: Any) -> Cluster:
    path = tmp_path / f"{user}.config"
    write_kubeconfig(path, server=server.url, token=f"{user}-token", user=user)
    return await Cluster.connect(kubeconfig=path, **more)


@pytest.fixture
async def viewer(server: KubeServer, tmp_path: Path) -> AsyncIterator[Cluster]:
    made = await as_("viewer", server, tmp_path)
    yield made
    await made.close()


# --- asking ----------------------------------------------------------------------------------------------------


async def test_who_and_what(cluster: Cluster, viewer: Cluster) -> None:
    assert (await cluster.version()).startswith("v1.")
    assert (await cluster.who(), await viewer.who()) == ("admin", "viewer")
    assert await viewer.may("list", SECRET, "acme") is False
    assert await viewer.may("list", HTTP_ROUTE, None) is True
    assert await viewer.may("patch", HTTP_ROUTE, "acme", "r", subresource="status") is False


async def test_the_version_that_is_served(cluster: Cluster) -> None:
    assert await cluster.serves(AI_GATEWAY_ROUTE) == AI_GATEWAY_ROUTE
    assert await cluster.serves(SECRET) == SECRET
    assert await cluster.serves(Kind("none.example.com", "v1", "things", "Thing")) is None
    assert await cluster.serves(Kind("gateway.networking.k8s.io", "v1", "grpcroutes", "GRPCRoute")) is None
    assert await cluster.serves(GATEWAY.at("v2")) == GATEWAY


async def test_an_older_ai_gateway_is_written_to_in_its_own_version(cluster: Cluster) -> None:
    """Where only v1alpha1 is served, that is written (gateway.md §1.0)."""
    await cluster.apply(PERMIT, definition("aigateway.envoyproxy.io", "AIGatewayRoute", "aigatewayroutes", "v1alpha1"))
    body = {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": "r", "namespace": "acme"},
        "spec": {},
    }
    made = await cluster.apply(PERMIT, body)
    assert made["apiVersion"] == "aigateway.envoyproxy.io/v1alpha1"
    found = await cluster.get(Ref(AI_GATEWAY_ROUTE, "r", "acme"))
    assert found is not None
    assert await cluster.delete(PERMIT, Ref(AI_GATEWAY_ROUTE, "r", "acme"))


def definition(group: str, kind: str, plural: str, *versions: str) -> Object:
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {"name": name, "served": True, "storage": name == versions[0], "schema": {"openAPIV3Schema": schema}}
                for name in versions
            ],
        },
    }


async def test_a_kind_that_is_not_served(cluster: Cluster) -> None:
    kind = Kind("none.example.com", "v1", "things", "Thing")
    assert await cluster.get(Ref(kind, "x", "acme")) is None
    assert await cluster.delete(PERMIT, Ref(kind, "x", "acme")) is False
    with pytest.raises(NotServed, match="does not serve Thing"):
        await cluster.list(kind)
    with pytest.raises(NotServed):
        await anext(cluster.watch(kind))


# --- writing ---------------------------------------------------------------------------------------------------


async def test_an_apply_says_on_the_wire_what_it_is(unused_tcp_port_factory: Any, tmp_path: Path) -> None:
    """The dynamic client drops fieldValidation silently: so the query string itself is looked at."""
    lines: list[str] = []
    bodies: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                request, *headers = head.decode().split("\r\n")
                lines.append(request)
                lines.extend(one for one in headers if one.lower().startswith("content-type"))
                length = next(
                    (int(one.split(":")[1]) for one in headers if one.lower().startswith("content-length")), 0
                )
                bodies.append(await reader.readexactly(length))
                writer.write(
                    b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"made":true}'
                )
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = tmp_path / "config"
    write_kubeconfig(path, server=f"http://127.0.0.1:{port}", token="t", user="u")
    cluster = await Cluster.connect(kubeconfig=path)
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "acme"}}
    assert await cluster.apply(PERMIT, body) == {"made": True}
    await cluster.apply(PERMIT, body, force=True, dry_run=True, uid="u-1")
    await cluster.close()
    server.close()
    await server.wait_closed()
    path_line = "PATCH /api/v1/namespaces/acme/secrets/s?fieldManager=modeldeck&fieldValidation=Strict"
    assert lines == [
        f"{path_line} HTTP/1.1",
        "Content-Type: application/apply-patch+yaml",
        f"{path_line}&dryRun=All&force=true HTTP/1.1",
        "Content-Type: application/apply-patch+yaml",
    ]
    assert b'"uid": "u-1"' in bodies[1]


async def test_apply_creates_changes_and_proves(cluster: Cluster, server: KubeServer) -> None:
    made = await cluster.apply(PERMIT, manifest())
    assert made["metadata"]["managedFields"][0]["manager"] == "modeldeck"
    would = await cluster.apply(PERMIT, {**manifest(), "spec": {}}, dry_run=True)
    assert "parentRefs" not in would["spec"]
    assert await cluster.get(ROUTE) == made
    assert (await cluster.apply(PERMIT, manifest()))["metadata"]["resourceVersion"] == made["metadata"][
        "resourceVersion"
    ]


async def test_a_conflict_names_who_and_what(cluster: Cluster, http: Http) -> None:
    await cluster.apply(PERMIT, manifest())
    await http.patch(f"{ROUTES}/r", {"spec": {"hostnames": ["theirs"]}}, fieldManager="kubectl-edit")
    with pytest.raises(Conflict) as caught:
        await cluster.apply(PERMIT, manifest())
    assert caught.value.conflicts == (Conflicting("kubectl-edit", ".spec.hostnames"),)
    assert "AIGatewayRoute" not in str(caught.value)
    assert "HTTPRoute acme/r" in str(caught.value)
    assert (await cluster.apply(PERMIT, manifest(), force=True))["spec"]["hostnames"] == ["a.example.com"]


async def test_a_uid_guards_an_apply(cluster: Cluster) -> None:
    made = await cluster.apply(PERMIT, manifest())
    uid = made["metadata"]["uid"]
    await cluster.apply(PERMIT, manifest(), uid=uid)
    await cluster.delete(PERMIT, ROUTE)
    with pytest.raises(Conflict, match="uid mismatch"):
        await cluster.apply(PERMIT, manifest(), uid=uid)
    assert await cluster.get(ROUTE) is None
    await cluster.apply(PERMIT, manifest())
    with pytest.raises(Conflict):
        await cluster.apply(PERMIT, manifest(), uid=uid)


async def test_what_the_cluster_refuses(cluster: Cluster, viewer: Cluster) -> None:
    bad = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "acme"}, "spam": 1}
    with pytest.raises(Invalid, match='unknown field "spam"'):
        await cluster.apply(PERMIT, bad)
    with pytest.raises(Invalid) as invalid:
        await cluster.apply(PERMIT, manifest(labels={"a b": "c"}))
    assert invalid.value.causes[0].field == "metadata.labels"
    with pytest.raises(Forbidden, match='User "viewer" cannot patch'):
        await viewer.apply(PERMIT, manifest())
    with pytest.raises(Missing, match='namespaces "nowhere" not found'):
        await cluster.apply(PERMIT, route("r", namespace="nowhere"))
    with pytest.raises(Missing):
        await cluster.apply_status(PERMIT, {**manifest("none"), "status": {}})
    assert await cluster.get(ROUTE) is None


async def test_a_permit_for_one_tenant_reaches_no_other(cluster: Cluster) -> None:
    class Demand:
        id = "test"
        role = Role.PUBLISHER
        danger = Danger.WRITE

    principal = Principal("p", Role.PUBLISHER, frozenset({"other"}))
    permit = await Guard(Policy()).permit(Demand(), principal, tenant="other")
    for call in (
        cluster.apply(permit, manifest()),
        cluster.create(permit, manifest()),
        cluster.delete(permit, ROUTE),
        cluster.patch(permit, ROUTE, {}),
        cluster.patch_status(permit, ROUTE, {}),
        cluster.replace_status(permit, manifest()),
    ):
        with pytest.raises(Refusal, match="not for acme") as caught:
            await call
        assert caught.value.code == "TENANT_FORBIDDEN"


async def test_status_calls(cluster: Cluster) -> None:
    await cluster.apply(PERMIT, manifest())
    await cluster.patch_status(PERMIT, ROUTE, {"parents": [{"a": 1}], "x": 1})
    patched = await cluster.patch_status(PERMIT, ROUTE, {"x": None})
    assert patched["status"] == {"parents": [{"a": 1}]}
    replaced = await cluster.replace_status(PERMIT, {**patched, "status": {"parents": []}})
    assert replaced["status"] == {"parents": []}
    with pytest.raises(Conflict):
        await cluster.replace_status(PERMIT, {**patched, "status": {}})
    applied = await cluster.apply_status(PERMIT, {**manifest(), "status": {"parents": [{"b": 1}]}})
    assert applied["status"] == {"parents": [{"b": 1}]}


async def test_a_uid_guards_a_status(cluster: Cluster, server: KubeServer) -> None:
    uid = (await cluster.apply(PERMIT, manifest()))["metadata"]["uid"]
    server.faults.fail_next_writes(2, status=409)
    assert (await cluster.patch_status(PERMIT, ROUTE, {"x": 1}, uid=uid))["status"] == {"x": 1}
    server.faults.fail_next_writes(5, status=409)
    with pytest.raises(Conflict):
        await cluster.patch_status(PERMIT, ROUTE, {"x": 2}, uid=uid)
    await cluster.delete(PERMIT, ROUTE)
    with pytest.raises(Missing):
        await cluster.patch_status(PERMIT, ROUTE, {"x": 3}, uid=uid)
    await cluster.apply(PERMIT, manifest())
    with pytest.raises(Conflict, match="made again"):
        await cluster.patch_status(PERMIT, ROUTE, {"x": 4}, uid=uid)


async def test_create_and_patch(cluster: Cluster) -> None:
    body = manifest()
    body["metadata"] = {"generateName": "gen-", "namespace": "acme"}
    made = await cluster.create(PERMIT, body)
    assert made["metadata"]["name"].startswith("gen-")
    await cluster.create(PERMIT, manifest(), dry_run=True)
    await cluster.create(PERMIT, manifest())
    with pytest.raises(Conflict, match="already exists"):
        await cluster.create(PERMIT, manifest())
    patched = await cluster.patch(PERMIT, ROUTE, {"metadata": {"finalizers": ["example.com/a"]}})
    assert patched["metadata"]["finalizers"] == ["example.com/a"]


# --- deleting --------------------------------------------------------------------------------------------------


async def test_delete_says_whether_it_was_there(cluster: Cluster) -> None:
    assert await cluster.delete(PERMIT, ROUTE) is False
    made = await cluster.apply(PERMIT, manifest())
    assert await cluster.delete(PERMIT, ROUTE, dry_run=True, wait=1) is True
    with pytest.raises(Conflict, match="UID in the precondition"):
        await cluster.delete(PERMIT, ROUTE, uid="another")
    with pytest.raises(Conflict):
        await cluster.delete(PERMIT, ROUTE, resource_version="1")
    assert await cluster.delete(PERMIT, ROUTE, uid=made["metadata"]["uid"], wait=1) is True
    assert await cluster.get(ROUTE) is None


async def marked(cluster: Cluster) -> bool:
    found = await cluster.get(ROUTE)
    return found is not None and "deletionTimestamp" in found["metadata"]


async def test_delete_waits_for_finalizers(cluster: Cluster) -> None:
    await cluster.apply(PERMIT, manifest(finalizers=["example.com/a"]))
    waiting = asyncio.create_task(cluster.delete(PERMIT, ROUTE, wait=10))
    await until(lambda: marked(cluster))
    with pytest.raises(TimedOut, match=re.escape("marked for deletion but still there after 0.1 s: example.com/a")):
        await cluster.delete(PERMIT, ROUTE, wait=0.1)
    await cluster.patch(PERMIT, ROUTE, {"metadata": {"finalizers": None}})
    assert await waiting is True


async def test_another_object_of_the_name_counts_as_gone(cluster: Cluster) -> None:
    await cluster.apply(PERMIT, manifest(finalizers=["example.com/a"]))
    waiting = asyncio.create_task(cluster.delete(PERMIT, ROUTE, wait=10))

    await until(lambda: marked(cluster))
    await cluster.patch(PERMIT, ROUTE, {"metadata": {"finalizers": None}})
    await cluster.apply(PERMIT, manifest())
    assert await waiting is True


# --- listing and watching --------------------------------------------------------------------------------------


async def test_a_list_is_read_page_by_page(
    cluster: Cluster, server: KubeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.k8s.cluster._PAGE", 3)
    for number in range(8):
        await cluster.apply(PERMIT, manifest(f"r{number}", labels={"odd": str(number % 2)}))
    found, version = await cluster.list(HTTP_ROUTE, namespace="acme")
    assert [one["metadata"]["name"] for one in found] == [f"r{number}" for number in range(8)]
    assert version == str(server.resource_version)
    assert len((await cluster.list(HTTP_ROUTE, labels="odd=1"))[0]) == 4
    assert len((await cluster.list(HTTP_ROUTE, fields="metadata.name=r1"))[0]) == 1
    assert {one["kind"] for one in (await cluster.list(NAMESPACE))[0]} == {"Namespace"}


class Watching:
    """A watch in the background, and what it told."""

    def __init__(self, cluster: Cluster, **more: Any) -> None:
        self.told: list[tuple[str, str]] = []
        self.changes = cluster.watch(HTTP_ROUTE, **more)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for change in self.changes:
            self.told.append(named(change))

    async def until(self, *expected: tuple[str, str]) -> None:
        await until(lambda: self.told[-len(expected) :] == list(expected), what=f"{expected} in {self.told}")

    async def __aenter__(self) -> Watching:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def named(change: Change) -> tuple[str, str]:
    return change.type, change.object["metadata"]["name"] if change.object else ""


async def test_a_watch_tells_what_is_there_then_what_happens(cluster: Cluster) -> None:
    await cluster.apply(PERMIT, manifest("a"))
    async with Watching(cluster, namespace="acme") as watching:
        await watching.until(("added", "a"), ("synced", ""))
        await cluster.apply(PERMIT, manifest("b"))
        await cluster.apply(PERMIT, manifest("a", labels={"x": "y"}))
        await cluster.delete(PERMIT, Ref(HTTP_ROUTE, "b", "acme"))
        await watching.until(("added", "b"), ("modified", "a"), ("deleted", "b"))


async def test_a_watch_survives_lost_lines_and_a_restart(cluster: Cluster, server: KubeServer) -> None:
    async with Watching(cluster) as watching:
        await watching.until(("synced", ""))
        for number in range(3):
            await until(lambda: server.watches == 1)
            server.drop_watches()
            await cluster.apply(PERMIT, manifest(f"r{number}"))
            await watching.until(("added", f"r{number}"))
        await server.stop()
        await server.start()
        await cluster.apply(PERMIT, manifest("after"))
        await watching.until(("added", "after"))
    assert [one for one in watching.told if one[0] == "synced"] == [("synced", "")]
    assert len(watching.told) == len(set(watching.told))


async def test_a_watch_that_is_too_late_lists_again_and_tells_the_difference(
    cluster: Cluster, server: KubeServer
) -> None:
    for name in ("stays", "goes", "changes", "again"):
        await cluster.apply(PERMIT, manifest(name))
    async with Watching(cluster) as watching:
        await watching.until(("synced", ""))
        server.faults.delay_seconds = 0.3  # the watch comes back late
        server.drop_watches()
        await until(lambda: server.watches == 0)
        server.faults.delay_seconds = 0
        async with Http(server.url, "admin-token") as http:
            await http.delete(f"{ROUTES}/goes")
            await http.delete(f"{ROUTES}/again")
            await http.post(ROUTES, route("again"))
            await http.patch(f"{ROUTES}/changes", {"spec": {"hostnames": []}})
            await http.post(ROUTES, route("comes"))
        await server.compact()
        expected = {
            ("deleted", "goes"),
            ("deleted", "again"),
            ("added", "again"),
            ("modified", "changes"),
            ("added", "comes"),
        }
        await until(lambda: set(watching.told[5:]) == expected, what=str(watching.told))
    assert len(watching.told[5:]) == 5


async def test_a_watch_is_closed_cleanly(cluster: Cluster, server: KubeServer) -> None:
    changes = cluster.watch(HTTP_ROUTE)
    assert named(await anext(changes)) == ("synced", "")
    pending = asyncio.ensure_future(anext(changes))
    await until(lambda: server.watches == 1)
    pending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pending
    await until(lambda: server.watches == 0)


async def test_a_watch_without_the_right_fails_at_once(viewer: Cluster) -> None:
    with pytest.raises(Forbidden):
        await anext(viewer.watch(SECRET, namespace="acme"))


# --- clusters that misbehave -----------------------------------------------------------------------------------


async def test_an_api_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "config"
    write_kubeconfig(path, server=f"http://127.0.0.1:{port}", token="a-secret-token", user="u")
    cluster = await Cluster.connect(kubeconfig=path)
    with pytest.raises(Unavailable, match=f":{port} cannot be reached to .*: Connection refused$") as caught:
        await cluster.get(ROUTE)
    assert caught.value.code == "KUBE_UNREACHABLE"
    assert "a-secret-token" not in str(caught.value) + repr(caught.value) + repr(cluster)
    await cluster.close()


async def test_an_api_that_does_not_answer(server: KubeServer, tmp_path: Path) -> None:
    cluster = await as_("admin", server, tmp_path, timeout=0.2)
    server.faults.delay_seconds = 1
    with pytest.raises(TimedOut, match=re.escape("did not answer within 0.2 s")):
        await cluster.get(Ref(SECRET, "s", "acme"))
    server.faults.clear()
    assert await cluster.get(Ref(SECRET, "s", "acme")) is None
    await cluster.close()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", KubeError),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", KubeError),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{", Unavailable),
        (b"SPAM", Unavailable),
        (b"", Unavailable),
    ],
)
async def test_answers_that_are_none(tmp_path: Path, reply: bytes, error: type[Exception]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    path = tmp_path / "config"
    write_kubeconfig(path, server=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", token="t", user="u")
    cluster = await Cluster.connect(kubeconfig=path, timeout=2)
    with pytest.raises(error):
        await cluster.version()
    await cluster.close()
    server.close()
    await server.wait_closed()


async def test_credentials_that_are_not_accepted(server: KubeServer, tmp_path: Path) -> None:
    path = tmp_path / "config"
    write_kubeconfig(path, server=server.url, token="wrong", user="u")
    cluster = await Cluster.connect(kubeconfig=path)
    with pytest.raises(Forbidden, match="does not accept the credentials") as caught:
        await cluster.get(ROUTE)
    assert caught.value.code == "KUBE_UNAUTHENTICATED"
    write_kubeconfig(path, server=server.url, token="admin-token", user="u")
    assert await cluster.get(ROUTE) is None  # read again when it was refused
    await cluster.close()
    assert "wrong" in TOKENS or "wrong" not in repr(cluster)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"apiVersion":"v1","kind":"Config","contexts":[]}'])
async def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Refusal) as caught:
        await Cluster.connect(kubeconfig=path)
    assert caught.value.code == "KUBECONFIG_UNUSABLE"


@pytest.mark.parametrize("content", [b"hello", b"{", b"\xff\xfe\x00"])
async def test_what_is_no_kubeconfig_is_called_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)
    with pytest.raises(Refusal, match=f"{path} is not a kubeconfig"):
        await Cluster.connect(kubeconfig=path)


async def test_lost_answers_are_harmless_to_repeat(cluster: Cluster, server: KubeServer) -> None:
    server.faults.fail_next_writes(1, status=500, after_commit=True)
    with pytest.raises(KubeError):
        await cluster.apply(PERMIT, manifest())
    made = await cluster.get(ROUTE)
    assert made is not None
    assert await cluster.apply(PERMIT, manifest()) == made


async def test_every_write_takes_a_permit() -> None:
    for name in ("apply", "apply_status", "create", "replace_status", "patch_status", "patch", "delete"):
        assert getattr(Cluster, name).__annotations__["permit"] in (Permit, "Permit")


async def test_definitions_are_objects_too(cluster: Cluster) -> None:
    await cluster.apply(PERMIT, definition("things.example.com", "Thing", "things", "v1"))
    kind = Kind("things.example.com", "v1", "things", "Thing")
    assert await cluster.serves(kind) == kind
    assert await cluster.delete(PERMIT, Ref(DEFINITION, "things.things.example.com"), wait=5)
