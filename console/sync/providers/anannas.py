"""Anannas: ``{data: […]}``, USD per token as text, capabilities as a list of words.

Source: https://docs.anannas.ai/models. A price of 0 has no mark that would make it free.
"""

from __future__ import annotations

from console.catalog.prices import USD_PER_REQUEST, USD_PER_TOKEN
from console.catalog.types import PriceKind
from console.sync.providers.base import Auth, Fields, Listed, PriceField, ProviderSpec

SPEC = ProviderSpec(
    slug="anannas",
    name="Anannas",
    description="One API in front of many providers",
    base_url="https://api.anannas.ai/v1",
    list_path="/models",
    api_url="https://api.anannas.ai/v1",
    site_url="https://anannas.ai",
    auth=Auth("ANANNAS_API_KEY"),
    fields=Fields(
        id=("id",),
        name=("name",),
        author=("provider",),
        description=("description",),
        context_tokens=("context_length", "context_window"),
        max_output_tokens=("max_output",),
    ),
    prices={
        PriceKind.INPUT: PriceField("pricing.prompt", USD_PER_TOKEN),
        PriceKind.OUTPUT: PriceField("pricing.completion", USD_PER_TOKEN),
        PriceKind.REQUEST: PriceField("pricing.request", USD_PER_REQUEST),
    },
    model_capabilities={
        "streaming": Listed("capabilities", ("streaming",), complete=False),
        "tools": Listed("capabilities", ("tool_calling",), complete=False),
        "json_mode": Listed("capabilities", ("json_mode",), complete=False),
        "reasoning": Listed("capabilities", ("reasoning",), complete=False),
    },
    capabilities=("streaming", "tools", "vision", "json_mode", "reasoning"),
)
