"""What has to be exact when two write at one moment is so on PostgreSQL too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from console.access.types import Grant, digest_of
from console.keys import book
from console.keys.types import Generation, Import, Key, KeyKind
from console.outcome import Refusal
from console.store.engine import Store
from console.store.migrate import upgrade
from tests.support.postgres import running_postgres


async def test_the_quota_is_exact_and_an_imported_key_comes_back_as_it_was() -> None:
    with running_postgres() as server:
        store = Store(server.create())
        await upgrade(store)
        now = datetime.now(UTC).replace(microsecond=0)

        def key(name: str) -> Key:
            source = Import("api_key:client_keys", {"llama": Grant("e1", None, "p")})
            ends = now + timedelta(days=1)
            return Key(f"k{name}", name, "acme", "o", KeyKind.CLIENT, ("llama",), now, ends, imported=source)

        insertions = (book.insert_key(store, key(f"n{number}"), most={"acme": 3}) for number in range(8))
        ended = await asyncio.gather(*insertions, return_exceptions=True)
        refused = [one for one in ended if isinstance(one, Refusal)]
        assert ([one.code for one in refused], ended.count(None)) == (["QUOTA_EXCEEDED"] * 5, 3)
        named = (book.insert_key(store, key("same"), most={}) for _ in range(4))
        ended = await asyncio.gather(*named, return_exceptions=True)
        assert [one.code for one in ended if isinstance(one, Refusal)] == ["KEY_EXISTS"] * 3
        generation = Generation(1, digest_of("x"), "xxxx", now)
        await book.insert_generation(store, "ksame", generation, "op")
        found = await book.key_of_digest(store, generation.digest)
        assert found is not None
        assert found.imported == key("same").imported
        assert found.generations == (generation,)
        assert await book.own_grants(store, found) == {"llama": Grant("e1", None, "p")}
        await store.close()
