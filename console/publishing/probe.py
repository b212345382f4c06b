"""Proof by request: what a client would get now.

The probe's key is written for this one request, for this one model, expires after 60 s by itself and is deleted as
soon as the answer is there (DESIGN.md §1, promise 3).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from redis.asyncio import Redis

from console.access.codec import encode_entry
from console.access.propagation import everywhere
from console.access.types import PROBE_PREFIX, digest_of
from console.access.writer import AccessWriter
from console.config import Profile
from console.guard import Permit
from console.keys.book import grant_of
from console.outcome import TimedOut
from console.publishing.manifests import public_host, tenant_path
from console.publishing.types import Publication, PublicationKind

KEY_SECONDS = 60
_ANSWER_SECONDS = 30.0
_PROPAGATION_SECONDS = 10.0
_SETTLE_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_NOT_THERE_YET = (404, 503)


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """What a client sends, but for its key. ``path`` is below the gateway's URL; ``body`` is sent as JSON."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the gateway answered. ``error`` is set where there was no answer at all."""

    status: int
    seconds: float
    detail: str = ""
    error: str = ""

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    def __str__(self) -> str:
        if self.error:
            return f"not at all ({self.error}) after {self.seconds:.2f} s"
        return f"{self.status}{f' {self.detail}' if self.detail else ''} in {self.seconds * 1000:.0f} ms"


async def probe(
    redis: Redis, writer: AccessWriter, permit: Permit, publication: Publication, profile: Profile
) -> ProbeResult:
    """Ask the publication for something small.

    Raises:
        TimedOut: no gateway worker has taken the probe's key over in time.
    """
    async with internal_key(redis, writer, permit, publication, profile) as key:
        return await ask(key, _small_request(publication), profile)


@contextlib.asynccontextmanager
async def internal_key(
    redis: Redis, writer: AccessWriter, permit: Permit, publication: Publication, profile: Profile
) -> AsyncIterator[str]:
    """A key of our own for one publication, in effect at every gateway worker; deleted at the end.

    Raises:
        TimedOut: no gateway worker has taken it over in time.
    """
    key = f"mdk_probe_{secrets.token_urlsafe(32)}"
    digest = digest_of(key, profile.access.salt)
    ends = time.time() + KEY_SECONDS
    value = encode_entry(
        {publication.name: grant_of(publication.id, publication.as_spec(), publication.tenant)},
        # Its own for each probe: a limiter of all replicas would count one minute's probes together.
        key_id=f"{PROBE_PREFIX}{secrets.token_hex(4)}",
        user_id="modeldeck",
        project_id=publication.tenant,
        tenant=publication.tenant,
        generation=1,
        not_after=ends,
    )
    written = await writer.put_key(permit, digest, value, expires_at=ends)
    try:
        propagation = await everywhere(redis, written.epoch, timeout=_PROPAGATION_SECONDS)
        if not propagation.complete:
            raise TimedOut(f"the probe's key did not take effect: {propagation}", code="NOT_PROPAGATED")
        yield key
    finally:
        await writer.drop_key(permit, digest)


async def ask(key: str, asked: ClientRequest, profile: Profile) -> ProbeResult:
    """Send a request as a client with this key would.

    A 404 or 503 is asked again for up to five seconds: the data plane may lag behind its own status.
    """
    import httpx

    from console.tls import trusted

    started, pause = time.monotonic(), _FIRST_PAUSE
    async with httpx.AsyncClient(
        base_url=profile.gateway.url,
        headers={**asked.headers, "authorization": f"Bearer {key}"},
        timeout=_ANSWER_SECONDS,
        trust_env=False,
        verify=trusted(),
    ) as client:
        while True:
            request = client.build_request(asked.method, asked.path, json=asked.body)
            began = time.monotonic()
            try:
                answer = await client.send(request)
            except httpx.HTTPError as problem:
                return ProbeResult(0, time.monotonic() - began, error=type(problem).__name__)
            result = ProbeResult(answer.status_code, time.monotonic() - began, _detail(answer))
            if result.status not in _NOT_THERE_YET or time.monotonic() - started > _SETTLE_SECONDS:
                return result
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _small_request(publication: Publication) -> ClientRequest:
    """A chat completion of one token, or a traditional model's readiness."""
    host = public_host(publication)
    headers = {"host": host} if host is not None else {}
    if publication.kind is PublicationKind.TRADITIONAL:
        path = f"{tenant_path(publication.tenant)}/v2/models/{quote(publication.name, safe='')}/ready"
        return ClientRequest("GET", path, headers=headers)
    body = {"model": publication.name, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 1}
    return ClientRequest("POST", "/v1/chat/completions", body, headers)


def _detail(answer) -> str:  # type: ignore[no-untyped-def]
    """The error's own code, where it has OpenAI's shape."""
    if answer.status_code < 400:
        return ""
    try:
        error = answer.json()["error"]
        return str(error.get("code") or error.get("message"))[:120]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
