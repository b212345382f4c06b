"""A token of one tenant sees what is its own: operations, their events, the audit, publications."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console.api.app import create_app
from console.local.valkey import Valkey
from console.operations.types import NewOperation, Step
from console.publishing import book
from console.publishing.types import Endpoint, Origin, Publication, PublicationKind
from console.services import Services
from console.serving import Serving
from tests.service.api.test_api import WIDE, Api
from tests.support.profiles import profile_for

PATH = "/api/models/llama/publish"


@pytest.fixture
async def api(tmp_path: Path, valkey: Valkey) -> AsyncIterator[Api]:
    """Two tenants with a key each; acme has published llama, and no token but admin has both."""
    async with Services(profile_for(tmp_path, valkey)) as services:
        serving = Serving(create_app(services, WIDE))
        await serving.start()
        made = Api(services, serving.url, tmp_path, {})
        await made.token("viewer", "viewer", tenant=["globex"])
        await made.token("publisher", "publisher", tenant=["globex"])
        for tenant in ("acme", "globex"):
            answer = await made.ask("POST", "/api/keys", {"name": f"of-{tenant}", "tenant": tenant})
            assert answer.status_code in (200, 202), answer.text
        origin = Origin("catalog", "deepinfra/llama", "llama", Endpoint("127.0.0.1", 1, tls=False))
        published = Publication(str(uuid.uuid4()), "llama", "acme", PublicationKind.OPENAI, origin)
        await book.reserve(await services.store(), published, [], "0" * 32)
        yield made
        await serving.stop()


async def ask(api: Api, path: str, method: str = "GET", body: Any = None, token: str = "viewer") -> Any:
    return await api.ask(method, path, body, token=api.tokens[token])


async def test_operations_are_those_of_the_tokens_tenants(api: Api) -> None:
    everybody = (await api.ask("GET", "/api/operations")).json()["data"]
    assert {row["tenant"] for row in everybody} == {"acme", "globex"}
    own = (await ask(api, "/api/operations")).json()
    assert [row["tenant"] for row in own["data"]] == ["globex"]
    assert own["summary"] == "1 operation"
    assert len((await ask(api, "/api/operations?limit=1")).json()["data"]) == 1, "not one that was narrowed away"
    for row in everybody:
        for path in (f"/api/operations/{row['id']}", f"/api/operations/{row['id']}/events"):
            answer = await ask(api, path)
            assert answer.status_code == (200 if row["tenant"] == "globex" else 404), (path, answer.text)
            if row["tenant"] == "acme":
                assert answer.json()["detail"] == f"there is no operation {row['id']}"


async def test_nobody_recovers_what_is_another_tenants(api: Api) -> None:
    journal = await api.services.journal()
    step = Step("publish.state", "marked", {"id": "none", "state": "ready"})
    begun = await journal.begin(NewOperation("publish", "model x", "acme", "op", (step,)), "elsewhere:1:x")
    await journal.release(begun.id, "elsewhere:1:x", begun.state, "")
    answer = await ask(api, "/api/actions/operations.recover", "POST", {}, token="publisher")
    assert answer.json()["outcome"] == "unchanged"
    assert await journal.interrupted() == [begun.id]


async def test_the_audit_is_that_of_the_tokens_tenants(api: Api) -> None:
    everybody = (await api.ask("GET", "/api/audit")).json()
    assert {row["tenant"] for row in everybody["rows"]} == {"acme", "globex", None}
    for own in (
        (await ask(api, "/api/audit")).json()["rows"],
        (await ask(api, "/api/actions/audit", "POST", {"lines": True})).json()["data"],
        (await ask(api, "/api/audit?limit=1")).json()["rows"],
    ):
        assert [(row["tenant"], row["target"]) for row in own] == [("globex", "of-globex")]
    refused = await ask(api, "/api/audit?tenant=acme")
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    verified = (await ask(api, "/api/actions/audit", "POST", {"what": "verify"})).json()
    assert (verified["outcome"], verified["summary"]) == ("done", "the chain holds")


SEARCHES = (
    ("", 4),
    ("who=admin", 2),
    ("who=admin@127.0.0.1", 2),
    ("who=op", 2),
    ("who=adm", 0),
    ("action=keys", 2),
    ("action=keys.create", 2),
    ("action=key", 0),
    ("tenant=acme", 1),
    ("since=1h", 4),
    ("match=OF-ACME%20keys.create", 1),
    ("match=of-acme%20tokens", 0),
    ("match=of-acme&limit=1", 1),
    ("action=keys&tenant=globex&who=admin", 1),
)


async def test_the_audit_is_searched(api: Api) -> None:
    await api.token("admin")
    for query, found in SEARCHES:
        answer = (await api.ask("GET", f"/api/audit?{query}")).json()
        rows = [row for row in answer["rows"] if row["target"] != "admin"]
        assert len(rows) == found, (query, answer)
        assert answer["total"] == len(answer["rows"])


async def test_a_wrong_filter_is_refused(api: Api) -> None:
    for query in ("since=soon", "limit=0", "whom=x"):
        assert (await api.ask("GET", f"/api/audit?{query}")).status_code == 422, query


async def test_the_feed_is_for_who_has_every_tenant(api: Api) -> None:
    answer = await ask(api, "/api/feed")
    assert (answer.status_code, answer.json()["code"]) == (403, "TENANT_FORBIDDEN")


@pytest.mark.parametrize("query", ["", "?tenant=globex"])
async def test_a_publication_of_another_tenant_is_as_one_that_is_not_there(api: Api, query: str) -> None:
    for method, path in (("GET", PATH), ("POST", f"{PATH}/rotate-key")):
        theirs = await ask(api, path + query, method, token="publisher")
        nobodys = await ask(api, path.replace("llama", "nothing") + query, method, token="publisher")
        assert (theirs.status_code, theirs.json()["code"]) == (404, "NOT_PUBLISHED"), theirs.text
        assert theirs.text == nobodys.text.replace("nothing is published as nothing", "nothing is published as llama")


async def test_a_publication_that_the_named_tenant_has_not_is_not_there(api: Api) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await api.ask(method, f"{PATH}?tenant=globex", {"rpm": 60} if method == "PUT" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_PUBLISHED"), answer.text


@pytest.mark.parametrize("query", ["", "?tenant=acme"])
async def test_an_empty_name_means_no_publication_at_all(api: Api, query: str) -> None:
    for method, end, body in (
        ("GET", "", None),
        ("POST", "", {"model": "deepinfra/x"}),
        ("PUT", "", {}),
        ("DELETE", "", None),
        ("POST", "/rotate-key", {}),
    ):
        answer = await api.ask(method, f"/api/models//publish{end}{query}", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER"), answer.text
        assert "names no model" in answer.json()["detail"]


async def test_an_empty_name_is_not_taken_for_one_that_was_left_out(api: Api) -> None:
    for action, body in (("published", {}), ("publish", {"model": "deepinfra/x", "tenant": "acme"})):
        answer = await api.ask("POST", f"/api/actions/{action}", {**body, "name": ""})
        assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER"), answer.text
        assert "name is empty" in answer.json()["detail"]


async def test_what_only_reads_is_never_interrupted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("console.operations.journal.Journal.recent", broken)
    for method, path in (("GET", "/api/operations"), ("POST", "/api/actions/operations.list")):
        answer = await api.ask(method, path, None if method == "GET" else {})
        told = answer.json()
        assert (answer.status_code, told["code"], told["outcome"]) == (500, "INTERNAL", "failed"), told
        assert told["detail"].endswith("nothing was changed")
