"""AIMO: ``{data: […]}``; a model is called ``<public key of who serves it>:<name>``, and has a price for each of them.

Source: reference/originals.md §2.1. In which unit the prices are is written nowhere: they are kept as they are sent,
and count as unknown. The first of several that serve a model is the one that is listed.
"""

from __future__ import annotations

from console.catalog import prices
from console.catalog.prices import PriceUnit
from console.catalog.types import Per, PriceKind
from console.sync.providers.base import (
    Auth,
    Draft,
    Fields,
    ProviderSpec,
    Record,
    RecordRefused,
    kind_by_what_comes_out,
    value_at,
)

_UNDOCUMENTED = PriceUnit("not documented", Per.TOKEN, 0)
_PRICES = {PriceKind.INPUT: "pricing.prompt", PriceKind.OUTPUT: "pricing.completion"}


def _by_whom_it_is_served(record: Record, draft: Draft) -> None:
    serving = record.get("providers")
    first = serving[0] if isinstance(serving, list) and serving else None
    if not isinstance(first, dict):
        raise RecordRefused("nobody serves it")
    key = first.get("id")
    if not isinstance(key, str) or not key.isalnum() or len(key) > 100:
        raise RecordRefused("who serves it has no usable public key")
    draft.named = draft.native_id
    draft.native_id = f"{key}:{draft.native_id}"
    for kind, path in _PRICES.items():
        raw = value_at(first, path)
        if isinstance(raw, (str, int)) and not isinstance(raw, bool) and raw != "":
            draft.prices[kind] = prices.unknown(kind, raw, _UNDOCUMENTED)
    kind_by_what_comes_out(record, draft)


SPEC = ProviderSpec(
    slug="aimo",
    name="AIMO",
    description="Models that a network of providers serves",
    base_url="https://beta.aimo.network/api/v1",
    list_path="/models",
    api_url="https://beta.aimo.network/api/v1",
    site_url="https://aimo.network",
    auth=Auth("AIMO_API_KEY", required=False),
    fields=Fields(
        id=("name",),
        name=("display_name",),
        context_tokens=("context_length",),
        input_modalities=("architecture.input_modalities",),
        output_modalities=("architecture.output_modalities",),
        released_at=("created",),
    ),
    capabilities=("streaming",),
    odd=_by_whom_it_is_served,
)
