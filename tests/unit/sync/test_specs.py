"""The declarations of the providers, and how they are found."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.catalog import prices
from console.outcome import Refusal
from console.sync import urls
from console.sync.normalise import normalise
from console.sync.problems import retry_after, status_problem
from console.sync.providers import all_specs, find, spec, specs
from console.sync.providers.base import CursorPages, NumberedPages, Page, ProviderSpec, SinglePage, Tier
from console.sync.revision import revision
from console.sync.types import Counts, ProviderOutcome, ProviderReport, SyncReport


def test_every_declaration_is_complete_and_safe() -> None:
    for slug, declared in all_specs().items():
        assert declared.slug == slug
        assert urls.why_not(declared.list_url()) is None
        assert declared.list_url().startswith("https://")
        assert declared.auth.env.isupper()
        assert set(declared.model_capabilities) <= {"streaming", "tools", "vision", "json_mode", "reasoning"}
    envs = [declared.auth.env for declared in all_specs().values()]
    assert len(set(envs)) == len(envs)


def test_providers_are_found_by_slug_and_alias_in_any_case() -> None:
    assert spec("togetherai") is spec("Together") is find(" together ")
    assert [found.slug for found in specs(["deep-infra", "deepinfra"])] == ["deepinfra"]
    assert len(specs()) == len(all_specs())
    assert find("nobody") is None


def test_a_misspelt_provider_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Refusal, match="did you mean openrouter") as caught:
        spec("openruter")
    assert caught.value.status == 404
    with pytest.raises(Refusal, match="it is one of openrouter, together"):
        spec("zzzz")


def test_tiers() -> None:
    assert [tier.interval.total_seconds() / 60 for tier in Tier] == [15, 60, 240]


def test_pages() -> None:
    assert SinglePage().after(Page(1, 5, {})) is None
    numbered = NumberedPages(records=2)
    assert numbered.first() == {"page": "1", "per_page": "2"}
    assert numbered.after(Page(1, 2, {})) == {"page": "2", "per_page": "2"}
    assert numbered.after(Page(2, 1, {})) is None
    cursor = CursorPages()
    assert cursor.after(Page(1, 9, {"has_more": True, "last_id": "b"})) == {"limit": "100", "after_id": "b"}
    for envelope in ({"has_more": False, "last_id": "b"}, {"has_more": True}, {"has_more": "yes", "last_id": "b"}, {}):
        assert cursor.after(Page(1, 9, envelope)) is None


def test_another_reading_of_the_same_list_has_another_revision() -> None:
    declared = spec("openrouter")
    assert revision(declared) == revision(declared)
    assert revision(dataclasses.replace(declared, free_suffixes=())) != revision(declared)
    assert revision(spec("together")) != revision(declared)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://api.together.xyz/v1/models", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://[::1]:8080/x", True),
        ("http://localhost/x", True),
        ("http://api.together.xyz/v1/models", False),
        ("http://127.0.0.1.evil.example/x", False),
        ("https://user:pass@api.together.xyz/", False),
        ("ftp://127.0.0.1/x", False),
        ("https:///models", False),
        ("https://[::1/x", False),
        ("models", False),
    ],
)
def test_only_https_and_this_machine_are_asked(url: str, safe: bool) -> None:
    assert (urls.why_not(url) is None) is safe


def test_retry_after_in_both_forms() -> None:
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert retry_after("17", now) == 17
    assert retry_after("Thu, 01 Jan 2026 12:00:30 GMT", now) == 30
    assert retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now) == 0
    assert retry_after(None, now) is None
    assert retry_after("soon", now) is None
    assert retry_after("9" * 400, now) == math.inf


@pytest.mark.parametrize(
    ("asked", "says", "waits"),
    [
        (45.0, "left alone for 45 s", 45.0),
        (36_000.0, "left alone for 10 hours", 36_000.0),
        (99_999_999_999.0, "left alone for 1,157,407 days, of which 7 days are honoured", 7 * 86_400.0),
        (math.inf, "left alone for ever, of which 7 days are honoured", 7 * 86_400.0),
    ],
)
def test_how_long_a_provider_is_left_alone_is_said_and_bounded(asked: float, says: str, waits: float) -> None:
    problem = status_problem(spec("groq"), 429, asked, credential="")
    assert problem.sentence.endswith(says)
    assert problem.wait == waits


def report(*outcomes: ProviderOutcome, cancelled: bool = False) -> SyncReport:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    providers = tuple(
        ProviderReport(f"p{number}", outcome, "sentence", counts=Counts(fetched=2, written=1))
        for number, outcome in enumerate(outcomes)
    )
    return SyncReport(7, False, moment, moment, providers, cancelled)


OK, SAME, DOWN = ProviderOutcome.OK, ProviderOutcome.UNCHANGED, ProviderOutcome.UNREACHABLE


@pytest.mark.parametrize(
    ("outcomes", "ending", "code"),
    [
        ((OK, SAME), "done", 0),
        ((SAME, SAME), "unchanged", 0),
        ((OK, DOWN), "partial", 1),
        ((SAME, ProviderOutcome.SUSPICIOUS), "partial", 1),
        ((DOWN, ProviderOutcome.EMPTY), "failed", 1),
        ((ProviderOutcome.NO_CREDENTIALS,), "failed", 1),
    ],
)
def test_how_a_run_ends(outcomes: tuple[ProviderOutcome, ...], ending: str, code: int) -> None:
    found = report(*outcomes)
    assert (found.ending, found.exit_code) == (ending, code)
    outcome = found.outcome()
    assert [item.state for item in outcome.items] == [o.value for o in outcomes]
    assert outcome.data["total"]["fetched"] == 2 * len(outcomes)
    assert bool(outcome.proof) == any(o.good for o in outcomes)


def test_a_cancelled_run_ends_with_130() -> None:
    assert report(OK, cancelled=True).exit_code == 130


DOCS = Path(__file__).parents[3] / "docs"


def test_the_documented_provider_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "providers.md").read_text()
    module: dict[str, object] = {}
    exec(text.partition("```python")[2].partition("```")[0], module)
    declared = module["SPEC"]
    assert isinstance(declared, ProviderSpec)
    listing, flaws = normalise(declared, {"id": "acme/one", "context_window": 8192, "pricing": {"input": "0.5"}})
    assert (listing.context_tokens, listing.price_state, flaws) == (8192, "known", [])


def test_every_unit_and_every_outcome_is_documented() -> None:
    providers, sync = (DOCS / "providers.md").read_text(), (DOCS / "sync.md").read_text()
    for name, value in vars(prices).items():
        if isinstance(value, prices.PriceUnit):
            assert f"`{name}`" in providers
    for outcome in ProviderOutcome:
        assert f"\n| {outcome} |" in sync
    for field in ("fetched", "normalised", "rejected", "written", "unchanged", "missing", "held"):
        assert f"\n| {field} |" in sync


@pytest.mark.parametrize(
    "module", ["console.sync.types", "console.sync.providers", "console.catalog.types", "console.catalog.query"]
)
def test_what_only_names_things_loads_no_database_and_no_http(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'sqlalchemy', 'httpx', 'pydantic', 'alembic'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=DOCS.parent)
    assert found.stdout.strip() == "[]"
