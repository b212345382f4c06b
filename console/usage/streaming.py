"""The access log as Envoy streams it (ALS): ``envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs``.

For gateways on other machines: Envoy Gateway sends it where an EnvoyProxy names a sink of type ALS (docs/usage.md).
Envoy waits for no answer, so what has arrived is written every second and at the end; what a killed collector had not
written is lost, and what Envoy could not deliver is too: it counts that (``access_logs.grpc_access_log.logs_dropped``).
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage, StreamAccessLogsResponse
from google.protobuf.json_format import MessageToDict
from grpc import aio, method_handlers_generic_handler, stream_unary_rpc_method_handler
from redis.exceptions import RedisError

from console.access.decision import REASON_HEADER
from console.grpc_listening import listen
from console.outcome import ModeldeckError
from console.usage import book
from console.usage.book import Overtaken, Place
from console.usage.budgets import Settler
from console.usage.collecting import Pricing, look_after_age
from console.usage.records import NotARequest, Request, read_fields
from console.usage.tally import Tally

if TYPE_CHECKING:
    from console.services import Services

METADATA = "io.envoy.ai_gateway"
_SERVICE = "envoy.service.accesslog.v3.AccessLogService"
_WRITE_SECONDS = 1.0
_MOST_WAITING = 500_000
"""Requests that wait for the database; what comes beyond them is dropped, and that is told."""
log = logging.getLogger("modeldeck.usage")


class LogStream:
    """Takes what gateways stream, and counts it.

    Args:
        name: of this collector among others on the same database
        prefix: of the headers that the authorizer sets: ``x-modeldeck``
    """

    def __init__(self, services: Services, name: str, *, prefix: str) -> None:
        self._services = services
        self._source = f"stream {name}"
        self._prefix = prefix
        self._pricing = Pricing(services)
        self._settler = Settler(services)
        self._waiting: deque[Request] = deque()
        self._unreadable = self._dropped = 0
        self._place: Place | None = None
        self._doubtful: tuple[Place, int, int, int] | None = None
        """A write whose answer was lost: where it would have moved the place to, and what it was of."""
        self._server: aio.Server | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        self._server = aio.server()
        handler = stream_unary_rpc_method_handler(
            self._stream,
            request_deserializer=StreamAccessLogsMessage.FromString,
            response_serializer=StreamAccessLogsResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (method_handlers_generic_handler(_SERVICE, {"StreamAccessLogs": handler}),)
        )
        self.port = await listen(self._server, f"{host}:{port}")

    async def stop(self) -> None:
        """Take nothing more, and write what has arrived."""
        if self._server is not None:
            await self._server.stop(1.0)
        await self.write()

    async def write(self) -> int:
        """Count what has arrived. Returns how many requests it were.

        Raises:
            ModeldeckError: the database cannot be used; what has arrived is kept for the next time.
        """
        store = await self._services.store()
        before = self._place or await book.place(store, self._source)
        if self._doubtful is not None:
            if before.position == self._doubtful[0].position:
                self._written(*self._doubtful[1:])
            self._doubtful = None
        requests, unreadable, dropped = list(self._waiting), self._unreadable, self._dropped
        tally = Tally()
        tally.add(requests, await self._pricing.for_(requests))
        after = replace(
            before,
            position=before.position + len(requests) + unreadable,
            lines=before.lines + len(requests) + unreadable,
            unreadable=before.unreadable + unreadable,
            gaps=before.gaps + bool(dropped),
            read_at=datetime.now(UTC),
        )
        self._place = None
        try:
            await book.write(store, tally, self._source, before, after)
        except Overtaken:  # another collector of this name: the place is read anew
            return 0
        except BaseException:
            self._doubtful = (after, len(requests), unreadable, dropped)
            raise
        self._place = after
        await self._settler.counted(tally.settled)
        self._written(len(requests), unreadable, dropped)
        return len(requests)

    async def settle(self) -> None:
        """Settle the budgets of what was written.

        Raises:
            ModeldeckError, RedisError, OSError: the database or Redis is away; it is done the next time.
        """
        await self._settler.look()

    def _written(self, requests: int, unreadable: int, dropped: int) -> None:
        for _ in range(requests):
            self._waiting.popleft()
        self._unreadable -= unreadable
        self._dropped -= dropped

    async def _stream(
        self, messages: AsyncIterator[StreamAccessLogsMessage], _context: Any
    ) -> StreamAccessLogsResponse:
        async for message in messages:
            for entry in message.http_logs.log_entry:
                if len(self._waiting) >= _MOST_WAITING:
                    self._dropped += 1
                    continue
                try:
                    self._waiting.append(request_of(entry, self._prefix))
                except NotARequest:
                    self._unreadable += 1
        return StreamAccessLogsResponse()


def request_of(entry: HTTPAccessLogEntry, prefix: str) -> Request:
    """One entry of the stream.

    Raises:
        NotARequest: it is none.
    """
    common, response = entry.common_properties, entry.response
    if not common.HasField("start_time"):
        raise NotARequest("it has no time")
    headers: Mapping[str, str] = entry.request.request_headers
    told_back: Mapping[str, str] = entry.response.response_headers
    told = MessageToDict(common.metadata.filter_metadata[METADATA]) if _has(common) else {}
    duration = common.duration.ToMilliseconds() if common.HasField("duration") else 0
    return read_fields(
        {
            "id": entry.request.request_id,
            "path": entry.request.path.partition("?")[0],
            "method": "GET" if entry.request.request_method == 1 else "",
            "key": headers.get(f"{prefix}-key-id"),
            "tenant": headers.get(f"{prefix}-tenant"),
            "model": headers.get(f"{prefix}-model") or headers.get("x-ai-eg-model"),
            "refused_key": told_back.get(f"{prefix}-key-id"),
            "refused_tenant": told_back.get(f"{prefix}-tenant"),
            "reason": told_back.get(REASON_HEADER),
            "limit": told_back.get("x-modeldeck-limit"),
            "status": response.response_code.value,
            "details": response.response_code_details,
            "flags": "DC" if common.response_flags.downstream_connection_termination else "",
            "upstream": common.upstream_cluster,
            "milliseconds": max(0, duration),
            "input_tokens": told.get("llm_input_token"),
            "cached_tokens": told.get("llm_cached_input_token"),
            "output_tokens": told.get("llm_output_token"),
            "metered": bool(headers.get("x-ai-eg-model")),
            "upstream_host": _host(common),
        },
        common.start_time.ToNanoseconds() / 1e9,
    )


def _host(common: Any) -> str:
    """Who was asked, if anybody was."""
    return (
        str(common.upstream_remote_address.socket_address.address) if common.HasField("upstream_remote_address") else ""
    )


def _has(common: Any) -> bool:
    return METADATA in common.metadata.filter_metadata


async def collect_streams(
    services: Services, name: str, *, host: str, port: int, prefix: str, ready: Callable[[], None] = lambda: None
) -> None:
    """Collect until SIGTERM or SIGINT.

    Raises:
        OSError: the address cannot be had.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    stream = LogStream(services, name, prefix=prefix)
    await stream.start(host, port)
    ready()
    forgotten = 0.0
    while not stopping.is_set():
        try:
            await stream.write()
            await stream.settle()
            forgotten = await look_after_age(services, forgotten)
        except (ModeldeckError, RedisError, OSError) as problem:
            log.warning("usage is not written just now: %s; it is kept", problem)
        try:
            await asyncio.wait_for(stopping.wait(), _WRITE_SECONDS)
        except TimeoutError:
            continue
    await stream.stop()
