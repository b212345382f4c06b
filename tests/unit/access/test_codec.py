"""Reading and writing the two forms of keys, and the published map."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.access.body import inspect_body
from console.access.codec import Malformed, encode_entry, parse_keys, parse_published, published_document
from console.access.decision import Body
from console.access.types import Entries, Grant, KeyEntry, digest_of, shown_key

GRANT = {"endpoint_id": "e", "model_id": "m", "project_id": "p"}
DIGEST = digest_of("a key")
NAME = f"api_key:{DIGEST}"


def test_the_digest_is_the_one_of_budgateway() -> None:
    # sha256("bud-" + key), computed with coreutils' sha256sum
    expected = "8a57f171e92b7aba830c283534af4b3ae675c7f4d977bd9bbb62ec67f42e51c9"
    assert digest_of("bud_client_test") == expected


def test_the_digest_form() -> None:
    value = {"gpt": GRANT, "__metadata__": {"api_key_id": "id", "user_id": None, "api_key_project_id": "pp"}}
    parsed = parse_keys(NAME, json.dumps(value))
    assert not parsed.faults
    (entry,) = parsed.entries
    assert (entry.digest, entry.models, entry.key_id, entry.project_id) == (
        DIGEST,
        {"gpt": Grant("e", "m", "p")},
        "id",
        "pp",
    )


def test_the_form_of_the_seed() -> None:
    """seeds/001: SET api_key:client_keys '{"bud_client_test":{"base-model":{…}}}'."""
    parsed = parse_keys("api_key:client_keys", json.dumps({"bud_client_test": {"base-model": GRANT}}))
    (entry,) = parsed.entries
    assert entry.digest == digest_of("bud_client_test")
    assert entry.in_clear
    assert list(entry.models) == ["base-model"]


def test_ids_may_be_missing() -> None:
    assert parse_published('{"m": {}}') == {"m": Grant()}
    assert parse_published('{"m": {"endpoint_id": null, "model_id": "x"}}') == {"m": Grant(None, "x", None)}


def test_extra_fields_of_newer_gateways_are_skipped() -> None:
    value = {"prompt:x": GRANT | {"prompt_id": "1", "version": 3, "is_default": True}}
    assert list(parse_keys(NAME, json.dumps(value)).entries[0].models) == ["prompt:x"]


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "nope",
        "[]",
        "3",
        '"x"',
        "null",
        '{"m": 1}',
        '{"m": {"endpoint_id": 3}}',
        '{"m": {}, "m": {}}',
        '{"m": {',
        "[" * 100_000,
    ],
)
def test_malformed_values_are_refused_whole(raw: str) -> None:
    with pytest.raises(Malformed):
        parse_published(raw)
    parsed = parse_keys(NAME, raw)
    assert not parsed.entries
    assert len(parsed.faults) == 1
    assert DIGEST not in parsed.faults[0].where


def test_one_bad_key_in_a_shared_value_does_not_cost_the_others() -> None:
    parsed = parse_keys("api_key:all", json.dumps({"good": {"m": GRANT}, "secret-bad": [1]}))
    assert [entry.digest for entry in parsed.entries] == [digest_of("good")]
    assert "secret-bad" not in str(parsed.faults)
    assert "no. 2" in parsed.faults[0].problem


def test_an_oversized_value_is_refused_before_it_is_parsed() -> None:
    assert "bytes" in parse_keys(NAME, '{"m": {}}' + " " * 5_000_000).faults[0].problem


def test_the_earlier_of_both_ends_counts() -> None:
    value = encode_entry({}, key_id="k", user_id=None, project_id=None, tenant=None, generation=1, not_after=50.0)
    assert parse_keys(NAME, value).entries[0].not_after == 50.0
    assert parse_keys(NAME, value, expires_at=40.0).entries[0].not_after == 40.0


def test_what_is_written_is_what_is_read_and_what_a_budgateway_reads() -> None:
    text = encode_entry(
        {"gpt": Grant("e", "m", "p")},
        key_id="k1",
        user_id="u",
        project_id="pp",
        tenant="acme",
        generation=3,
        not_after=12.5,
        suspended=True,
    )
    document = json.loads(text)
    assert document["gpt"] == GRANT
    assert {n: document["__metadata__"][n] for n in ("api_key_id", "user_id", "api_key_project_id")} == {
        "api_key_id": "k1",
        "user_id": "u",
        "api_key_project_id": "pp",
    }
    entry = parse_keys(NAME, text).entries[0]
    assert (entry.tenant, entry.generation, entry.not_after, entry.suspended) == ("acme", 3, 12.5, True)


def test_foreign_entries_go_back_as_they_came() -> None:
    raw = '{"other": {"endpoint_id": "x", "extra": [1, 2.50, {"a": null}]}}'
    assert json.dumps(published_document(raw)) == raw.replace("2.50", "2.5")


def test_digests_are_shortened_where_they_are_shown() -> None:
    assert shown_key(NAME) == f"api_key:{DIGEST[:4]}…{DIGEST[-2:]}"
    assert shown_key("api_key:client_keys") == "api_key:client_keys"


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_readers(raw: bytes) -> None:
    parse_keys(NAME, raw)
    parse_keys("api_key:x", raw)
    inspect_body(raw)
    with contextlib.suppress(Malformed):
        parse_published(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=8), c, max_size=3),
        max_leaves=12,
    )
)
def test_no_json_crashes_the_readers(document: object) -> None:
    raw = json.dumps(document)
    for name in (NAME, "api_key:x"):
        parsed = parse_keys(name, raw)
        assert parsed.entries or parsed.faults or document == {}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", (Body.NONE, None)),
        (b'{"model": "m"}', (Body.OK, "m")),
        (b'{"messages": [{"model": "inner"}], "model": "m"}', (Body.OK, "m")),
        (b'{"model": "a", "model": "b"}', (Body.DUPLICATE, None)),
        (b'{"model": "a", "mod\\u0065l": "b"}', (Body.DUPLICATE, None)),
        (b'{"model": 3}', (Body.NO_MODEL, None)),
        (b'{"model": ""}', (Body.NO_MODEL, None)),
        (b"[1]", (Body.NO_MODEL, None)),
        (b"{", (Body.MALFORMED, None)),
        (b"model=m", (Body.MALFORMED, None)),
        (b"\xff\xfe", (Body.MALFORMED, None)),
    ],
)
def test_which_model_a_body_names(raw: bytes, expected: tuple[Body, str | None]) -> None:
    assert inspect_body(raw) == expected


def test_the_map_of_entries_never_changes_under_a_reader() -> None:
    first = Entries.of(KeyEntry(digest_of(str(n)), {}) for n in range(500))
    gone, new = digest_of("3"), KeyEntry(digest_of("new"), {})
    second = first.with_changes({gone: None, new.digest: new, digest_of("absent"): None})
    assert (len(first), len(second)) == (500, 500)
    assert first.get(gone) is not None
    assert first.get(new.digest) is None
    assert second.get(gone) is None
    assert second.get(new.digest) is new
    assert len(list(second)) == 500


@pytest.mark.parametrize(
    "raw",
    [
        '{"a": {}, "a": {}}',
        '{"a" : {}, "a": {}}',
        '{"a"\n:\t{}, "a" : {}}',
        '{"a": {}, "\\u0061": {}}',
        '{"m": {"endpoint_id": "1", "endpoint_id": "2"}}',
        '{"m": {"endpoint_id" : "1", "endpoint_id": "x\\":y"}}',
        '{"m": {"extra": [{"x": 1, "x" :2}]}}',
    ],
)
def test_a_name_that_stands_twice_is_found_however_it_is_written(raw: str) -> None:
    for text in (raw, raw.encode()):
        with pytest.raises(Malformed, match="twice"):
            parse_published(text)


def test_texts_that_look_like_names_are_no_repeats() -> None:
    assert parse_published('{"m": {"endpoint_id": "x\\": \\"m\\":"}}')["m"].endpoint_id == 'x": "m":'
