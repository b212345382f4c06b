"""What nobody knows is refused rather than found nowhere, and caches that were not told of a change are named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console.actions import REGISTRY
from console.actions.perform import perform
from console.catalog import tags
from console.catalog.provider_names import ALIASES, NAMES, SLUGS
from console.config import ProviderLink
from console.guard import Principal, Role
from console.local.samples.providers import SampleProviders
from console.local.valkey import Valkey
from console.outcome import Ending, Outcome
from console.services import Services
from console.store.engine import Store
from console.sync.providers import all_specs
from tests.support.profiles import profile_for

ALICE = Principal("alice", Role.ADMIN)


@pytest.fixture
async def services(store: Store, tmp_path: Path, valkey: Valkey, samples: SampleProviders) -> AsyncIterator[Services]:
    links = {"groq": ProviderLink(url=samples.base_url("groq"), credential=f"file:{tmp_path / 'none'}")}
    links["openrouter"] = ProviderLink(url=samples.base_url("openrouter"))
    database = store.url.render_as_string(hide_password=False)
    async with Services(profile_for(tmp_path, valkey, database=database, providers=links)) as opened:
        yield opened


async def _do(services: Services, action: str, **values: Any) -> Outcome:
    return await perform(services, REGISTRY[action], values, ALICE, confirmed="yes")


FILLED = pytest.mark.parametrize("store", ["sqlite filled"], indirect=True)


def test_the_catalog_calls_providers_as_they_call_themselves() -> None:
    assert {slug: spec.slug for slug, spec in all_specs().items()} == {slug: slug for slug in SLUGS}
    assert ALIASES["google"] == "google-vertex"
    assert not set(ALIASES) & set(SLUGS), "another name is nobody's slug"
    assert len(ALIASES) == sum(map(len, NAMES.values())), "and no other's other name"


@FILLED
async def test_a_search_takes_every_name_of_a_provider(services: Services) -> None:
    by_alias = await _do(services, "models.search", query="provider:together-ai")
    by_slug = await _do(services, "models.search", query="provider:TOGETHER")
    assert by_alias.data["total"] == by_slug.data["total"] > 0
    assert (await _do(services, "models.search", query="provider:google")).data["total"] == 0, "known, and not synced"


@FILLED
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("provider:groqq", "there is no provider 'groqq'; did you mean groq or grok?"),
        ("-provider:openroter", "did you mean openrouter?"),
        ("provider:openrouter,zzz", "there is no provider 'zzz': it is one of openrouter, together, "),
        ("kind:bogus", "there is no kind of model 'bogus': it is one of chat, "),
        ("kind:embeding", "did you mean embedding?"),
        ("input:imagee", "did you mean image?"),
        ('llama "unclosed', "this quote is not closed"),
    ],
)
async def test_what_nobody_knows_is_refused_with_what_is_near(services: Services, query: str, said: str) -> None:
    for action in ("models.search", "models.export"):
        outcome = await _do(services, action, query=query)
        assert (outcome.ending, outcome.code, outcome.status) == (Ending.REFUSED, "BAD_QUERY", 400), outcome
        assert said in outcome.summary


@FILLED
async def test_caches_are_voided_under_the_name_that_is_in_use(services: Services) -> None:
    assert (await _do(services, "cache.invalidate", gateway="google")).summary == "void: models:gateway:google-vertex"
    unknown = await _do(services, "cache.invalidate", gateway="openroute")
    assert (unknown.ending, unknown.code) == (Ending.REFUSED, "UNKNOWN_PROVIDER")
    assert "did you mean openrouter" in unknown.summary
    found = (await _do(services, "models.search", query="provider:together", limit=1)).data["rows"][0]["id"]
    by_alias = found.replace("together/", "togetherai/", 1)
    assert (await _do(services, "cache.invalidate", kind="model-detail", model=by_alias)).summary == (
        f"void: model:{found}"
    )
    missing = await _do(services, "cache.invalidate", kind="model-detail", model="together/nothing")
    assert missing.code == "MODEL_NOT_FOUND"
    beside = await _do(services, "cache.invalidate", kind="search", gateway="openrouter")
    assert (beside.code, "nothing was voided" in beside.summary) == ("BAD_REQUEST", True)
    every = await _do(services, "cache.invalidate", kind="all")
    assert every.ending is Ending.DONE
    redis = await services.redis()
    at = await tags.versions_of(redis, [tags.ALL, tags.RANKINGS, "models:gateway:deepinfra", tags.of_model(found)])
    assert at == (1, 1, 1, 2)


async def test_a_sync_says_that_caches_were_not_told(services: Services, valkey: Valkey) -> None:
    await valkey.stop()
    outcome = await _do(services, "sync.run", provider=["openrouter"])
    assert outcome.ending is Ending.DONE, "the catalog is written all the same"
    assert outcome.summary.endswith("; caches were not told, for Redis is away")
    assert outcome.then == "modeldeck cache invalidate --kind all, once Redis is back"
    assert outcome.data["caches_told"] is False
    again = await _do(services, "sync.run", provider=["openrouter"])
    assert (again.ending, again.then, again.data["caches_told"]) == (Ending.UNCHANGED, "", True), "nothing to tell"
    model = (await _do(services, "models.search", limit=1)).data["rows"][0]["id"]
    hidden = await _do(services, "models.hide", model=model)
    assert "caches were not told" in hidden.summary
    assert hidden.then == "modeldeck cache invalidate --kind all, once Redis is back"
