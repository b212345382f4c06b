"""Models, their details and their offers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from console.catalog.completion import Vocabulary
from console.catalog.index import Row
from console.outcome import Ending, Outcome
from tests.support.console import NOW
from tests.support.world.common import moment


def _row(
    number: int,
    provider: str,
    native_id: str,
    context: int | None,
    prices: tuple[float | None, float | None],
    *,
    state: str = "known",
    can: str = "",
    hours: float = 50,
    **more: Any,
) -> Row:
    femto = [None if price is None else int(price * 10**9) for price in prices]
    author, slash, _ = native_id.partition("/")
    values = {
        "id": number,
        "provider": provider,
        "native_id": native_id,
        "canonical_key": native_id.rpartition("/")[2].casefold().replace(".", "-"),
        "name": native_id,
        "author": author if slash else None,
        "family": None,
        "kind": "chat",
        "context_tokens": context,
        "max_output_tokens": None,
        "input_modalities": '["text"]',
        "output_modalities": '["text"]',
        "streaming": True,
        "tools": "f" in can,
        "vision": "v" in can,
        "json_mode": None,
        "reasoning": "r" in can,
        "deprecated": False,
        "price_state": state,
        "price_in": femto[0],
        "price_out": femto[1],
        "price_image": None,
        "changed_at": int((NOW - timedelta(hours=hours)).timestamp() * 1e6),
        "missing": False,
        "retired": False,
        "hidden": False,
        "pinned": False,
    }
    return Row(**(values | more))


MODELS = (
    _row(1, "deepinfra", "meta-llama/Llama-3.1-8B-Instruct", 131_072, (0.02, 0.05), can="f"),
    _row(2, "deepinfra", "meta-llama/Llama-3.1-8B-Instruct-Turbo", 131_072, (0.02, 0.03), can="f", hours=3),
    _row(3, "deepinfra", "meta-llama/Llama-3.3-70B-Instruct", 131_072, (0.10, 0.32), can="f"),
    _row(4, "deepinfra", "Qwen/Qwen2.5-VL-72B-Instruct", 128_000, (0.25, 0.75), can="fv"),
    _row(5, "groq", "llama-3.3-70b-versatile", 131_072, (0.59, 0.79), can="f"),
    _row(6, "groq", "allam-2-7b", 4_096, (None, None), state="unknown"),
    _row(7, "openrouter", "anthropic/claude-sonnet-4.5", 1_000_000, (3.0, 15.0), can="fvr"),
    _row(8, "openrouter", "meta-llama/llama-3.1-8b-instruct", 131_072, (0.02, 0.03), can="f"),
    _row(9, "openrouter", "openrouter/auto", 2_000_000, (None, None), state="dynamic", can="f"),
    _row(10, "openrouter", "deepseek/deepseek-r1:free", 163_840, (0, 0), state="free", can="r"),
    _row(11, "openrouter", "openai/gpt-4.1-nano", 1_047_576, (0.1, 0.4), can="fv"),
    _row(12, "together", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", 131_072, (0.18, 0.18), can="f", pinned=True),
    _row(13, "together", "mistralai/Mixtral-8x7B-Instruct-v0.1", 32_768, (0.6, 0.6), missing=True, hours=0.2),
    _row(14, "together", "Qwen/Qwen2-72B-Instruct", 32_768, (0.9, 0.9), deprecated=True),
    _row(15, "together", "meta-llama/Llama-2-7b-chat-hf\x1b[31m", 4_096, (0.2, 0.2), retired=True),
)
VOCABULARY = Vocabulary(("deepinfra", "groq", "openrouter", "together"), ("meta-llama", "qwen"), (), ("chat",), ())


def _model(row: Row) -> dict[str, Any]:
    prices = {"input": row.price_in, "output": row.price_out}
    shown = {kind: None if femto is None else f"{femto / 10**9:g}" for kind, femto in prices.items()}
    return {
        "id": f"{row.provider}/{row.native_id}",
        "number": row.id,
        "name": row.name,
        "provider": row.provider,
        "kind": row.kind,
        "context": row.context_tokens,
        **shown,
        "price_state": row.price_state,
        **{name: getattr(row, name) for name in ("streaming", "tools", "vision", "json_mode", "reasoning")},
    }


def show_model(values: Mapping[str, Any]) -> Outcome:
    row = next(row for row in MODELS if f"{row.provider}/{row.native_id}" == values["model"])
    model = _model(row)
    known = {
        kind: {
            "state": row.price_state,
            "per": "token",
            "usd": None if model[kind] is None else f"{float(model[kind]) / 1e6:.8f}",
            "raw": None if model[kind] is None else f"{float(model[kind]) / 1e4:g}",
            "raw_unit": "cents/token",
            "source": "provider",
        }
        for kind in ("input", "output")
    }
    return Outcome(
        Ending.DONE,
        "a model",
        data=model
        | {
            "native_id": row.native_id,
            "canonical_key": row.canonical_key,
            "author": row.author,
            "family": row.family,
            "description": f"{row.name}, served by {row.provider}.",
            "max_output": 16_384,
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "deprecated": row.deprecated,
            "retires_at": None,
            "replaced_by": None,
            "released_at": None,
            "facts": {},
            "prices": known,
            "first_seen_at": moment(days=80),
            "changed_at": moment(days=2, hours=2),
            "last_seen_at": None,
            "missing_runs": 0,
            "retired_at": None,
            "hidden": False,
            "pinned": row.pinned,
            "note": "cheapest of the small ones" if row.id == 1 else "",
        },
    )


def compare_model(values: Mapping[str, Any]) -> Outcome:
    same = (1, 8, 12) if "8B" in values["model"] or "8b" in values["model"] else ()
    return Outcome(Ending.DONE, "offers", data=[_model(row) for row in MODELS if row.id in same])
