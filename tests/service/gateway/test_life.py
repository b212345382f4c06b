"""What may happen to the gateway while it runs: changes under load, crashes, bad objects, an API that is away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from console.k8s.types import (
    AI_GATEWAY_ROUTE,
    AI_SERVICE_BACKEND,
    GATEWAY,
    HTTP_ROUTE,
    HTTP_ROUTE_FILTER,
    SECURITY_POLICY,
    Ref,
)
from console.local.gateway.generated import FINALIZER
from console.local.ports import LOOPBACK, free_ports
from tests.service.gateway.driving import PERMIT, Stack
from tests.support.waiting import until
from tests.unit.gateway.manifests import (
    ENVOY_GATEWAY,
    SYSTEM,
    ai_objects,
    condition,
    gateway,
    http_route,
    manifest,
    rule,
    security_policy,
    service,
    target,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_routes_change_under_load_without_a_lost_request(stack: Stack, place: str) -> None:
    a, b = await stack.upstream("a"), await stack.upstream("b")
    host = {"host": f"{place}.test"}
    await stack.put(
        *service(place, "a", a.port),
        *service(place, "b", b.port),
        http_route(place, "r", rule("/", "a"), hostnames=[f"{place}.test"]),
    )
    answers: list[str] = []
    done = asyncio.Event()

    async def call(client: httpx.AsyncClient) -> None:
        while not done.is_set():
            answer = await client.post("/v1/x", json={"model": "m"}, headers=host)
            answers.append(f"{answer.status_code} {answer.text}")

    limits = httpx.Limits(max_connections=20)
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False, timeout=20, limits=limits) as client:
        load = [asyncio.create_task(call(client)) for _ in range(20)]
        for turn in range(8):
            name = "ba"[turn % 2]
            before = len(answers)
            await stack.put(http_route(place, "r", rule("/", name), hostnames=[f"{place}.test"]))
            await stack.put(*service(place, "a", *([a.port] if turn % 3 else [a.port, b.port])))
            await until(lambda before=before: len(answers) > before + 25, what="requests go on")
        done.set()
        await asyncio.gather(*load)
    assert len(answers) >= 200
    assert set(answers) == {"200 a", "200 b"}


async def test_a_stream_outlives_the_route_that_it_came_by(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    up = await stack.upstream("up")
    await stack.put(
        *service(place, "up", up.port), http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    )
    headers = {"host": f"{place}.test"}
    async with client.stream("POST", "/", content=b'{"stream": true}', headers=headers) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "data: 0"
        await stack.delete(HTTP_ROUTE, place, "r")
        await stack.settle()
        assert (await client.get("/", headers=headers)).status_code == 404
        await until(lambda: f"service/{place}/up:80" not in (stack.envoy.configuration / "cds.json").read_text())
        received = []
        for _ in range(3):
            up.next_event.set()
            received += [await anext(lines), await anext(lines)]
        assert received == ["", "data: 1", "", "data: 2", "", "data: [DONE]"]


def _envoys_below(pid: int) -> list[int]:
    """The processes below one, from /proc."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "envoy":
                found.append(int(child))
            found += _envoys_below(int(child))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="finds the process in /proc")
async def test_an_envoy_that_was_killed_comes_back_with_everything(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = await stack.upstream("up")
    host = {"host": f"{place}.test"}
    await stack.put(
        *service(place, "up", up.port), http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    )
    before = await stack.envoy.versions()
    assert stack.envoy.pid is not None
    for pid in _envoys_below(stack.envoy.pid):
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not stack.envoy.running)

    async def programmed() -> str:
        return str(condition((await stack.status(GATEWAY, SYSTEM, "gw"))["conditions"], "Programmed")["status"])

    async def is_down() -> bool:
        return await programmed() == "False"

    await until(is_down, what="the Gateway says that nothing is served")
    # What changes meanwhile is in force when Envoy is back.
    await stack.apply(http_route(place, "new", rule("/new", "up"), hostnames=[f"new.{place}.test"]))
    await stack.envoy.start()
    await stack.settle()
    assert await programmed() == "True"
    after = await stack.envoy.versions()
    assert before.keys() <= after.keys()
    assert (await client.get("/", headers=host)).text == "up"
    assert (await client.get("/new", headers={"host": f"new.{place}.test"})).text == "up"


async def test_a_port_that_is_taken_is_told_and_taken_later(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = await stack.upstream("up")
    port = free_ports(1)[0]
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.bind((LOOPBACK, port))
        other.listen()
        route = http_route(place, "r", rule("/", "up"))
        route["spec"]["parentRefs"] = [{"name": "taken"}]
        await stack.put(*service(place, "up", up.port), gateway(port, "taken", place), route)
        status = await stack.status(GATEWAY, place, "taken")
        said = condition(status["conditions"], "Programmed")
        assert (said["status"], said["reason"]) == ("False", "Invalid")
        assert "Address already in use" in said["message"]
        assert "Address already in use" in condition(status["listeners"][0]["conditions"], "Programmed")["message"]
        with pytest.raises(Exception, match="Address already in use"):
            await stack.controller.health()
        # The others are served, and go on to be changed.
        await stack.put(http_route(place, "o", rule("/", "up"), hostnames=[f"{place}.test"]))
        assert (await client.get("/", headers={"host": f"{place}.test"})).text == "up"

        async def other_is_served() -> bool:  # where Envoy is late, it is first said of all that they are not
            gw = await stack.status(GATEWAY, SYSTEM, "gw")
            return bool(condition(gw["conditions"], "Programmed")["status"] == "True")

        await until(other_is_served, within=10, what="the other gateway is programmed")

    async def is_served() -> bool:
        status = await stack.status(GATEWAY, place, "taken")
        return condition(status["conditions"], "Programmed")["status"] == "True"

    await until(is_served, within=10, what="the port is tried again")
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False) as there:
        assert (await there.get("/")).text == "up"
    await stack.delete(GATEWAY, place, "taken")
    await stack.settle()


@pytest.mark.parametrize("how", ["late", "without a word"])
async def test_what_envoy_did_not_explain_is_tried_again(
    stack: Stack, client: httpx.AsyncClient, place: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Or all of its routes would stay as they were until somebody changes one."""
    from console.local.gateway import controller, xds

    up = await stack.upstream("up")
    translate = controller.translate

    def spoilt(*arguments: object) -> object:
        made = translate(*arguments)  # type: ignore[arg-type]
        for routes in made.routes.values():
            routes["virtual_hosts"][0]["no_such_field"] = 1
        return made

    if how == "late":
        monkeypatch.setattr(xds, "_ANSWER_SECONDS", -1.0)
    else:
        monkeypatch.setattr(controller, "translate", spoilt)
        monkeypatch.setattr(xds, "_WORDS_SECONDS", -1.0)
        monkeypatch.setattr(xds, "_REFUSAL", re.compile("(never said)"))
    route = http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    await stack.put(*service(place, "up", up.port), route)
    with pytest.raises(Exception, match=r"says nothing of version|does not say why"):
        await stack.controller.health()
    monkeypatch.undo()

    async def is_served() -> bool:
        return (await client.get("/", headers={"host": f"{place}.test"})).text == "up"

    await until(is_served, every=0.05)
    await stack.settle()
    assert "in force" in await stack.controller.health()


async def test_what_envoy_refuses_is_told_and_the_last_good_routes_stay(
    stack: Stack, client: httpx.AsyncClient, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No object that is known makes Envoy refuse; so the translation is made to send something that does."""
    from console.local.gateway import controller as module

    up = await stack.upstream("up")
    host = {"host": f"{place}.test"}
    good = http_route(place, "good", rule("/", "up"), hostnames=[f"{place}.test"])
    await stack.put(*service(place, "up", up.port), good)
    translate = module.translate

    def spoilt(*arguments: object) -> object:
        made = translate(*arguments)  # type: ignore[arg-type]
        for routes in made.routes.values():
            routes["virtual_hosts"][0]["no_such_field"] = 1
        return made

    monkeypatch.setattr(module, "translate", spoilt)
    await stack.put(http_route(place, "more", rule("/", "up"), hostnames=[f"more.{place}.test"]))
    said = condition((await stack.status(GATEWAY, SYSTEM, "gw"))["conditions"], "Programmed")
    assert said["status"] == "False"
    assert "no such field: 'no_such_field'" in said["message"].replace("no  such", "no such")
    more = (await stack.status(HTTP_ROUTE, place, "more"))["parents"][0]["conditions"]
    assert (condition(more, "Accepted")["status"], condition(more, "Accepted")["reason"]) == ("False", "Pending")
    kept = (await stack.status(HTTP_ROUTE, place, "good"))["parents"][0]["conditions"]
    assert condition(kept, "Accepted")["status"] == "True"
    assert (await client.get("/", headers=host)).text == "up"
    monkeypatch.undo()
    await stack.put(http_route(place, "more", rule("/m", "up"), hostnames=[f"more.{place}.test"]))
    assert (await client.get("/m", headers={"host": f"more.{place}.test"})).text == "up"
    said = condition((await stack.status(GATEWAY, SYSTEM, "gw"))["conditions"], "Programmed")
    assert said["status"] == "True"


BROKEN: list[dict[str, object]] = [
    {"parentRefs": "gw", "rules": []},
    {"parentRefs": [{"name": "gw", "namespace": SYSTEM}], "rules": [5]},
    {"parentRefs": [{"name": "gw", "namespace": SYSTEM}], "rules": [{"matches": [{"path": {"value": "no-slash"}}]}]},
    {
        "parentRefs": [{"name": "gw", "namespace": SYSTEM}],
        "rules": [{"matches": [{"path": {"type": "RegularExpression", "value": "a(b"}}]}],
    },
    {"parentRefs": [{"name": "gw", "namespace": SYSTEM, "port": "x"}], "rules": [{"backendRefs": [{"name": 1}]}]},
    {"parentRefs": [{"name": "gw", "namespace": SYSTEM}], "hostnames": [1], "rules": [{}]},
]


async def test_bad_objects_harm_only_themselves(stack: Stack, client: httpx.AsyncClient, place: str) -> None:
    """Without CustomResourceDefinitions nobody has checked them before."""
    up = await stack.upstream("up")
    bad = [manifest("gateway.networking.k8s.io/v1", "HTTPRoute", place, f"b{i}", spec) for i, spec in enumerate(BROKEN)]
    odd = [
        manifest(f"{ENVOY_GATEWAY}/v1alpha1", "SecurityPolicy", place, "odd", {"targetRefs": "x", "extAuth": []}),
        manifest(f"{ENVOY_GATEWAY}/v1alpha1", "Backend", place, "odd", {"endpoints": [{"ip": "x"}]}),
        manifest("aigateway.envoyproxy.io/v1beta1", "AIGatewayRoute", place, "odd", {"rules": "x"}),
    ]
    await stack.put(*bad, *odd)
    await stack.put(
        *service(place, "up", up.port), http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    )
    assert (await client.get("/", headers={"host": f"{place}.test"})).text == "up"
    for index in (1, 2, 3):
        conditions = (await stack.status(HTTP_ROUTE, place, f"b{index}"))["parents"][0]["conditions"]
        assert condition(conditions, "Accepted")["status"] == "False"
    odd_route = (await stack.status(AI_GATEWAY_ROUTE, place, "odd"))["conditions"][0]
    assert odd_route["type"] == "NotAccepted"


async def test_nothing_is_written_when_nothing_has_changed(stack: Stack, place: str) -> None:
    up = await stack.upstream("up")
    await stack.put(*ai_objects(place, "m", up.port, hostnames=[f"{place}.test"]))
    before = stack.server.resource_version
    revision = stack.controller.revision
    stack.server.drop_watches()
    await stack.settle()
    await stack.settle()
    assert stack.server.resource_version == before
    assert stack.controller.revision == revision


async def test_a_condition_keeps_its_time_as_long_as_it_is_the_same(stack: Stack, place: str) -> None:
    up = await stack.upstream("up")
    await stack.put(
        *service(place, "up", up.port), http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    )
    first = (await stack.status(HTTP_ROUTE, place, "r"))["parents"][0]["conditions"]
    old = "2020-01-01T00:00:00Z"
    status = await stack.status(HTTP_ROUTE, place, "r")
    for one in status["parents"][0]["conditions"]:
        one["lastTransitionTime"] = old
    foreign = {"parentRef": {"name": "gw"}, "controllerName": "example.com/other", "conditions": []}
    await stack.cluster.patch_status(PERMIT, Ref(HTTP_ROUTE, "r", place), {"parents": [*status["parents"], foreign]})
    await stack.put(http_route(place, "r", rule("/two", "up"), rule("/", "gone"), hostnames=[f"{place}.test"]))
    parents = (await stack.status(HTTP_ROUTE, place, "r"))["parents"]
    assert foreign in parents
    ours = next(one for one in parents if one != foreign)["conditions"]
    assert condition(ours, "Accepted")["lastTransitionTime"] == old
    assert condition(ours, "Accepted")["observedGeneration"] > condition(first, "Accepted")["observedGeneration"]
    assert condition(ours, "ResolvedRefs")["status"] == "False"
    assert condition(ours, "ResolvedRefs")["lastTransitionTime"] != old


async def test_a_deleted_ai_route_is_gone_only_when_envoy_has_followed(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = await stack.upstream("up")
    await stack.put(*ai_objects(place, "m", up.port, hostnames=[f"{place}.test"]))
    route = await stack.cluster.get(Ref(AI_GATEWAY_ROUTE, "m", place))
    generated = await stack.cluster.get(Ref(HTTP_ROUTE, "m", place))
    assert route is not None
    assert generated is not None
    assert FINALIZER in route["metadata"]["finalizers"]
    owner = generated["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("AIGatewayRoute", "m", True)
    assert generated["metadata"]["annotations"]["gateway.envoyproxy.io/ai-gateway-generated"] == "true"
    await stack.delete(AI_GATEWAY_ROUTE, place, "m")  # waits for it to be gone
    answer = await client.post("/v1/x", json={"model": "m"}, headers={"host": f"{place}.test"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")
    assert await stack.cluster.get(Ref(HTTP_ROUTE, "m", place)) is None
    assert await stack.cluster.get(Ref(HTTP_ROUTE_FILTER, "ai-eg-host-rewrite-m", place)) is None
    await stack.delete(AI_SERVICE_BACKEND, place, "m")


async def test_a_generated_route_that_somebody_edits_is_put_right(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = await stack.upstream("up")
    await stack.put(*ai_objects(place, "m", up.port, hostnames=[f"{place}.test"]))
    wrong = {"spec": {"hostnames": ["elsewhere.test"]}}
    await stack.cluster.patch(PERMIT, Ref(HTTP_ROUTE, "m", place), wrong)
    await stack.settle()
    answer = await client.post("/v1/x", json={"model": "m"}, headers={"host": f"{place}.test"})
    assert answer.text == "up"


async def test_a_route_is_never_open_before_its_policy_or_after_it(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    """Each kind has a watch of its own, and any of them may lag: here, policies are told late."""
    authorizer, up = await stack.authorizer(), await stack.upstream("up")
    await stack.put(*service(place, "authz", authorizer.port), *service(place, "up", up.port))
    seen: set[int] = set()
    done = asyncio.Event()

    async def look() -> None:
        while not done.is_set():
            seen.add((await client.get("/", headers={"host": f"{place}.test"})).status_code)

    looking = asyncio.create_task(look())
    for _ in range(6):
        stack.server.drop_watches()
        await stack.apply(
            security_policy(place, "p", target("HTTPRoute", "r")),
            http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"]),
        )
        await stack.settle()
        stack.server.drop_watches()
        await stack.delete(HTTP_ROUTE, place, "r")
        await stack.delete(SECURITY_POLICY, place, "p")
        await stack.settle()
    done.set()
    with contextlib.suppress(asyncio.CancelledError):
        await looking
    assert 401 in seen
    assert seen <= {401, 404}
    assert up.seen == []


async def test_an_api_server_that_was_away_is_caught_up_with(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = await stack.upstream("up")
    host = {"host": f"{place}.test"}
    await stack.put(
        *service(place, "up", up.port), http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    )
    await stack.server.stop()
    assert (await client.get("/", headers=host)).text == "up"
    await stack.server.start()
    await stack.put(http_route(place, "r", rule("/after", "up"), hostnames=[f"{place}.test"]))
    assert (await client.get("/", headers=host)).status_code == 404
    assert (await client.get("/after", headers=host)).text == "up"
