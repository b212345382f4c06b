"""What the gateway says of a key's texts: the new one by a request through it, an old one by its entry.

The text of an old generation is kept nowhere but in its operator's keyring, where that was asked for. Otherwise nobody
can send it: it is judged by the rules and the entry that every worker has reported to decide by, which is as near as
one comes without it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx
from redis.asyncio import Redis

from console.access.codec import parse_keys
from console.access.decision import Allowed, Ask, Body, decide_for
from console.access.types import KEY_PREFIX, Entries, Snapshot
from console.config import Profile
from console.keys.types import Generation, Key

_PROBE_SECONDS = 2.0
_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``contradicts``: it is not as it should be."""

    text: str
    contradicts: bool = False


async def by_request(http: httpx.AsyncClient, profile: Profile, key: Key, generation: Generation, text: str) -> Finding:
    """Whether the gateway takes a text, or refuses it where it should: one request for the list of models, which costs
    nothing."""
    number, due = generation.number, _is_due(key, generation, time.time())
    if key.suspended or key.networks:
        why = "suspended" if key.suspended else "bound to networks"
        return Finding(f"generation {number} was not tried through the gateway: the key is {why}")
    url = f"{profile.gateway.url.rstrip('/')}/v1/models"
    try:
        answer = await http.get(url, headers={"authorization": f"Bearer {text}"}, timeout=_PROBE_SECONDS)
    except httpx.HTTPError as problem:
        return Finding(f"generation {number} was not tried: the gateway did not answer ({type(problem).__name__})")
    if answer.status_code in _REFUSED:
        return Finding(f"generation {number} is refused through the gateway ({answer.status_code})", contradicts=due)
    if answer.status_code != 200:
        return Finding(f"generation {number} was not proven through the gateway: it answers {answer.status_code}")
    return Finding(f"generation {number} accepted through the gateway (200)", contradicts=not due)


def _is_due(key: Key, generation: Generation, now: float) -> bool:
    """Whether a text should be accepted now (Unix seconds)."""
    due = generation.live_at(now) and not key.suspended and key.revoked_at is None
    return due and (key.expires_at is None or key.expires_at.timestamp() > now)


async def by_entry(redis: Redis, profile: Profile, key: Key, generation: Generation) -> Finding:
    """Whether the workers refuse or accept a text that nobody has any more, by the entry that they decide by."""
    name, now = KEY_PREFIX + generation.digest, time.time()
    value = await redis.get(name)
    entries = parse_keys(name, value, salt=profile.access.salt).entries if value is not None else ()
    client = key.networks[0].partition("/")[0] if key.networks else None
    ask = Ask((), "GET", "/v1/models", body=Body.NONE, client=client)
    snapshot = Snapshot(Entries.of(entries), {}, 0)
    prefix = profile.access.header_prefix
    answer = decide_for(snapshot, generation.digest, key.beginning, ask, now=now, prefix=prefix)
    due = _is_due(key, generation, now)
    if isinstance(answer, Allowed):
        return Finding(f"generation {generation.number} still accepted by its entry", contradicts=not due)
    return Finding(f"generation {generation.number} refused by its entry ({answer.status})", contradicts=due)
