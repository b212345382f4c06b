"""The filter language: what it reads, what it says about what it cannot read, and how it helps."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Dialect

from console.catalog.completion import Vocabulary, complete
from console.catalog.query import (
    FLAGS,
    BadTerm,
    Bound,
    Capability,
    Choice,
    Flag,
    Query,
    Words,
    parse,
    tokens,
)
from console.catalog.query_sql import conditions

DIALECTS: list[Dialect] = [SQLiteDialect(), PGDialect()]
VOCABULARY = Vocabulary(
    ("deepinfra", "groq", "openrouter"), ("Meta Llama", "qwen"), ("llama",), ("chat",), ("image", "text")
)


def test_the_documented_example() -> None:
    query = parse('provider:groq ctx>=128k in<0.5 out<1 vision tools free -preview llama "exact words"')
    assert query == Query(
        (
            Choice("provider", ("groq",)),
            Bound("ctx", ">=", Decimal(128_000)),
            Bound("in", "<", Decimal("0.5")),
            Bound("out", "<", Decimal(1)),
            Capability("vision", True),
            Capability("tools", True),
            Flag("free"),
            Words("preview", negated=True),
            Words("llama"),
            Words("exact words"),
        )
    )


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("ctx>1.5m", Bound("ctx", ">", Decimal(1_500_000))),
        ("CTX>=128K", Bound("ctx", ">=", Decimal(128_000))),
        ("in<$0.5", Bound("in", "<", Decimal("0.5"))),
        ("-ctx>8k", Bound("ctx", ">", Decimal(8_000), negated=True)),
        ("provider:groq,together", Choice("provider", ("groq", "together"))),
        ('author:"Meta Llama"', Choice("author", ("meta llama",))),
        ("vision:unknown", Capability("vision", None)),
        ("-vision:no", Capability("vision", False, negated=True)),
        ("json", Capability("json_mode", True)),
        ('"vision"', Words("vision")),
        ('-"free lunch"', Words("free lunch", negated=True)),
        ("deepseek/deepseek-r1:free", Words("deepseek/deepseek-r1:free")),
        ("100%_off", Words("100%_off")),
    ],
)
def test_single_terms(text: str, term: object) -> None:
    assert parse(text).terms == (term,)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("llama provder:groq", (6, 18), "did you mean provider"),
        ("ctx>=lots", (0, 9), "lots is not a number of tokens, as in ctx>=128k"),
        ("in<0.5k", (0, 7), "in is in USD"),
        ("in<", (0, 3), "behind in< an amount in USD is missing, as in in<0.5"),
        ("in<0.0000000001", (0, 15), "at most 9 decimals"),
        ("provider>3", (0, 10), "write provider:3"),
        ("ctx:128k", (0, 8), "ctx is a number"),
        ("provider:", (0, 9), "needs a value"),
        ("price:cheap", (0, 11), "not cheap"),
        ("vision:maybe", (0, 12), "yes, no or unknown"),
        ("llama -", (6, 7), "write -word"),
        ('""', (0, 2), "nothing between the quotes"),
        ('llama "not closed', (6, 17), 'not closed: write "not closed"'),
        ('about:"long con', (0, 15), "this quote is not closed"),
        ("ctx>=", (0, 5), "behind ctx>= a number of tokens is missing, as in ctx>=128k"),
        ("ctx>99999999999999999999999", (0, 27), "is too large: ctx has at most 12 digits"),
        ("size>3", (0, 6), "nothing is called size"),
    ],
)
def test_a_bad_term_is_named_with_its_place_and_a_way_out(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(BadTerm) as caught:
        parse(text)
    assert message in str(caught.value)
    assert (caught.value.start, caught.value.end) == place
    assert caught.value.status == 400


def test_hidden_and_retired_models_are_asked_for() -> None:
    assert len(conditions(parse(""))) == 2
    assert len(conditions(parse("retired"))) == 2  # the term itself, and that it is not hidden
    assert len(conditions(parse("any"))) == 1


def parsed(text: str) -> tuple[Query | None, BadTerm | None]:
    try:
        return parse(text), None
    except BadTerm as problem:
        return None, problem


@given(st.text(max_size=60) | st.text(alphabet='inctxprovder:<>=-" 0123456789.km', max_size=40))
def test_whatever_is_typed_is_a_query_or_a_bad_term_within_it(text: str) -> None:
    query, bad = parsed(text)
    if query is None:
        assert bad is not None
        assert 0 <= bad.start <= bad.end <= len(text)
        return
    assert len(query.terms) == len(list(tokens(text)))
    for dialect in DIALECTS:
        for condition in conditions(query):
            assert str(condition.compile(dialect=dialect))


@given(st.text(alphabet=st.characters(exclude_characters='"'), min_size=1, max_size=30).filter(lambda t: t.strip()))
def test_quotes_make_plain_words_of_anything(text: str) -> None:
    assert parse(f'"{text}"').terms == (Words(text),)


def texts(typed: str, cursor: int | None = None) -> list[str]:
    found = complete(typed, len(typed) if cursor is None else cursor, VOCABULARY)
    return [completion.text for completion in found]


def test_completion_of_words_values_and_lists() -> None:
    assert "provider:" in texts("llama pro")
    assert texts("provider:g") == ["provider:groq"]
    assert texts("-provider:groq,o") == ["-provider:groq,openrouter"]
    assert texts("author:meta") == ['author:"Meta Llama"']
    assert texts("vision:u") == ["vision:unknown"]
    assert texts('"pro') == []
    assert texts("ct") == ["ctx>="]


def test_a_completion_replaces_the_word_at_the_cursor() -> None:
    (found,) = complete("provider:gr llama", 11, VOCABULARY)
    assert (found.start, found.end) == (0, 11)


@given(st.text(max_size=40), st.integers(0, 40))
def test_completion_never_fails(text: str, cursor: int) -> None:
    for found in complete(text, min(cursor, len(text)), VOCABULARY):
        assert 0 <= found.start <= found.end <= len(text)


def test_every_completion_of_a_whole_word_can_be_read() -> None:
    for word in FLAGS:
        assert parse(word).terms
