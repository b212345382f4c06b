"""Which caches of the catalog are void: a version for each tag, in Redis, counted up when what it stands for changed.

``models:all``             every list of models
``models:gateway:{slug}``  what one provider offers
``model:{slug}/{id}``      one model
``models:search``          what searches found
``rankings``               orders of models

A reader keeps the versions that it built something from, or puts them into an ETag; once one has changed, it is void. A
change is also published, once, for readers that would rather be told. The versions are one hash, ``modeldeck:tags``.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from console.catalog.types import ChangeKind, ModelChange
from console.outcome import ModeldeckError, Outcome, Refusal

if TYPE_CHECKING:  # a command that only reads the catalog does without Redis
    from redis.asyncio import Redis

    from console.services import Services

_log = logging.getLogger(__name__)

KEY = "modeldeck:tags"
CHANNEL = "modeldeck:tags"
ALL, SEARCH, RANKINGS = "models:all", "models:search", "rankings"
UNTOLD = "caches were not told, for Redis is away"
MAKE_UP = "modeldeck cache invalidate --kind all, once Redis is back"
_AT_ONCE = 1_000
_COMES_OR_GOES = (ChangeKind.BASELINE, ChangeKind.ADDED, ChangeKind.MISSING, ChangeKind.RETURNED, ChangeKind.RETIRED)


def of_gateway(slug: str) -> str:
    """The tag of what one provider offers."""
    return f"models:gateway:{slug}"


def of_model(reference: str) -> str:
    """The tag of one model, by ``provider/native id``."""
    return f"model:{reference}"


def of_changes(changes: Iterable[ModelChange]) -> tuple[str, ...]:
    """What these changes void, each tag once; removals count as much as anything."""
    found: dict[str, None] = {}
    for change in changes:
        found |= dict.fromkeys((ALL, of_gateway(change.provider), SEARCH))
        if change.kind in _COMES_OR_GOES:
            found[RANKINGS] = None
        if change.native_id:
            found[of_model(f"{change.provider}/{change.native_id}")] = None
    return tuple(found)


def of_kind(kind: str, *, gateway: str = "", model: str = "") -> tuple[str, ...]:
    """What the seed's ``POST /api/cache/invalidate`` means.

    Args:
        kind: models, model-detail, rankings or search; for all there is `everything`
        gateway: a provider's slug, for ``models``
        model: ``provider/native id``, for ``model-detail``

    Raises:
        Refusal: BAD_REQUEST.
    """
    match kind:
        case "models":
            return (of_gateway(gateway),) if gateway else (ALL,)
        case "model-detail" if model:
            return (of_model(model),)
        case "model-detail":
            raise Refusal("a model's detail needs a model; nothing was voided", code="BAD_REQUEST", status=400)
        case "rankings":
            return (RANKINGS,)
        case "search":
            return (SEARCH,)
    raise Refusal("a cache is all, models, model-detail, rankings or search", code="BAD_REQUEST", status=422)


async def everything(redis: Redis, references: Iterable[str]) -> tuple[str, ...]:
    """Every tag that anybody can have built something from.

    Args:
        references: ``provider/native id`` of each model of the catalog
    """
    found = dict.fromkeys((ALL, SEARCH, RANKINGS))
    for reference in references:
        found |= dict.fromkeys((of_gateway(reference.partition("/")[0]), of_model(reference)))
    kept = await redis.hkeys(KEY)
    found |= dict.fromkeys(tag.decode() if isinstance(tag, bytes) else tag for tag in kept)
    return tuple(found)


async def redis_or_none(services: Services) -> Redis | None:
    """Redis, where it can be reached: the catalog works without it."""
    try:
        return await services.redis()
    except ModeldeckError as problem:
        _log.info("without Redis: %s", problem)
        return None


async def void(redis: Redis | None, changed: Sequence[str], *, reason: str) -> bool:
    """Count up these tags; False where they could not be. That fails nothing, and is to be said: see `untold`."""
    if not changed:
        return True
    if redis is None:
        return False
    from redis.exceptions import RedisError

    try:
        await bump(redis, changed, reason=reason)
    except (RedisError, OSError) as problem:
        _log.warning("the caches were not told of %s: %s", reason, type(problem).__name__)
        return False
    return True


def untold(outcome: Outcome, told: bool) -> Outcome:
    """The outcome of a write whose caches were told of it or not: it is no less done, and the caches are behind it."""
    if told:
        return outcome
    then = f"{outcome.then}; {MAKE_UP}" if outcome.then else MAKE_UP
    return dataclasses.replace(outcome, summary=f"{outcome.summary}; {UNTOLD}", then=then)


async def bump(redis: Redis, tags: Sequence[str], *, reason: str) -> dict[str, int]:
    """Count these tags up, all at once, and publish that; returns their versions.

    Readers that listen get ``{"reason", "tags": {tag: version}}``, in one message for a thousand tags.
    """
    versions: dict[str, int] = {}
    for start in range(0, len(tags), _AT_ONCE):
        chunk = tags[start : start + _AT_ONCE]
        async with redis.pipeline(transaction=True) as pipeline:
            for tag in chunk:
                pipeline.hincrby(KEY, tag, 1)
            versions |= dict(zip(chunk, await pipeline.execute(), strict=True))
    for start in range(0, len(tags), _AT_ONCE):
        told = {tag: versions[tag] for tag in tags[start : start + _AT_ONCE]}
        await redis.publish(CHANNEL, json.dumps({"reason": reason, "tags": told}, ensure_ascii=False))
    return versions


async def versions_of(redis: Redis, tags: Sequence[str]) -> tuple[int, ...]:
    """The versions of these tags; 0 for one that never changed."""
    if not tags:
        return ()
    found = await cast("Awaitable[list[Any]]", redis.hmget(KEY, list(tags)))
    return tuple(int(value or 0) for value in found)
