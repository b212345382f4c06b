"""The whole HTTP API, denied by default: every path but health and the signed webhook needs a token."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_origin

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from console import __version__
from console.actions import REGISTRY, Action
from console.actions.parameters import MAX_DOCUMENT, NAME
from console.actions.registry import Kind, Parameter
from console.api import catalog, keys, metrics, seeds, watching
from console.api.asking import Asker, read_object
from console.api.describing import OPEN, describe
from console.api.limits import Buckets
from console.api.problems import answer, refusal
from console.guard import Danger
from console.outcome import Ending, ModeldeckError, Outcome
from console.services import Services
from console.tokens import find_token

OPEN_PATHS = OPEN
_STATUSES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """How often a token, and an address without one, may ask."""

    per_second: float = 50.0
    burst: int = 200
    unknown_per_second: float = 2.0
    unknown_burst: int = 20


def create_app(services: Services, limits: ApiLimits = ApiLimits()) -> FastAPI:
    """The application for one profile. The services are the caller's to close."""
    asker = Asker(services)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await asker.close()

    app = FastAPI(
        title="Modeldeck",
        version=__version__,
        description="Catalog, publishing, keys and access of an LLM gateway. Every answer is an outcome.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        dependencies=[Depends(_only_known)],
    )
    app.state.asker = asker
    app.state.started = time.time()
    app.add_middleware(Gate, services=services, limits=limits)
    _every_action(app)
    for part in (seeds, keys, catalog, watching, metrics):
        app.include_router(part.router)
    describe(app)
    app.add_exception_handler(HTTPException, _not_there)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(ModeldeckError, _told)
    app.add_exception_handler(Exception, _broken)
    return app


async def _only_known(request: Request) -> None:
    """Refuse a query that has a parameter which nothing reads, or one twice: whoever sent it would wait for its effect.

    Raises:
        RequestValidationError: answered with 422.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or request.url.path in OPEN_PATHS:
        return
    known = _query_of(route.dependant)
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        told = {"type": "extra_forbidden", "loc": ("query", unknown[0][:40]), "msg": "there is no such parameter"}
        raise RequestValidationError([told])
    names = [name for name, _ in request.query_params.multi_items()]
    twice = sorted({name for name in names if names.count(name) > 1 and not known[name]})
    if twice:  # only one of them would be read
        told = {"type": "too_long", "loc": ("query", twice[0]), "msg": "it is one value, and was given several times"}
        raise RequestValidationError([told])


def _query_of(dependant: Any) -> dict[str, bool]:
    """The names that a path, and what it depends on, reads from the query; whether it takes several of each."""
    found = {one.alias: get_origin(one.field_info.annotation) is list for one in dependant.query_params}
    for one in dependant.dependencies:
        found |= _query_of(one)
    return found


class Gate:
    """In front of everything: who asks, and how often. Plain ASGI, so that streams pass untouched."""

    def __init__(self, app: ASGIApp, services: Services, limits: ApiLimits) -> None:
        self._app = app
        self._services = services
        self._known = Buckets(limits.per_second, limits.burst)
        self._unknown = Buckets(limits.unknown_per_second, limits.unknown_burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                refused = await self._refused(Request(scope))
            except ModeldeckError as problem:
                refused = answer(problem.outcome())
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refused(self, request: Request) -> Response | None:
        """Why not; None where the request may go on, with its token and principal."""
        origin = request.client.host if request.client is not None else ""
        if request.url.path in OPEN_PATHS:
            wait = self._known.take(f"open {origin}")
            return None if wait is None else _too_many(wait)
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        token = await find_token(await self._services.store(), text.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            wait = self._unknown.take(origin)
            return _no_token() if wait is None else _too_many(wait)
        wait = self._known.take(token.id)
        if wait is not None:
            return _too_many(wait)
        request.state.token = token
        request.state.principal = token.principal(origin)
        return None


def _no_token() -> JSONResponse:
    return refusal(
        401,
        "UNAUTHENTICATED",
        "this needs a token: Authorization: Bearer mdt_…",
        then="modeldeck tokens create NAME",
        headers={"www-authenticate": "Bearer"},
    )


def _too_many(wait: float) -> JSONResponse:
    headers = {"retry-after": str(math.ceil(wait))}
    return refusal(429, "TOO_MANY_REQUESTS", "too many requests; nothing was done", headers=headers)


def _every_action(app: FastAPI) -> None:
    """``POST /api/actions/{id}`` for everything in the registry that ends by itself."""
    for action in REGISTRY:
        if not action.streams:
            app.add_api_route(
                f"/api/actions/{action.id}",
                _endpoint(action),
                methods=["POST"],
                name=action.id,
                operation_id=action.id,
                summary=action.title,
                description=action.details,
                tags=[action.words[0]],
                openapi_extra={"requestBody": _request_body(action)},
                response_model=None,
            )


def _endpoint(action: Action) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        values = await read_object(request)
        if isinstance(values, JSONResponse):
            return values
        asker: Asker = request.app.state.asker
        return await asker.respond(request, action.id, values)

    return endpoint


def _request_body(action: Action) -> dict[str, Any]:
    properties = {parameter.name: _schema(parameter) for parameter in action.parameters}
    required = [parameter.name for parameter in action.parameters if parameter.required]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    needed = bool(required) and action.danger is not Danger.READ
    return {"required": needed, "content": {"application/json": {"schema": schema}}}


def _schema(parameter: Parameter) -> dict[str, Any]:
    """As `console.actions.parameters` reads it: a number may come as a text, one of several without a list around it,
    and null, an empty text (but not an empty name) or an empty list is what is not given."""
    kinds: dict[Kind, dict[str, Any]] = {
        Kind.INTEGER: {"type": ["integer", "string"]},
        Kind.FLAG: {"type": "boolean"},
        Kind.DOCUMENT: {"type": "string", "maxLength": MAX_DOCUMENT},
        Kind.DURATION: {"type": ["integer", "string"], "examples": [900, "15m"]},
    }
    schema = dict(kinds.get(parameter.kind, {"type": ["string", "number"], "maxLength": 1024}))
    if parameter.name == NAME:
        schema["minLength"] = 1
    if parameter.choices:
        schema = {"type": "string", "enum": [*parameter.choices, *([] if parameter.required else [""])]}
    if parameter.minimum is not None:
        schema["minimum"] = parameter.minimum
    if parameter.many:
        several = {"type": "array", "items": schema} | ({"minItems": 1} if parameter.required else {})
        schema = {"anyOf": [several, schema]}
    if not parameter.required:
        schema = {"anyOf": [schema, {"type": "null"}]}
    return schema | {"description": parameter.help}


async def _not_there(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    code = _STATUSES.get(problem.status_code, "REFUSED")
    detail = f"{request.method} {request.url.path[:200]}: {problem.detail}"
    return refusal(problem.status_code, code, detail, then="GET /openapi.json", headers=problem.headers)


async def _not_valid(_request: Request, problem: Exception) -> Response:
    """A parameter of the path or the query that is not what it should be; what was sent is not repeated."""
    assert isinstance(problem, RequestValidationError)
    first = problem.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return refusal(
        422, "INVALID_PARAMETER", f"{where[:80]}: {first['msg']}; nothing was changed", then="GET /openapi.json"
    )


async def _told(_request: Request, problem: Exception) -> Response:
    """What a path meets beside its action, such as a database that cannot be read."""
    assert isinstance(problem, ModeldeckError)
    return answer(problem.outcome())


async def _broken(request: Request, problem: Exception) -> Response:
    """What nobody foresaw: said without its text, which may repeat what was sent."""
    what = f"an error that should not happen ({type(problem).__name__})"
    if _only_reads(request):
        return answer(Outcome(Ending.FAILED, f"{what}; nothing was changed", code="INTERNAL", http_status=500))
    detail = f"{what}; how far it came stands in the journal"
    outcome = Outcome(Ending.INTERRUPTED, detail, code="INTERNAL", http_status=500, then="GET /api/operations")
    return answer(outcome)


def _only_reads(request: Request) -> bool:
    action = request.url.path.removeprefix("/api/actions/")
    return request.method in ("GET", "HEAD") or (action in REGISTRY and REGISTRY[action].danger is Danger.READ)
