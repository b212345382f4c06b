"""The rate-limit service: ``envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit``.

The contract is that of Envoy's reference service, with two differences that operators notice: a request that one limit
refuses uses up none of the others, and the limits come with the request (console/limits/descriptors.py). Where Redis
does not answer, nor does this: the gateway then lets the request pass or not, as its own setting says.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import signal
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from envoy.type.v3.ratelimit_unit_pb2 import RateLimitUnit
from google.protobuf.duration_pb2 import Duration
from grpc import aio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.grpc_listening import listen
from console.limits.counters import Asked, Counters, Standing
from console.limits.descriptors import UNIT_SECONDS, Entries, Limit, counter_key, described, limit_of
from console.limits.late import LateCharges

LIMIT_HEADER = "x-modeldeck-limit"
log = logging.getLogger("modeldeck.limits")
_SERVICE = "envoy.service.ratelimit.v3.RateLimitService"
_HEALTH = "grpc.health.v1.Health"
# grpc.health.v1.HealthCheckResponse{status: SERVING}, {status: NOT_SERVING}: two bytes are no reason for a package.
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"
_GRACE_SECONDS = 5.0
_OK, _OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
_TOLD = "redis does not answer"


class Limiter:
    """Answers ShouldRateLimit and the health check."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._counters = Counters(redis)
        self.late = LateCharges(self._counters)
        self._reachable = True
        self.draining = False

    async def should_rate_limit(
        self, request: RateLimitRequest, context: aio.ServicerContext[Any, Any]
    ) -> RateLimitResponse:
        """One request of a gateway; it is aborted as UNAVAILABLE where nobody can count."""
        limits: list[tuple[int, Entries, Limit]] = []
        asked: list[Asked] = []
        for index, descriptor in enumerate(request.descriptors):
            entries = tuple((entry.key, entry.value) for entry in descriptor.entries)
            limit, foreign = limit_of(entries), False
            if limit is None and descriptor.HasField("limit"):
                unit = RateLimitUnit.Name(descriptor.limit.unit).lower()
                if unit in UNIT_SECONDS:
                    limit, foreign = Limit(descriptor.limit.requests_per_unit, unit), True
            if limit is None:
                continue  # as the reference service: what nobody limits is not limited
            if descriptor.HasField("hits_addend"):
                hits = descriptor.hits_addend.value
            else:  # a charge without a number: the gateway does not know what an answer has cost
                hits = 0 if limit.charge else request.hits_addend or 1
            # Of another gateway's descriptors nobody knows which are asked before a request and which after it.
            key = counter_key(request.domain, entries, limit.unit)
            asked.append(Asked(key, limit.requests, limit.seconds, hits, count=foreign or limit.charge))
            limits.append((index, entries, limit))
        charges = [one for one, (_, _, limit) in zip(asked, limits, strict=True) if limit.charge and one.hits]
        try:
            # A gateway that waits no longer has spent its tokens all the same.
            standings = await asyncio.shield(self._count(asked, charges)) if charges else await self._count(asked)
        except (RedisError, OSError):
            await context.abort(grpc.StatusCode.UNAVAILABLE, _TOLD)
            raise  # not reached: abort raises
        statuses = [RateLimitResponse.DescriptorStatus(code=_OK) for _ in request.descriptors]
        over: list[tuple[Entries, Limit, Standing]] = []
        for (index, entries, limit), standing in zip(limits, standings, strict=True):
            statuses[index] = _status(entries, limit, standing)
            if standing.over:
                over.append((entries, limit, standing))
        if not over:
            return RateLimitResponse(overall_code=_OK, statuses=statuses)
        return _refusal(statuses, over)

    async def _count(self, asked: Sequence[Asked], charges: Sequence[Asked] = ()) -> list[Standing]:
        try:
            standings = await self._counters.take(asked) if asked else []
        except (RedisError, OSError) as problem:
            self._note(problem)
            self.late.keep(charges)
            raise
        self._note(None)
        return standings

    async def check(self, _request: bytes, _context: aio.ServicerContext[Any, Any]) -> bytes:
        """``grpc.health.v1.Health/Check``: serving while Redis answers and nobody has told it to end."""
        try:
            if not self.draining and await self._redis.ping():
                return _SERVING
        except (RedisError, OSError) as problem:
            self._note(problem)
        return _NOT_SERVING

    def _note(self, problem: Exception | None) -> None:
        """Say once that Redis is gone, and once that it is back."""
        if self._reachable != (problem is None):
            self._reachable = problem is None
            if problem is None:
                log.warning("Redis answers again: limits are counted")
            else:
                log.error("Redis does not answer (%s): nothing is counted", type(problem).__name__)


def _status(entries: Entries, limit: Limit, standing: Standing) -> RateLimitResponse.DescriptorStatus:
    what, whose = described(entries, limit)
    return RateLimitResponse.DescriptorStatus(
        code=_OVER if standing.over else _OK,
        current_limit=RateLimitResponse.RateLimit(
            name=f"{what} for {whose}",
            requests_per_unit=limit.requests,
            unit=RateLimitResponse.RateLimit.Unit.Value(limit.unit.upper()),
        ),
        limit_remaining=max(0, limit.requests - standing.used),
        # Envoy cuts a fraction off: who comes again by this header must not come too early.
        duration_until_reset=Duration(seconds=_seconds(standing)),
    )


def _seconds(standing: Standing) -> int:
    return max(1, math.ceil(standing.resets_in))


def _refusal(
    statuses: list[RateLimitResponse.DescriptorStatus], over: list[tuple[Entries, Limit, Standing]]
) -> RateLimitResponse:
    """The 429: of several limits that say no, the one that does so longest is named."""
    entries, limit, standing = max(over, key=lambda one: one[2].resets_in)
    what, whose = described(entries, limit)
    seconds = _seconds(standing)
    message = f"The limit of {limit.requests} {what} for {whose} is reached; try again in {seconds} s."
    error = {"message": message, "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}
    headers = {"retry-after": str(seconds), LIMIT_HEADER: f"{limit.requests} {what} for {whose}"}
    return RateLimitResponse(
        overall_code=_OVER,
        statuses=statuses,
        response_headers_to_add=[HeaderValue(key=name, value=value) for name, value in headers.items()],
        raw_body=json.dumps({"error": error}).encode(),
    )


class LimiterServing:
    """The server of one worker. Several may share a port (SO_REUSEPORT)."""

    def __init__(self, limiter: Limiter, *, host: str, port: int = 0) -> None:
        self._limiter = limiter
        self._address = f"{host}:{port}"
        self._server = aio.server()
        decide = grpc.unary_unary_rpc_method_handler(
            limiter.should_rate_limit,
            request_deserializer=RateLimitRequest.FromString,
            response_serializer=RateLimitResponse.SerializeToString,
        )
        check = grpc.unary_unary_rpc_method_handler(limiter.check)
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(_SERVICE, {"ShouldRateLimit": decide}),
                grpc.method_handlers_generic_handler(_HEALTH, {"Check": check}),
            )
        )
        self.port = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had.
        """
        self.port = await listen(self._server, self._address)

    async def stop(self) -> None:
        """Take nothing new; what is under way has five seconds to end, and what could not be charged a last attempt."""
        self._limiter.draining = True
        await self._server.stop(_GRACE_SECONDS)
        await self._limiter.late.stop()


async def is_serving(address: str) -> bool:
    """Whether a service answers its health check, within a second, that it counts."""
    async with aio.insecure_channel(address) as channel:
        try:
            return bool(await channel.unary_unary(f"/{_HEALTH}/Check")(b"", timeout=1.0) == _SERVING)
        except aio.AioRpcError:
            return False


async def serve(redis: Redis, *, host: str, port: int, ready: Callable[[], None] = lambda: None) -> None:
    """One worker, until SIGTERM or SIGINT.

    Args:
        ready: told once it listens

    Raises:
        OSError: the address cannot be had.
    """
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    serving = LimiterServing(Limiter(redis), host=host, port=port)
    await serving.start()
    try:
        ready()
        await stopping.wait()
    finally:
        await serving.stop()
        await redis.aclose()
