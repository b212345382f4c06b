"""What a sample upstream says: texts, token counts, vectors and predictions that follow from the request alone."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

_TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])")
_DIMENSIONS = 16
_MOST_DIMENSIONS = 4_096


class BadRequest(ValueError):
    """The request is not one of OpenAI's; the text says why."""


def tokens(text: str) -> list[str]:
    """The text in pieces of at most six letters: about as many as a real tokenizer makes."""
    return _TOKEN.findall(text)


def chat_input(body: Mapping[str, Any]) -> str:
    """All that a chat request holds as text."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise BadRequest("messages must be a list")
    return "\n".join(_message_text(message) for message in messages)


def completion_input(body: Mapping[str, Any]) -> str:
    """The prompt of a completion request."""
    prompt = body.get("prompt", "")
    return "\n".join(str(part) for part in prompt) if isinstance(prompt, list) else str(prompt)


def embedding_inputs(body: Mapping[str, Any]) -> list[str]:
    """The texts to embed."""
    given = body.get("input")
    if given is None:
        raise BadRequest("input is missing")
    return [str(text) for text in given] if isinstance(given, list) else [str(given)]


def reply(upstream: str, model: str, heard: str, limit: object) -> tuple[list[str], str]:
    """The answer in tokens, and why it ends: ``stop``, or ``length`` at ``max_tokens``."""
    last = heard.strip().rsplit("\n", 1)[-1]
    said = tokens(f"This is {upstream} answering as {model}. You said: {last or 'nothing'}")
    if isinstance(limit, int) and not isinstance(limit, bool) and 0 < limit < len(said):
        return said[:limit], "length"
    return said, "stop"


def vector(text: str, dimensions: object) -> list[float]:
    """Numbers between -1 and 1, the same for the same text."""
    count = dimensions if isinstance(dimensions, int) and 0 < dimensions <= _MOST_DIMENSIONS else _DIMENSIONS
    digests = b"".join(_digests(text, count * 2))
    return [round(struct.unpack_from("<h", digests, 2 * index)[0] / 32_768, 6) for index in range(count)]


def packed(numbers: list[float]) -> str:
    """The vector in OpenAI's base64 form: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def prediction(instance: object) -> float:
    """A number for one instance of a predict request."""
    return vector(repr(instance), 1)[0]


def _message_text(message: object) -> str:
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, list):
        parts = (part.get("text", "") for part in content if isinstance(part, Mapping))
        return " ".join(str(part) for part in parts)
    return str(content or "")


def _digests(text: str, length: int) -> Iterator[bytes]:
    for number in range(-(-length // 32)):
        yield hashlib.blake2b(
            text.encode("utf-8", "replace"), digest_size=32, salt=number.to_bytes(16, "little")
        ).digest()
