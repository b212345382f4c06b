"""What an answer has cost: the part of Envoy AI Gateway that reads the usage from answers, as a small Lua script.

json_to_metadata holds an answer back until it is whole, and refuses one beyond the buffer limit (a list of embeddings
is); none of Envoy's filters can say that a usage is not known. The script reads answers as they pass by.
"""

from __future__ import annotations

import re
from typing import Any

from console.local.gateway.translate.extraction import EXTRACT_FILTER, lua_filter, script
from console.local.gateway.translate.reading import Node, Unfit

METADATA = "io.envoy.ai_gateway"
METER_FILTER = "meter"
_TYPE = "type.googleapis.com/envoy."
_COST_TYPES = {"InputToken": "input", "OutputToken": "output", "TotalToken": "total"}
_USUAL = {"llm_input_token": "input", "llm_output_token": "output", "llm_total_token": "total"}
"""What is noted for every answer that tells it."""
_COST_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")


def read_costs(spec: Node) -> dict[str, str]:
    """``llmRequestCosts`` of an AIGatewayRoute: under which key ``input``, ``output`` or ``total`` is noted.

    Raises:
        Unfit: it asks for tokens of another kind.
    """
    costs: dict[str, str] = {}
    for one in spec.nodes("llmRequestCosts"):
        one.only("metadataKey", "type")
        key = one.text("metadataKey")
        if not _COST_KEY.fullmatch(key):
            raise Unfit(f"{one.at('metadataKey')} {key!r} is not a name")
        costs[key] = _COST_TYPES[one.choice("type", tuple(_COST_TYPES))]
    return costs


def meter_filter() -> dict[str, Any]:
    """envoy.extensions.filters.http.lua.v3.Lua, for the routes that ask for it."""
    return lua_filter(METER_FILTER, {"source_codes": {METER_FILTER: {"inline_string": script("meter")}}})


def meter_settings(costs: dict[str, str]) -> dict[str, Any]:
    """envoy.extensions.filters.http.lua.v3.LuaPerRoute of a route; ``costs`` as `read_costs` gives them."""
    others = {key: kind for key, kind in costs.items() if _USUAL.get(key) != kind}
    return {
        "@type": _TYPE + "extensions.filters.http.lua.v3.LuaPerRoute",
        "name": METER_FILTER,
        "filter_context": {"costs": others} if others else {},
    }


def metering_metadata(*, ask: bool) -> dict[str, Any]:
    """The metadata of a route whose answers are metered, by filter: for the access log and the scripts.

    Args:
        ask: let upstreams tell the usage of streams, as nobody could be charged for it else
    """
    told: dict[str, Any] = {METADATA: {"metered": True}}
    if ask:
        told[EXTRACT_FILTER] = {"asks_for_usage": True}
    return told


def unpackable() -> dict[str, Any]:
    """envoy.config.core.v3.HeaderValueOption: what this gateway cannot unpack, it could not meter."""
    return {"header": {"key": "accept-encoding", "value": "gzip"}, "append_action": "OVERWRITE_IF_EXISTS"}


def decompress_filter() -> dict[str, Any]:
    """envoy.extensions.filters.http.decompressor.v3.Decompressor, skipped for requests that name no model."""
    library = {"@type": _TYPE + "extensions.compression.gzip.decompressor.v3.Gzip"}
    never = {"default_value": False, "runtime_key": "modeldeck.decompress_requests"}
    decompressor = {
        "@type": _TYPE + "extensions.filters.http.decompressor.v3.Decompressor",
        "decompressor_library": {"name": "gzip", "typed_config": library},
        "request_direction_config": {"common_config": {"enabled": never}},
        "response_direction_config": {},
    }
    header = {
        "input": {
            "name": "model",
            "typed_config": {
                "@type": _TYPE + "type.matcher.v3.HttpRequestHeaderMatchInput",
                "header_name": "x-ai-eg-model",
            },
        },
        "value_match": {"safe_regex": {"google_re2": {}, "regex": ".+"}},
    }
    skip = {"@type": _TYPE + "extensions.filters.common.matcher.action.v3.SkipFilter"}
    unless_a_model = {
        "predicate": {"not_matcher": {"single_predicate": header}},
        "on_match": {"action": {"name": "skip", "typed_config": skip}},
    }
    return {
        "name": "decompress",
        "typed_config": {
            "@type": _TYPE + "extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {"name": "decompressor", "typed_config": decompressor},
            "xds_matcher": {"matcher_list": {"matchers": [unless_a_model]}},
        },
    }
