"""The texts of keys: what is told of one by looking at it alone."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.access.forms import PATTERN, holds_key, is_key_text, mistyped, with_checksum
from console.actions import REGISTRY
from console.actions.parameters import checked
from console.keys.mint import new_key_text
from console.keys.types import KeyForm, KeyKind
from console.outcome import Refusal
from console.terminal.redaction import HIDDEN, without_keys

FIXED = "mdk_client_0000000000000000000000000000000000000000000_38h12c"
"""32 bytes of nothing: the form is a contract with scanners, and does not change."""


def test_the_form_is_fixed() -> None:
    assert with_checksum("mdk_client_", bytes(32)) == FIXED
    assert len(with_checksum("mdk_client_", b"\xff" * 32)) == len(FIXED)
    assert re.fullmatch(PATTERN, FIXED)


@pytest.mark.parametrize("kind", KeyKind)
def test_a_new_key_of_either_kind_is_well_formed_and_no_other_form_is_judged(kind: KeyKind) -> None:
    text = new_key_text(kind, KeyForm.MDK)
    assert text.startswith(f"mdk_{kind.value}_")
    assert not mistyped(text)
    for other in (new_key_text(kind), "sk-1234", "regular", ""):
        assert not mistyped(other)
    assert is_key_text(text)
    assert is_key_text(new_key_text(kind))
    assert not is_key_text("kcrrjt")
    assert not is_key_text("0" * 64)


@given(st.binary(min_size=32, max_size=32), st.data())
def test_a_wrong_letter_two_that_changed_places_and_a_missing_one_are_seen(secret: bytes, data: st.DataObject) -> None:
    text = with_checksum("mdk_client_", secret)
    at = data.draw(st.integers(4, len(text) - 2))
    letter = data.draw(st.sampled_from("0Ozl1IA"))
    wrong = {
        text[:at] + letter + text[at + 1 :],
        text[:at] + text[at + 1] + text[at] + text[at + 2 :],
        text[:at] + text[at + 1 :],
        text.replace("client", "admin"),
    } - {text}
    assert all(mistyped(one) for one in wrong)


def test_the_checksum_is_the_crc_of_all_that_stands_before_it() -> None:
    before, _, checksum = FIXED.rpartition("_")
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number = 0
    for digit in checksum:
        number = number * 62 + digits.index(digit)
    assert number == zlib.crc32(before.encode())


@pytest.mark.parametrize("form", list(KeyForm))
def test_no_parameter_of_an_action_takes_the_text_of_a_key(form: KeyForm) -> None:
    text = new_key_text(KeyKind.CLIENT, form)
    for action, name in (("keys.revoke", "key"), ("keys.create", "name"), ("keys.find", "digest")):
        values = {"tenant": "acme"} if action == "keys.create" else {}
        with pytest.raises(Refusal, match="does not belong on a command line") as refused:
            checked(REGISTRY[action], values | {name: f" {text}"})
        assert text not in str(refused.value.outcome().as_json())
    checked(REGISTRY["keys.create"], {"name": "mdk_web", "tenant": "acme"})


HELD = with_checksum("mdk_client_", b"7" * 32)
BUD = "bud_admin_" + "x1-_" * 10


@pytest.mark.parametrize(
    "text",
    [HELD, BUD, f"x{HELD}", f"x{BUD}", f"for the team; key={BUD}", f"'{HELD}'", "sk-proj-1234567890abcdefghij",
     "sk-0123456789abcdef0123456789abcdef", "old: gsk_" + "aB3" * 17, "hf_" + "aBc" * 12, "xai-" + "Ab9" * 26],
)  # fmt: skip
def test_a_text_that_holds_a_key(text: str) -> None:
    assert holds_key(text)
    assert HIDDEN in without_keys(text)


@pytest.mark.parametrize(
    "text",
    ["chat", "xai-grok-4-fast-non-reasoning", "xai/grok-2-vision-1212", "hf_hub-models-for-2026", "sk-learn-2",
     "a note on bud_client keys and mdk_client_ ones", "gsk_", ""],
)  # fmt: skip
def test_a_text_that_holds_none(text: str) -> None:
    assert not holds_key(text)
    assert without_keys(text) == text
