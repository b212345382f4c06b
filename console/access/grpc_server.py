"""The ext_authz service over gRPC: ``envoy.service.auth.v3.Authorization/Check``.

The same decision as over HTTP (console/access/server.py), for gateways that ask so: an Envoy Gateway SecurityPolicy
with ``extAuth.grpc`` and ``bodyToExtAuth``, or an Envoy that has extracted the model already.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.rpc.status_pb2 import Status
from grpc import aio

from console.access.body import inspect_body
from console.access.decision import Allowed, Ask, Body, Denied
from console.access.server import BODY_HEADER, MODEL_HEADER, Judge, body_state
from console.grpc_listening import listen

_OK = grpc.StatusCode.OK.value[0]
_DENIED = grpc.StatusCode.PERMISSION_DENIED.value[0]
_MODEL_CONTEXT = "modeldeck-model"
_PARTIAL_HEADER = "x-envoy-auth-partial-body"
_SERVICE = "envoy.service.auth.v3.Authorization"
_LARGEST_MESSAGE = 20 * 1024 * 1024
_LARGEST_BODY = 16 * 1024 * 1024


class GrpcAuthorizer:
    """Answers Check. Whatever goes wrong in here is a refusal, never a yes."""

    def __init__(self, judge: Judge, *, reads: Literal["header", "body"]) -> None:
        self._judge = judge
        self._reads = reads

    async def check(self, request: CheckRequest, _context: aio.ServicerContext[Any, Any]) -> CheckResponse:
        """One decision."""
        headers = request.attributes.request.http.headers
        answer = await self._judge.judge(self._ask(request), lambda: headers.get("x-request-id", "")[:128], time.time())
        return _allowed(answer) if isinstance(answer, Allowed) else _denied(answer, self._judge.rules.header_prefix)

    def _ask(self, request: CheckRequest) -> Ask:
        http = request.attributes.request.http
        headers = {name.lower(): value for name, value in http.headers.items()}
        # Envoy joins repeated headers with a comma: two Authorization headers are one that is no bearer.
        authorization = headers.get("authorization")
        # What a route stands for comes as its context, where the HTTP form has it in the path.
        route_model = request.attributes.context_extensions.get(_MODEL_CONTEXT) or None
        client = headers.get("x-forwarded-for", "").split(",")[0].strip()
        client = client or request.attributes.source.address.socket_address.address
        if self._reads == "header":
            model = headers.get(MODEL_HEADER.decode())
            body = body_state(headers.get(BODY_HEADER.decode(), ""), model)
        else:
            body, model = _read(http.raw_body or http.body.encode(), partial=headers.get(_PARTIAL_HEADER) == "true")
        given = (authorization,) if authorization is not None else ()
        return Ask(given, http.method or "GET", http.path, model, body, route_model, client or None)


def _read(body: bytes, *, partial: bool) -> tuple[Body, str | None]:
    """What a body names; of one that Envoy has cut off nothing can be said."""
    if partial or len(body) > _LARGEST_BODY:
        return Body.TOO_LARGE, None
    return inspect_body(body)


def _allowed(answer: Allowed) -> CheckResponse:
    headers = [
        HeaderValueOption(
            header=HeaderValue(key=name, value=value),
            append_action=HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
        )
        for name, value in answer.headers.items()
    ]
    return CheckResponse(status=Status(code=_OK), ok_response=OkHttpResponse(headers=headers))


def _denied(answer: Denied, prefix: str) -> CheckResponse:
    told = answer.told(prefix).items()
    options = [HeaderValueOption(header=HeaderValue(key=name, value=value)) for name, value in told]
    denied = DeniedHttpResponse(
        status=HttpStatus(code=answer.status),
        headers=options,
        body=answer.body().decode(),
    )
    return CheckResponse(status=Status(code=_DENIED), denied_response=denied)


class GrpcServing:
    """The server of one worker. Several may share a port (SO_REUSEPORT)."""

    def __init__(self, authorizer: GrpcAuthorizer, *, host: str, port: int) -> None:
        self._server = aio.server(options=[("grpc.max_receive_message_length", _LARGEST_MESSAGE)])
        handler = grpc.unary_unary_rpc_method_handler(
            authorizer.check,
            request_deserializer=CheckRequest.FromString,
            response_serializer=CheckResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Check": handler}),))
        self._address = f"{host}:{port}"
        self.port = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        self.port = await listen(self._server, self._address)

    async def stop(self, grace_seconds: float) -> None:
        """Take nothing new; what is under way has so long to end."""
        await self._server.stop(grace_seconds)
