"""What a descriptor says, and that nobody but the gateway can say it."""

from __future__ import annotations

import pytest

from console.limits.descriptors import Limit, constant_entries, counter_key, described, limit_of, read_limit


@pytest.mark.parametrize("limit", [Limit(0, "second"), Limit(100, "hour"), Limit(5, "day", charge=True)])
def test_a_limit_is_read_as_it_was_written(limit: Limit) -> None:
    assert read_limit(str(limit)) == limit


@pytest.mark.parametrize("text", ["", "100", "x/hour", "-1/hour", "1/fortnight", "1/hour/free", "١/hour"])
def test_anything_else_is_no_limit(text: str) -> None:
    assert read_limit(text) is None


def test_only_the_first_entry_is_a_limit() -> None:
    assert limit_of((("bucket", "b"), ("limit", "1/hour"))) is None
    assert limit_of(()) is None


def test_a_counter_outlives_its_number_but_not_what_it_counts() -> None:
    def key(limit: Limit, bucket: str = "b", counts: str = "requests", value: str = "v") -> str:
        entries = (*constant_entries(limit, bucket, counts=counts, by=("x-key",)), ("value0", value))
        return counter_key("d", entries, limit.unit)

    hour = key(Limit(1, "hour"))
    assert key(Limit(2, "hour")) == key(Limit(1, "hour", charge=True)) == hour
    others = {
        key(Limit(1, "day")),
        key(Limit(1, "hour"), "c"),
        key(Limit(1, "hour"), counts="t"),
        key(Limit(1, "hour"), value="w"),
    }
    assert len(others | {hour}) == 5
    assert "v" not in hour.removeprefix("modeldeck:limits:").partition(":")[0].strip("0123456789abcdef")


def test_values_cannot_run_into_each_other() -> None:
    assert counter_key("d", (("a", "1|1:b1:2"),), "day") != counter_key("d", (("a", "1"), ("b", "2")), "day")


def test_a_limit_in_words_is_fit_for_a_header() -> None:
    limit = Limit(5, "day")
    entries = constant_entries(limit, "b", counts="llm_total_token", by=("x-modeldeck-key-id", "x-modeldeck-tenant"))
    assert described(entries, limit) == ("tokens per day", "this key and this tenant")
    assert described((("by", 'x"\r\nset-cookie: a'),), limit) == ("requests per day", "this xset-cookiea")
    assert described((), limit)[1] == "everybody"
