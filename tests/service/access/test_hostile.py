"""Both faces of the ext_authz service, thrown anything at: nothing crashes them, and nothing but the key gets through.

Who may get through is said by code that shares nothing with the service: the one key, spelled out, and a body that
plainly names the one model.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from console.access.mirror import Mirror
from console.access.server import Authorizer, Judge
from console.access.types import Entries, Grant, KeyEntry, Snapshot, digest_of
from console.config import AccessRules
from console.serving import Serving
from tests.support.examples import examples

KEY, MODEL = "good-key", "own"
GRANT = Grant("e1", "m1", "p1")
SNAPSHOT = Snapshot(Entries.of([KeyEntry(digest_of(KEY), {MODEL: GRANT}, "k1")]), {"published": GRANT})
QUICK = settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

near_keys = st.sampled_from(
    [KEY, KEY[:-1], KEY + "x", KEY.upper(), f" {KEY}", f"{KEY} ", f"{KEY},{KEY}", f'"{KEY}"', digest_of(KEY), "", "\0"]
)
schemes = st.sampled_from(["Bearer", "bearer", "BEARER", "Basic", ""])
authorizations = st.one_of(
    st.builds("{}{}{}".format, schemes, st.sampled_from([" ", "  ", "\t", ""]), near_keys),
    st.text(st.characters(max_codepoint=255), max_size=60),
)
models = st.sampled_from([MODEL, "published", "Own", "own ", "", "\0", "own\n", "../own", "prompt:x"])
names = st.just("model") | st.text(max_size=6)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | models,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
bodies = st.one_of(
    st.binary(max_size=80),
    documents.map(lambda value: json.dumps(value).encode()),
    models.map(lambda name: json.dumps({"model": name}).encode()),
    st.just(b'{"model": "own", "model": "published"}'),
    st.just(b"[" * 5000),
)
PLAIN = "/v1/chat/completions"
paths = st.one_of(
    st.sampled_from([PLAIN, "/v1/models", "/", "", "/model/own/x", "/model/%00/x", "/model/", "/../v1"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40).map(lambda text: "/" + text),
)
METHODS = st.sampled_from(["POST", "GET", "OPTIONS", "PUT", "\u00e9", ""])


@dataclass
class Faces:
    """One worker that listens on both faces, on a loop of its own."""

    runner: asyncio.Runner
    http: Serving
    grpc_port: int


@pytest.fixture(scope="module")
def faces() -> Iterator[Faces]:
    grpc_server = pytest.importorskip("console.access.grpc_server")
    judge = judge_of()
    with asyncio.Runner() as runner:

        async def start() -> tuple[Serving, Any]:
            http = Serving(Authorizer(judge, reads="body"), lifespan="off")
            await http.start()
            grpc = grpc_server.GrpcServing(grpc_server.GrpcAuthorizer(judge, reads="body"), host="127.0.0.1", port=0)
            await grpc.start()
            return http, grpc

        async def stop() -> None:
            await grpc.stop(0)
            await http.stop()

        http, grpc = runner.run(start())
        yield Faces(runner, http, grpc.port)
        runner.run(stop())


class Known(Mirror):
    """A mirror that knows, and has nothing to follow."""

    def __init__(self) -> None:
        self.snapshot = SNAPSHOT

    def usable(self, now: float) -> bool:
        return True


def judge_of() -> Judge:
    return Judge(Known(), AccessRules())


def holds_the_key(values: list[str]) -> bool:
    """RFC 6750: one header, the scheme in any case, one blank or more, the key and nothing else."""
    if len(values) != 1:
        return False
    scheme, _, rest = values[0].partition(" ")
    return scheme.lower() == "bearer" and rest.strip(" ") == KEY


def names_the_model(body: bytes) -> bool:
    def one_model(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {} if sum(name == "model" for name, _ in pairs) > 1 else dict(pairs)

    try:
        document = json.loads(body, object_pairs_hook=one_model)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("model") == MODEL


@example(given_headers=[b"Bearer good-key"], path=PLAIN, method="POST", body=b'{"model": "own"}')
@given(
    given_headers=st.lists(authorizations.map(lambda text: text.encode("latin-1", "replace")), max_size=2),
    path=paths,
    method=METHODS,
    body=bodies,
)
@QUICK
def test_over_http_only_the_key_gets_through(given_headers: list[bytes], path: str, method: str, body: bytes) -> None:
    authorizer = Authorizer(judge_of(), reads="body")
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    raw = ("/authz" + path).encode("latin-1", "replace")
    headers = [(b"authorization", value) for value in given_headers]
    headers += [(b"x-ai-eg-model", b"own"), (b"x-modeldeck-key-id", b"k1")]  # a client's own, which prove nothing
    scope = {"type": "http", "path": raw.decode("latin-1"), "raw_path": raw, "method": method, "headers": headers}
    asyncio.run(authorizer(scope, receive, send))
    start, end = sent
    assert start["status"] in (200, 400, 401, 403, 404, 405, 413)
    entitled = holds_the_key([value.decode("latin-1") for value in given_headers])
    if start["status"] == 200:
        assert entitled
        assert names_the_model(body) or path.split("?")[0].rstrip("/") == "/v1/models" or path.startswith("/model/own")
        assert end["body"] == b""
    else:
        assert json.loads(end["body"])["error"]["code"]
        assert KEY.encode() not in end["body"]
        assert not (entitled and path == PLAIN and method == "POST" and names_the_model(body))


def check_request(authorization: str | None, method: str, path: str, body: bytes, route_model: str | None) -> bytes:
    from envoy.service.auth.v3.external_auth_pb2 import CheckRequest

    request = CheckRequest()
    http = request.attributes.request.http
    if authorization is not None:
        http.headers["authorization"] = authorization
    http.headers["x-ai-eg-model"] = MODEL
    http.method, http.path, http.raw_body = method, path, body
    if route_model is not None:
        request.attributes.context_extensions["modeldeck-model"] = route_model
    return cast("bytes", request.SerializeToString())


def checked(faces: Faces, request: bytes) -> Any:
    """The answer to raw bytes, or the code of the status that refused them."""
    import grpc
    from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

    async def ask() -> Any:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{faces.grpc_port}") as channel:
            call = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
            try:
                return CheckResponse.FromString(await call(request, timeout=5))
            except grpc.aio.AioRpcError as problem:
                return problem.code()

    return faces.runner.run(ask())


@example(authorization="Bearer good-key", path=PLAIN, method="POST", body=b'{"model": "own"}', route=None)
@given(
    authorization=st.none() | authorizations.filter(lambda text: text.isprintable()),
    path=paths,
    method=METHODS,
    body=bodies,
    route=st.none() | models,
)
@settings(QUICK, max_examples=examples(60))
def test_over_grpc_only_the_key_gets_through(
    faces: Faces, authorization: str | None, path: str, method: str, body: bytes, route: str | None
) -> None:
    answer = checked(faces, check_request(authorization, method, path, body, route))
    if answer.status.code == 0:
        assert holds_the_key([authorization or ""])
        assert names_the_model(body) or route in (MODEL, "published") or path.startswith("/v1/models")
    else:
        assert answer.denied_response.status.code in (400, 401, 403, 404, 405, 413)
        assert KEY not in answer.denied_response.body
        plain = path == PLAIN and method == "POST" and route is None
        assert not (plain and holds_the_key([authorization or ""]) and names_the_model(body))


@given(request=st.binary(max_size=200))
@settings(QUICK, max_examples=examples(40))
def test_bytes_that_are_no_request_get_no_yes_over_grpc(faces: Faces, request: bytes) -> None:
    answer = checked(faces, request)
    assert not hasattr(answer, "status") or answer.status.code != 0
    assert checked(faces, check_request(f"Bearer {KEY}", "POST", "/v1/x", b'{"model": "own"}', None)).status.code == 0


LINES = st.sampled_from(
    [
        b"POST /authz/v1/chat/completions HTTP/1.1",
        b"GET /authz/v1/models HTTP/1.0",
        b"POST /authz/\x00 HTTP/1.1",
        b"Host: x",
        b"Authorization: Bearer bad-key",
        b"Authorization:",
        b"Content-Length: 18",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Upgrade: websocket",
        b"X" * 70_000,
        b"",
        b'{"model": "own"}',
        b"5\r\nhello\r\n0\r\n",
    ]
)


@given(pieces=st.lists(LINES | st.binary(max_size=40), max_size=8))
@settings(QUICK, max_examples=examples(60))
def test_bytes_that_are_no_request_get_no_yes_over_http(faces: Faces, pieces: list[bytes]) -> None:
    async def throw() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", faces.http.port)
        answer = b""
        try:
            writer.write(b"\r\n".join(pieces) + b"\r\n\r\n")
            if writer.can_write_eof():
                writer.write_eof()
            async with asyncio.timeout(5):
                answer = await reader.read()
        except (OSError, ConnectionError):
            pass
        finally:
            writer.close()
        return answer

    answer = faces.runner.run(throw())
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert b" 500 " not in answer

    async def honest() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", faces.http.port)
        body = b'{"model": "own"}'
        head = f"POST /authz/v1/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.read()
        writer.close()
        return answer

    assert b" 200 " in faces.runner.run(honest()).split(b"\r\n")[0]
