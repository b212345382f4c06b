"""Upstreams on loopback that answer requests: OpenAI's API, streamed too, and KServe's predict protocols.

Every answer says who gave it: ``x-sample-upstream`` and ``system_fingerprint`` name the upstream, ``x-sample-model``
the model that was asked for, ``x-sample-authorization`` what credential came along, as ``absent`` or the beginning of
its digest, never its text. Tokens are counted from the text alone, so the same request costs the same everywhere.
One `SampleUpstream` serves several upstreams, each on a port of its own, and keeps their books.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from console.local.samples import answers
from console.local.samples.books import Book, UpstreamFault
from console.serving import Serving

_CREATED = 1_700_000_000  # a fixed date: the same request gets the same answer


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one of the two text endpoints words its answers."""

    id_prefix: str
    whole_object: str
    part_object: str
    whole: Callable[[str], dict[str, Any]]
    part: Callable[[str], dict[str, Any]]
    first: tuple[dict[str, Any], ...]
    last: dict[str, Any]


_CHAT = _Shape(
    "chatcmpl",
    "chat.completion",
    "chat.completion.chunk",
    lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    lambda text: {"delta": {"content": text}},
    ({"delta": {"role": "assistant", "content": ""}},),
    {"delta": {}},
)
_COMPLETION = _Shape(
    "cmpl",
    "text_completion",
    "text_completion",
    lambda text: {"text": text},
    lambda text: {"text": text},
    (),
    {"text": ""},
)


class SampleUpstream:
    """Named upstreams, from `add` to `stop`."""

    def __init__(self) -> None:
        self._upstreams: dict[str, _Upstream] = {}

    async def add(
        self, name: str, *, port: int = 0, token: str | None = None, openai_prefix: str = "/openai/v1"
    ) -> int:
        """Serve another upstream; returns its port.

        Args:
            token: what it wants as ``Authorization: Bearer …``; without one everybody is answered
            openai_prefix: where OpenAI's API is, beside ``/v1`` (KServe's runtimes have it below ``/openai/v1``)

        Raises:
            OSError: the port cannot be had.
        """
        upstream = _Upstream(name, token, openai_prefix, port)
        await upstream.serving.start()
        self._upstreams[name] = upstream
        return upstream.serving.port

    async def stop(self) -> None:
        """End all of them."""
        for upstream in self._upstreams.values():
            upstream.stopping.set()
        await asyncio.gather(*(upstream.serving.stop() for upstream in self._upstreams.values()))

    def port(self, name: str) -> int:
        return self._upstreams[name].serving.port

    def book(self, name: str) -> Book:
        """What an upstream has answered so far."""
        return self._upstreams[name].book

    def fault(self, name: str, fault: UpstreamFault | None) -> None:
        """Do this wrong from now on; None: nothing."""
        self._upstreams[name].fault = fault


class _Upstream:
    """One upstream: its server, its book and its fault."""

    def __init__(self, name: str, token: str | None, openai_prefix: str, port: int) -> None:
        self.name = name
        self.book = Book()
        self.fault: UpstreamFault | None = None
        self.stopping = asyncio.Event()
        self._token = token
        openai = [
            route
            for prefix in dict.fromkeys(("/v1", openai_prefix.rstrip("/")))
            for route in (
                Route(f"{prefix}/chat/completions", self._chat, methods=["POST"]),
                Route(f"{prefix}/completions", self._completions, methods=["POST"]),
                Route(f"{prefix}/embeddings", self._embeddings, methods=["POST"]),
                Route(f"{prefix}/models", self._models),
            )
        ]
        kserve = [
            Route("/v1/models/{name:path}:predict", self._predict, methods=["POST"]),
            Route("/v2/models/{name:path}/infer", self._infer, methods=["POST"]),
            Route("/v2/models/{name:path}/ready", self._ready),
            Route("/v1/models/{name:path}", self._ready),
        ]
        health = [Route(path, self._health) for path in ("/health", "/v2/health/live", "/v2/health/ready")]
        application = Starlette(
            routes=[*openai, *kserve, *health],
            exception_handlers={answers.BadRequest: self._bad_request, 404: self._not_found},
        )
        self.serving = Serving(application, port=port, lifespan="off", ws="none")

    # --- OpenAI ---------------------------------------------------------------------------------------------------

    async def _chat(self, request: Request) -> Response:
        body = await self._json(request)
        heard = answers.chat_input(body)
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        return await self._generate(request, body, heard, limit, _CHAT)

    async def _completions(self, request: Request) -> Response:
        body = await self._json(request)
        return await self._generate(request, body, answers.completion_input(body), body.get("max_tokens"), _COMPLETION)

    async def _generate(
        self, request: Request, body: dict[str, Any], heard: str, limit: object, shape: _Shape
    ) -> Response:
        model = _model_of(body)
        if (refusal := await self._refusal(request, model)) is not None:
            return refusal
        said, ending = answers.reply(self.name, model, heard, limit)
        tokens_in = len(answers.tokens(heard))
        usage = {
            "prompt_tokens": tokens_in,
            "completion_tokens": len(said),
            "total_tokens": tokens_in + len(said),
        }
        self.book.enter(model, tokens_in, len(said))
        head = {
            "id": f"{shape.id_prefix}-{hashlib.sha256(f'{self.name}{model}{heard}'.encode()).hexdigest()[:24]}",
            "created": _CREATED,
            "model": model,
            "system_fingerprint": self.name,
        }
        headers = self._headers(request, model)
        if body.get("stream") is True:
            options = body.get("stream_options")
            with_usage = isinstance(options, dict) and options.get("include_usage") is True
            events = _events(shape, head, said, ending, usage if with_usage else None)
            abort_after = self.fault.abort_after if self.fault else None
            return _Stream(events, headers, abort_after, self.book)
        choice = {"index": 0, **shape.whole("".join(said)), "logprobs": None, "finish_reason": ending}
        return JSONResponse(
            {**head, "object": shape.whole_object, "choices": [choice], "usage": usage}, headers=headers
        )

    async def _embeddings(self, request: Request) -> Response:
        body = await self._json(request)
        model, texts = _model_of(body), answers.embedding_inputs(body)
        if (refusal := await self._refusal(request, model)) is not None:
            return refusal
        tokens_in = sum(len(answers.tokens(text)) for text in texts)
        self.book.enter(model, tokens_in, 0)
        vectors = [answers.vector(text, body.get("dimensions")) for text in texts]
        as_text = body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": answers.packed(numbers) if as_text else numbers}
            for index, numbers in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens_in, "total_tokens": tokens_in}
        return JSONResponse(
            {"object": "list", "data": data, "model": model, "usage": usage, "system_fingerprint": self.name},
            headers=self._headers(request, model),
        )

    async def _models(self, request: Request) -> Response:
        if (refusal := await self._refusal(request, "")) is not None:
            return refusal
        names = sorted({self.name, *self.book.models})
        data = [{"id": name, "object": "model", "created": _CREATED, "owned_by": self.name} for name in names]
        return JSONResponse({"object": "list", "data": data}, headers=self._headers(request, ""))

    # --- KServe ---------------------------------------------------------------------------------------------------

    async def _predict(self, request: Request) -> Response:
        body, model = await self._json(request), request.path_params["name"]
        instances = body.get("instances")
        if not isinstance(instances, list):
            raise answers.BadRequest("instances must be a list")
        if (refusal := await self._refusal(request, model)) is not None:
            return refusal
        self.book.enter(model, 0, 0)
        predictions = [answers.prediction(instance) for instance in instances]
        return JSONResponse({"predictions": predictions}, headers=self._headers(request, model))

    async def _infer(self, request: Request) -> Response:
        body, model = await self._json(request), request.path_params["name"]
        inputs = body.get("inputs")
        if not isinstance(inputs, list):
            raise answers.BadRequest("inputs must be a list")
        if (refusal := await self._refusal(request, model)) is not None:
            return refusal
        self.book.enter(model, 0, 0)
        data = [answers.prediction(tensor) for tensor in inputs]
        output = {"name": "output-0", "shape": [len(data)], "datatype": "FP32", "data": data}
        answer = {"model_name": model, "model_version": "1", "id": body.get("id", "sample"), "outputs": [output]}
        return JSONResponse(answer, headers=self._headers(request, model))

    async def _ready(self, request: Request) -> Response:
        name = request.path_params["name"]
        facts = {"id": name, "object": "model", "created": _CREATED, "owned_by": self.name, "name": name, "ready": True}
        return JSONResponse(facts, headers=self._headers(request, name))

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "live": True, "ready": True}, headers=self._headers(request, ""))

    # --- what all of them share -----------------------------------------------------------------------------------

    async def _json(self, request: Request) -> dict[str, Any]:
        """The body as JSON, whatever its content type says: the seed's curl lines send none."""
        self.book.requests += 1
        try:
            body = json.loads(await request.body())
        except ValueError:
            raise answers.BadRequest("the body is not JSON") from None
        if not isinstance(body, dict):
            raise answers.BadRequest("the body is not a JSON object")
        return body

    async def _refusal(self, request: Request, model: str) -> Response | None:
        """The error to answer with, if there is one to make."""
        given = request.headers.get("authorization", "")
        if self._token is not None and not hmac.compare_digest(given, f"Bearer {self._token}"):
            return self._error(request, model, 401, "invalid_api_key", "no or a wrong API key")
        fault = self.fault
        if fault is None:
            return None
        if fault.delay:
            try:
                async with asyncio.timeout(fault.delay):
                    await self.stopping.wait()
            except TimeoutError:
                pass
        if fault.status:
            answer = self._error(request, model, fault.status, "sample_fault", f"sample fault {fault.status}")
            if fault.retry_after:
                answer.headers["retry-after"] = fault.retry_after
            return answer
        return None

    def _headers(self, request: Request, model: str) -> dict[str, str]:
        given = request.headers.get("authorization")
        digest = hashlib.sha256(given.encode()).hexdigest()[:12] if given else ""
        return {
            "x-sample-upstream": self.name,
            "x-sample-model": model.encode("ascii", "replace").decode(),
            "x-sample-authorization": f"sha256:{digest}" if given else "absent",
        }

    def _error(self, request: Request, model: str, status: int, code: str, message: str) -> Response:
        self.book.refused += 1
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        return JSONResponse({"error": error}, status, self._headers(request, model))

    def _bad_request(self, request: Request, problem: Exception) -> Response:
        return self._error(request, "", 400, "bad_request", str(problem))

    def _not_found(self, request: Request, problem: Exception) -> Response:
        return self._error(request, "", 404, "unknown_url", f"unknown request URL: {request.method} {request.url.path}")


class _Stream(Response):
    """Server-sent events, a piece at a time; may break off on demand."""

    def __init__(self, events: list[str], headers: dict[str, str], abort_after: int | None, book: Book) -> None:
        super().__init__(headers=headers, media_type="text/event-stream")
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-cache"
        self._events = events
        self._abort_after = abort_after
        self._book = book

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for number, event in enumerate(self._events):
            if number == self._abort_after:
                self._book.streams_aborted += 1
                return  # without the last piece: the server lets go of the connection
            piece = f"data: {event}\n\n".encode()
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _events(
    shape: _Shape, head: dict[str, Any], said: list[str], ending: str, usage: dict[str, int] | None
) -> list[str]:
    """The data of each event, ``[DONE]`` at the end. With usage, it comes in a last chunk without choices."""
    silent = {} if usage is None else {"usage": None}

    def chunk(piece: dict[str, Any], reason: str | None) -> str:
        choice = {"index": 0, **piece, "logprobs": None, "finish_reason": reason}
        return json.dumps({**head, "object": shape.part_object, "choices": [choice], **silent})

    events = [chunk(piece, None) for piece in shape.first]
    events += [chunk(shape.part(token), None) for token in said]
    events.append(chunk(shape.last, ending))
    if usage is not None:
        events.append(json.dumps({**head, "object": shape.part_object, "choices": [], "usage": usage}))
    return [*events, "[DONE]"]


def _model_of(body: dict[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise answers.BadRequest("model is missing")
    return model
