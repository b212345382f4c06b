"""The real kubectl against the server: a client that we did not write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from console.local.kube import KubeServer, write_kubeconfig
from tests.service.kube.driving import DEFINITIONS, TOKENS, Http, Kubectl, Object, namespace, route, secret
from tests.support.waiting import until

GROUP = "gateway.networking.k8s.io"


def in_acme(one: Object) -> Object:
    return {**one, "metadata": {**one["metadata"], "namespace": "acme"}}


async def test_it_finds_its_way(kubectl: Kubectl) -> None:
    assert "Server Version: v1." in await kubectl("version")
    resources = await kubectl("api-resources")
    assert "httproutes" in resources
    assert "aigateway.envoyproxy.io/v1beta1" in resources
    assert "isvc" in resources
    assert "Username    viewer" in await kubectl.as_("viewer")("auth", "whoami")
    assert "KIND:       HTTPRoute" in await kubectl("explain", "httproute")


async def test_rights(kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "create", "httproutes") == "yes\n"
    viewer = kubectl.as_("viewer")
    refused = await viewer.run("auth", "can-i", "create", "httproutes", "-n", "acme")
    assert (refused.code, refused.out[:2]) == (1, "no")
    listed = await kubectl.as_("acme").run("auth", "can-i", "--list", "-n", "acme")
    assert "httproutes.gateway.networking.k8s.io" in listed.out
    as_another = await kubectl.run("get", "httproutes", "--as=viewer")
    assert "impersonation is not supported" in as_another.err
    forbidden = await viewer.run("get", "secrets", "-n", "acme")
    assert 'Forbidden): secrets is forbidden: User "viewer" cannot list resource "secrets"' in forbidden.err


async def test_create_get_and_delete(kubectl: Kubectl) -> None:
    assert await kubectl("create", "namespace", "tenant") == "namespace/tenant created\n"
    await kubectl("create", "secret", "generic", "keys", "-n", "tenant", "--from-literal=apiKey=xyz")
    assert "keys   Opaque   1" in await kubectl("get", "secrets", "-n", "tenant", "-o", "wide")
    assert "apiKey: eHl6" in await kubectl("get", "secret", "keys", "-n", "tenant", "-o", "yaml")
    await kubectl("create", "service", "clusterip", "web", "-n", "tenant", "--tcp=80:8080")
    assert "ClusterIP   <none>       <none>        80/TCP" in await kubectl("get", "services", "-n", "tenant")
    await kubectl("create", "configmap", "cm", "-n", "tenant", "--from-literal=a=b")
    again = await kubectl.run("create", "namespace", "tenant")
    assert again.err == 'Error from server (AlreadyExists): namespaces "tenant" already exists\n'
    await kubectl("create", "-f", kubectl.file("r.json", in_acme(route())))
    table = await kubectl("get", "httproutes", "-A")
    assert table.splitlines()[0].split() == ["NAMESPACE", "NAME", "HOSTNAMES", "AGE"]
    assert '["a.example.com"]' in table
    assert await kubectl("delete", "namespace", "tenant") == 'namespace "tenant" deleted\n'
    assert "tenant" not in await kubectl("get", "namespaces")


async def test_apply_on_the_clients_side(kubectl: Kubectl) -> None:
    path = kubectl.file("r.json", in_acme(route()))
    assert await kubectl("apply", "-f", path) == f"httproute.{GROUP}/r created\n"
    assert await kubectl("apply", "-f", path) == f"httproute.{GROUP}/r unchanged\n"
    kubectl.file("r.json", in_acme(route(hosts=("b.example.com",))))
    difference = await kubectl.run("diff", "-f", path)
    assert difference.code == 1
    assert "+  - b.example.com" in difference.out
    assert await kubectl("apply", "-f", path) == f"httproute.{GROUP}/r configured\n"
    assert (await kubectl.run("diff", "-f", path)).code == 0
    for core in (secret("s", data={"a": "YQ=="}), secret("s", data={"b": "Yg=="})):
        await kubectl("apply", "-f", kubectl.file("s.json", in_acme(core)))
    stored = json.loads(await kubectl("get", "secret", "s", "-n", "acme", "-o", "json"))
    assert stored["data"] == {"b": "Yg=="}
    unknown = await kubectl.run("apply", "-f", kubectl.file("u.json", in_acme(secret("u", spam=1))))
    assert 'strict decoding error: unknown field "spam"' in unknown.err


async def test_apply_on_the_servers_side(kubectl: Kubectl) -> None:
    path = kubectl.file("r.json", in_acme(route()))
    assert await kubectl("apply", "--server-side", "-f", path) == f"httproute.{GROUP}/r serverside-applied\n"
    kubectl.file("r.json", in_acme(route(hosts=("b",))))
    conflict = await kubectl.run("apply", "--server-side", "--field-manager=other", "-f", path)
    assert conflict.code == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.hostnames' in conflict.err
    await kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", path)
    stored = json.loads(await kubectl("get", "httproute", "r", "-n", "acme", "-o", "json", "--show-managed-fields"))
    assert {one["manager"] for one in stored["metadata"]["managedFields"]} == {"kubectl", "other"}
    would = await kubectl(
        "apply", "--server-side", "--dry-run=server", "-f", kubectl.file("x.json", in_acme(route("x")))
    )
    assert "(server dry run)" in would
    assert (await kubectl.run("get", "httproute", "x", "-n", "acme")).code == 1


async def test_from_the_clients_side_to_the_servers(kubectl: Kubectl) -> None:
    path = kubectl.file("r.json", in_acme(route()))
    await kubectl("apply", "-f", path)
    kubectl.file("r.json", in_acme(route(hosts=("b",))))
    await kubectl("apply", "--server-side", "-f", path)
    kubectl.file("r.json", in_acme(route(hosts=("c",))))
    await kubectl("apply", "-f", path)
    assert await kubectl("get", "httproute", "r", "-n", "acme", "-o", "jsonpath={.spec.hostnames[0]}") == "c"


async def test_edit_patch_replace_and_label(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", kubectl.file("r.json", in_acme(route())))
    one = ("httproute", "r", "-n", "acme")
    assert "edited" in await kubectl("edit", *one, editor="sed -i s/a.example.com/edited.example.com/")
    assert "edited.example.com" in await kubectl("get", *one)
    invalid = await kubectl.run("edit", *one, editor="sed -i s/hostnames:/labels:/")
    assert invalid.code == 0 or "error" in invalid.err
    await kubectl("patch", *one, "--type=merge", "-p", '{"spec":{"hostnames":["m"]}}')
    await kubectl("patch", *one, "--type=json", "-p", '[{"op":"replace","path":"/spec/hostnames/0","value":"j"}]')
    assert await kubectl("get", *one, "-o", "jsonpath={.spec.hostnames}") == '["j"]'
    assert "not supported" in (await kubectl.run("patch", *one, "-p", "{}")).err
    await kubectl("label", *one, "a=b")
    await kubectl("annotate", *one, "example.com/x=y")
    assert f"httproute.{GROUP}/r" in await kubectl("get", "httproutes", "-n", "acme", "-l", "a=b", "-o", "name")
    assert await kubectl("get", "httproutes", "-n", "acme", "-l", "a!=b", "-o", "name") == ""
    read = await kubectl("get", *one, "-o", "json")
    assert "replaced" in await kubectl("replace", "-f", "-", stdin=read.replace('"j"', '"k"'))
    conflict = await kubectl.run("replace", "-f", "-", stdin=read)
    assert "the object has been modified" in conflict.err
    await kubectl(
        "patch",
        "service",
        "-n",
        "acme",
        "--type=strategic",
        "-p",
        '{"spec":{"ports":[{"port":80,"name":"x"}]}}',
        await made_service(kubectl),
    )


async def made_service(kubectl: Kubectl) -> str:
    await kubectl("create", "service", "clusterip", "web", "-n", "acme", "--tcp=80")
    return "web"


async def test_delete_waits_for_finalizers(kubectl: Kubectl, http: Http) -> None:
    held = in_acme(route(finalizers=["example.com/a"]))
    await kubectl("create", "-f", kubectl.file("r.json", held))
    one = ("httproute", "r", "-n", "acme")
    process = await kubectl.start("delete", *one, "--wait=true", "--timeout=20s")
    path = "/apis/gateway.networking.k8s.io/v1/namespaces/acme/httproutes/r"

    async def marked() -> bool:
        return "deletionTimestamp" in (await http.get(path)).json()["metadata"]

    await until(marked, within=20)
    assert process.returncode is None
    await kubectl("patch", *one, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    assert (await kubectl.run("get", *one)).code == 1


async def test_watch_and_wait(kubectl: Kubectl, http: Http, server: KubeServer) -> None:
    path = "/apis/gateway.networking.k8s.io/v1/namespaces/acme/gateways"
    gateway = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Gateway",
        "metadata": {"name": "gw"},
        "spec": {"gatewayClassName": "c"},
    }
    await http.post(path, gateway)
    watching = await kubectl.start("get", "gateways", "-n", "acme", "--watch")
    waiting = await kubectl.start("wait", "gateway/gw", "-n", "acme", "--for=condition=Programmed", "--timeout=20s")
    await until(lambda: server.watches == 2, within=20)
    condition = {"type": "Programmed", "status": "True", "reason": "Programmed", "message": ""}
    await http.patch(f"{path}/gw/status", {"status": {"conditions": [condition]}})
    async with asyncio.timeout(20):
        out, _ = await waiting.communicate()
        assert out == f"gateway.{GROUP}/gw condition met\n".encode()
        assert watching.stdout is not None
        lines = [await watching.stdout.readline() for _ in range(3)]
    watching.kill()
    await watching.wait()
    assert lines[0].split()[:3] == [b"NAME", b"CLASS", b"ADDRESS"]
    assert b"True" not in lines[1]
    assert lines[2].split()[:3] == [b"gw", b"c", b"True"]


async def test_both_served_versions(kubectl: Kubectl) -> None:
    body = {
        "apiVersion": "aigateway.envoyproxy.io/v1alpha1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": "r", "namespace": "acme"},
        "spec": {"rules": []},
    }
    applied = await kubectl.run("apply", "-f", kubectl.file("r.json", body))
    assert applied.err.startswith("Warning: aigateway.envoyproxy.io/v1alpha1 is deprecated")
    assert "apiVersion: aigateway.envoyproxy.io/v1beta1" in await kubectl(
        "get", "aigatewayroute", "r", "-n", "acme", "-o", "yaml"
    )


# --- with the published definitions ----------------------------------------------------------------------------


@pytest.fixture
def with_definitions(defined: KubeServer, tmp_path: Path) -> Kubectl:
    return Kubectl(tmp_path, _configs(defined, tmp_path))


def _configs(server: KubeServer, directory: Path) -> Callable[[str], Path]:
    def config(name: str) -> Path:
        path = directory / f"{name}-defined.kubeconfig"
        write_kubeconfig(path, server=server.url, token=f"{name}-token", user=name)
        return path

    return config


async def test_definitions_explain_and_refuse(with_definitions: Kubectl) -> None:
    kubectl = with_definitions
    explained = await kubectl("explain", "aigatewayroute.spec.rules")
    assert "FIELD: rules <[]Object> -required-" in explained or "FIELD: rules" in explained
    assert "AIGatewayRouteRule" in explained
    rules = [{"name": "route-not-found"}]
    body = {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": "r", "namespace": "acme"},
        "spec": {"rules": rules},
    }
    refused = await kubectl.run("apply", "--server-side", "-f", kubectl.file("r.json", body))
    assert "is invalid: spec.rules[0]: Invalid value: " in refused.err
    body["spec"] = {"rules": [{}], "spam": 1}
    unknown = await kubectl.run("apply", "-f", kubectl.file("r.json", body))
    assert 'unknown field "spec.spam"' in unknown.err
    body["spec"] = {"rules": [{}]}
    assert "created" in await kubectl("apply", "-f", kubectl.file("r.json", body))
    assert (await kubectl("get", "aigatewayroutes", "-A")).splitlines()[0].split() == ["NAMESPACE", "NAME", "STATUS"]


@pytest.mark.skipif(not DEFINITIONS.is_dir(), reason="the published definitions are not here")
async def test_kubectl_installs_every_published_definition(tmp_path: Path) -> None:
    """On the client's side where the annotation has room for it, on the server's side all of them."""
    server = KubeServer(tmp_path / "objects.db", tokens=TOKENS)
    await server.start()
    async with Http(server.url, "admin-token") as http:
        await http.post("/api/v1/namespaces", namespace("acme"))
    kubectl = Kubectl(tmp_path, _configs(server, tmp_path))
    plain = await kubectl.run("apply", "-f", str(DEFINITIONS))
    too_long = [line for line in plain.err.splitlines() if "metadata.annotations: Too long" in line]
    assert len(plain.out.splitlines()) == 15
    assert len(too_long) == len([line for line in plain.err.splitlines() if line.strip()]) == 5
    all_of_them = await kubectl("apply", "--server-side", "--force-conflicts", "-f", str(DEFINITIONS))
    assert all_of_them.count("serverside-applied") == 20
    waited = await kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=10s")
    assert waited.count("condition met") == 20
    await server.stop()
