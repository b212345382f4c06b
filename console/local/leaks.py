"""Look for key texts where none may be: files below a directory, and everything in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from redis.asyncio import Redis

_PIECE = 1 << 20


async def find_leaks(keys: Sequence[str], directory: Path, redis: Redis) -> tuple[int, list[str]]:
    """How many places were searched, and the ones that hold one of the keys in clear."""
    needles = [key.encode() for key in keys]
    searched, found = 0, []
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            searched += 1
            if _holds(path, needles):
                found.append(str(path.relative_to(directory)))
    async for name in redis.scan_iter(count=1000):
        searched += 1
        # DUMP is the value as it is stored, whatever its type; it may be compressed, so text is read as well.
        stored: bytes = await redis.dump(name) or b""
        value = await redis.get(name) if await redis.type(name) in (b"string", "string") else None
        text = b"".join(part.encode() if isinstance(part, str) else part for part in (name, stored, value or b""))
        if any(needle in text for needle in needles):
            found.append(f"redis {name!r}"[:40])
    return searched, found


def _holds(path: Path, needles: Sequence[bytes]) -> bool:
    """Whether a file contains one of the needles; read in pieces that overlap."""
    overlap = max(map(len, needles), default=1)
    tail = b""
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                text = tail + piece
                if any(needle in text for needle in needles):
                    return True
                tail = text[-overlap:]
    except OSError:  # a socket, or gone in the meantime
        return False
    return False
