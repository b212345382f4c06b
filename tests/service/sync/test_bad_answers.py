"""Every way in which a provider can fail to give a list, and the outcome and the sentence that it leads to."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import time
import zlib
from collections.abc import AsyncIterator, Callable

import pytest

from console.catalog import read
from console.local.samples import faults
from console.sync import history
from console.sync.providers import spec
from console.sync.providers.base import CursorPages
from console.sync.types import Limits, ProviderOutcome, ProviderReport, ProviderTarget

from .conftest import TOKEN, Deck

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@pytest.fixture
async def listening() -> AsyncIterator[Callable[[Handler], object]]:
    """Starts a server that says on the wire just what a test wants it to; returns its base URL."""
    servers = []

    async def start(handler: Handler) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                await handler(reader, writer)  # type: ignore[misc]
                await writer.drain()
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def answering(body: bytes, *headers: str) -> Handler:
    """An answer with status 200 and these headers."""

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = ["HTTP/1.1 200 OK", "content-type: application/json", f"content-length: {len(body)}", *headers]
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode() + body)

    return handle


async def ask(deck: Deck, base_url: str, slug: str = "openrouter") -> ProviderReport:
    report = await deck.syncer().run(deck.permit, [ProviderTarget(spec(slug), base_url)])
    return report.providers[0]


@pytest.mark.parametrize(
    ("fault", "outcome", "code", "sentence"),
    [
        (faults.Status(500), "unreachable", "HTTP_500", "has a fault of its own (HTTP 500)"),
        (faults.Status(502), "unreachable", "HTTP_502", "HTTP 502"),
        (faults.Status(503, "7200"), "unreachable", "HTTP_503", "HTTP 503"),
        (faults.Status(429), "refused", "RATE_LIMITED", "asked too often"),
        (faults.Status(429, "600"), "refused", "RATE_LIMITED", "left alone for 600 s"),
        (faults.Status(401), "refused", "CREDENTIAL_REFUSED", "does not accept the credential in TOGETHER_API_KEY"),
        (faults.Status(403), "refused", "CREDENTIAL_REFUSED", "HTTP 403"),
        (faults.Status(404), "refused", "HTTP_404", "refuses to give its list (HTTP 404)"),
        (faults.Status(204), "unparseable", "HTTP_204", "instead of a list"),
        (faults.WrongToken(), "refused", "CREDENTIAL_REFUSED", "does not accept the credential"),
        (faults.Html(), "unparseable", "HTML", "it is a web page"),
        (faults.Truncated(), "unparseable", "TRUNCATED", "breaks off within record 4"),
        (faults.BrokenOff(), "unreachable", "BROKEN_OFF", "broke off"),
        (faults.NothingAtAll(), "unparseable", "EMPTY_BODY", "it is empty"),
        (faults.Empty(), "empty", "EMPTY", "the list is empty"),
    ],
)
async def test_each_fault_has_its_outcome_and_leaves_the_catalog_as_it_was(
    deck: Deck, fault: faults.Fault, outcome: str, code: str, sentence: str
) -> None:
    await deck.run("together")
    before = (await read.search(deck.store, "any", limit=100)).models
    deck.samples.fault("together", fault)
    report = await deck.one("together")
    assert (report.outcome, report.code) == (outcome, code)
    assert sentence in report.sentence
    assert "the catalog is unchanged" in report.sentence
    assert not report.outcome.good
    assert (await read.search(deck.store, "any", limit=100)).models == before

    deck.samples.restore("together")  # and nothing of it is left over
    assert (await deck.one("together")).outcome.good


async def test_an_endless_body_is_left_at_the_cap(deck: Deck) -> None:
    deck.limits = Limits(body_bytes=400_000)
    deck.samples.fault("openrouter", faults.Endless())
    report = await deck.one("openrouter")
    assert (report.outcome, report.code) == (ProviderOutcome.UNPARSEABLE, "TOO_LARGE")
    assert "does not end within 400000 bytes; reading was stopped" in report.sentence


async def test_a_list_of_too_many_records_is_left_at_the_cap(deck: Deck) -> None:
    deck.limits = Limits(records=100)
    report = await deck.one("openrouter")
    assert (report.outcome, report.code) == (ProviderOutcome.UNPARSEABLE, "TOO_MANY")


async def test_a_provider_that_takes_too_long_is_left(deck: Deck) -> None:
    deck.limits = Limits(provider_seconds=0.2)
    deck.samples.fault("openrouter", faults.Slow(60))
    started = time.monotonic()
    report = await deck.one("openrouter")
    assert (report.outcome, report.code) == (ProviderOutcome.UNREACHABLE, "TIMED_OUT")
    assert "did not deliver its list within 0.2 s" in report.sentence
    assert time.monotonic() - started < 60, "it would have answered then"


async def test_a_provider_that_falls_silent_is_left(deck: Deck) -> None:
    deck.limits = Limits(silence_seconds=0.1, attempts=1)
    deck.samples.fault("openrouter", faults.Slow(60))
    report = await deck.one("openrouter")
    assert (report.outcome, report.code) == (ProviderOutcome.UNREACHABLE, "TIMED_OUT")
    assert "stopped answering" in report.sentence


async def test_nobody_listening(deck: Deck, unused_tcp_port: int) -> None:
    report = await ask(deck, f"http://127.0.0.1:{unused_tcp_port}")
    assert (report.outcome, report.code) == (ProviderOutcome.UNREACHABLE, "CONNECTION_REFUSED")


async def test_a_server_without_tls_is_told_apart(deck: Deck) -> None:
    report = await ask(deck, deck.samples.base_url("openrouter").replace("http:", "https:"))
    assert (report.outcome, report.code) == (ProviderOutcome.UNREACHABLE, "TLS")


async def test_what_a_second_try_can_mend_is_tried_again(deck: Deck) -> None:
    deck.samples.fault("openrouter", faults.Status(503, times=2))
    assert (await deck.one("openrouter")).outcome is ProviderOutcome.OK
    assert len(deck.samples.seen("openrouter")) == 3


@pytest.mark.parametrize(
    ("fault", "tries"),
    [
        (faults.Status(500), 3),
        (faults.Status(401), 1),
        (faults.Status(404), 1),
        (faults.Html(), 1),
        (faults.Status(501), 1),
        (faults.Status(429), 3),
        (faults.Status(429, "600"), 1),  # longer than a run may wait: not even once more
        (faults.Status(429, "1"), 3),
    ],
)
async def test_and_only_that(deck: Deck, fault: faults.Fault, tries: int) -> None:
    deck.samples.fault("openrouter", fault)
    await deck.one("openrouter")
    assert len(deck.samples.seen("openrouter")) == tries


async def test_a_retry_after_within_bounds_is_waited_for(deck: Deck) -> None:
    deck.samples.fault("openrouter", faults.Status(429, "2", times=1))
    assert (await deck.one("openrouter")).outcome is ProviderOutcome.OK


async def test_a_second_try_starts_from_nothing(deck: Deck) -> None:
    deck.samples.fault("together", faults.BrokenOff())
    assert (await deck.one("together")).counts.fetched == 0
    deck.samples.fault("together", None)
    assert (await deck.one("together")).counts.fetched == 22


async def test_gzip_is_asked_for_and_unpacked(deck: Deck) -> None:
    report = await deck.one("openrouter")
    assert deck.samples.seen("openrouter")[0].gzip
    assert report.body_bytes > 200_000


async def test_a_gzip_bomb_is_unpacked_no_further_than_the_cap(deck: Deck, listening: Callable[..., object]) -> None:
    deck.limits = Limits(body_bytes=1_000_000)
    bomb = gzip.compress(b'{"data":[' + b'{"id":"x","x":"%s"},' % (b"x" * 2_000) * 10_000)
    assert len(bomb) < 80_000  # and 20 MB inside
    report = await ask(deck, await listening(answering(bomb, "content-encoding: gzip")))  # type: ignore[misc]
    assert (report.outcome, report.code) == (ProviderOutcome.UNPARSEABLE, "TOO_LARGE")


@pytest.mark.parametrize(
    ("body", "header", "code"),
    [
        (gzip.compress(b'["' + bytes(range(48, 90)) * 50)[:40], "content-encoding: gzip", "TRUNCATED"),
        (b"no gzip at all", "content-encoding: gzip", "ENCODING"),
        (zlib.compress(b"[]"), "content-encoding: deflate", "ENCODING"),
        (b"[]", "content-encoding: br", "ENCODING"),
        (b'[{"id":"\xff"}]', "x: y", "NOT_UTF8"),
        (b"[" * 200_000, "x: y", "NOT_JSON"),
        (b'{"error":{"message":"tok-4711"}}', "x: y", "NO_LIST"),
    ],
    ids=["half a gzip", "no gzip", "deflate", "brotli", "latin-1", "a tower of brackets", "an error with status 200"],
)
async def test_bodies_that_are_no_list(
    deck: Deck, listening: Callable[..., object], body: bytes, header: str, code: str
) -> None:
    report = await ask(deck, await listening(answering(body, header)))  # type: ignore[misc]
    assert (report.outcome, report.code) == (ProviderOutcome.UNPARSEABLE, code)
    assert "tok-4711" not in report.sentence


async def test_several_gzip_members_are_one_body(deck: Deck, listening: Callable[..., object]) -> None:
    body = gzip.compress(b'[{"id":"a/one"},') + gzip.compress(b'{"id":"a/two"}]')
    report = await ask(deck, await listening(answering(body, "content-encoding: gzip")))  # type: ignore[misc]
    assert (report.outcome, report.counts.normalised) == (ProviderOutcome.OK, 2)


async def test_something_that_does_not_speak_http(deck: Deck, listening: Callable[..., object]) -> None:
    async def ssh(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")

    report = await ask(deck, await listening(ssh))  # type: ignore[misc]
    assert (report.outcome, report.code) == (ProviderOutcome.UNREACHABLE, "BROKEN_OFF")


async def test_a_list_in_pages_is_read_to_its_last_page(deck: Deck, listening: Callable[..., object]) -> None:
    pages = {
        b"GET /models?limit=2 ": b'{"data":[{"id":"a/1"},{"id":"a/2"}],"has_more":true,"last_id":"a/2"}',
        b"GET /models?limit=2&after_id=a%2F2 ": b'{"data":[{"id":"a/3"}],"has_more":false,"last_id":"a/3"}',
    }
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        await reader.readuntil(b"\r\n\r\n")
        asked.append(line)
        body = next(body for start, body in pages.items() if line.startswith(start))
        await answering(body, 'etag: "x"')(reader, writer)  # type: ignore[misc]
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        paged = dataclasses.replace(spec("openrouter"), pagination=CursorPages(records=2))
        for outcome in ("ok", "unchanged"):  # without a conditional request: an ETag speaks for one page only
            report = await deck.syncer().run(deck.permit, [ProviderTarget(paged, base)])
            assert report.providers[0].outcome == outcome
            assert report.providers[0].counts.fetched == 3
    assert len(asked) == 4


async def test_pages_in_a_circle_end(deck: Deck, listening: Callable[..., object]) -> None:
    body = b'{"data":[{"id":"a/1"}],"has_more":true,"last_id":"a/1"}'
    paged = dataclasses.replace(spec("openrouter"), pagination=CursorPages(records=1))
    base = await listening(answering(body))  # type: ignore[misc]
    report = await deck.syncer().run(deck.permit, [ProviderTarget(paged, base)])
    assert (report.providers[0].outcome, report.providers[0].code) == ("unparseable", "PAGES_LOOP")


async def test_bad_answers_are_in_the_record_without_the_credential(deck: Deck) -> None:
    deck.samples.fault("together", faults.WrongToken())
    deck.samples.add("together", {"note": f"you sent {TOKEN}"})
    await deck.one("together")
    deck.samples.fault("together", None)
    await deck.one("together")
    for run in await history.runs(deck.store):
        kept = [reject.record for reject in await history.rejects(deck.store, run.id)]
        for report in await history.provider_reports(deck.store, run.id):
            kept.append(report.sentence)
        assert kept
        assert TOKEN not in "".join(kept)
