"""Which names are the same model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.catalog.identity import author_of, canonical_key, family_of


@pytest.mark.parametrize(
    "native_id",
    [
        "meta-llama/llama-3.3-70b-instruct",
        "meta-llama/Llama-3.3-70B-Instruct",
        "meta-llama/llama-3.3-70b-instruct:free",
        "accounts/fireworks/models/llama_3_3_70b_instruct",
        "llama-3.3-70b-instruct",
    ],
)
def test_the_same_model_has_one_key_at_every_provider(native_id: str) -> None:
    assert canonical_key(native_id) == "llama-3-3-70b-instruct"


def test_another_product_has_another_key() -> None:
    assert canonical_key("meta-llama/Llama-3.3-70B-Instruct-Turbo") != canonical_key(
        "meta-llama/Llama-3.3-70B-Instruct"
    )


@given(st.text(min_size=1))
def test_every_id_has_a_key_that_is_its_own_key(native_id: str) -> None:
    key = canonical_key(native_id)
    assert key
    if key != native_id:
        assert canonical_key(key) == key


def test_authors_and_families() -> None:
    assert author_of("qwen/qwen3") == "qwen"
    assert author_of("~openai/gpt-mini-latest") == "openai"
    assert author_of("gpt-4o") is None
    assert family_of("qwen3-coder") == "qwen"
    assert family_of("o3-mini") is None  # a single letter would throw unlike models together
