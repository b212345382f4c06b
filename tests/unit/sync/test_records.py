"""A list that arrives in pieces is the same list, and what is no list is found out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.sync.records import NotAList, NumberText, RecordReader

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def read(data: bytes, size: int = 7, path: tuple[str, ...] = ("data",)) -> tuple[list[Any], RecordReader]:
    reader = RecordReader(path)
    records = [record for start in range(0, len(data), size) for record in reader.feed(data[start : start + size])]
    return records + list(reader.finish()), reader


def plain(value: Any) -> Any:
    """Numbers as floats again, to compare with the standard library's reading."""
    if isinstance(value, NumberText):
        return float(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(st.lists(VALUES, max_size=6), st.integers(1, 40), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_any_list_in_any_pieces_is_read_as_a_whole_parser_reads_it(
    records: list[Any], size: int, ascii_only: bool, indent: Any
) -> None:
    bare = json.dumps(records, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    try:
        bare.decode()
    except UnicodeDecodeError:  # a lone surrogate is no UTF-8
        return
    wanted = json.loads(bare, parse_int=lambda text: int(text) if len(text) < 20 else float(text))
    found, reader = read(bare, size)
    assert plain(found) == wanted
    assert reader.records == len(records)


@given(st.lists(VALUES, max_size=3), st.dictionaries(st.text(max_size=6), VALUES, max_size=4), st.integers(1, 40))
def test_the_list_is_found_in_its_envelope_wherever_it_stands(
    records: list[Any], beside: dict[str, Any], size: int
) -> None:
    beside.pop("data", None)
    first = dict(list(beside.items())[:2])
    document = {**first, "data": records, **beside}
    found, reader = read(json.dumps(document).encode(), size)
    assert len(found) == len(records)
    assert set(reader.envelope) == set(beside)


def test_a_list_deeper_down_and_values_beside_it() -> None:
    document = {"ok": True, "data": {"x": {"models": [0]}, "models": [{"id": "a"}], "n": 1}, "has_more": True}
    found, reader = read(json.dumps(document).encode(), 3, ("data", "models"))
    assert found == [{"id": "a"}]
    assert reader.envelope["has_more"] is True


def test_numbers_keep_the_text_that_was_sent() -> None:
    ((record,), _) = read(b'[{"a":0.10,"b":5e-07,"c":-1,"d":123456789012345678901234567890,"e":1E400}]', 1)
    assert record == {"a": "0.10", "b": "5e-07", "c": -1, "d": "123456789012345678901234567890", "e": "1E400"}
    assert {type(record[key]) for key in "abde"} == {NumberText}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "EMPTY_BODY"),
        (b" \n ", "EMPTY_BODY"),
        (b"<!doctype html><html>", "HTML"),
        (b"nothing to see", "NOT_JSON"),
        (b'"a text"', "NOT_JSON"),
        (b"42 ", "NOT_JSON"),
        (b"[", "TRUNCATED"),
        (b'[{"id":"a"},{"id":"b', "TRUNCATED"),
        (b'{"data":[{"id":"a"}]', "TRUNCATED"),
        (b'{"data":[{"id":"a"}],"has_m', "TRUNCATED"),
        (b"[1,]", "NOT_JSON"),
        (b"[1 2]", "NOT_JSON"),
        (b'{"data":[1],}', "NOT_JSON"),
        (b'[{"a":tru!}                                 ]', "NOT_JSON"),
        (b"[1] [2]", "NOT_JSON"),
        (b'{"error":{"message":"no"}}', "NO_LIST"),
        (b'{"data":{"id":"a"}}', "NO_LIST"),
        (b'{"data":null}', "NO_LIST"),
        (b"{}", "NO_LIST"),
        (b'["\xff\xfe"]', "NOT_UTF8"),
        (b'["\xc3', "NOT_UTF8"),
        (b"[" * 100_000, "NOT_JSON"),
    ],
)
def test_what_is_no_list_is_told_by_its_code(data: bytes, code: str, size: int) -> None:
    with pytest.raises(NotAList) as caught:
        read(data, max(size, len(data) // 500))
    assert caught.value.code == code


def test_a_byte_order_mark_is_no_fault() -> None:
    assert read(b"\xef\xbb\xbf[1,2]", 2)[0] == [1, 2]


def test_one_record_may_not_take_all_the_memory() -> None:
    with pytest.raises(NotAList) as caught:
        read(b'["' + b"x" * 20_000_000, 1_000_000)
    assert caught.value.code == "RECORD_TOO_LARGE"


def test_a_message_repeats_no_word_of_the_provider() -> None:
    with pytest.raises(NotAList) as caught:
        read(b'{"error":"Incorrect API key provided: sk-secret","sk-secret":1}')
    assert "error" in str(caught.value)
    assert "sk-secret" not in str(caught.value)
