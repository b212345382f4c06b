"""Where a key's texts are in the operator's own keyring, and reading one: checked against its digest, for others may
write to a keyring too."""

from __future__ import annotations

import asyncio

from console.access.types import digest_of
from console.config import Profile, read_keyring
from console.keys.types import Generation, Key
from console.outcome import ModeldeckError

SERVICE = "modeldeck"
_SECONDS = 2.0


def user_of(profile: Profile, key: str, generation: int) -> str:
    """One entry per generation."""
    return f"{profile.name}/{key}/{generation}"


async def kept_text(profile: Profile, key: Key, generation: Generation) -> str | None:
    """A generation's text; None where the keyring has not that, or does not say within two seconds."""
    try:
        async with asyncio.timeout(_SECONDS):
            text = await asyncio.to_thread(read_keyring, SERVICE, user_of(profile, key.id, generation.number))
    except (ModeldeckError, TimeoutError):
        return None
    return text if text is not None and digest_of(text, profile.access.salt) == generation.digest else None
