"""A pytest plugin: everything in a Valkey is searched for the text of a key before it stops.

    KEY_SEARCH=report pytest -p tests.support.key_search …

What is found is written to the file that KEY_SEARCH names, by where it was, without the text.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from console.local.valkey import Valkey

KEY_TEXT = re.compile(rb"bud_(?:client|admin)_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
"""What `console.keys.mint` makes; the keys that tests invent are of other lengths."""

_READERS = {
    "string": lambda redis, name: redis.get(name),
    "hash": lambda redis, name: redis.hgetall(name),
    "list": lambda redis, name: redis.lrange(name, 0, -1),
    "set": lambda redis, name: redis.smembers(name),
    "zset": lambda redis, name: redis.zrange(name, 0, -1),
    "stream": lambda redis, name: redis.xrange(name),
}


async def search(valkey: Valkey) -> tuple[int, list[str]]:
    """How many keys of a Valkey were read, and the names of those that hold the text of a key."""
    redis, searched, found = valkey.client("search"), 0, []
    try:
        async for name in redis.scan_iter(count=1000):
            kind = (await redis.type(name)).decode()  # type: ignore[union-attr]
            # Read by their types, for a DUMP may be compressed.
            value: Any = await _READERS[kind](redis, name) if kind in _READERS else b""
            searched += 1
            if KEY_TEXT.search(name + b" " + repr(value).encode()):
                found.append(KEY_TEXT.sub(b"KEY", name).decode("utf-8", "backslashreplace"))
    finally:
        await redis.aclose()
    return searched, found


def pytest_configure() -> None:
    report = Path(os.environ["KEY_SEARCH"])
    stop = Valkey.stop

    async def searched_and_stopped(self: Valkey, *args: Any, **more: Any) -> Any:
        try:
            searched, found = await asyncio.wait_for(search(self), 20)
        except (RedisError, OSError, TimeoutError):
            searched, found = 0, []  # it was killed by its test, or never started
        with report.open("a") as lines:
            test = os.environ.get("PYTEST_CURRENT_TEST", "")
            lines.write(json.dumps({"test": test, "searched": searched, "found": found}) + "\n")
        return await stop(self, *args, **more)

    Valkey.stop = searched_and_stopped  # type: ignore[method-assign]
