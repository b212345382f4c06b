"""An InferenceService that is asked itself: whatever it answers is a reason at most, soon, and in words of our own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from console.config import KubernetesLink, Profile
from console.k8s.cluster import Cluster
from console.k8s.types import Ref
from console.outcome import Unavailable
from console.publishing import listening
from console.publishing.listening import MOST_BYTES, Heard, ask, listen
from console.publishing.origins import overruled, service_origin
from console.publishing.types import PublicationKind

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
MODELS = json.dumps({"object": "list", "data": [{"id": "llama"}]})


@asynccontextmanager
async def a_service(answer: Answer, asked: list[str] | None = None) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if asked is not None:
            asked.append(head)
        try:
            await answer(head.split(" ")[1], writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def _http(body: str | bytes, status: str = "200 OK", headers: str = "") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(data)}\r\n\r\n".encode() + data


def answering(**by_path: str) -> Answer:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        body = by_path.get(path)
        writer.write(_http(body) if body is not None else _http("", "404 Not Found"))

    return answer


async def test_what_it_answers_is_a_reason_each() -> None:
    paths = {"/openai/v1/models": MODELS, "/v2/health/ready": "", "/v1/models/iris": '{"name": "iris", "ready": true}'}
    asked: list[str] = []
    async with a_service(answering(**paths), asked) as base:
        heard = await ask(base, "iris")
    assert heard == Heard(
        (
            "/openai/v1/models answered a list of 1 model, as OpenAI's API does",
            "/v2/health/ready answered that it is ready",
            "/v1/models/iris answered as KServe's protocol does",
        ),
        ("/openai/v1",),
        predict=True,
    )
    assert len(asked) == 4
    assert not any("authorization" in head.lower() or "cookie" in head.lower() for head in asked)


async def test_kserves_own_list_is_not_openais_and_a_model_of_openais_is_not_kserves() -> None:
    paths = {"/v1/models": '{"models": ["iris"]}', "/v1/models/iris": '{"id": "iris", "object": "model"}'}
    async with a_service(answering(**paths)) as base:
        assert await ask(base, "iris") == Heard(("its answers say nothing",))


async def _endless(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


async def _dripping(_: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n{")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


def _always(data: bytes) -> Answer:
    async def answer(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return answer


_ELSEWHERE = "302 Found", "location: http://169.254.169.254/latest/meta-data/\r\n"
_HIDDEN = json.dumps({"object": "list", "data": [{"id": "\x1b]52;c;AAAA\x07\u202e"}]})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (_endless, "answered more than 64 KiB: no reason"),
        (_dripping, "answered that it is ready"),
        (_always(_http(b"\x00\xff\x1b[31mno")), "answered what is no JSON: no reason"),
        (_always(_http("[" * 60_000)), "answered what is no JSON: no reason"),
        (_always(_http('{"object": "list", "data": [1]}')), "answered that it is ready"),
        (_always(_http("[]", "500 Oh No")), "its answers say nothing"),
        (_always(_http("", *_ELSEWHERE)), "answered with a redirect, which was not followed"),
        (_always(b"\x1b[2J not HTTP at all\r\n\r\n"), "it did not answer within"),
        (_always(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 500_000 + b"\r\n\r\n"), "it did not answer within"),
        (_always(_http("\x1f\x8b bomb", headers="content-encoding: gzip\r\n")), "answered what is no JSON"),
        (_always(_http(_HIDDEN)), "a list of 1 model"),
        (_always(b""), "it did not answer within"),
    ],
)
async def test_hostile_answers_are_bounded_and_never_repeated(
    answer: Answer, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "ANSWER_SECONDS", 0.4)
    asked: list[str] = []
    async with asyncio.timeout(60), a_service(answer, asked) as base:  # some of the answers never end
        heard = await ask(base, "iris")
    assert len(asked) == 4, "a redirect was followed, or a request repeated"
    assert any(told in reason for reason in heard.reasons), heard
    assert all(reason.isprintable() and len(reason) < 120 for reason in heard.reasons)
    assert MOST_BYTES == 65536


async def test_nobody_there_is_no_reason() -> None:
    async with a_service(_endless) as base:
        pass
    heard = await ask(base, "iris")
    assert heard.reasons == ("it did not answer within 2 s: no reason",)


class _Slices:
    """A cluster that has one InferenceService of each format, and its EndpointSlice."""

    def __init__(self, port: int = 0, *slices: Any) -> None:
        one = {"endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"port": port}]}
        self._slices = list(slices) or [one]

    async def get(self, ref: Ref) -> dict[str, Any]:
        ready = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}
        spec = {"predictor": {"model": {"modelFormat": {"name": ref.name}}}}
        return {"metadata": {"name": ref.name, "namespace": "acme", "generation": 1}, "spec": spec, "status": ready}

    async def list(self, *_: Any, **__: Any) -> tuple[list[Any], str]:
        if self._slices == ["away"]:
            raise Unavailable("the cluster is away")
        return self._slices, "1"


@pytest.mark.parametrize("profile", [Profile(), Profile(kubernetes=KubernetesLink(reaches_services=False))])
async def test_it_is_off_where_the_clusters_network_is_not_reached(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if profile.kubernetes.reaches_services is False:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(listening, "ask", None)  # would raise
    heard = await listen(cast(Cluster, _Slices()), profile, "acme", "iris")
    assert heard.reasons == ("it was not asked itself: its Service is not reached from this machine",)


async def test_in_the_clusters_network_its_predictors_service_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(base: str, name: str) -> Heard:
        return Heard((f"{base} {name}",))

    monkeypatch.setattr(listening, "ask", asked)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    heard = await listen(cast(Cluster, _Slices()), Profile(), "acme", "iris")
    assert heard.reasons == ("http://iris-predictor.acme.svc.cluster.local iris",)


@pytest.mark.parametrize("slice_", [{}, {"endpoints": []}, {"endpoints": [{"addresses": ["a.b"]}]}, "away"])
async def test_a_service_without_an_address_is_not_asked(slice_: Any, tmp_path: Any) -> None:
    heard = await listen(cast(Cluster, _Slices(0, slice_)), Profile(stack=tmp_path), "acme", "iris")
    assert "not asked" in heard.reasons[0]


async def test_the_suggestion_stays_and_the_plan_warns_where_the_answer_is_otherwise() -> None:
    async with a_service(answering(**{"/v1/models": MODELS})) as base:
        heard = await ask(base, "x")

    async def asked(*_: str) -> Heard:
        return heard

    cluster = cast(Cluster, _Slices())
    found = await service_origin(cluster, "isvc/acme/sklearn", asked)
    assert found.kind is PublicationKind.TRADITIONAL
    assert "under /v1: --type openai" in found.warnings[0]
    assert found.reasons == ("modelFormat sklearn serves KServe's predict protocol", *heard.reasons)
    openai = overruled(found, PublicationKind.OPENAI)
    assert (openai.origin.endpoint.prefix, len(openai.warnings)) == ("/v1", 1)
    found = await service_origin(cluster, "isvc/acme/huggingface", asked)
    assert (found.kind, found.origin.endpoint.prefix) == (PublicationKind.OPENAI, "/openai/v1")
    assert "under /v1, and would be called under /openai/v1" in found.warnings[0]
    heard = Heard(predict=True)
    found = await service_origin(cluster, "isvc/acme/huggingface", asked)
    assert "--type traditional" in found.warnings[0]
