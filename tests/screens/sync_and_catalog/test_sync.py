"""The Sync screen by keys alone: runs, dry runs, the schedule, held changes, webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from console.config import Profile
from console.guard import system_permit
from console.local.samples import faults
from console.services import Services
from console.sync import service
from tests.support.waiting import until
from widgets.diff_view import DiffView

from .conftest import GPT, SMALL, Opens


async def test_a_provider_is_synced_and_its_row_says_so(opened: Opens) -> None:
    async with opened() as operator:
        await operator.at_provider("groq")
        await operator.sees("never synced", "next", "tier high")
        await operator.press("r")
        await operator.sees("● ok", "the first list of this provider: 27 models", "✓ Sync the catalog")
        await operator.sees("written", "took", "enter shows what")


async def test_a_run_says_where_it_is_with_each_provider_and_is_cancelled(opened: Opens) -> None:
    async with opened() as operator:
        operator.samples.fault("groq", faults.Slow(60))
        await operator.at_provider("cerebras")
        operator.table.set_marks({"cerebras", "groq"})
        await operator.press("r")
        await operator.sees("▶ fetching", "1 of 2 providers, 4 records", "x cancels")
        await operator.press("x")
        await operator.sees("◑ Sync the catalog", "cancelled; 1 of 2 providers were finished,", "and stay so")
        await operator.sees_no("undone")
        rows = {row["provider"]: row["outcome"] for row in (await operator.ask("sync.status")).data}
        assert (rows["cerebras"], rows["groq"]) == ("ok", "never synced")
        await operator.sees_no("▶ fetching")


async def test_more_providers_than_are_asked_at_once_are_queued(opened: Opens) -> None:
    slugs = ("groq", "cerebras", "chutes", "cohere", "deepinfra", "deepseek", "xai")
    async with opened() as operator:
        for slug in slugs:
            operator.samples.fault(slug, faults.Slow(60))
        await operator.at_provider("groq")
        operator.table.set_marks(slugs)
        await operator.press("r")
        await operator.sees("· queued", "▶ fetching", "0 of 7 providers")
        for slug in slugs:
            operator.samples.fault(slug, None)
        operator.samples.release()
        await operator.sees("7 of 7 providers in order", within=30)
        await operator.sees_no("· queued")


async def test_a_dry_run_shows_every_field_and_writes_nothing(opened: Opens) -> None:
    async with opened(SMALL) as operator:
        await operator.synced("openrouter")
        operator.samples.reprice("openrouter", GPT, "2")
        operator.samples.change("openrouter", GPT, context_length=64_000)
        operator.samples.reprice("openrouter", "openai/gpt-4o", "50")
        await operator.at_provider("openrouter")
        await operator.press("d")
        await operator.sees("Dry run of openrouter", f"~ openrouter/{GPT}", "price.input  $0.15/1M → $0.3/1M")
        await operator.sees("context_tokens  128000 → 64000", "nothing was written")
        assert "held for review: the price rose 50 times" in operator.screen
        await operator.press("escape")
        assert len((await operator.ask("sync.history")).data["rows"]) == 1, "the run of before, and no other"


async def test_a_dry_run_is_let_through_where_nothing_may_be_written(opened: Opens) -> None:
    async with opened(read_only=True) as operator:
        await operator.at_provider("groq")
        await operator.press("d")
        await operator.sees("Dry run of groq", "+ groq")
        await operator.press("escape", "r")
        await operator.sees("read-only", "nothing was changed")


async def test_what_goes_wrong_is_a_sentence_and_the_rest_goes_on(opened: Opens) -> None:
    async with opened() as operator:
        operator.samples.fault("groq", faults.WrongToken())
        await operator.at_provider("cerebras")
        operator.table.set_marks({"cerebras", "groq"})
        await operator.press("r")
        await operator.sees("✖ refused", "● ok", "1 of 2 providers in order")
        await operator.at_provider("groq")
        await operator.sees("Groq does not accept", "credential in")
        await operator.press("exclamation_mark")
        await operator.sees("1 part done, not: groq: Groq does not accept", "next", "modeldeck sync run groq")


async def test_a_provider_is_paused_and_resumed_by_one_key(opened: Opens) -> None:
    async with opened(SMALL) as operator:
        await operator.at_provider("groq")
        await operator.press("p")
        await operator.sees("paused by", "p resumes it", "p resume")
        await operator.press("R")
        await operator.sees("providers in order", within=30)
        rows = {row["provider"]: row for row in (await operator.ask("sync.status")).data}
        assert rows["groq"]["outcome"] == "never synced"
        assert rows["cerebras"]["outcome"] == "ok"
        await operator.press("p")
        await operator.sees("p pause")
        assert not any(row["paused"] for row in (await operator.ask("sync.status")).data)


async def test_the_interval_is_changed_and_given_back_to_the_tier(opened: Opens) -> None:
    async with opened() as operator:
        await operator.at_provider("groq")
        await operator.sees("15m, tier high")
        await operator.press("i")
        await operator.sees("How often to look at groq", "15m")
        await operator.press("'45m", "ctrl+s")
        await operator.sees("45m, set by", "in place of ti")
        await operator.press("i")
        await operator.sees("How often to look at groq")
        await operator.press("ctrl+u", "ctrl+s")
        await operator.sees("15m, tier high")


async def test_held_changes_are_looked_at_and_decided_one_by_one_or_all(opened: Opens) -> None:
    async with opened(SMALL) as operator:
        await operator.synced("openrouter")
        for model in ("openai/gpt-4o", GPT):
            operator.samples.reprice("openrouter", model, "50")
        await operator.synced("openrouter")
        await operator.at_provider("openrouter")
        await operator.sees("▲ 5 held", "5 changes wait for a decision: h shows them")
        await operator.press("h")
        await operator.sees("Held for review", "the price rose 50 times", "a accept", "r refuse")
        held = operator.app.screen.query_one(DiffView)
        first = held.change
        assert first is not None
        await operator.press("a")
        await operator.sees("1 held change accepted")
        await until(lambda: len(held.changes) == 4)
        await operator.press("r")
        await operator.sees("1 held change refused; the catalog stays as it is")
        await until(lambda: len(held.changes) == 3)
        await operator.press("R")
        await operator.sees("Refuse all 3 held changes?")
        await operator.press("y")
        await operator.sees("nothing is held")
        await operator.press("escape")
        await operator.sees_no("5 held")
        reference, _, field = first.title.partition("  ")
        prices = (await operator.ask("models.show", model=reference)).data["prices"]
        assert prices[field.removeprefix("price.")]["usd"], first
        assert (await operator.ask("sync.history", model=reference, field=field)).data["rows"]


async def test_the_history_of_a_provider_is_filtered_and_gone_into(opened: Opens) -> None:
    async with opened() as operator:
        await operator.synced("openrouter")
        operator.samples.reprice("openrouter", GPT, "2")
        operator.samples.change("openrouter", "openai/gpt-4o", context_length=64_000)
        await operator.synced("openrouter")
        operator.samples.reprice("openrouter", GPT, "3")
        await operator.synced("openrouter")
        await operator.at_provider("openrouter")
        await operator.press("enter")
        await operator.sees("What changed at openrouter", "128000 → 64000", "the first list: 358 models")
        await operator.press("slash", "'mini price.input", "enter")
        await operator.sees("2 of ", "$0.15/1M → $0.3/1M", "$0.3/1M → $0.45/1M")
        await operator.sees_no("128000")
        await operator.press("enter")
        await operator.sees(f"What changed of openrouter/{GPT}", "price.output")
        await operator.press("escape")
        await operator.sees("What changed at openrouter")
        await operator.press("escape")
        await operator.sees("PROVIDER")
        assert operator.table.cursor_key == "openrouter"


async def test_the_webhook_log_shows_what_came_and_what_it_led_to(
    opened: Opens, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_WEBHOOK_SECRET", "a secret of ours")
    models = [{"id": "llama-[red]3[/]"}, {"id": "qwen"}]
    body = json.dumps({"gateway": "groq", "event_type": "models.added", "models": models, "timestamp": 1}).encode()
    signed = {"X-Webhook-Signature": hmac.new(b"a secret of ours", body, hashlib.sha256).hexdigest()}
    async with opened(SMALL) as operator, Services(profile) as services:
        await operator.at_provider("groq")
        await operator.press("w")
        await operator.sees("no webhook has come yet")
        book = await service.webhook_book(services)
        await book.receive(system_permit("webhooks"), body, signed, origin="192.0.2.7")
        await operator.sees("models.added", "groq", "due", within=10)
        await operator.sees("from 192.0.2.7, signed: hex", "llama-[red]3[/], qwen")


async def test_a_small_screen_shows_all_that_counts(opened: Opens) -> None:
    async with opened(SMALL) as operator:
        await operator.synced("groq")
        await operator.at_provider("groq")
        await operator.sees("PROVIDER", "OUTCOME", "LAST", "NEXT", "EVERY", "MODELS", "CHANGED", "RUNS")
        await operator.sees("groq", "● ok", "15m", "27")
        assert all(len(line) <= 80 for line in operator.screen.splitlines())


async def test_the_list_is_sorted_by_what_is_wrong_and_keeps_its_row(opened: Opens) -> None:
    async with opened() as operator:
        operator.samples.fault("xai", faults.Status(500))
        await operator.synced("cerebras", "groq")
        await operator.app.bridge.begin("sync.run", {"provider": ("xai",)}).wait()
        await operator.at_provider("groq")
        await operator.press("s")
        await operator.sees("OUTCOME▲")
        assert operator.table.rows.key(0) == "xai"
        assert operator.table.cursor_key == "groq"
