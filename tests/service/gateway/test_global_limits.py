"""Global limits through Envoy: two rate-limit services and two Envoys on one Valkey, tokens from real answers."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from console.k8s.types import BACKEND_TRAFFIC_POLICY
from console.limits.counters import Asked, Counters
from console.limits.service import Limiter, LimiterServing, is_serving
from console.local.envoy import Envoy
from console.local.gateway import Controller
from console.local.gateway.translate import translate
from console.local.gateway.translate.settings import GlobalLimiter, Settings
from console.local.gateway.xds import Xds
from console.local.kube import ADMIN, CONTROLLER, KubeServer
from console.local.ports import LOOPBACK, free_ports
from console.local.valkey import Valkey
from console.usage.records import read_line
from tests.service.gateway.conftest import connect, needs_envoy
from tests.service.gateway.driving import Seen, Stack, Upstream, respond
from tests.support.valkey import valkey_in
from tests.support.waiting import until
from tests.unit.gateway.manifests import (
    SYSTEM,
    ai_objects,
    condition,
    gateway,
    gateway_class,
    http_route,
    namespace,
    rule,
    security_policy,
    service,
    target,
    traffic_policy,
)

pytest.importorskip("grpc")
pytestmark = pytest.mark.asyncio(loop_scope="module")
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 2}}


class Model(Upstream):
    """Answers as its request says: ``form`` json, gzip, sse, responses, responses-sse, embeddings, silent, broken."""

    async def answer(self, seen: Seen, send: Any) -> None:
        asked = seen.json
        form = asked.get("form", "json")
        kind = {"content-type": "application/json"}
        if form in ("json", "gzip"):
            text = 'a "usage": {"total_tokens": 999} that is only said'
            body = json.dumps({"choices": [{"usage": 1, "text": text}], "usage": USAGE, "id": "x"}).encode()
            if form == "gzip":
                assert "gzip" in seen.headers["accept-encoding"]
                return await respond(send, 200, gzip.compress(body), kind | {"content-encoding": "gzip"})
            return await respond(send, 200, body, kind)
        if form == "responses":
            usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
            return await respond(send, 200, json.dumps({"output": [{}], "usage": usage}).encode(), kind)
        if form == "embeddings":
            vectors = [[0.5] * 4000 for _ in range(20)]
            answer = {"data": vectors, "usage": {"prompt_tokens": 9, "total_tokens": 9}}
            return await respond(send, 200, json.dumps(answer).encode(), kind)
        if form == "silent":
            return await respond(send, 200, b'{"choices": []}', kind)
        if form == "broken":
            return await respond(send, 400, b'{"error": {}}', kind)
        return await self._events(form, asked, send)

    async def _events(self, form: str, asked: dict[str, Any], send: Any) -> None:
        if form == "responses-sse":
            done = {
                "type": "response.completed",
                "response": {"id": "r", "usage": {"input_tokens": 3, "output_tokens": 4}},
            }
            text = f'event: response.created\ndata: {{"type": "x"}}\n\nevent: z\ndata: {json.dumps(done)}\n\n'
        else:
            with_usage = (asked.get("stream_options") or {}).get("include_usage") is True
            extra = {"usage": None} if with_usage else {}
            chunks = [{"choices": [{"delta": {"content": word}}], **extra} for word in ("a", 'x"usage":null', "c")]
            if with_usage:
                chunks.append({"choices": [], "usage": USAGE})
            text = "".join(f"data: {json.dumps(one)}\n\n" for one in chunks) + "data: [DONE]\n\n"
        raw = text.encode()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        step = 1 if asked.get("slow") else 11
        for at in range(0, len(raw), step):
            await send({"type": "http.response.body", "body": raw[at : at + step], "more_body": True})
            if asked.get("slow"):
                await asyncio.sleep(0.002)  # so that the gateway sees every byte as a piece of its own
        await send({"type": "http.response.body", "body": b""})


@dataclass
class World:
    stack: Stack
    valkey: Valkey
    second: Envoy
    settings: Settings
    services: list[LimiterServing]
    limiters: list[Limiter]

    async def twice(self) -> list[str]:
        """The gateway's URL, and that of a second Envoy with the same configuration."""
        applied = await Xds(self.second, self.settings).apply(
            translate(self.stack.controller._store.snapshot(), self.settings)
        )
        assert not applied.refused
        return [f"http://127.0.0.{number}:{self.stack.port}/" for number in (1, 2)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    needs_envoy()
    directory = tmp_path_factory.mktemp("limits")
    valkey = valkey_in(directory, durable=True)
    await valkey.start()
    limiters = [Limiter(valkey.gateway_client()) for _ in range(2)]
    services = [LimiterServing(one, host=LOOPBACK) for one in limiters]
    for one in services:
        await one.start()
    server = KubeServer(directory / "objects.db", tokens={"admin-token": ADMIN, "controller-token": CONTROLLER})
    await server.start()
    admin, own = await connect(server, directory, "admin"), await connect(server, directory, "controller")
    addresses = tuple((LOOPBACK, one.port) for one in services)
    first, second = [Envoy(directory / name, workers=1) for name in ("first", "second")]
    await first.start()
    await second.start()
    limiter = GlobalLimiter(addresses)
    settings = Settings(directory=first.configuration, access_log=first.access_log, limiter=limiter)
    controller = Controller(own, first, settings, grace_seconds=1)
    await controller.start()
    stack = Stack(server, admin, first, controller, free_ports(1)[0])
    await stack.put(namespace(SYSTEM), gateway_class(), gateway(stack.port))
    # The same gateway once more, on the machine's next loopback address; it was told to be strict.
    strict = GlobalLimiter(addresses, fail_closed=True)
    elsewhere = Settings(second.configuration, address="127.0.0.2", limiter=strict)
    yield World(stack, valkey, second, elsewhere, services, limiters)
    await controller.stop()
    await first.stop()
    await second.stop()
    await asyncio.gather(*(up.stop() for up in stack.closing))
    await admin.close()
    await own.close()
    await server.stop()
    for serving in services:
        await serving.stop()
    await valkey.stop()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False, timeout=10) as made:
        yield made


def limit(requests: int, unit: str = "Hour", **more: Any) -> dict[str, Any]:
    header = {"name": "x-key", "type": "Distinct"}
    return {"clientSelectors": [{"headers": [header]}], "limit": {"requests": requests, "unit": unit}} | more


def tokens(most: int, key: str = "llm_total_token") -> dict[str, Any]:
    metadata = {"namespace": "io.envoy.ai_gateway", "key": key}
    cost = {"request": {"from": "Number", "number": 0}, "response": {"from": "Metadata", "metadata": metadata}}
    return limit(most, "Day", cost=cost)


def policy(place: str, *rules: dict[str, Any], name: str = "limits", route: str = "r") -> dict[str, Any]:
    return traffic_policy(place, name, target("HTTPRoute", route), rateLimit={"global": {"rules": list(rules)}})


async def limited(world: World, place: str, *rules: dict[str, Any]) -> dict[str, str]:
    up = await world.stack.upstream("up")
    route = http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    made = [policy(place, *rules)] if rules else []
    await world.stack.put(namespace(place), *service(place, "up", up.port), *made, route)
    return {"host": f"{place}.test", "x-key": "k"}


async def model(world: World, place: str, *rules: dict[str, Any], costs: Any = None) -> Model:
    up = Model("model")
    await up.start()
    world.stack.closing.append(up)
    backend, service_backend, route = ai_objects(place, "m", up.port, hostnames=[f"{place}.test"])
    if costs:
        route["spec"]["llmRequestCosts"] = costs
    await world.stack.put(namespace(place), policy(place, *rules, route="m"), backend, service_backend, route)
    return up


async def ask(client: httpx.AsyncClient, place: str, form: str = "json", **more: Any) -> httpx.Response:
    headers = {"host": f"{place}.test", "x-key": "k"}
    return await client.post("/v1/chat/completions", json={"model": "m", "form": form} | more, headers=headers)


async def left(client: httpx.AsyncClient, place: str, before: int) -> int:
    """What of a limit has gone since; a charge arrives a moment after its answer."""

    async def told() -> int:
        return before - int((await ask(client, place, "broken")).headers["x-ratelimit-remaining"])

    await until(lambda: _truth(told), within=3)
    return await told()


async def _truth(told: Any) -> bool:
    return bool(await told())


async def test_hours_and_days_are_counted_apart_and_the_429_names_the_one(
    world: World, client: httpx.AsyncClient
) -> None:
    headers = await limited(world, "days", limit(2, "Hour"), limit(3, "Day"))
    first, second, third = [await client.get("/", headers=headers) for _ in range(3)]
    assert [one.status_code for one in (first, second, third)] == [200, 200, 429]
    assert (first.headers["x-ratelimit-remaining"], second.headers["x-ratelimit-remaining"]) == ("1", "0")
    assert 1 <= int(third.headers["retry-after"]) <= 3600
    assert third.headers["x-modeldeck-limit"] == "2 requests per hour for this x-key"
    assert third.headers["content-type"] == "application/json"
    error = third.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert "2 requests per hour" in error["message"]
    # What the hour has refused, the day has not counted: the edit below opens the hour, and one is left of the day.
    await world.stack.put(policy("days", limit(9, "Hour"), limit(3, "Day")))
    assert [(await client.get("/", headers=headers)).status_code for _ in range(2)] == [200, 429]
    assert (await client.get("/", headers=headers | {"x-key": "other"})).status_code == 200
    assert (await client.get("/", headers={"host": "days.test"})).status_code == 200


async def test_two_envoys_and_two_services_are_exact_together(world: World) -> None:
    headers = await limited(world, "both", limit(40, "Day"))
    assert all([await is_serving(f"{LOOPBACK}:{one.port}") for one in world.services])
    urls = await world.twice()
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        answers = await asyncio.gather(*(client.get(urls[one % 2], headers=headers) for one in range(80)))
    assert sorted(answer.status_code for answer in answers) == [200] * 40 + [429] * 40


async def test_counters_go_on_over_edits_and_restarts_of_the_service(world: World, client: httpx.AsyncClient) -> None:
    headers = await limited(world, "edits", limit(2, "Day"), limit(50, "Hour"))
    assert (await client.get("/", headers=headers)).status_code == 200
    await world.stack.put(policy("edits", limit(50, "Hour"), limit(1, "Minute"), limit(2, "Day")))
    assert (await client.get("/", headers=headers)).status_code == 200
    third = await client.get("/", headers=headers)
    assert (third.status_code, third.headers["x-modeldeck-limit"]) == (429, "2 requests per day for this x-key")


async def local(world: World, place: str, *rules: dict[str, Any]) -> dict[str, str]:
    headers = await limited(world, place)
    await world.stack.put(local_policy(place, *rules))
    return headers


def local_policy(place: str, *rules: dict[str, Any], name: str = "limits", route: str = "r") -> dict[str, Any]:
    return traffic_policy(place, name, target("HTTPRoute", route), rateLimit={"local": {"rules": list(rules)}})


async def test_nothing_that_is_published_edited_or_unpublished_gives_a_fresh_local_bucket(
    world: World, client: httpx.AsyncClient
) -> None:
    headers = await local(world, "fresh", limit(5, "Day"))

    async def ask_twice() -> list[int]:
        return [(await client.get("/", headers=headers)).status_code for _ in range(2)]

    assert (await client.get("/", headers=headers)).headers["x-ratelimit-remaining"] == "4"
    # A number that no policy has had before comes and goes.
    another = http_route("fresh", "o", rule("/", "up"), hostnames=["o.fresh.test"])
    await world.stack.put(local_policy("fresh", limit(7919, "Day"), name="o", route="o"), another)
    assert (await client.get("/", headers=headers | {"host": "o.fresh.test"})).status_code == 200
    await world.stack.delete(BACKEND_TRAFFIC_POLICY, "fresh", "o")
    await world.stack.settle()
    assert (await client.get("/", headers=headers)).headers["x-ratelimit-remaining"] == "3"
    # The limit itself becomes another, and the policy has a global one beside it that counts apart.
    both = local_policy("fresh", limit(6, "Day"))
    both["spec"]["rateLimit"]["global"] = {"rules": [limit(50, "Day")]}
    await world.stack.put(both)
    assert (await client.get("/", headers=headers)).headers["x-ratelimit-remaining"] == "3"
    # The listener gets another filter, and its connections end.
    authorizer = await world.stack.authorizer()
    asking = security_policy("fresh", "s", target("HTTPRoute", "o"), headersToExtAuth=["x-fresh"])
    await world.stack.put(*service("fresh", "authz", authorizer.port), asking)
    async with httpx.AsyncClient(base_url=world.stack.url, trust_env=False, timeout=10) as anew:
        assert (await anew.get("/", headers=headers)).headers["x-ratelimit-remaining"] == "2"
    assert await ask_twice() == [200, 200]
    assert await ask_twice() == [429, 429]


async def test_where_both_have_nothing_left_the_one_that_refused_is_told(
    world: World, client: httpx.AsyncClient
) -> None:
    headers = await limited(world, "who", limit(1, "Day"))
    both = policy("who", limit(1, "Day"))
    both["spec"]["rateLimit"]["local"] = {"rules": [{"limit": {"requests": 2, "unit": "Minute"}}]}
    await world.stack.put(both)
    first, second, third = [await client.get("/", headers=headers) for _ in range(3)]
    assert (first.status_code, first.headers["x-ratelimit-remaining"]) == (200, "0")
    # The second was the minute's last, and it was the day that said no to it.
    assert second.headers["x-modeldeck-limit"] == "1 requests per day for this x-key"
    assert second.headers["x-ratelimit-limit"].startswith("1, 1;w=86400;")
    assert third.headers["x-modeldeck-limit"] == "2 requests per minute for everybody"
    assert third.headers["x-ratelimit-limit"].startswith("2, 2;w=60;")
    assert 1 <= int(third.headers["retry-after"]) <= 30
    assert [one.status_code for one in (second, third)] == [429, 429]


async def test_a_local_limit_for_everything_else_keeps_its_counter(world: World, client: httpx.AsyncClient) -> None:
    gold = {"clientSelectors": [{"headers": [{"name": "x-tier", "value": "gold"}]}]}
    rest = {"limit": {"requests": 1, "unit": "Day"}}
    headers = await local(world, "rest", gold | {"limit": {"requests": 2, "unit": "Day"}}, rest)
    statuses = [(await client.get("/", headers=headers | {"x-tier": tier})).status_code for tier in ("gold", "tin")]
    assert statuses == [200, 200]
    gold["clientSelectors"][0]["headers"][0]["value"] = "golden"
    await world.stack.put(local_policy("rest", gold | {"limit": {"requests": 2, "unit": "Day"}}, rest))
    assert (await client.get("/", headers=headers | {"x-tier": "tin"})).status_code == 429
    assert (await client.get("/", headers=headers | {"x-tier": "golden"})).status_code == 200


@pytest.mark.parametrize(
    ("form", "more", "cost"),
    [
        ("json", {}, 12),
        ("gzip", {}, 12),
        ("responses", {}, 7),
        ("responses-sse", {"stream": True}, 7),
        ("responses-sse", {"stream": True, "slow": True}, 7),
        ("embeddings", {}, 9),
        ("sse", {"stream": True, "stream_options": {"include_usage": True}}, 12),
        ("sse", {"stream": True}, 12),
        ("sse", {"stream": True, "slow": True}, 12),
        ("sse", {"stream": True, "stream_options": {"include_usage": False}}, 12),
        ("sse", {"stream": True, "stream_options": None}, 12),
    ],
)
async def test_what_an_answer_has_cost_is_charged(
    world: World, client: httpx.AsyncClient, form: str, more: dict[str, Any], cost: int
) -> None:
    place = f"t{abs(hash((form, str(more)))) % 10**9}"
    up = await model(world, place, tokens(1000))
    answer = await ask(client, place, form, **more)
    assert answer.status_code == 200
    assert await left(client, place, 1000) == cost
    if form == "sse":
        assert answer.text.endswith("data: [DONE]\n\n")
        assert up.seen[0].json["stream_options"] == {"include_usage": True}
        asked = (more.get("stream_options") or {}).get("include_usage") is True
        assert ('"total_tokens"' in answer.text) is asked
        assert ('"usage": null' in answer.text) is asked
        words = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        assert [one["choices"][0]["delta"]["content"] for one in words[:3]] == ["a", 'x"usage":null', "c"]


async def test_a_key_without_tokens_left_gets_429_until_the_window_ends(
    world: World, client: httpx.AsyncClient
) -> None:
    costs = [{"metadataKey": "spent", "type": "OutputToken"}]
    await model(world, "spend", tokens(8, "spent"), costs=costs)
    assert (await ask(client, "spend")).status_code == 200
    assert await left(client, "spend", 8) == 5
    assert (await ask(client, "spend")).status_code == 200  # something is left; what it costs is known afterwards

    async def refused() -> bool:
        return (await ask(client, "spend")).status_code == 429

    await until(refused, within=3)


async def test_an_unknown_usage_is_unmetered_and_never_zero(world: World, client: httpx.AsyncClient) -> None:
    await model(world, "unknown", tokens(100))
    assert (await ask(client, "unknown", "silent")).status_code == 200
    assert (await ask(client, "unknown", "broken")).status_code == 400
    assert (await ask(client, "unknown", "json")).status_code == 200

    def lines() -> list[dict[str, Any]]:
        text = world.stack.envoy.access_log.read_text()
        return [one for one in map(json.loads, text.splitlines()) if str(one["route"]).startswith("unknown/")]

    async def written() -> bool:
        return len(lines()) == 3

    await until(written, within=5)
    silent, broken, known = lines()
    assert (silent["tokens"], broken["tokens"], known["tokens"]) == (None, None, 12)
    assert (known["input_tokens"], known["output_tokens"]) == (7, 5)
    assert [read_line(json.dumps(one).encode()).unmetered for one in lines()] == [True, False, False]


async def test_targets_of_a_policy_may_share_a_counter(world: World, client: httpx.AsyncClient) -> None:
    headers = await limited(world, "shared", limit(2, "Day", shared=True))
    another = http_route("shared", "s", rule("/", "up"), hostnames=["other.shared.test"])
    made = policy("shared", limit(2, "Day", shared=True))
    made["spec"]["targetRefs"].append(target("HTTPRoute", "s"))
    await world.stack.put(made, another)
    hosts = ("shared.test", "other.shared.test", "shared.test")
    statuses = [(await client.get("/", headers=headers | {"host": host})).status_code for host in hosts]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (limit(1, shadowMode=True), "shadowMode is not supported"),
        (limit(1, cost={"request": {"from": "Metadata", "metadata": {"namespace": "a:b", "key": "c"}}}), "namespace"),
        ({"limit": {"requests": 1, "unit": "Fortnight"}}, "Fortnight"),
    ],
)
async def test_what_cannot_be_counted_is_refused_by_its_name(world: World, broken: dict[str, Any], said: str) -> None:
    place = f"bad{abs(hash(said)) % 10**6}"
    up = await world.stack.upstream("up")
    route = http_route(place, "r", rule("/", "up"), hostnames=[f"{place}.test"])
    await world.stack.apply(namespace(place), *service(place, "up", up.port), route)
    try:
        await world.stack.put(policy(place, broken))
    except Exception as problem:  # the API may refuse it before the gateway does
        assert said in str(problem)  # noqa: PT017
        return
    ancestors = (await world.stack.status(BACKEND_TRAFFIC_POLICY, place, "limits"))["ancestors"]
    assert said in condition(ancestors[0]["conditions"], "Accepted")["message"]


async def test_a_request_takes_from_all_counters_or_from_none(world: World) -> None:
    redis = world.valkey.gateway_client()
    try:
        counters = Counters(redis)
        keys = ["modeldeck:limits:a:day", "modeldeck:limits:b:day"]
        both = [Asked(keys[0], 10, 86_400, 3), Asked(keys[1], 5, 86_400, 3)]
        assert [one.used for one in await counters.take(both)] == [3, 3]
        assert [(one.used, one.over) for one in await counters.take(both)] == [(3, False), (3, True)]
        charge = Asked(keys[1], 5, 86_400, 9, count=True)
        assert (await counters.take([charge]))[0].used == 12, "what is spent is counted"
        assert (await counters.take([Asked(keys[0], 3, 86_400, 0)]))[0].over, "nothing is left"
        assert 0 < await redis.pttl(keys[0]) <= 86_400_000
        # What is charged late goes to the window that it was spent in, where that still runs.
        (seconds, _), day = await redis.time(), 86_400
        late = [(keys[1], day, seconds // day, 5), (keys[1], day, seconds // day - 1, 50)]
        await counters.charge_late([*late, ("modeldeck:limits:c:day", day, seconds // day, 2)])
        assert (await counters.take([Asked(keys[1], 5, day, 0)]))[0].used == 17
        assert 0 < await redis.pttl("modeldeck:limits:c:day") <= day * 1000
    finally:
        await redis.aclose()


async def test_without_redis_a_gateway_lets_pass_or_not_as_it_was_told(world: World) -> None:
    headers = await limited(world, "away", limit(1, "Day"))
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        opened, closed = await world.twice()
        assert [(await client.get(opened, headers=headers)).status_code for _ in range(2)] == [200, 429]
        await world.valkey.stop()
        assert not await is_serving(f"{LOOPBACK}:{world.services[0].port}")
        assert (await client.get(opened, headers=headers)).status_code == 200
        refused = await client.get(closed, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "limits_unknown")
        await world.valkey.start()
        assert (await client.get(opened, headers=headers)).status_code == 429, "the counters were kept"


async def test_what_was_spent_while_redis_was_away_is_charged_when_it_is_back(
    world: World, client: httpx.AsyncClient
) -> None:
    await model(world, "late", tokens(1000))
    assert (await ask(client, "late")).status_code == 200
    assert await left(client, "late", 1000) == 12
    await world.valkey.stop()
    assert [(await ask(client, "late", "responses")).status_code for _ in range(3)] == [200] * 3

    def kept() -> int:
        return sum(len(one.late) for one in world.limiters)

    await until(lambda: kept() > 0, within=3)
    await asyncio.sleep(0.3)  # it tries in vain meanwhile, and loses nothing
    await world.valkey.start()
    await until(lambda: kept() == 0, within=5)
    assert 1000 - int((await ask(client, "late", "broken")).headers["x-ratelimit-remaining"]) == 12 + 3 * 7
