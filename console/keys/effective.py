"""What a key may call, with where each name comes from: by the entries that the gateway decides by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.codec import Malformed, parse_keys, parse_published
from console.access.types import KEY_PREFIX, PUBLISHED_KEY, Grant, Snapshot
from console.call import Call
from console.keys.types import Key
from console.outcome import Unavailable


async def effective_models(call: Call, key: Key) -> list[dict[str, Any]] | None:
    """``{model, source, endpoint, tenant, clash}`` by model; None where the gateway's entries cannot be read.

    tenant  whose it is, as far as the entry says
    source  own: the key's own entry; published: everybody's
    clash   where the name is published to, while the key's own entry leads elsewhere and wins; else None
    """
    if not key.generations:
        return []
    name = KEY_PREFIX + key.generations[-1].digest
    try:
        redis: Redis = await call.services.redis()
        raw, published_raw = await redis.mget(name, PUBLISHED_KEY)
        published: Mapping[str, Grant] = parse_published(published_raw) if published_raw is not None else {}
    except (RedisError, OSError, Unavailable, Malformed):
        return None
    entries = parse_keys(name, raw, salt=call.services.profile.access.salt).entries if raw is not None else ()
    if not entries:
        return []
    own = entries[0].models
    # As the gateway's workers decide: without those of tenants that it may not call.
    shared = Snapshot(published=published).models_of(replace(entries[0], models={}), key.beginning)
    return [_row(model, own.get(model), shared.get(model)) for model in sorted({*own, *shared})]


def _row(model: str, own: Grant | None, published: Grant | None) -> dict[str, Any]:
    wins = own or published
    assert wins is not None
    clash = published.endpoint_id or "unknown" if own and published and own != published else None
    source = "own" if own is not None else "published"
    tenant = wins.project_id
    return {"model": model, "source": source, "endpoint": wins.endpoint_id, "tenant": tenant, "clash": clash}
