"""What ``/openapi.json`` says of answers: outcomes, problems, and which statuses each path can answer with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from console.api.problems import PROBLEM
from console.outcome import HTTP_STATUSES, Ending

OPEN = frozenset({"/healthz", "/readyz", "/api/webhooks/models-updated"})
"""What answers without a token. The webhook is signed; health says whether, not what."""
_GOOD = (Ending.DONE, Ending.UNCHANGED, Ending.PENDING, Ending.PARTIAL)
_PROBLEMS = {
    400: "The body or a header is not what it should be",
    401: "No token, or one that is not known, has expired or was revoked",
    403: "The role, the tenants or the profile do not allow it",
    404: "There is no such thing",
    405: "Not with this method",
    409: "A conflict, or an operation that recovery owns; nothing was changed",
    413: "The body is too large",
    422: "A parameter is missing, unknown or not what it should be",
    429: "Too many requests; Retry-After says when to come again",
    499: "Cancelled, and undone",
    500: "An error that should not happen",
    502: "Tried and undone: something outside failed",
    503: "Something that is needed is not there; nothing was changed",
    504: "Tried and undone: something outside did not answer in time",
}
_ITEM = {
    "type": "object",
    "required": ["name", "state"],
    "properties": {"name": {"type": "string"}, "state": {"type": "string"}, "detail": {"type": "string"}},
}
_OUTCOME = {
    "type": "object",
    "required": ["outcome", "summary"],
    "properties": {
        "outcome": {"type": "string", "enum": [ending.value for ending in _GOOD]},
        "summary": {"type": "string"},
        "code": {"type": "string"},
        "proof": {"type": "array", "items": {"type": "string"}},
        "items": {"type": "array", "items": _ITEM},
        "data": {"description": "what the action answers"},
        "then": {"type": "string"},
        "key": {"type": "string", "description": "the text of a key, this once"},
    },
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "outcome"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "outcome": {"type": "string", "enum": [ending.value for ending in Ending if ending not in _GOOD]},
        "then": {"type": "string"},
        "items": {"type": "array", "items": _ITEM},
        "operation": {"type": "string"},
    },
}
_TEXT = {"/metrics": "text/plain", "/api/feed": "text/event-stream"}


def describe(app: FastAPI) -> None:
    """Have the application's document say what is answered, and that a token is needed."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
            )
            _complete(made)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _complete(made: dict[str, Any]) -> None:
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form, which is never answered
        schemas.pop(name, None)
    schemas |= {"Outcome": _OUTCOME, "Problem": _PROBLEM}
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in made["paths"].items():
        for one in methods.values():
            if path not in OPEN:
                one["security"] = [{"token": []}]
            one["responses"] = _answers(path, own=not path.startswith("/api/actions/"))


def _answers(path: str, *, own: bool) -> dict[str, Any]:
    """``own``: a path of a seed document, whose good answers have a form of their own."""
    kind = _TEXT.get(path, "text/event-stream" if path.endswith("/events") else "application/json")
    schema: dict[str, Any] = {} if own else {"$ref": "#/components/schemas/Outcome"}
    content = {kind: {} if kind.startswith("text/") else {"schema": schema}}
    answers: dict[str, Any] = {}
    for ending in _GOOD:
        for status in HTTP_STATUSES[ending]:
            answers[str(status)] = {"description": ending.means, "content": content}
    answers["304"] = {"description": "It has not changed since that ETag"}
    problem = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, what in _PROBLEMS.items():
        answers[str(status)] = {"description": what, "content": problem}
    if path == "/readyz":
        answers["503"]["content"] = content
    return answers
