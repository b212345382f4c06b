"""A provider that keeps books of its answers, and a stack whose publications lead to it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from console.outcome import Outcome
from console.services import Services
from tests.service.gateway.driving import Seen, Upstream, respond
from tests.support.stack import TWO_PROVIDERS, Running, running_stack

FORMS = ("json", "gzip", "stream", "stream with usage", "aborted", "silent", "failed", "refused")


class Provider(Upstream):
    """Answers as the request says, and keeps books of answers that told tokens: in, out, and of those in the cached."""

    def __init__(self) -> None:
        super().__init__("provider")
        self.books: list[tuple[int, int, int]] = []
        self._random = random.Random(7)

    async def answer(self, seen: Seen, send: Any) -> None:
        form = seen.json["form"]
        kind = {"content-type": "application/json"}
        if form in ("failed", "refused", "silent"):
            status = {"failed": 500, "refused": 400, "silent": 200}[form]
            await respond(send, status, b'{"choices": []}', kind)
            return
        given, made = self._random.randrange(1, 5000), self._random.randrange(1, 5000)
        tokens = given, made, self._random.choice((0, given // 2))
        usage = {
            "prompt_tokens": given,
            "completion_tokens": made,
            "total_tokens": given + made,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": tokens[2]},
        }
        if form in ("json", "gzip"):
            self.books.append(tokens)
            body = json.dumps({"choices": [{"message": {"content": "x" * 5000}}], "usage": usage}).encode()
            packed = gzip.compress(body) if form == "gzip" else body
            await respond(send, 200, packed, kind | ({"content-encoding": "gzip"} if form == "gzip" else {}))
            return
        assert seen.json["stream_options"] == {"include_usage": True}  # asked for by the gateway where nobody has
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        if form != "aborted":
            self.books.append(tokens)
        for word in ("a", "b"):
            await self._event(send, {"choices": [{"delta": {"content": word}}], "usage": None})
        if form == "aborted":
            await asyncio.sleep(2)  # longer than a busy gateway takes to see that the client has gone
        await self._event(send, {"choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    @staticmethod
    async def _event(send: Any, event: dict[str, Any]) -> None:
        raw = f"data: {json.dumps(event)}\n\n".encode()
        for at in range(0, len(raw), 37):
            await send({"type": "http.response.body", "body": raw[at : at + 37], "more_body": True})


@contextlib.asynccontextmanager
async def stack_of(provider: Provider, directory: Path) -> AsyncIterator[Running]:
    """A stack in which the models of deepinfra are at this provider."""
    async with running_stack(directory, synced=TWO_PROVIDERS) as running:
        profile = running.services.profile
        link = profile.providers["deepinfra"].model_copy(
            update={"inference_url": f"http://127.0.0.1:{provider.port}/v1"}
        )
        profile = profile.model_copy(update={"providers": {**profile.providers, "deepinfra": link}})
        async with Services(profile) as services:
            running.services = services
            yield running


async def published_at(stack: Running, provider: Provider, **values: Any) -> Outcome:
    """The live probe of a publication names no form."""
    real = provider.answer

    async def probed(seen: Seen, send: Any) -> None:
        await respond(send, 200, b'{"choices": []}', {"content-type": "application/json"})

    provider.answer = probed  # type: ignore[method-assign]
    try:
        return await stack.publish(**values)
    finally:
        provider.answer = real  # type: ignore[method-assign]
