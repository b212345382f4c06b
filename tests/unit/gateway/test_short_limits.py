"""Which limits Envoy counts by itself, and that what they cost there is the number that was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from console.limits.descriptors import Limit as CountedLimit
from console.local.gateway.translate.global_limits import Cost, GlobalLimit
from console.local.gateway.translate.limits import Limit
from console.local.gateway.translate.short_limits import in_envoy, short_limits_filter, short_limits_metadata

KEY, MODEL = "x-modeldeck-key-id", "x-modeldeck-model"
CONDITION = ({"expect": True, "matcher": {"name": "x"}},)


def shared(requests: int, unit: str = "minute", header: str = KEY, **more: Any) -> GlobalLimit:
    known: dict[str, Any] = {"shared": "", "which": "", "conditions": (), "request": Cost(), "response": None}
    return GlobalLimit(CountedLimit(requests, unit), distinct=(header,) if header else (), **known | more)


@pytest.mark.parametrize("number", [1, 2, 3, 7, 99, 1000, 30_000, 31_000])
def test_so_many_fit_into_a_bucket_and_not_one_more(number: int) -> None:
    for header in ((), (KEY,)):
        ((limit,), *_) = in_envoy([Limit(0, number, 60, header)], (), alone=True)
        assert limit.slot.capacity // limit.cost == number
        assert limit.slot.capacity - limit.cost * number >= 16, "for what floating numbers lack"
        assert limit.cost <= 1_000_000_000, "Envoy takes no more"


def test_a_greater_number_is_held_to_a_thousandth() -> None:
    for number in (33_333, 123_457, 999_983):
        ((limit,), *_) = in_envoy([Limit(0, number, 60)], (), alone=True)
        assert 0 <= limit.slot.capacity / limit.cost - number <= number / 500


def test_what_has_no_slot_is_left_to_others() -> None:
    hour, odd, condition = Limit(0, 5, 3600), Limit(1, 5, 60, ("x-other",)), Limit(2, 5, 60, (), CONDITION)
    first, second = Limit(3, 5, 60, (KEY,)), Limit(4, 6, 60, (KEY,))
    short, rest, _ = in_envoy([hour, odd, condition, first, second], (), alone=False)
    assert [(one.slot.name, one.requests) for one in short] == [(f"minute-{KEY}", 5)]
    assert rest == (hour, odd, condition, second)


def test_what_gateways_share_is_counted_here_only_where_no_other_is() -> None:
    plain = [shared(5), shared(9, "second"), shared(3, header=MODEL)]
    others = [
        shared(5, "hour"),
        shared(0, "second", header=""),
        shared(5, header="", shared="policy a/b"),
        shared(5, header="", request=Cost(2)),
        shared(5, header="", which="0a1b", conditions=CONDITION),
        shared(5, "second", header="", response=Cost(0, "n", "k")),
        shared(6),
    ]
    short, _, rest = in_envoy((), [*plain, *others], alone=True)
    assert ([one.requests for one in short], rest) == ([5, 9, 3], tuple(others))
    assert in_envoy((), plain, alone=False) == ((), (), tuple(plain))


def test_the_filter_knows_no_number_and_its_slots_are_told_apart() -> None:
    made = short_limits_filter()["typed_config"]
    capacities = [one["token_bucket"]["max_tokens"] for one in made["descriptors"]]
    assert len(set(capacities)) == len(capacities) == len(made["rate_limits"]) == 8
    for number in (5, 6):
        short, *_ = in_envoy([Limit(0, number, 60)], (), alone=False)
        (told,) = short_limits_metadata(short, "a/b/0").values()
        assert told["minute-everybody"]["bucket"] == "a/b/0", "the bucket outlives the number"
