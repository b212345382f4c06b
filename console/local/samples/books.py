"""What a sample upstream has answered, and what it can be told to do wrong."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class ModelBook:
    """Requests and tokens of one model."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(slots=True)
class Book:
    """What an upstream was asked. ``refused``: requests that it did not answer (no or a wrong token, faults)."""

    requests: int = 0
    refused: int = 0
    streams_aborted: int = 0
    models: dict[str, ModelBook] = field(default_factory=lambda: defaultdict(ModelBook))

    def enter(self, model: str, tokens_in: int, tokens_out: int) -> None:
        entry = self.models[model]
        entry.requests += 1
        entry.tokens_in += tokens_in
        entry.tokens_out += tokens_out


@dataclass(frozen=True, slots=True)
class UpstreamFault:
    """What goes wrong.

    status        answer with this status instead (0: do not)
    retry_after   with this header
    delay         seconds before the answer
    abort_after   break the connection off after so many pieces of a stream (None: do not)
    """

    status: int = 0
    retry_after: str = ""
    delay: float = 0.0
    abort_after: int | None = None
