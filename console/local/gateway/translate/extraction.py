"""Model extraction: the part of Envoy AI Gateway that this Envoy plays itself, in two small Lua scripts.

Of what Envoy 1.40 offers (gateway.md §3.2–3.6) none tells a malformed body from one that names two models, reads a
body without a content type, and keeps to the buffer limit: json_to_metadata takes the last of two models, transform
cannot say why it found none, ai_protocol_manager lets any size pass. The script tells all of that.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

EXTRACT_FILTER = "extract"
OVERRIDE_FILTER = "override"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3."


@cache
def script(*names: str) -> str:
    """A script of several parts, with what all share before them: Envoy's Lua has no modules."""
    return "\n".join(part(name) for name in ("scan", *names))


def part(name: str) -> str:
    return (Path(__file__).parent / f"{name}.lua").read_text("utf-8")


def extract_filter(more: str = "") -> dict[str, Any]:
    """envoy.extensions.filters.http.lua.v3.Lua, for every request. It clears the route cache only when it must.

    Args:
        more: of the same script. A filter of its own for it would cost each request twice as much as what it does.
    """
    source = {"inline_string": f"{script('ask', 'extract')}\n{more}"}
    return lua_filter(EXTRACT_FILTER, {"default_source_code": source})


def override_filter() -> dict[str, Any]:
    """The same, for the backends that ask for it: without a script by default, it costs nothing."""
    source = {"inline_string": script("model", "override")}
    return lua_filter(OVERRIDE_FILTER, {"source_codes": {OVERRIDE_FILTER: source}})


def lua_filter(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """envoy.extensions.filters.http.lua.v3.Lua."""
    return {"name": name, "typed_config": {"@type": _TYPE + "Lua", "clear_route_cache": False, **fields}}


def override_settings(model: str | None, prefix: str | None) -> dict[str, Any]:
    """envoy.extensions.filters.http.lua.v3.LuaPerRoute of a backend; the model as it is written into the body."""
    context: dict[str, Any] = {}
    if model is not None:
        context["model"] = json.dumps(model, ensure_ascii=False)
    if prefix is not None:
        context["prefix"] = prefix
    return {"@type": _TYPE + "LuaPerRoute", "name": OVERRIDE_FILTER, "filter_context": context}
