"""The sample upstreams speak OpenAI's API and KServe's, say who they are, and keep books."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from console.local.samples.books import ModelBook, UpstreamFault
from console.local.samples.upstream import SampleUpstream

CHAT = {"model": "llama", "messages": [{"role": "user", "content": "Good morning, gateway!"}]}


@pytest.fixture
async def upstreams() -> AsyncIterator[SampleUpstream]:
    servers = SampleUpstream()
    await servers.add("alpha")
    await servers.add("beta", token="sesame", openai_prefix="/serving/v1")
    yield servers
    await servers.stop()


@pytest.fixture
async def alpha(upstreams: SampleUpstream) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{upstreams.port('alpha')}", trust_env=False) as client:
        yield client


@pytest.fixture
async def beta(upstreams: SampleUpstream) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{upstreams.port('beta')}", trust_env=False) as client:
        yield client


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/chat/completions"])
async def test_a_chat_answer(alpha: httpx.AsyncClient, path: str) -> None:
    answer = await alpha.post(path, json=CHAT, headers={"authorization": "Bearer sk-1"})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["object"], body["model"], body["system_fingerprint"]) == ("chat.completion", "llama", "alpha")
    message = body["choices"][0]["message"]
    assert (message["role"], body["choices"][0]["finish_reason"]) == ("assistant", "stop")
    assert "This is alpha answering as llama." in message["content"]
    assert "Good morning, gateway!" in message["content"]
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert min(usage.values()) > 0
    assert answer.headers["x-sample-upstream"] == "alpha"
    assert answer.headers["x-sample-model"] == "llama"
    digest = hashlib.sha256(b"Bearer sk-1").hexdigest()[:12]
    assert answer.headers["x-sample-authorization"] == f"sha256:{digest}"
    assert "sk-1" not in answer.text + str(answer.headers)


async def test_the_same_request_has_the_same_answer_and_no_credential_is_told_apart(alpha: httpx.AsyncClient) -> None:
    first, second = [await alpha.post("/v1/chat/completions", json=CHAT) for _ in range(2)]
    assert first.json() == second.json()
    assert first.headers["x-sample-authorization"] == "absent"


async def test_json_is_read_whatever_the_content_type_says(alpha: httpx.AsyncClient) -> None:
    body = '{"model": "test-model", "messages": []}'
    for content_type in ("application/x-www-form-urlencoded", "text/plain"):
        answer = await alpha.post("/v1/chat/completions", content=body, headers={"content-type": content_type})
        assert (answer.status_code, answer.headers["x-sample-model"]) == (200, "test-model")


@pytest.mark.parametrize("with_usage", [False, True])
async def test_a_streamed_answer(alpha: httpx.AsyncClient, with_usage: bool) -> None:
    whole = (await alpha.post("/v1/chat/completions", json=CHAT)).json()
    body = CHAT | {"stream": True, "stream_options": {"include_usage": with_usage}}
    answer = await alpha.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-sample-upstream"] == "alpha"
    chunks = events(answer.text)
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert said == whole["choices"][0]["message"]["content"]
    reasons = [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]
    assert {c["id"] for c in chunks} == {whole["id"]}
    if with_usage:
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"] == whole["usage"]
        assert all(c["usage"] is None for c in chunks[:-1])
    else:
        assert all("usage" not in c for c in chunks)


async def test_an_answer_ends_at_max_tokens(alpha: httpx.AsyncClient) -> None:
    for field in ("max_tokens", "max_completion_tokens"):
        body = (await alpha.post("/v1/chat/completions", json=CHAT | {field: 3})).json()
        assert (body["usage"]["completion_tokens"], body["choices"][0]["finish_reason"]) == (3, "length")


async def test_completions_and_embeddings(alpha: httpx.AsyncClient) -> None:
    body = (await alpha.post("/v1/completions", json={"model": "m", "prompt": ["one", "two"]})).json()
    assert (body["object"], "You said: two" in body["choices"][0]["text"]) == ("text_completion", True)
    streamed = await alpha.post("/v1/completions", json={"model": "m", "prompt": ["one", "two"], "stream": True})
    assert "".join(c["choices"][0]["text"] for c in events(streamed.text)) == body["choices"][0]["text"]

    asked = {"model": "e", "input": ["a", "b", "a"], "dimensions": 4}
    numbers = [item["embedding"] for item in (await alpha.post("/v1/embeddings", json=asked)).json()["data"]]
    assert [len(vector) for vector in numbers] == [4, 4, 4]
    assert numbers[0] == numbers[2] != numbers[1]
    packed = (await alpha.post("/v1/embeddings", json=asked | {"encoding_format": "base64"})).json()["data"][0]
    assert struct.unpack("<4f", base64.b64decode(packed["embedding"])) == pytest.approx(numbers[0])


async def test_kserves_protocols(alpha: httpx.AsyncClient) -> None:
    first = await alpha.post("/v1/models/team/iris:predict", json={"instances": [[1, 2], [3, 4], [1, 2]]})
    predictions = first.json()["predictions"]
    assert (len(predictions), predictions[0] == predictions[2]) == (3, True)
    assert (first.headers["x-sample-upstream"], first.headers["x-sample-model"]) == ("alpha", "team/iris")
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    second = (await alpha.post("/v2/models/iris/infer", json={"id": "7", "inputs": [tensor]})).json()
    assert (second["model_name"], second["id"], second["outputs"][0]["shape"]) == ("iris", "7", [1])
    for path in ("/v1/models/iris", "/v2/models/iris/ready"):
        assert (await alpha.get(path)).json()["ready"] is True
    for path in ("/health", "/v2/health/live", "/v2/health/ready"):
        assert (await alpha.get(path)).status_code == 200


async def test_each_upstream_has_its_port_its_prefix_and_its_token(
    upstreams: SampleUpstream, alpha: httpx.AsyncClient, beta: httpx.AsyncClient
) -> None:
    assert upstreams.port("alpha") != upstreams.port("beta")
    for token, status in (("", 401), ("guessed", 401), ("sesame", 200)):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = await beta.post("/serving/v1/chat/completions", json=CHAT, headers=headers)
        assert (answer.status_code, answer.headers["x-sample-upstream"]) == (status, "beta")
        assert "guessed" not in answer.text
    assert (await alpha.post("/serving/v1/chat/completions", json=CHAT)).status_code == 404
    listed = (await beta.get("/v1/models", headers={"authorization": "Bearer sesame"})).json()["data"]
    assert [model["id"] for model in listed] == ["beta", "llama"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/chat/completions", "no json"),
        ("/v1/chat/completions", "[]"),
        ("/v1/chat/completions", '{"messages": []}'),
        ("/v1/chat/completions", '{"model": "m", "messages": 3}'),
        ("/v1/embeddings", '{"model": "m"}'),
        ("/v1/models/m:predict", "{}"),
        ("/v2/models/m/infer", '{"inputs": 1}'),
    ],
)
async def test_a_bad_request_is_refused_in_openais_shape(alpha: httpx.AsyncClient, path: str, content: str) -> None:
    answer = await alpha.post(path, content=content)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_the_books(upstreams: SampleUpstream, alpha: httpx.AsyncClient) -> None:
    usages = [(await alpha.post("/v1/chat/completions", json=CHAT)).json()["usage"] for _ in range(2)]
    await alpha.post("/v1/chat/completions", json=CHAT | {"stream": True})
    await alpha.post("/v1/chat/completions", content="bad")
    book = upstreams.book("alpha")
    usage = usages[0]
    wanted = ModelBook(3, 3 * usage["prompt_tokens"], 3 * usage["completion_tokens"])
    assert (book.requests, book.refused, book.models["llama"]) == (4, 1, wanted)
    assert upstreams.book("beta").requests == 0


async def test_faults(upstreams: SampleUpstream, alpha: httpx.AsyncClient) -> None:
    upstreams.fault("alpha", UpstreamFault(status=503, retry_after="2", delay=0.01))
    answer = await alpha.post("/v1/chat/completions", json=CHAT)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    upstreams.fault("alpha", UpstreamFault(abort_after=2))
    with pytest.raises(httpx.RemoteProtocolError):
        await alpha.post("/v1/chat/completions", json=CHAT | {"stream": True})
    assert upstreams.book("alpha").streams_aborted == 1
    upstreams.fault("alpha", None)
    assert (await alpha.post("/v1/chat/completions", json=CHAT)).status_code == 200


async def test_a_port_in_use_is_told(upstreams: SampleUpstream) -> None:
    with pytest.raises(OSError):
        await SampleUpstream().add("gamma", port=upstreams.port("alpha"))
