"""Keys that the gateway checks itself: what the real Envoy lets pass without a question is what the decision allows."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from console.access.decision import Allowed, Ask, Body, decide
from console.access.server import Authorizer, Judge
from console.access.table import LEASE_SECONDS, USES_FILE, KeyTable
from console.access.types import Entries, Grant, KeyEntry, Restrictions, Snapshot, digest_of
from console.config import AccessRules, GatewayLink
from console.local import bootstrap
from console.local.envoy import Envoy
from console.local.gateway.snapshot import Snapshot as Objects
from console.local.gateway.translate import Settings, generated_objects, translate
from console.local.ports import LOOPBACK, free_ports
from console.publishing.manifests import manifests
from console.publishing.types import Access, Endpoint, Origin, Publication, PublicationKind
from console.serving import Serving
from tests.service.gateway.conftest import needs_envoy
from tests.service.gateway.driving import Upstream
from tests.support.envoy_files import lay_out
from tests.support.examples import examples
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = AccessRules()
OPENAI = ("chat", "largé", "with space", "per%cent")
TRADITIONAL = "iris"
NAMES = (*OPENAI, TRADITIONAL, "unpublished")
PREDICT = f"/t/{bootstrap.SYSTEM}/v1/models/{TRADITIONAL}:predict"
HEADERS = tuple(
    f"x-modeldeck-{name}" for name in ("model", "endpoint-id", "model-id", "project-id", "key-id", "tenant")
)


class View:
    """What the authorizer knows, as a test has set it."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()

    def usable(self, now: float) -> bool:
        return True


class Counting(Authorizer):
    """The real authorizer; it counts how often it was asked."""

    def __init__(self, judge: Judge, reads: Literal["header", "body"] = "header") -> None:
        super().__init__(judge, reads=reads)
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        await super().__call__(scope, receive, send)


@dataclass
class Gateway:
    """An Envoy with native publications, the authorizer behind it, its table, and the upstream of them all."""

    view: View
    authorizer: Counting
    directory: Path
    table: KeyTable
    upstream: Upstream
    client: httpx.AsyncClient

    def know(self, snapshot: Snapshot) -> None:
        self.view.snapshot = snapshot
        self.table.follow(snapshot)
        self.table.extend(time.time())

    async def ask(self, key: str, model: str | None, path: str, body: Body = Body.OK) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "x-modeldeck-key-id": "spoof"}
        return await self.client.post(path, content=_content(model, body), headers=headers)


def _content(model: str | None, body: Body) -> bytes:
    match body:
        case Body.OK:
            return json.dumps({"model": model}).encode()
        case Body.DUPLICATE:
            return b'{"model": "chat", "model": "chat"}'
        case Body.MALFORMED:
            return b'{"model": '
        case Body.NO_MODEL:
            return b"{}"
        case _:
            return b""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    needs_envoy()
    directory = tmp_path_factory.mktemp("native")
    keys = directory / "keys"
    view = View()
    authorizer = Counting(Judge(view, RULES))  # type: ignore[arg-type]
    serving = Serving(authorizer, lifespan="off", date_header=False)
    await serving.start()
    upstream = Upstream("up")
    await upstream.start()
    envoy = Envoy(directory / "envoy", workers=1)
    port = free_ports(1)[0]
    table = KeyTable(keys, RULES)
    table.follow(Snapshot())
    described = Settings(directory=envoy.configuration, access_log=envoy.access_log, key_table=keys)
    lay_out(envoy, translate(Objects(_objects(port, serving.port, upstream.port)), described))
    await envoy.start()
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=10) as client:
        made = Gateway(view, authorizer, keys, table, upstream, client)
        yield made
    await envoy.stop()
    await serving.stop()
    await upstream.stop()
    made.table.close()


def _objects(port: int, authorizer: int, upstream: int) -> list[Any]:
    link = GatewayLink(
        name=bootstrap.GATEWAY,
        namespace=bootstrap.SYSTEM,
        authorizer=f"{bootstrap.SYSTEM}/{bootstrap.AUTHORIZER}:80",
        authorizer_reads="header",
        native_access=True,
    )
    names = (bootstrap.DEFAULT_UPSTREAM, *(one[1] for one in bootstrap.INFERENCE_SERVICES))
    made = bootstrap.manifests(gateway_port=port, authorizer_port=authorizer, upstreams=dict.fromkeys(names, upstream))
    place = bootstrap.SYSTEM
    for name in (*OPENAI, TRADITIONAL):
        kind = PublicationKind.TRADITIONAL if name == TRADITIONAL else PublicationKind.OPENAI
        host = bootstrap.DEFAULT_UPSTREAM if name == TRADITIONAL else LOOPBACK
        port_ = 80 if name == TRADITIONAL else upstream
        origin = Origin("catalog", f"sample/{name}", name, Endpoint(host, port_, tls=False))
        made += manifests(Publication(name, name, place, kind, origin, access=Access.NATIVE), link)
    for number, one in enumerate(made):
        one["metadata"]["uid"] = f"uid-{number}"
    return [*made, *generated_objects(Objects(made)).objects]


# --- as the decision says ------------------------------------------------------------------------------------------

IDS = st.sampled_from(["p1", "p1", "p2", "p2", None, "", "ü", "a\tb", "100%"])
GRANTS = st.builds(Grant, IDS, IDS, IDS)
MODELS = st.dictionaries(st.sampled_from(NAMES), GRANTS, min_size=4, max_size=6)
TEXTS = st.sampled_from(["bud_client_a", "bud_client_b", "mdk_client_c", "bud_admin_d", "e-f.g~h+i/j=="])
MOMENTS = st.sampled_from([*[None] * 8, -10.0, -0.5, 0.4, 60.0])
NETWORKS = st.sampled_from([*[()] * 6, (ip_network("127.0.0.0/8"),), (ip_network("10.0.0.0/8"), ip_network("::/0"))])
TENANTS = st.one_of(*[st.just(frozenset())] * 3, st.frozensets(st.sampled_from(["p1", "p2", "", "a\x1fb"]), max_size=2))
KEYS = st.fixed_dictionaries(
    {
        "text": TEXTS, "models": MODELS, "key_id": IDS, "tenant": IDS, "project_id": IDS, "not_after": MOMENTS,
        "suspended": st.sampled_from([*[False] * 7, True]), "networks": NETWORKS, "tenants": TENANTS,
    }
)  # fmt: skip
RESTRICTIONS = st.builds(
    Restrictions,
    st.frozensets(st.sampled_from(["p1", "p2", "ü"]), max_size=1),
    st.frozensets(st.sampled_from(NAMES), max_size=1),
)
ASKS = st.tuples(
    st.integers(0, 8),
    st.sampled_from(NAMES[:3]),
    st.sampled_from([*["/v1/chat/completions", PREDICT] * 4, "/v1/x?a=/models/", "/v1/files/x", "/v1/models/chat"]),
    st.sampled_from([*[Body.OK] * 12, Body.NO_MODEL, Body.DUPLICATE, Body.MALFORMED]),
)


def _known(keys: list[dict[str, Any]], published: dict[str, Grant], limits: Restrictions, now: float) -> Snapshot:
    entries = {}
    for key in keys:
        about = {name: value for name, value in key.items() if name != "text"}
        if about["not_after"] is not None:
            about["not_after"] += now
        digest = digest_of(key["text"])
        entries[digest] = KeyEntry(digest, **about)
    return Snapshot(Entries.of(entries.values()), published, restrictions=limits)


async def test_the_gateway_answers_as_the_decision_says(gateway: Gateway) -> None:
    """Whoever has decided: the status, the code, and what the upstream is told are those of the one function."""
    loop = asyncio.get_running_loop()
    unasked = []

    @settings(
        max_examples=examples(40),
        deadline=None,
        phases=[Phase.generate, Phase.target, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(st.lists(KEYS, min_size=1, max_size=3), MODELS, RESTRICTIONS, st.lists(ASKS, min_size=6, max_size=16))
    def holds(keys: list[dict[str, Any]], published: dict[str, Grant], limits: Restrictions, asks: list[Any]) -> None:
        texts = [*(key["text"] for key in keys), "unknown"]
        asked = [(texts[-1 if number == 8 else number % len(keys)], *rest) for number, *rest in asks]
        work = _compare(gateway, _known(keys, published, limits, time.time()), asked)
        unasked.extend(asyncio.run_coroutine_threadsafe(work, loop).result(30))

    await asyncio.to_thread(holds)
    print(f"\n{sum(unasked)} of {len(unasked)} requests were decided without a question")
    assert any(unasked), "the gateway asked about every request, so nothing was compared"


async def _compare(gateway: Gateway, known: Snapshot, asks: list[Any]) -> list[bool]:
    """Ask the gateway and the function; whether the gateway has decided by itself, for each."""
    gateway.know(known)
    alone = []
    for text, model, path, body in asks:
        asked, seen = gateway.authorizer.asked, len(gateway.upstream.seen)
        begun = time.time()
        answer = await gateway.ask(text, model, path, body)
        route_model = TRADITIONAL if path == PREDICT else None
        ask = Ask((f"Bearer {text}",), "POST", path, model if body is Body.OK else None, body, route_model, LOOPBACK)
        wanted = [decide(known, ask, now=now) for now in (begun, time.time())]
        gave = gateway.authorizer.asked == asked
        told = [one for one in wanted if _agrees(answer, one, gateway, seen)]
        assert told, (text, model, path, body, answer.status_code, answer.text, gave, wanted)
        assert not gave or isinstance(told[0], Allowed)
        alone.append(gave)
    return alone


def _agrees(answer: httpx.Response, wanted: Any, gateway: Gateway, seen: int) -> bool:
    if not isinstance(wanted, Allowed):
        return answer.status_code == wanted.status and answer.json()["error"]["code"] == wanted.code
    if answer.status_code == 404 and answer.json()["error"]["code"] == "model_not_found":
        return wanted.model == "unpublished"  # allowed, and nothing leads there
    if answer.status_code != 200 or len(gateway.upstream.seen) != seen + 1:
        return False
    got = {name: value for name, value in gateway.upstream.last.headers.items() if name in HEADERS}
    return got == wanted.headers


# --- what the table does -------------------------------------------------------------------------------------------


def usual(text: str = "bud_client_x", **more: Any) -> KeyEntry:
    return KeyEntry(digest_of(text), {"chat": Grant("e", "m", "p")}, "key-1", tenant="acme", project_id="p", **more)


async def alone(gateway: Gateway, text: str = "bud_client_x") -> int:
    """The status of a usual request; 0 where the authorizer was asked for it."""
    asked = gateway.authorizer.asked
    answer = await gateway.ask(text, "chat", "/v1/chat/completions")
    return answer.status_code if gateway.authorizer.asked == asked else 0


async def test_a_change_holds_for_the_next_request(gateway: Gateway) -> None:
    for _ in range(20):
        gateway.know(Snapshot(Entries.of([usual()])))
        assert await alone(gateway) == 200
        gateway.know(Snapshot())
        assert (await gateway.ask("bud_client_x", "chat", "/v1/chat/completions")).status_code == 401


async def test_a_published_model_is_for_keys_of_clients_that_may_call_its_tenant(gateway: Gateway) -> None:
    texts = ("bud_client_p", "bud_client_q", "mdk_client_r", "bud_admin_s")
    may: dict[str, frozenset[str]] = {texts[0]: frozenset({"p", "o"}), texts[1]: frozenset({"q"})}
    entries = [replace(usual(text), models={}, tenants=may.get(text, frozenset())) for text in texts]
    gateway.know(Snapshot(Entries.of(entries), {"chat": Grant("e", "m", "p")}))
    assert [await alone(gateway, text) for text in texts] == [200, 0, 200, 0]
    gateway.know(Snapshot(Entries.of(entries), {}))
    assert [await alone(gateway, text) for text in texts] == [0, 0, 0, 0]


async def test_what_has_a_budget_is_asked_about(gateway: Gateway) -> None:
    gateway.know(Snapshot(Entries.of([usual()])))
    assert await alone(gateway) == 200
    for budget in ("key:key-1", "tenant:acme"):
        gateway.table.follow(gateway.view.snapshot, charged=frozenset({budget, "key:other"}))
        assert await alone(gateway) == 0
    gateway.table.follow(gateway.view.snapshot)
    assert await alone(gateway) == 200


async def test_a_key_that_ends_is_refused_from_that_moment(gateway: Gateway) -> None:
    gateway.know(Snapshot(Entries.of([usual(not_after=time.time() + 3)])))
    assert await alone(gateway) == 200
    gateway.know(Snapshot(Entries.of([usual(not_after=time.time() + 0.3)])))
    assert (await gateway.ask("bud_client_x", "chat", "/v1/chat/completions")).status_code == 200
    await asyncio.sleep(0.4)
    answer = await gateway.ask("bud_client_x", "chat", "/v1/chat/completions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "expired_api_key")


async def test_a_table_that_nobody_extends_is_not_gone_by(gateway: Gateway) -> None:
    gateway.know(Snapshot(Entries.of([usual()])))
    gateway.table.extend(time.time() - LEASE_SECONDS - 1)
    assert await alone(gateway) == 0
    gateway.table.extend(time.time())
    assert await alone(gateway) == 200


async def test_a_worker_that_takes_over_sends_the_gateway_to_its_own_table(gateway: Gateway) -> None:
    gateway.know(Snapshot(Entries.of([usual()])))
    other = KeyTable(gateway.directory, RULES)
    other.follow(Snapshot())
    assert not other.writes, "only one writes"
    assert await alone(gateway) == 200
    # As a process that is killed leaves it: the lock is free, a line is cut off, and nobody has said goodbye.
    assert gateway.table._file is not None
    os.write(gateway.table._file, b"key\tdeadbeef")
    for held in (gateway.table._lock, gateway.table._file):
        assert held is not None
        os.close(held)
    gateway.table = other
    gateway.know(Snapshot(Entries.of([usual("bud_client_y")])))
    assert other.writes
    assert await alone(gateway, "bud_client_y") == 200
    assert (await gateway.ask("bud_client_x", "chat", "/v1/chat/completions")).status_code == 401
    assert [path.name for path in gateway.directory.glob("keys-*.table")] == [
        Path(gateway.directory / "current").readlink().name
    ]


async def test_a_table_that_has_grown_is_begun_anew(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.access.table._LARGEST_GROWTH_BYTES", 2000)
    first = (gateway.directory / "current").readlink()
    for number in range(40):
        gateway.know(Snapshot(Entries.of([usual(), usual(f"other-{number}")])))
    assert (gateway.directory / "current").readlink() != first
    assert await alone(gateway) == 200
    assert await alone(gateway, "other-39") == 200
    assert await alone(gateway, "other-38") == 0


async def test_what_passed_is_noted_once(gateway: Gateway) -> None:
    gateway.know(Snapshot(Entries.of([usual()])))
    assert await alone(gateway) == 200
    digest = digest_of("bud_client_x")
    await until(lambda: f"{digest}\tchat\t{LOOPBACK}\n" in (gateway.directory / USES_FILE).read_text())


async def test_ten_thousand_keys_are_looked_up_like_ten(gateway: Gateway) -> None:
    many = Entries.of(usual(f"key-{number}") for number in range(10_000))
    gateway.know(Snapshot(many))
    assert [await alone(gateway, f"key-{number}") for number in (0, 5_000, 9_999)] == [200, 200, 200]
    changes = {digest_of("key-5000"): None}
    gateway.view.snapshot = replace(gateway.view.snapshot, keys=many.with_changes(changes))
    gateway.table.follow(gateway.view.snapshot, changes)
    assert (await gateway.ask("key-5000", "chat", "/v1/chat/completions")).status_code == 401
