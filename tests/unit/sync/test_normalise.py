"""Records as they are and as nobody expects them."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.catalog import rows
from console.catalog.types import Capabilities, Per, PriceKind, PriceState
from console.sync.collect import Collector
from console.sync.normalise import normalise, rejected
from console.sync.providers import all_specs, spec
from console.sync.providers.base import RecordRefused
from tests.support.examples import examples

from .provider_records import OPENROUTER, RECORDS, as_parsed, listing, usd


def test_openrouter() -> None:
    found = listing("openrouter")
    assert (found.native_id, found.name, found.author) == ("openai/gpt-4o-mini", "OpenAI: GPT-4o-mini", "openai")
    assert (found.canonical_key, found.family, found.kind) == ("gpt-4o-mini", "gpt", "chat")
    assert (found.context_tokens, found.max_output_tokens) == (128_000, 16_384)
    assert found.modality == "file+image+text->text"
    assert found.capabilities == Capabilities(None, True, True, True, False)
    assert found.released_at == datetime(2024, 7, 18, tzinfo=UTC)
    assert (found.deprecated, found.facts) == (None, {"tokenizer": "GPT"})
    assert usd(found, PriceKind.INPUT) == "0.00000015"
    assert usd(found, PriceKind.OUTPUT) == "0.0000006"
    assert usd(found, PriceKind.CACHE_READ) == "0.000000075"
    assert usd(found, PriceKind.IMAGE) == "0.000217"
    request = found.price(PriceKind.REQUEST)
    assert request is not None
    assert (request.state, request.per, request.raw) == (PriceState.UNKNOWN, Per.REQUEST, "0")


def test_a_router_of_openrouters_has_a_dynamic_price() -> None:
    found = listing("openrouter", id="openrouter/auto", pricing={"prompt": "-1", "completion": "-1"})
    assert found.price_state is PriceState.DYNAMIC
    assert usd(found, PriceKind.INPUT) is None


def test_only_a_mark_makes_openrouters_zero_free() -> None:
    zero = {"prompt": "0", "completion": "0"}
    assert listing("openrouter", id="qwen/qwen3:free", pricing=zero).price_state is PriceState.FREE
    assert listing("openrouter", id="google/lyria-3-pro", pricing=zero).price_state is PriceState.UNKNOWN


def test_a_model_of_openrouters_that_will_go() -> None:
    found = listing("openrouter", expiration_date="2026-12-31")
    assert (found.deprecated, found.retires_at) == (True, datetime(2026, 12, 31, tzinfo=UTC))


def test_together() -> None:
    found = listing("together")
    assert (found.name, found.author, found.kind) == ("Meta Llama 3.3 70B Instruct Turbo", "Meta", "chat")
    assert (found.modality, found.context_tokens) == ("?->text", 131_072)
    assert found.capabilities == Capabilities()  # the list says nothing of any
    assert (usd(found, PriceKind.INPUT), usd(found, PriceKind.OUTPUT)) == ("0.00000088", "0.00000088")
    hourly = found.price(PriceKind.COMPUTE)
    assert hourly is not None
    assert (hourly.state, hourly.per) == (PriceState.UNKNOWN, Per.HOUR)


@pytest.mark.parametrize(
    ("word", "kind", "modality"),
    [
        ("image", "image", "?->image"),
        ("embedding", "embedding", "?->embedding"),
        ("transcribe", "transcription", "audio->text"),
        ("hologram", None, "?->?"),
    ],
)
def test_kinds_of_together(word: str, kind: str | None, modality: str) -> None:
    found = listing("together", type=word)
    assert (found.kind, found.modality) == (kind, modality)


def test_together_marks_free_models_by_their_name() -> None:
    zero = {"hourly": 0, "input": 0, "output": 0}
    assert listing("together", id="meta-llama/Llama-3.3-70B-Instruct-Turbo-Free", pricing=zero).price_state == "free"
    assert listing("together", type="image", pricing=zero).price_state == "unknown"


def test_deepinfra() -> None:
    found = listing("deepinfra")
    assert (found.native_id, found.context_tokens, found.max_output_tokens) == ("zai-org/GLM-4.6", 202_752, None)
    assert (usd(found, PriceKind.INPUT), usd(found, PriceKind.OUTPUT)) == ("0.00000043", "0.00000174")
    assert usd(found, PriceKind.CACHE_READ) == "0.000000086"
    assert found.capabilities == Capabilities(tools=True)
    assert (found.deprecated, found.facts) == (False, {"quantization": "fp4"})


def test_deepinfras_other_ways_to_charge() -> None:
    image = listing(
        "deepinfra", reported_type="text-to-image", pricing={"type": "image_units", "cents_per_image_unit": 0.05}
    )
    assert (usd(image, PriceKind.IMAGE), image.kind, image.modality) == ("0.0005", "image", "?->image")
    spoken = listing("deepinfra", pricing={"type": "input_length", "cents_per_input_sec": 0.00075})
    assert usd(spoken, PriceKind.MEDIA_INPUT) == "0.0000075"
    timed = listing("deepinfra", reported_type="text-to-image", pricing={"type": "time", "cents_per_sec": 0.05})
    assert usd(timed, PriceKind.COMPUTE) == "0.0005"
    assert timed.price(PriceKind.IMAGE) is None  # a second of a machine is no picture


def test_deepinfras_deprecation_has_a_date_and_a_successor() -> None:
    found = listing("deepinfra", deprecated=1751328000, replaced_by="zai-org/GLM-5")
    assert (found.deprecated, found.replaced_by) == (True, "zai-org/GLM-5")
    assert found.retires_at == datetime(2025, 7, 1, tzinfo=UTC)


def test_zero_and_absent_contexts_are_unknown() -> None:
    assert listing("together", context_length=0).context_tokens is None
    assert listing("deepinfra", max_tokens=None).context_tokens is None


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "this is null"),
        ([1], "this is a list"),
        ("x", "this is text"),
        (1.5, "this is a number"),
        ({}, "it has no id"),
        ({"id": None}, "it has no id"),
        ({"id": 7}, "a number, not text"),
        ({"id": 1.5}, "a number, not text"),
        ({"id": {"a": 1}}, "an object, not text"),
        ({"id": "a\x1b[31mb"}, "control characters"),
        ({"id": " a"}, "spaces at an end"),
        ({"id": "a\ud800"}, "control characters"),
        ({"id": "x" * 301}, "301 characters long"),
    ],
)
def test_a_record_without_a_usable_id_is_refused_with_a_reason(record: Any, reason: str) -> None:
    with pytest.raises(RecordRefused, match=reason):
        normalise(spec("openrouter"), as_parsed(record))


def test_what_cannot_be_read_costs_the_field_and_is_told() -> None:
    record = OPENROUTER | {
        "name": 7,
        "context_length": "lots",
        "created": "yesterday",
        "pricing": {"prompt": "call us", "completion": {"usd": 1}, "input_cache_read": "12"},
    }
    found, flaws = normalise(spec("openrouter"), as_parsed(record))
    assert (found.name, found.context_tokens, found.released_at) == (found.native_id, None, None)
    assert [usd(found, kind) for kind in (PriceKind.INPUT, PriceKind.OUTPUT, PriceKind.CACHE_READ)] == [None] * 3
    assert sorted(flaw.partition(":")[0] for flaw in flaws) == [
        "context_length",
        "created",
        "name",
        "pricing.completion",
        "pricing.input_cache_read",
        "pricing.prompt",
    ]


def test_control_characters_do_not_reach_a_terminal() -> None:
    record = OPENROUTER | {"name": "\x1b]0;owned\x07GPT\x00", "description": "one\x1b[2J\ntwo"}
    found, _ = normalise(spec("openrouter"), as_parsed(record))
    assert (found.name, found.description) == ("]0;ownedGPT", "one[2J\ntwo")


def test_a_reject_keeps_the_record_without_its_secrets() -> None:
    record = {"id": "m", "api_key": "sk-1", "note": "key sk-given was used", "deep": {"Authorization": "Bearer x"}}
    kept = rejected(3, record, "why", secrets=("sk-given",))
    assert (kept.position, kept.native_id) == (3, "m")
    for secret in ("sk-1", "sk-given", "Bearer x"):
        assert secret not in kept.record
    assert len(rejected(1, {"id": "m", "blob": "x" * 10_000}, "why").record) == 2_000


def test_doubles_are_reported_and_the_choice_does_not_depend_on_the_order() -> None:
    one, two = OPENROUTER, OPENROUTER | {"name": "another"}
    chosen = []
    for order in ([one, two], [two, one], [two, one, one]):
        collector = Collector(spec("openrouter"), secrets=(), keep=10)
        for record in order:
            collector.take(as_parsed(record))
        collected = collector.collected()
        chosen.append(collected.entries["openai/gpt-4o-mini"].listing.name)
        assert collected.counts.normalised == 1
        assert collected.counts.rejected == len(order) - 1
        assert "twice" in collected.rejects[0].reason
    assert len(set(chosen)) == 1


def test_a_fault_of_ours_costs_one_record(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("sk-secret")

    collector = Collector(spec("openrouter"), secrets=(), keep=10)
    collector.take(as_parsed(OPENROUTER))
    monkeypatch.setattr("console.sync.collect.normalise", broken)
    collector.take(as_parsed(OPENROUTER))
    collected = collector.collected()
    assert (collected.counts.normalised, collected.counts.rejected) == (1, 1)
    assert collected.rejects[0].reason == "it could not be read (ZeroDivisionError)"
    assert "record 2 could not be read" in caplog.text


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from([0, "0", "-1", "1e400", "NaN", "", "free", "0.0", -1, 10**30, "\ud800", "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def places(holder: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a record, in its objects and in its lists."""
    found = []
    for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
        found.append((*path, key))
        if isinstance(value, (dict, list)):
            found += places(value, (*path, key))
    return found


def holder_of(record: Any, path: tuple[Any, ...]) -> Any:
    """What holds a place, None where an earlier change has taken it away."""
    for key in path[:-1]:
        try:
            record = record[key]
        except (KeyError, IndexError, TypeError):
            return None
    return record if isinstance(record, (dict, list)) else None


@st.composite
def mutated(draw: st.DrawFn, slug: str) -> Any:
    record: Any = copy.deepcopy(RECORDS[slug])
    if draw(st.booleans()):
        record[spec(slug).fields.id[0]] += draw(st.sampled_from([":free", "-Free", "-free", ""]))
    for path in draw(st.lists(st.sampled_from(places(record)), max_size=4)):
        holder = holder_of(record, path)
        key = path[-1]
        if isinstance(holder, dict) and draw(st.booleans()):
            holder.pop(key, None)
        elif isinstance(holder, dict) or (isinstance(holder, list) and isinstance(key, int) and key < len(holder)):
            holder[key] = draw(ANYTHING)
    return draw(st.just(record) | ANYTHING) if draw(st.integers(0, 9)) == 0 else record


@pytest.mark.parametrize("slug", list(all_specs()))
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_record_crashes_a_normaliser_or_becomes_an_invented_zero(slug: str, data: st.DataObject) -> None:
    record = as_parsed(data.draw(mutated(slug)))
    declared = spec(slug)
    try:
        found, _ = normalise(declared, record)
    except RecordRefused as why:
        rejected(1, record, str(why))
        return
    for price in found.prices:
        if price.usd is not None and price.usd == 0:
            assert price.state is PriceState.FREE
            assert declared.free_suffixes
            assert found.native_id.endswith(declared.free_suffixes)
            assert Decimal(price.raw.lstrip("$ ")) == 0
        if price.state is PriceState.KNOWN:
            assert price.raw
    assert found.context_tokens is None or found.context_tokens > 0
    row = rows.model_row(slug, found, rows.content_hash(found), None)
    json.dumps([value for value in row.values() if not isinstance(value, datetime)], ensure_ascii=False).encode()
    for text in (found.name, found.native_id, found.author or "", found.kind or ""):
        assert text.isprintable() or not any(ord(character) < 32 for character in text)
