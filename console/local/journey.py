"""The whole journey as a script: what the console is for, done once, with a proof for every step.

It goes through the same actions as the CLI, the API and the screens, and through the real Envoy as a client. The first
step that is not true ends it with an `Untrue`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis

from console.access.feed import Feed, FeedEvent
from console.access.types import PUBLISHED_KEY, digest_of
from console.actions import REGISTRY
from console.actions.perform import perform
from console.guard import Principal, Role
from console.k8s.types import AI_GATEWAY_ROUTE, HTTP_ROUTE, SECURITY_POLICY
from console.local.leaks import find_leaks
from console.outcome import Ending, Outcome
from console.rendering import progress_line
from console.services import Services
from console.terminal.text import safe
from console.tls import trusted

PROVIDERS = ("openrouter", "together", "deepinfra")
TENANT = "acme"
QUERY = "provider:deepinfra llama ctx>=100k"
GRACE_SECONDS = 4
REVOKE_SECONDS = 1.0
_CHAT = "/v1/chat/completions"
# seeds/001, "Test Client Key with Published Models": only host, port and password are ours.
_RECIPE_PUBLISHED = '{"test-model":{"endpoint_id":"e1","model_id":"m1","project_id":"p1"}}'
_RECIPE_KEYS = '{"bud_client_test":{"base-model":{"endpoint_id":"e0","model_id":"m0","project_id":"p0"}}}'
_RECIPE_BODY = '{"model": "test-model", "messages": []}'
_CURL_TYPE = {"content-type": "application/x-www-form-urlencoded"}


class Untrue(Exception):
    """A step did not show what it was to show."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway answered a client."""

    status: int
    milliseconds: float
    headers: Mapping[str, str]
    body: Any

    def __str__(self) -> str:
        upstream = self.headers.get("x-sample-upstream")
        code = self.body.get("error", {}).get("code") if isinstance(self.body, dict) else None
        who = f" from {upstream}" if upstream else f" {code}" if code else ""
        return f"{self.status}{who} in {self.milliseconds:.0f} ms"


class Journey:
    """One run of it.

    Args:
        say: where each line goes
        data: the stack's directory, searched for leaked keys at the end
    """

    def __init__(self, services: Services, say: Callable[[str], None], *, data: Path) -> None:
        self._services = services
        self._say = say
        self._data = data
        self._principal = Principal.of_this_terminal(role=Role.ADMIN, tenants=None, via="demo")
        self._client = httpx.AsyncClient(
            base_url=services.profile.gateway.url, timeout=20, trust_env=False, verify=trusted()
        )
        self._events: list[FeedEvent] = []
        self._heard = asyncio.Event()
        self._issued: list[str] = []
        self._number = 0
        self._model = ""
        self._name = ""

    async def run(self) -> None:
        """Every step, in order.

        Raises:
            Untrue: the first that is not true.
        """
        feed = Feed(await self._services.redis(), self._services.profile.access, self._take)
        follower = asyncio.create_task(feed.run(), name="journey feed")
        try:
            async with asyncio.timeout(10):
                await feed.ready.wait()
            await self._sync()
            await self._search()
            await self._publish()
            first = await self._create_key()
            await self._call(first)
            await self._recipes()
            await self._repair(first)
            second = await self._rotate(first)
            await self._revoke(second)
            await self._unpublish(second)
            await self._look_for_leaks()
        finally:
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
            await self._client.aclose()

    # --- the steps --------------------------------------------------------------------------------------------

    async def _sync(self) -> None:
        async with self._step("sync the catalog from three providers, in three shapes and three price units"):
            first = await self._do("sync.run", {"provider": PROVIDERS})
            self._table(first)
            for row in first.data["providers"]:
                self._check(row["written"] > 0, f"{row['provider']} wrote {row['written']} models")
        async with self._step("sync again: nothing to write"):
            second = await self._do("sync.run", {"provider": PROVIDERS})
            written = sum(row["written"] for row in second.data["providers"])
            self._check(written == 0, f"{written} rows written the second time")

    async def _search(self) -> None:
        async with self._step(f"search: {QUERY}"):
            found = await self._do("models.search", {"query": QUERY, "limit": 5})
            rows = found.data["rows"]
            self._check(bool(rows), f"{found.data['total']} models match")
            for row in rows:
                self._say(
                    f"   {row['id']:56} {row['context'] or '…':>9} {row['input'] or '…':>8} {row['output'] or '…':>8}"
                )
            self._model = rows[0]["id"]
            self._name = self._model.rpartition("/")[2].lower()

    async def _publish(self) -> None:
        values = {"model": self._model, "name": self._name, "tenant": TENANT, "rpm": 600}
        async with self._step(f"publish {self._model} as {self._name}"):
            done = await self._do("publish", values)
            self._check(done.data["ready"], f"ready: {done.data['url']}")
            await self._show_objects(expected=1)

    async def _create_key(self) -> str:
        async with self._step("create a key, shown once"):
            done = await self._do("keys.create", {"name": "chat", "tenant": TENANT, "owner": "acme/chat"})
            return self._issue(done)

    async def _call(self, key: str) -> None:
        async with self._step("call the gateway as a client"):
            answer = await self._chat(key, self._name)
            self._check(answer.status == 200, f"POST {_CHAT} with the key: {answer}")
            served = answer.headers.get("x-sample-upstream", "")
            self._check(served == "deepinfra", f"answered by the upstream {served or 'none'}")
            usage = answer.body["usage"]
            self._check(usage["total_tokens"] > 0, f"usage {usage}")
            events, total = await self._stream(key, self._name)
            self._check(events > 1 and total > 0, f"streamed: {events} events, {total} tokens")
            answer = await self._chat(None, self._name)
            self._check(answer.status == 401, f"without a key: {answer}")
            answer = await self._chat(key, "another-model")
            self._check(answer.status == 404, f"another model: {answer}")
            answer = await self._get(key, "/v1/models")
            names = [model["id"] for model in answer.body["data"]]
            self._check(self._name in names, f"GET /v1/models lists {names}")

    async def _recipes(self) -> None:
        redis = await self._services.redis()
        async with self._step("the test recipes of the seed, as written there"):
            await self._raw(redis, "SET", "published_model_info", _RECIPE_PUBLISHED)
            await self._raw(redis, "SET", "api_key:client_keys", _RECIPE_KEYS)
            answer = await self._eventually(lambda: self._post("bud_client_test", _RECIPE_BODY, _CURL_TYPE), 200)
            self._check(answer.status == 200, f"bud_client_test reaches test-model: {answer}")
            answer = await self._post("regular_key_123", _RECIPE_BODY, _CURL_TYPE)
            self._check(answer.status in (401, 404), f"regular_key_123 does not: {answer}")

    async def _repair(self, key: str) -> None:
        values = {"model": self._model, "name": self._name, "tenant": TENANT, "rpm": 600}
        async with self._step(
            "the recipe replaced the whole map: our entry is drift now, and publishing again repairs it"
        ):
            state = await self._do("published", {"name": self._name})
            row = state.data[0]
            self._check(not row["ready"], f"published says: {row['reason']}")
            await self._do("publish", values)
            answer = await self._eventually(lambda: self._chat(key, self._name), 200)
            self._check(answer.status == 200, f"the key works again: {answer}")
            names = list(await self._published())
            self._check("test-model" in names, f"the other writer's entry is there still: {names}")

    async def _rotate(self, first: str) -> str:
        async with self._step(f"rotate the key with a grace of {GRACE_SECONDS} s"):
            done = await self._do("keys.rotate", {"key": "chat", "grace": str(GRACE_SECONDS)})
            ends = time.monotonic() + GRACE_SECONDS
            second = self._issue(done)
            for label, key in (("old", first), ("new", second)):
                answer = await self._chat(key, self._name)
                self._check(answer.status == 200, f"the {label} key within the grace: {answer}")
            answer = await self._eventually(lambda: self._chat(first, self._name), 401, within=GRACE_SECONDS + 2)
            late = time.monotonic() - ends
            self._check(answer.status == 401 and late < 1, f"the old key after the grace: {answer}, {late:+.2f} s")
            answer = await self._chat(second, self._name)
            self._check(answer.status == 200, f"the new key: {answer}")
            return second

    async def _revoke(self, key: str) -> None:
        async with self._step("revoke the key"):
            began = time.monotonic()
            await self._do("keys.revoke", {"key": "chat"}, confirmed="yes")
            answer = await self._eventually(lambda: self._chat(key, self._name), 401)
            took = time.monotonic() - began
            self._check(
                answer.status == 401 and took < REVOKE_SECONDS, f"refused {took:.3f} s after the order: {answer}"
            )

    async def _unpublish(self, key: str) -> None:
        async with self._step("unpublish"):
            await self._do("unpublish", {"name": self._name}, confirmed="yes")
            await self._show_objects(expected=0)
            document = await self._published()
            self._check(self._name not in document, f"{PUBLISHED_KEY} holds {list(document)}")
            foreign = json.loads(_RECIPE_PUBLISHED)["test-model"]
            self._check(document.get("test-model") == foreign, "the other writer's entry is untouched")
            answer = await self._eventually(lambda: self._post("bud_client_test", self._body(self._name)), 404)
            self._check(answer.status == 404, f"a client that had it gets {answer}")

    async def _look_for_leaks(self) -> None:
        async with self._step("look for the issued keys in everything that was kept"):
            redis = await self._services.redis()
            searched, found = await find_leaks(self._issued, self._data, redis)
            self._check(not found, f"{len(self._issued)} keys, {searched} places searched, found in {found or 'none'}")

    # --- how ----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _step(self, title: str) -> AsyncIterator[None]:
        self._number += 1
        self._say(f"\n{self._number:2} {title}")
        began = time.monotonic()
        yield
        await self._quiet()
        for event in self._events:
            self._say(f"   event   {safe(str(event))}")
        self._events.clear()
        self._say(f"   true after {time.monotonic() - began:.2f} s")

    def _check(self, true: bool, what: str) -> None:
        if not true:
            raise Untrue(f"step {self._number} is not true: {what}")
        self._say(f"   ✓ {safe(what)}")

    async def _do(self, identifier: str, values: Mapping[str, Any], *, confirmed: str = "") -> Outcome:
        action = REGISTRY[identifier]
        given = {name: value if isinstance(value, tuple) else str(value) for name, value in values.items()}

        def narrate(item: Any) -> None:
            line = progress_line(item)
            if line:
                self._say("\n".join("   " + part for part in line.splitlines()))

        outcome = await perform(self._services, action, given, self._principal, confirmed=confirmed, emit=narrate)
        if outcome.ending not in (Ending.DONE, Ending.UNCHANGED):
            items = "".join(f"\n      {i.state:8} {i.name}  {i.detail}" for i in outcome.items)
            raise Untrue(
                f"step {self._number} is not true: {identifier} ended {outcome.ending}: {outcome.summary}{items}"
            )
        self._say(f"   {outcome.ending.value}: {safe(outcome.summary)}")
        return outcome

    def _issue(self, outcome: Outcome) -> str:
        assert outcome.revealed is not None
        key = outcome.revealed.take()
        self._check(key is not None and outcome.revealed.take() is None, "the key is handed out once")
        assert key is not None
        self._issued.append(key)
        # What is said here may go into a log: the ends of a key have to do.
        self._say(f"   key     {key[:11]}…{key[-4:]}   digest {digest_of(key)[:8]}…")
        return key

    async def _chat(self, key: str | None, model: str) -> Answer:
        return await self._post(key, self._body(model), {"content-type": "application/json"})

    @staticmethod
    def _body(model: str) -> str:
        return json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})

    async def _post(self, key: str | None, body: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self._send("POST", _CHAT, key, body, headers or {"content-type": "application/json"})

    async def _get(self, key: str | None, path: str) -> Answer:
        return await self._send("GET", path, key, None, {})

    async def _send(
        self, method: str, path: str, key: str | None, body: str | None, headers: Mapping[str, str]
    ) -> Answer:
        sent = dict(headers)
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        began = time.monotonic()
        try:
            answer = await self._client.request(method, path, content=body, headers=sent)
        except httpx.HTTPError as problem:
            raise Untrue(
                f"step {self._number} is not true: the gateway did not answer ({type(problem).__name__})"
            ) from None
        took = (time.monotonic() - began) * 1000
        try:
            parsed = answer.json()
        except ValueError:
            parsed = answer.text[:200]
        return Answer(answer.status_code, took, answer.headers, parsed)

    async def _stream(self, key: str, model: str) -> tuple[int, int]:
        """Number of events and the tokens of the usage block of a streamed completion."""
        body = json.loads(self._body(model)) | {"stream": True, "stream_options": {"include_usage": True}}
        events, total = 0, 0
        async with self._client.stream("POST", _CHAT, json=body, headers={"authorization": f"Bearer {key}"}) as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                events += 1
                usage = json.loads(line[6:]).get("usage")
                total = usage["total_tokens"] if usage else total
        return events, total

    async def _eventually(self, ask: Callable[[], Any], status: int, *, within: float = 3.0) -> Answer:
        """Ask until the status is there, or the time is over; the last answer."""
        deadline = time.monotonic() + within
        while True:
            answer: Answer = await ask()
            if answer.status == status or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(0.01)

    async def _raw(self, redis: Redis, *command: str) -> None:
        """What redis-cli would send."""
        self._say("   redis   " + " ".join(command))
        await redis.execute_command(*command)  # type: ignore[no-untyped-call]

    async def _published(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await (await self._services.redis()).get(PUBLISHED_KEY) or b"{}")
        return found

    async def _show_objects(self, *, expected: int) -> None:
        cluster = await self._services.cluster()
        for kind in (AI_GATEWAY_ROUTE, HTTP_ROUTE, SECURITY_POLICY):
            found, _ = await cluster.list(kind, namespace=TENANT)
            names = [f"{TENANT}/{item['metadata']['name']}" for item in found]
            self._check(len(names) == expected, f"{kind.kind}: {', '.join(names) or 'none'}")

    def _table(self, outcome: Outcome) -> None:
        for row in outcome.data["providers"]:
            counts = "  ".join(f"{name} {row[name]}" for name in ("fetched", "normalised", "rejected", "written"))
            self._say(f"   {row['provider']:12} {row['outcome']:10} {counts}")

    def _take(self, event: FeedEvent) -> None:
        self._events.append(event)
        self._heard.set()

    async def _quiet(self) -> None:
        """Wait until no event has come for 60 ms."""
        while True:
            self._heard.clear()
            try:
                async with asyncio.timeout(0.06):
                    await self._heard.wait()
            except TimeoutError:
                return
