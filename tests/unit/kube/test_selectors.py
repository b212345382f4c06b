"""Label and field selectors."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.local.kube.selectors import parse_fields, parse_labels
from console.local.kube.status import ApiError

LABELS = {"app": "web", "tier": "front", "example.com/n": "5", "empty": ""}
FIELDS = frozenset(("metadata.name", "metadata.namespace"))


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier=front", True),
        ("app=db", False),
        ("app!=db", True),
        ("app!=web", False),
        ("missing!=x", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db,x)", True),
        ("missing notin (x)", True),
        ("app notin (web)", False),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("! app", False),
        ("empty=", True),
        ("empty in (,x)", True),
        ("app=", False),
        ("example.com/n>4", True),
        ("example.com/n<5", False),
        ("app>1", False),
        ("missing>1", False),
        ("app=web,tier in (front,back),!missing", True),
    ],
)
def test_label_selectors(text: str, matches: bool) -> None:
    assert parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text",
    [
        "=",
        "a=b=c",
        "a in b",
        "a in (b",
        "a in b)",
        "a,",
        ",a",
        "a b",
        "a=*",
        "-a=b",
        "a>x",
        "a!",
        "a in (b)(c)",
        "a/b/c=d",
        "(a)",
        "a ! b",
    ],
)
def test_what_is_no_label_selector(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_labels(text)
    assert caught.value.code == 400


@given(st.text(alphabet="ab=!,() in<>/.-\t", max_size=20))
def test_a_label_selector_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(ApiError):
        assert parse_labels(text).matches(LABELS) in (True, False)


KEYS = st.from_regex(r"\A[a-z]([a-z.]{0,4}[a-z])?(/[a-z])?\Z").filter(
    lambda key: key not in ("in", "notin") and ".." not in key and "./" not in key
)
VALUES = st.from_regex(r"\A([A-Za-z0-9]([-_.A-Za-z0-9]{0,3}[A-Za-z0-9])?)?\Z")


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_selector_of_an_objects_own_labels_matches_it(labels: dict[str, str]) -> None:
    text = ",".join(f"{key}={value}" for key, value in labels.items())
    selector = parse_labels(text)
    assert selector.matches(labels)
    for key in labels:
        assert not selector.matches({other: value for other, value in labels.items() if other != key})


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a,metadata.namespace=n", True),
        ("metadata.name!=a", False),
        ("metadata.name=b", False),
        ("metadata.namespace!=m", True),
    ],
)
def test_field_selectors(text: str, matches: bool) -> None:
    fields = {"metadata.name": "a", "metadata.namespace": "n"}
    assert parse_fields(text, FIELDS).matches(lambda path: fields[path]) is matches


@pytest.mark.parametrize("text", ["spec.x=1", "metadata.name", "=a", "metadata.name=a,", "metadata.name>a"])
def test_what_is_no_field_selector(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_fields(text, FIELDS)
    assert caught.value.code == 400
