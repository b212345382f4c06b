"""Which key a text is, by its digest alone: whoever asks makes the digest where the text was pasted."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from getpass import getpass

from redis.exceptions import RedisError

from console.access import suspensions
from console.access.forms import MISTYPED, mistyped
from console.access.types import KEY_PREFIX, digest_of, is_digest
from console.call import Call
from console.keys import book
from console.outcome import Ending, Outcome, Refusal, Unavailable, not_found

_LONGEST_KEY = 512


async def find(call: Call) -> Outcome:
    """The key that has, or had, a text with this digest, and what that text is worth now."""
    digest = await _digest(call)
    key = await book.key_of_digest(await call.services.store(), digest)
    entered = await _has_entry(call, digest)
    if key is None:
        if entered:
            raise not_found(
                "the gateway has an entry for it, and Modeldeck did not issue it: another writer did",
                code="KEY_NOT_OURS",
                then="modeldeck access explain --key DIGEST",
            )
        raise not_found(
            "no key of Modeldeck's has that text", code="KEY_NOT_FOUND", then="modeldeck keys import --plan"
        )
    call.permit.covers(key.tenant)
    now = datetime.now(UTC)
    generation = next(one for one in key.generations if one.digest == digest)
    works = generation.live(now) and key.state(now).value in ("active", "rotating")
    newest = " and is its newest" if generation is key.generations[-1] else ""
    worth = "works" if works else f"does not work: the key is {key.state(now).value}"
    if not works and not generation.live(now):
        worth = "does not work any more"
    then = ""
    if works and entered is None:
        worth = "should work; Redis cannot be asked whether the gateway has it"
    elif works and not entered:
        works, worth, then = False, "should work, and Redis has lost its entry", "modeldeck keys restore"
    if works and key.tenant in (await suspensions.standing(call.services)).refused:
        works, worth = False, "does not work: its tenant is suspended"
        then = f"modeldeck tenants resume {key.tenant}"
    known = None if works and entered is None else works  # null: it is not known
    data = key.as_json(now) | {"generation": generation.number, "works": known}
    return Outcome(
        Ending.DONE,
        f"it is generation {generation.number} of {key} of tenant {key.tenant}{newest}; it {worth}",
        data=data,
        then=then,
    )


async def _has_entry(call: Call, digest: str) -> bool | None:
    """Whether the gateway has an entry for a digest; None where Redis cannot be asked, and the database still can."""
    try:
        return bool(await (await call.services.redis()).exists(KEY_PREFIX + digest))
    except (RedisError, OSError, Unavailable):
        return None


async def _digest(call: Call) -> str:
    named: str = call["digest"]
    if is_digest(named):
        return named
    if named != "-" or call.principal.via != "cli":
        raise Refusal(
            "a digest has 64 hex digits, and a key's text does not belong on a command line or in a request",
            code="INVALID_PARAMETER",
            then="use - and type the key",
        )
    text = (await asyncio.to_thread(_read)).strip()
    if not text or len(text) > _LONGEST_KEY:
        raise Refusal("no key came on standard input", code="INVALID_PARAMETER")
    if mistyped(text):
        raise Refusal(f"that key is {MISTYPED}", code="KEY_MISTYPED", then="copy it again, whole")
    return digest_of(text, call.services.profile.access.salt)


def _read() -> str:
    if sys.stdin.isatty():
        return getpass("key (it is not shown): ")
    return sys.stdin.readline(_LONGEST_KEY + 2)
