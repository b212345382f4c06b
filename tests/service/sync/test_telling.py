"""What others are told of syncs: a stream of events in Redis, and Sentry. Neither costs a sync anything."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from console.actions import REGISTRY
from console.actions.perform import perform
from console.config import ProviderLink
from console.guard import Principal, Role
from console.local.samples import faults
from console.local.valkey import Valkey
from console.outcome import Ending, Outcome
from console.services import Services
from console.sync import analytics
from tests.support.profiles import profile_for

from .conftest import TOKEN, Deck


class Desk:
    """An operator whose providers are the sample server's, with Redis."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def do(self, action: str, **values: Any) -> Outcome:
        return await perform(self.services, REGISTRY[action], values, Principal("alice", Role.ADMIN), confirmed="yes")

    async def events(self, **values: Any) -> list[dict[str, Any]]:
        """The oldest first."""
        return list(reversed((await self.do("sync.events", limit=1_000, **values)).data))


@pytest.fixture
async def desk(deck: Deck, valkey: Valkey, tmp_path: Path) -> AsyncIterator[Desk]:
    secret = tmp_path / "credential"
    secret.write_text(TOKEN)
    slugs = ("openrouter", "groq", "cerebras")
    links = {slug: ProviderLink(url=deck.samples.base_url(slug), credential=f"file:{secret}") for slug in slugs}
    profile = profile_for(tmp_path, valkey, database=str(deck.store.url.database), providers=links)
    async with Services(profile) as services:
        yield Desk(services)


# --- the stream ----------------------------------------------------------------------------------------------------


async def test_a_run_leaves_its_events_and_a_dry_run_leaves_none(desk: Desk, redis: Redis) -> None:
    await desk.do("sync.run", provider=("groq", "cerebras"), dry_run=True)
    assert await redis.exists(analytics.STREAM) == 0
    await desk.do("sync.run", provider=("groq", "cerebras"))
    events = await desk.events()
    names = [event["event"] for event in events]
    assert sorted(names) == sorted(["models.added", "sync.performance"] * 2 + ["sync.completed"])
    added = next(e for e in events if e["event"] == "models.added" and e["provider"] == "groq")
    assert (added["count"], added["baseline"], added["models"]) == (27, True, [])
    last = events[-1]
    assert (last["event"], last["run"], last["outcome"], last["providers"], last["in_order"]) == (
        "sync.completed",
        1,
        "done",
        2,
        2,
    )
    assert last["fetched"] == last["written"] > 27
    assert last["milliseconds"] > 0


async def test_what_came_changed_and_went_is_told_with_its_names(desk: Desk, deck: Deck) -> None:
    await desk.do("sync.run", provider=("openrouter",))
    deck.samples.reprice("openrouter", "openai/gpt-4o-mini", "2")
    deck.samples.remove("openrouter", "openai/gpt-4o")
    deck.samples.add("openrouter", {"id": "ours/new", "name": "New"})
    await desk.do("sync.run", provider=("openrouter",))
    told = {e["event"]: e for e in await desk.events() if e["run"] == 2}
    assert (told["models.added"]["models"], told["models.added"]["baseline"]) == (["ours/new"], False)
    assert (told["models.updated"]["models"], told["models.updated"]["count"]) == (["openai/gpt-4o-mini"], 1)
    assert told["models.removed"]["models"] == ["openai/gpt-4o"]
    await desk.do("sync.run", provider=("openrouter",))  # nothing new but that one is still missing
    third = [e["event"] for e in await desk.events() if e["run"] == 3]
    assert "models.added" not in third
    assert "models.updated" not in third


async def test_a_provider_that_falls_out_and_comes_back_is_told_once_each(desk: Desk, deck: Deck) -> None:
    await desk.do("sync.run", provider=("groq",))
    deck.samples.fault("groq", faults.WrongToken())
    await desk.do("sync.run", provider=("groq",))
    await desk.do("sync.run", provider=("groq",))
    deck.samples.fault("groq", None)
    await desk.do("sync.run", provider=("groq",))
    found = await desk.events(event="gateway.status_changed", provider="groq")
    assert [(e["run"], e["available"], e["before"]) for e in found] == [(2, False, "ok"), (4, True, "refused")]
    assert await desk.events(provider="cerebras") == []


async def test_entries_of_others_are_left_out_and_an_unknown_event_is_refused(desk: Desk, redis: Redis) -> None:
    for fields in ({"event": "sync.completed"}, {"event": "x", "data": "{}"}, {"event": "models.added", "data": "[1"}):
        await redis.xadd(analytics.STREAM, fields)  # type: ignore[arg-type]
    assert await desk.events() == []
    outcome = await desk.do("sync.events", event="models.deleted")
    assert (outcome.ending, outcome.code) == (Ending.REFUSED, "BAD_REQUEST")
    assert "models.removed" in outcome.summary


async def test_a_page_of_events_goes_past_what_is_not_asked_for(desk: Desk, redis: Redis) -> None:
    wanted = json.dumps({"run": 1, "provider": "groq"})
    await redis.xadd(analytics.STREAM, {"event": "sync.performance", "data": wanted})
    async with redis.pipeline() as pipeline:
        for number in range(1_200):
            pipeline.xadd(analytics.STREAM, {"event": "models.added", "data": json.dumps({"run": number})})
        await pipeline.execute()
    assert [e["provider"] for e in await desk.events(event="sync.performance")] == ["groq"]


async def test_a_sync_is_done_where_analytics_cannot_be_told(
    desk: Desk, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set(analytics.STREAM, "something of another program's")
    assert (await desk.do("sync.run", provider=("groq",))).ending is Ending.DONE
    assert "analytics were not told of run 1: ResponseError" in caplog.text


# --- Sentry --------------------------------------------------------------------------------------------------------


@pytest.fixture
def sentry(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Something that takes Sentry's envelopes on loopback; yields their items."""
    items: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            items.extend(json.loads(line) for line in body.splitlines() if line.strip())
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("SENTRY_DSN", f"http://public@127.0.0.1:{server.server_port}/1")
    yield items
    import sentry_sdk

    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)
    server.shutdown()
    server.server_close()
    thread.join()


async def test_sentry_hears_of_failures_and_times_and_of_no_credential(
    desk: Desk, deck: Deck, sentry: list[dict[str, Any]]
) -> None:
    deck.samples.fault("groq", faults.WrongToken())
    outcome = await desk.do("sync.run", provider=("groq", "cerebras"))
    assert outcome.ending is Ending.PARTIAL
    failures = [item for item in sentry if item.get("level") == "error"]
    assert [item["tags"]["gateway"] for item in failures] == ["groq"]
    assert failures[0]["tags"]["sync_type"] == "operator"
    assert failures[0]["message"].startswith("groq: ")
    transaction = next(item for item in sentry if item.get("type") == "transaction" and "spans" in item)
    assert transaction["transaction"] == "model sync"
    assert {span["description"] for span in transaction["spans"]} == {"groq", "cerebras"}
    assert TOKEN not in json.dumps(sentry)
    assert "argv" not in json.dumps(sentry)


async def test_a_sync_is_done_where_sentry_is_away_unreadable_or_missing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SENTRY_DSN", "https://hunter2@")
    assert (await desk.do("sync.run", provider=("groq",))).ending is Ending.DONE
    assert "Sentry was not told of run 1: BadDsn" in caplog.text
    assert "hunter2" not in caplog.text
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    assert (await desk.do("sync.run", provider=("groq",))).ending is Ending.UNCHANGED
    assert "the library is missing" in caplog.text
