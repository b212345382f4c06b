"""Model providers on loopback: the true wire format of each, with real models.

One server answers for all of them, each below its own path. It knows ETags, gzip and credentials, and does wrong on
demand (console/local/samples/faults.py).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from console.local.samples import faults, source, wire
from console.serving import Serving

SLUGS = tuple(wire.FORMATS)
BIG = ("openrouter", "together", "deepinfra")  # whose lists grow where more models are asked for than there are
_RECORDS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in; of the credential only whether there was one, and whether it was right.

    headers  the others, by their names in lower case
    """

    path: str
    authorized: bool | None
    if_none_match: str | None
    gzip: bool
    headers: dict[str, str]


class _Provider:
    """One provider's list, as it is at the moment."""

    def __init__(self, slug: str, count: int | None) -> None:
        self.slug = slug
        self.format = wire.FORMATS[slug]
        self.count = count
        self.edits = faults.Edits()
        self.version = 1
        self.fault: faults.Fault | None = None
        self.seen: list[Seen] = []

    @property
    def etag(self) -> str:
        return f'"{self.slug}-{self.count or "real"}-{self.version}"'

    def records(self) -> Iterator[Any]:
        for model in source.offered(self.slug, self.count):
            if model.id in self.edits.removed:
                continue
            factor = self.edits.factors.get(model.id, Decimal(1))
            prices = {name: price * factor for name, price in model.prices.items()}
            yield self.format.record(replace(model, prices=prices)) | self.edits.fields.get(model.id, {})
        yield from self.edits.extra

    def take_fault(self) -> faults.Fault | None:
        """The fault for this answer; one that heals is counted down."""
        fault = self.fault
        if isinstance(fault, faults.Status) and fault.times:
            self.fault = replace(fault, times=fault.times - 1) if fault.times > 1 else None
        return fault


class SampleProviders:
    """The sample providers, from `start` to `stop`.

    Args:
        token: what the samples want as a credential, each in its provider's header
        port: 0 finds a free one
        models: how many models at the three big ones together; without it the real ones, each once
    """

    def __init__(self, *, token: str, port: int = 0, models: int | None = None) -> None:
        self._token = token
        share, rest = divmod(models, len(BIG)) if models is not None else (None, 0)
        counts = {slug: None if share is None else share + (rest if slug == BIG[0] else 0) for slug in BIG}
        self._providers = {slug: _Provider(slug, counts.get(slug)) for slug in SLUGS}
        self._stopping = asyncio.Event()
        self._held_back = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        routes = [
            Route(f"/{slug}{provider.format.path}", self._answer, name=slug)
            for slug, provider in self._providers.items()
        ]
        self._serving = Serving(
            Starlette(routes=[*routes, Route("/health", _health)]), port=port, lifespan="off", ws="none"
        )

    async def start(self) -> None:
        """Listen; raises `OSError` where the port cannot be had."""
        self._stopping.clear()
        self._held_back = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        await self._serving.start()

    async def stop(self) -> None:
        """End, and every endless answer with it."""
        self._stopping.set()
        self._held_back.set()
        await self._serving.stop()

    @property
    def port(self) -> int:
        return self._serving.port

    def base_url(self, slug: str) -> str:
        """What stands in for the provider's own base URL."""
        return f"{self._serving.url}/{slug}"

    def seen(self, slug: str) -> list[Seen]:
        """The requests that came in for a provider, the oldest first."""
        return self._providers[slug].seen

    def fault(self, slug: str, fault: faults.Fault | None) -> None:
        """Do this wrong from now on; None: nothing."""
        self._providers[slug].fault = fault

    def release(self) -> None:
        """Give the answers that `faults.Slow` holds back, now. May be called from any thread."""

        def let_go() -> None:
            self._held_back.set()
            self._held_back = asyncio.Event()

        if self._loop is not None:
            self._loop.call_soon_threadsafe(let_go)

    def reprice(self, slug: str, native_id: str, factor: Decimal | str) -> None:
        """Multiply a model's prices per token."""
        self._edit(slug).factors[native_id] = Decimal(factor)

    def change(self, slug: str, native_id: str, **fields: object) -> None:
        """Replace top-level fields of a model's record."""
        self._edit(slug).fields.setdefault(native_id, {}).update(fields)

    def remove(self, slug: str, *native_ids: str) -> None:
        """Take models out of the list."""
        self._edit(slug).removed.update(native_ids)

    def add(self, slug: str, *records: object) -> None:
        """Put further records, good or bad, at the end of the list."""
        self._edit(slug).extra.extend(records)

    def restore(self, slug: str) -> None:
        """The list as it was at first, and nothing wrong."""
        self._edit(slug)
        self._providers[slug].edits = faults.Edits()
        self._providers[slug].fault = None

    def models(self, slug: str) -> list[Any]:
        """The records of a list as they are sent."""
        return list(self._providers[slug].records())

    def _edit(self, slug: str) -> faults.Edits:
        provider = self._providers[slug]
        provider.version += 1
        return provider.edits

    async def _answer(self, request: Request) -> Response:
        provider = self._providers[request.url.path.split("/")[1]]
        given = request.headers.get(provider.format.header)
        right = given is not None and hmac.compare_digest(given, provider.format.prefix + self._token)
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        if_none_match = request.headers.get("if-none-match")
        headers = {name: value for name, value in request.headers.items() if name != provider.format.header}
        authorized = None if given is None else right
        provider.seen.append(Seen(request.url.path, authorized, if_none_match, zipped, headers))
        fault = provider.take_fault()
        if fault is not None and (answer := await self._wrong_answer(provider, fault, given or "")) is not None:
            return answer
        if provider.format.needs_token and not right:
            return _unauthorized(given or "")
        if if_none_match == provider.etag:
            return Response(status_code=304, headers={"etag": provider.etag})
        headers = {"etag": provider.etag, "content-type": "application/json"}
        if provider.format.pages is not None:
            return self._page(request, provider, provider.format.pages)
        body = _listed(provider.format, provider.records())
        if not zipped:
            return StreamingResponse(body, headers=headers)
        return StreamingResponse(_gzipped(body), headers={**headers, "content-encoding": "gzip"})

    def _page(self, request: Request, provider: _Provider, pages: wire.Pages) -> Response:
        """One page; the cursor is the number of its first record, or the id of the one before."""
        records = list(provider.records())
        given = request.query_params.get(pages.cursor, "")
        names = [record.get("id") if isinstance(record, dict) else None for record in records] if pages.by_id else []
        start = names.index(given) + 1 if given in names else int(given) if given.isdecimal() else 0
        asked = request.query_params.get(pages.size, "")
        end = start + min(pages.most, int(asked) if asked.isdecimal() and int(asked) else pages.most)
        cursor = (names[end - 1] if pages.by_id else str(end)) if end < len(records) else None
        after = pages.after(cursor) if pages.after is not None else provider.format.after
        headers = {"content-type": "application/json"}
        if pages.linked and cursor is not None:
            url = f"{self.base_url(provider.slug)}{provider.format.path}"
            parameters = urlencode({**request.query_params, pages.cursor: cursor})
            headers["link"] = f'<{url}?{parameters}>; rel="next"'
        form = replace(provider.format, after=after)
        return StreamingResponse(_listed(form, iter(records[start:end])), headers=headers)

    async def _wrong_answer(self, provider: _Provider, fault: faults.Fault, given: str) -> Response | None:
        match fault:
            case faults.Status(code, retry_after, _):
                headers = {"retry-after": retry_after} if retry_after else {}
                return JSONResponse({"error": {"message": f"sample fault {code}"}}, code, headers)
            case faults.Html():
                return Response("<!doctype html><title>Just a moment…</title>", media_type="text/html")
            case faults.Truncated(records):
                return StreamingResponse(_cut(provider, records), media_type="application/json")
            case faults.BrokenOff():
                return _BrokenOff(provider.format.before.encode() + b'{"id":"half')
            case faults.Endless():
                model = source.real_models(provider.slug)[0]
                body = self._until_stopped(_listed(provider.format, wire.endless(provider.slug, model)))
                return StreamingResponse(body, media_type="application/json")
            case faults.Slow(seconds):
                await self._pause(seconds)
                return None
            case faults.Empty():
                return Response(provider.format.before + provider.format.after, media_type="application/json")
            case faults.NothingAtAll():
                return Response(b"", media_type="application/json")
            case faults.WrongToken():
                return _unauthorized(given)
            case faults.Redirect(location):
                return RedirectResponse(location, 302)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._held_back.wait()
        except TimeoutError:
            return

    async def _until_stopped(self, body: Iterator[bytes]) -> AsyncIterator[bytes]:
        for piece in body:
            if self._stopping.is_set():
                return
            yield piece
            await asyncio.sleep(0)


class _BrokenOff(Response):
    """Sends a part of an answer and lets go of the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _unauthorized(given: str) -> Response:
    shown = given.removeprefix("Bearer ")
    message = f"Incorrect API key provided: {shown}" if shown else "Missing API key"
    return JSONResponse(
        {"error": {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}}, 401
    )


def _listed(form: wire.WireFormat, records: Iterator[Any]) -> Iterator[bytes]:
    """The list as JSON, some records at a time."""
    pending, separator = [form.before], ""
    for number, record in enumerate(records, 1):
        pending.append(separator + json.dumps(record, separators=(",", ":")))
        separator = ","
        if number % _RECORDS_AT_ONCE == 0:
            yield "".join(pending).encode()
            pending = []
    pending.append(form.after)
    yield "".join(pending).encode()


def _cut(provider: _Provider, whole: int) -> Iterator[bytes]:
    """So many whole records, and half of the next one."""
    records = list(provider.records())[: whole + 1]
    texts = [json.dumps(record, separators=(",", ":")) for record in records]
    texts[-1] = texts[-1][: len(texts[-1]) // 2]
    yield (provider.format.before + ",".join(texts)).encode()


def _gzipped(body: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(6, wbits=31)
    for piece in body:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
