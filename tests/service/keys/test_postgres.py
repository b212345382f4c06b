"""What has to be exact when two write at one moment is so on PostgreSQL too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from console.access.types import Grant, digest_of
from console.keys import book
from console.keys.types import Generation, Import, Key, KeyKind
from console.operations.journal import Journal
from console.operations.types import NewOperation, Step
from console.outcome import Refusal
from console.publishing import book as publications
from console.publishing import holders
from console.publishing.types import Endpoint, Origin, Publication, PublicationKind, PublicationState
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


async def test_a_model_begins_to_go_or_a_key_gets_it_and_never_both() -> None:
    with running_postgres() as server:
        store = Store(server.create())
        await upgrade(store)
        journal, now, begun = Journal(store), datetime.now(UTC), []
        origin = Origin("catalog", "p/m", "m", Endpoint("h.example.com", 443, tls=True))
        for number in range(6):
            name = f"m{number}"
            publication = Publication(f"id{number}", name, "acme", PublicationKind.OPENAI, origin)
            await publications.reserve(store, publication, [], "op")
            await publications.set_state(store, publication.id, PublicationState.READY)
            keys = [
                Key(f"{name}{at}", f"{name}{at}", "acme", "o", KeyKind.ADMIN, (name,), now, None) for at in range(6)
            ]
            step = Step("publish.state", "marked", {"run": f"{number:012x}"})
            unpublish = NewOperation(
                "unpublish", f"model {name}", "acme", "op", (step,), still=holders.still(publication, [])
            )
            insertions = [book.insert_key(store, key) for key in keys]
            insertions.insert(number, journal.begin(unpublish, f"owner{number}"))  # type: ignore[arg-type]
            ended = await asyncio.gather(*insertions, return_exceptions=True)
            first = ended.pop(number)
            codes = [one.code for one in ended if isinstance(one, Refusal)]
            if isinstance(first, Refusal):
                assert (first.code, len(codes) < 6) == ("CHANGED_MEANWHILE", True)
            else:
                assert codes == ["OPERATION_UNDER_WAY"] * 6
                begun.append(number)
        for number in begun:
            assert [one.target for one in await journal.of_run(f"{number:012x}")] == [f"model m{number}"]
        await store.close()
