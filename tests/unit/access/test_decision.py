"""The decision: DESIGN.md §4, "The gateway's answers", rule by rule."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.access.decision import Allowed, Ask, Body, Denied, bearer, decide
from console.access.types import Entries, Grant, KeyEntry, Snapshot, digest_of

OWN, PUBLISHED, CLASH = Grant("e-own", "m-own", "p-own"), Grant("e-pub", "m-pub", "p-pub"), Grant("e-x", "m-x", "p-x")
NOW = 1_000.0


def entry(key: str, **changes: object) -> KeyEntry:
    values = {"models": {"own": OWN, "both": OWN}, "key_id": "k1", "tenant": "acme"} | changes
    return KeyEntry(digest_of(key), **values)  # type: ignore[arg-type]


SNAPSHOT = Snapshot(
    Entries.of(
        [
            entry("bud_client_a"),
            entry("regular"),
            entry("expired", not_after=NOW),
            entry("grace", not_after=NOW + 0.001),
            entry("suspended", suspended=True),
        ]
    ),
    {"published": PUBLISHED, "both": CLASH},
)


def ask(key: str | None, model: str | None = "own", **changes: object) -> Allowed | Denied:
    authorizations = () if key is None else (f"Bearer {key}",)
    values = {"body": Body.OK if model else Body.NO_MODEL} | changes
    return decide(SNAPSHOT, Ask(authorizations, model=model, **values), now=NOW)  # type: ignore[arg-type]


def refused(answer: Allowed | Denied) -> tuple[int, str]:
    assert isinstance(answer, Denied), answer
    error = json.loads(answer.body())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == answer.code
    return answer.status, answer.code


def allowed(answer: Allowed | Denied) -> dict[str, str]:
    assert isinstance(answer, Allowed), answer
    return answer.headers


def test_an_own_model_is_allowed_with_headers_for_the_upstream() -> None:
    assert allowed(ask("regular")) == {
        "x-modeldeck-model": "own",
        "x-modeldeck-endpoint-id": "e-own",
        "x-modeldeck-model-id": "m-own",
        "x-modeldeck-project-id": "p-own",
        "x-modeldeck-key-id": "k1",
        "x-modeldeck-tenant": "acme",
    }


def test_only_client_keys_get_the_published_models() -> None:
    assert allowed(ask("bud_client_a", "published"))["x-modeldeck-endpoint-id"] == "e-pub"
    assert refused(ask("regular", "published")) == (404, "model_not_found")


def test_on_a_name_clash_the_keys_own_entry_wins() -> None:
    assert allowed(ask("bud_client_a", "both"))["x-modeldeck-endpoint-id"] == "e-own"
    found = SNAPSHOT.keys.get(digest_of("bud_client_a"))
    assert found is not None
    assert SNAPSHOT.clashes_of(found) == ["both"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (None, (401, "missing_api_key")),
        ("nobody", (401, "invalid_api_key")),
        ("expired", (401, "expired_api_key")),
        ("suspended", (403, "key_suspended")),
    ],
)
def test_keys_that_do_not_count(key: str | None, expected: tuple[int, str]) -> None:
    assert refused(ask(key)) == expected


def test_grace_is_judged_by_the_clock_not_by_what_redis_has_expired() -> None:
    assert allowed(ask("grace"))
    assert refused(decide(SNAPSHOT, Ask(("Bearer grace",), model="own"), now=NOW + 0.002))[0] == 401


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc  ", "abc"),
        ("Bearer a.b-c_d~e+f/g==", "a.b-c_d~e+f/g=="),
    ],
)
def test_bearer_is_parsed_as_the_rfc_says(header: str, key: str) -> None:
    assert bearer((header,)) == key


@pytest.mark.parametrize(
    "header",
    ["", "abc", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "Bearer ä", "Bearer\tabc", "Bearer a\x00", "x" * 9000],
)
def test_anything_else_is_no_key(header: str) -> None:
    assert refused(decide(SNAPSHOT, Ask((header,), model="own"), now=NOW))[0] == 401


def test_two_authorization_headers_are_refused_even_if_one_is_good() -> None:
    assert refused(decide(SNAPSHOT, Ask(("Bearer regular", "Bearer regular"), model="own"), now=NOW))[0] == 401


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (Body.MALFORMED, (400, "invalid_json")),
        (Body.NOT_JSON, (400, "invalid_json")),
        (Body.NO_MODEL, (400, "missing_model")),
        (Body.NONE, (400, "missing_model")),
        (Body.DUPLICATE, (400, "duplicate_model")),
        (Body.TOO_LARGE, (413, "request_too_large")),
    ],
)
def test_bodies_that_cannot_be_decided_on(body: Body, expected: tuple[int, str]) -> None:
    assert refused(ask("regular", None, body=body)) == expected


def test_a_bad_key_is_told_before_a_bad_body() -> None:
    assert refused(ask("nobody", None, body=Body.MALFORMED))[0] == 401


def test_listing_models_and_files_needs_a_key_and_no_model() -> None:
    for path in ("/v1/models", "/v1/models?x=1", "/v1/batches", "/v1/files/f1"):
        assert allowed(ask("regular", None, path=path, body=Body.NONE))["x-modeldeck-key-id"] == "k1"
        assert refused(ask(None, None, path=path, body=Body.NONE))[0] == 401
    assert refused(ask("regular", None, path="/v1/filesystem", body=Body.NONE))[0] == 400


def test_the_model_of_a_kserve_path_counts() -> None:
    for path in ("/v1/models/own:predict", "/v1/models/own", "/v2/models/own/infer", "/v2/models/own"):
        assert allowed(ask("regular", None, path=path))["x-modeldeck-model"] == "own"
    assert refused(ask("regular", None, path="/v1/models/other:predict"))[0] == 404


def test_where_body_and_path_name_different_models_the_key_needs_both() -> None:
    assert refused(ask("regular", "own", path="/v1/models/other:predict"))[0] == 404
    assert refused(ask("regular", "other", path="/v1/models/own:predict"))[0] == 404


def test_a_route_that_stands_for_a_model_is_decided_by_that_model_alone() -> None:
    assert allowed(ask("regular", "whatever", route_model="own"))["x-modeldeck-model"] == "own"
    assert refused(ask("regular", "own", route_model="other"))[0] == 404


def test_the_prefix_of_headers_can_be_chosen() -> None:
    answer = decide(SNAPSHOT, Ask(("Bearer regular",), model="own"), now=NOW, prefix="x-tensorzero")
    assert "x-tensorzero-endpoint-id" in allowed(answer)


@given(
    st.lists(st.text(max_size=60), max_size=3),
    st.text(max_size=40),
    st.one_of(st.none(), st.text(max_size=40)),
    st.sampled_from(Body),
    st.one_of(st.none(), st.text(max_size=20)),
)
def test_nothing_that_is_sent_crashes_it_or_opens_a_door(
    authorizations: list[str], path: str, model: str | None, body: Body, route_model: str | None
) -> None:
    answer = decide(SNAPSHOT, Ask(tuple(authorizations), "POST", path, model, body, route_model), now=NOW)
    if isinstance(answer, Denied):
        json.loads(answer.body())
    else:
        key = bearer(tuple(authorizations))
        assert key in {"bud_client_a", "regular", "grace"}
        for name, value in answer.headers.items():
            assert (name + value).isascii()
            assert (name + value).isprintable()
