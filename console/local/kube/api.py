"""The HTTP face: who asks, for what, may they, and the answer."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from console.local.kube import deleting, discovery, jsonpatch, openapi, reviews, status, wire, writing
from console.local.kube.access import Identity, Tokens, forbidden_because
from console.local.kube.admission import identify
from console.local.kube.faults import Faults
from console.local.kube.reading import Page, Selection, get, page
from console.local.kube.selectors import parse_fields, parse_labels
from console.local.kube.state import State, Target, computed
from console.local.kube.status import ApiError, as_json
from console.local.kube.storage import Record
from console.local.kube.tables import table
from console.local.kube.watch import Hub, Watch, WatchOptions
from console.local.kube.wire import Asked

log = logging.getLogger("modeldeck.kube")

_HEALTH = ("livez", "readyz", "healthz")


class Api:
    """The ASGI application."""

    def __init__(self, state: State, hub: Hub, tokens: Tokens, faults: Faults, *, bookmark_every: float) -> None:
        self._state = state
        self._hub = hub
        self._tokens = tokens
        self._faults = faults
        self._bookmark_every = bookmark_every
        self._documents: dict[tuple[int, str, str], str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ApiError as problem:
            response = _failed(problem)
        except ClientDisconnect:
            return
        except sqlite3.Error as problem:
            log.exception("%s %s", request.method, request.url.path)
            response = _failed(status.internal(f"the database cannot be used: {problem}"))
        except Exception as problem:
            log.exception("%s %s", request.method, request.url.path)
            response = _failed(status.internal(f"{type(problem).__name__}, see the server's log"))
        await response(scope, receive, send)

    # --- routing -----------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        path = request.url.path.rstrip("/") or "/"
        parts = path.strip("/").split("/")
        identity = self._identity(request, parts)
        if parts[0] in _HEALTH:
            return PlainTextResponse("ok")
        await self._faults.delay()
        if (parts[0] == "api" and len(parts) >= 3) or (parts[0] == "apis" and len(parts) >= 4):
            asked = wire.parse_request(self._state.registry, request.method, path, request.query_params)
            assert identity is not None
            self._authorize(identity, asked)
            response = await self._objects(request, asked, identity)
            if asked.target.version.warning:
                _warn(response, [asked.target.version.warning])
            return response
        if request.method != "GET":
            raise status.method_not_allowed(request.method, path)
        return await self._document(request, parts)

    def _identity(self, request: Request, parts: list[str]) -> Identity | None:
        """Raises `ApiError` 401; only what tells nothing is open to everybody, and a wrong token never is."""
        identity = self._tokens.identity(request.headers)
        if identity is None and parts[0] not in (*_HEALTH, "version"):
            raise status.unauthorized()
        return identity

    def _authorize(self, identity: Identity, asked: Asked) -> None:
        target = asked.target
        if target.resource.origin == "review":  # everybody may ask about themselves
            return
        if not identity.may(asked.verb, target.group, asked.resource, asked.namespace):
            why = forbidden_because(identity, asked.verb, target.group, asked.resource, asked.namespace)
            raise status.forbidden(target.group, target.plural, target.name, why)

    async def _document(self, request: Request, parts: list[str]) -> Response:
        registry = self._state.registry
        match parts:
            case ["version"]:
                return _json(discovery.VERSION)
            case ["api" | "apis" as root] if wire.wants(request, "APIGroupDiscoveryList"):
                content = discovery.aggregated(registry, core=root == "api")
                return Response(as_json(content), media_type=discovery.AGGREGATED)
            case ["api"]:
                return _json(discovery.core_versions())
            case ["apis"]:
                return _json(discovery.groups(registry))
            case ["api", version]:
                return _found(discovery.resources(registry, "", version))
            case ["apis", group]:
                return _found(discovery.group(registry, group))
            case ["apis", group, version]:
                return _found(discovery.resources(registry, group, version))
            case ["openapi", "v3"]:
                return _json(openapi.index(registry))
            case ["openapi", "v3", "api", version]:
                return await self._openapi("", version)
            case ["openapi", "v3", "apis", group, version]:
                return await self._openapi(group, version)
            case _:
                raise status.no_such_resource()

    async def _openapi(self, group: str, version: str) -> Response:
        registry = self._state.registry
        key = (registry.generation, group, version)
        if key not in self._documents:
            if not registry.served(group, version):
                raise status.no_such_resource()
            defined = openapi.sources(registry, self._state.storage, group, version)
            text = await asyncio.to_thread(openapi.document, registry, defined, group, version)
            self._documents = {old: one for old, one in self._documents.items() if old[0] == key[0]}
            self._documents[key] = text
        return Response(self._documents[key], media_type="application/json")

    # --- objects -----------------------------------------------------------------------------------------------

    async def _objects(self, request: Request, asked: Asked, identity: Identity) -> Response:
        as_table = wire.wants(request, "Table")
        target = asked.target
        match asked.verb:
            case "get":
                return self._one(target, get(self._state, target), as_table=as_table)
            case "list":
                return await self._list(request, target, as_table=as_table)
            case "watch":
                return self._watch(request, target, as_table=as_table)
            case "create" if target.resource.origin == "review":
                body = await wire.read_body(request, wire.OBJECT_TYPES)
                content = reviews.answer(target.kind, identify(target, body.content), identity, self._state.registry)
                return _json(content, 201)
        self._faults.write(target.plural, committed=False)
        response = await self._write(request, asked, identity)
        self._faults.write(target.plural, committed=True)
        return response

    async def _write(self, request: Request, asked: Asked, identity: Identity) -> Response:
        target = asked.target
        query = request.query_params
        agent = request.headers.get("user-agent", "")
        match asked.verb:
            case "create":
                options = wire.write_options(query, agent, kind="CreateOptions")
                body = await wire.read_body(request, wire.OBJECT_TYPES)
                text, code = await writing.create(self._state, target, body, options), 201
            case "update":
                options = wire.write_options(query, agent, kind="UpdateOptions")
                body = await wire.read_body(request, wire.OBJECT_TYPES)
                text, code = await writing.replace(self._state, target, body, options), 200
            case "patch":
                kind = wire.media_type(request)
                accepted = wire.patch_types(target)
                if kind not in accepted:
                    raise status.unsupported_media_type(accepted)
                options = wire.write_options(query, agent, kind="PatchOptions", apply=kind == writing.APPLY)
                body = await wire.read_body(request, accepted, twice=kind != jsonpatch.TYPE)
                if not identity.may("create", target.group, asked.resource, asked.namespace):
                    why = forbidden_because(identity, "create", target.group, asked.resource, asked.namespace)
                    options.create_refusal = why
                text, created = await writing.patch(self._state, target, kind, body, options)
                code = 201 if created else 200
            case _:
                return await self._delete(request, asked)
        response = Response(text, code, media_type="application/json")
        _warn(response, options.warnings)
        return response

    async def _delete(self, request: Request, asked: Asked) -> Response:
        body = await wire.read_body(request, wire.OBJECT_TYPES) if await _has_body(request) else None
        options = deleting.DeleteOptions.parse(body.content if body else None, dict(request.query_params))
        if asked.verb == "delete":
            text = await deleting.delete(self._state, asked.target, options)
        else:
            selection = _selection(request, asked.target)
            text = await deleting.delete_collection(self._state, asked.target, selection, options)
        return Response(text, media_type="application/json")

    def _one(self, target: Target, record: Record, *, as_table: bool) -> Response:
        if not as_table:
            return Response(target.text(record), media_type="application/json")
        return _json(table(target, [target.object(record)], {"resourceVersion": str(record.revision)}))

    async def _list(self, request: Request, target: Target, *, as_table: bool) -> Response:
        query = request.query_params
        version = wire.number(query, "resourceVersion")
        current = self._state.storage.revision
        if version is not None and version > current:
            raise status.future_version(version, current)
        exactly = version if query.get("resourceVersionMatch") == "Exact" else None
        found = page(
            self._state,
            target,
            _selection(request, target),
            limit=wire.number(query, "limit") or 0,
            carry_on=query.get("continue", ""),
            exactly=exactly,
        )
        if as_table:
            size = len(found.records) * 1024
            content = await computed(
                size, lambda: table(target, [target.object(one) for one in found.records], found.metadata())
            )
            return _json(content)
        return Response(_list_text(target, found), media_type="application/json")

    def _watch(self, request: Request, target: Target, *, as_table: bool) -> Response:
        query = request.query_params
        since = wire.number(query, "resourceVersion") or None
        initial = wire.flag(query, "sendInitialEvents")
        if initial and query.get("resourceVersionMatch") != "NotOlderThan":
            detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            errors = [status.forbidden_field("resourceVersionMatch", detail)]
            raise status.invalid("meta.k8s.io", "ListOptions", "", errors)
        current = self._state.storage.revision
        if since is not None and since > current:
            raise status.future_version(since, current)
        selection = _selection(request, target)
        options = WatchOptions(
            since,
            wire.flag(query, "allowWatchBookmarks"),
            float(wire.number(query, "timeoutSeconds") or 3600),
            initial,
            as_table,
        )
        watch = Watch(self._state, self._hub, target, selection, options, bookmark_every=self._bookmark_every)
        return StreamingResponse(_flushed(watch.lines()), media_type="application/json")


async def _flushed(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream, begun at once: a client takes the headers for the start of the watch."""
    yield b""
    async for line in lines:
        yield line


def _selection(request: Request, target: Target) -> Selection:
    query = request.query_params
    supported = frozenset(("metadata.name", "metadata.namespace", *target.version.selectable))
    fields = parse_fields(query.get("fieldSelector", ""), supported)
    if target.name:  # a watch of one object by its path
        fields = parse_fields(f"metadata.name={target.name}", supported)
    return Selection(parse_labels(query.get("labelSelector", "")), fields)


async def _has_body(request: Request) -> bool:
    if request.headers.get("content-length", "0") not in ("", "0"):
        return True
    return "chunked" in request.headers.get("transfer-encoding", "")


def _list_text(target: Target, found: Page) -> str:
    head = as_json({"kind": target.resource.list_kind, "apiVersion": target.api_version, "metadata": found.metadata()})
    return f'{head[:-1]},"items":[{",".join(target.text(one) for one in found.records)}]}}'


def _found(content: dict[str, Any] | None) -> Response:
    if content is None:
        raise status.no_such_resource()
    return _json(content)


def _json(content: Any, code: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False), code, media_type="application/json")


def _failed(problem: ApiError) -> Response:
    return Response(as_json(problem.status()), problem.code, problem.headers, media_type="application/json")


def _warn(response: Response, warnings: Iterable[str]) -> None:
    """RFC 7234 §5.5, as kubectl prints them."""
    for text in dict.fromkeys(warnings):
        plain = "".join(one if one.isprintable() and one.isascii() else "?" for one in text)[:512]
        escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("Warning", f'299 - "{escaped}"')
