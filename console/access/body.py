"""Which model a request's body names, where the authorizer sees the body itself."""

from __future__ import annotations

import json
from typing import Any

from console.access.decision import Body


def inspect_body(raw: bytes) -> tuple[Body, str | None]:
    """What the body is, and its top-level ``model`` where it names exactly one.

    The content type does not matter: curl sends JSON as a form by default (seed 001).
    """
    if not raw:
        return Body.NONE, None
    try:
        document = json.loads(raw, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return Body.MALFORMED, None
    if not isinstance(document, _Pairs):
        return Body.NO_MODEL, None
    models = [value for name, value in document.pairs if name == "model"]
    if len(models) > 1:
        return Body.DUPLICATE, None
    if not models or not isinstance(models[0], str) or not models[0]:
        return Body.NO_MODEL, None
    return Body.OK, models[0]


class _Pairs:
    """A JSON object with its repetitions kept."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs
