"""From what an operator wrote to checked values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.actions import REGISTRY
from console.actions.parameters import checked, duration
from console.actions.registry import Action, Kind, Parameter
from console.outcome import Refusal

ACTION = Action(
    "test",
    "Test",
    "nowhere:nothing",
    (
        Parameter("name", "a name", positional=True, required=True),
        Parameter("count", "a number", Kind.INTEGER, minimum=1, default=3),
        Parameter("model", "models", many=True),
        Parameter("grace", "a time", Kind.DURATION, default=900),
        Parameter("kind", "a kind", Kind.CHOICE, choices=("client", "admin"), default="client"),
        Parameter("all", "all of them", Kind.FLAG, default=False),
    ),
)


def test_defaults_fill_what_is_not_given() -> None:
    assert checked(ACTION, {"name": "n"}) == {
        "name": "n",
        "count": 3,
        "model": (),
        "grace": 900,
        "kind": "client",
        "all": False,
    }


def test_text_becomes_what_the_kind_says() -> None:
    given_ = {"name": "n", "count": "7", "model": ("a", "b"), "grace": "1h30m", "kind": "admin", "all": True}
    assert checked(ACTION, given_) == {
        "name": "n",
        "count": 7,
        "model": ("a", "b"),
        "grace": 5400,
        "kind": "admin",
        "all": True,
    }
    assert checked(ACTION, {"name": "n", "model": "one"})["model"] == ("one",)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({}, "needs name"),
        ({"name": ""}, "needs name"),
        ({"name": "n", "kount": 1}, "did you mean count"),
        ({"name": "n", "count": "many"}, "whole number"),
        ({"name": "n", "count": True}, "at least|whole number"),
        ({"name": "n", "count": 0}, "at least 1"),
        ({"name": "n", "grace": "soon"}, "duration"),
        ({"name": "n", "grace": "-5m"}, "duration"),
        ({"name": "n", "kind": "clint"}, "did you mean client"),
        ({"name": "n", "kind": []}, "one value, and no list"),
        ({"name": "n", "all": "yes"}, "yes or no"),
        ({"name": "x" * 2000}, "2000 characters"),
        ({"name": "a\x1b[31m"}, "cannot be printed"),
        ({"name": "a\u202eb"}, "cannot be printed"),
    ],
)
def test_what_is_wrong_is_named(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal, match=said) as refusal:
        checked(ACTION, given_)
    assert refusal.value.code == "INVALID_PARAMETER"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("7d", 604_800), (" 2H ", 7200)],
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@given(st.dictionaries(st.sampled_from(["name", "count", "model", "grace", "kind", "all", "x"]), st.text(max_size=30)))
def test_nothing_that_is_sent_crashes_it(given_: dict[str, str]) -> None:
    try:
        values = checked(ACTION, given_)
    except Refusal:
        return
    assert isinstance(values["count"], int)
    assert values["count"] >= 1
    assert isinstance(values["grace"], int)
    assert values["grace"] >= 0


def test_every_action_can_be_loaded_and_its_target_is_one_of_its_parameters() -> None:
    for action in REGISTRY:
        assert callable(action.load()), action.id
        names = [parameter.name for parameter in action.parameters]
        assert len(set(names)) == len(names)
        assert action.target is None or action.target in names, action.id
        for parameter in action.parameters:
            if parameter.default is not None and not parameter.many:
                assert checked(Action("x", "x", "x:x", (parameter,)), {})[parameter.name] == parameter.default
