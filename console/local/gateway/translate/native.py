"""Keys that the gateway checks by itself: no authorizer is asked about what its own table says yes to.

The authorizer writes what it would allow into a table of digests (console/access/table.py); the script that finds the
model looks the presented key up in it. Where it finds a certain yes it sets the headers that the authorizer would have
set, and the gate is passed by. Everything else is the authorizer's as ever, so its answers are the only refusals.

A SecurityPolicy asks for it by an annotation. A gateway that does not know the annotation asks the authorizer about
every request: it is slower there, and no more open.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from console.access.table import USES_FILE
from console.local.gateway.translate.extraction import EXTRACT_FILTER, part

ANNOTATION = "modeldeck.dev/access"
NATIVE = "native"
_METADATA = "modeldeck.native"
_DECIDES = "/authz"
_DECIDES_FOR_MODEL = "/authz/model/"


def checking(table: Path) -> str:
    """A script that checks keys of the routes that ask for it; it follows that of the model's extraction."""
    return f"local DIRECTORY = {_lua_text(str(table))}\n{part('sha256')}\n{part('native')}"


def native_metadata(path: str, headers: Iterable[str]) -> dict[str, Any] | None:
    """The metadata of a route that asks for it, by filter; None where the authorizer's path is another's.

    Args:
        path: under which the authorizer would be asked; it names the model that a route stands for
        headers: those of the authorizer's that the route passes on
    """
    told: dict[str, Any] = {"headers": f",{','.join(name.lower() for name in headers)},"}
    if path.startswith(_DECIDES_FOR_MODEL):
        told["model"] = unquote(path[len(_DECIDES_FOR_MODEL) :])
    elif path != _DECIDES:
        return None
    return {EXTRACT_FILTER: {"native": told}}


def unless_allowed() -> dict[str, Any]:
    """envoy.type.matcher.v3.MetadataMatcher: whether a gate still has to ask."""
    return {
        "filter": _METADATA,
        "path": [{"key": "use"}],
        "value": {"present_match": True},
        "invert": True,
    }


def uses_log(table: Path) -> dict[str, Any]:
    """envoy.config.accesslog.v3.AccessLog: what passed without a question, for the authorizer to count."""
    line = f"%DYNAMIC_METADATA({_METADATA}:use)%\t%REQ(X-FORWARDED-FOR)%\n"
    passed = {"matcher": unless_allowed() | {"invert": False}, "match_if_key_not_found": False}
    log = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": str(table / USES_FILE),
        "log_format": {"text_format_source": {"inline_string": line}},
    }
    return {"name": "uses", "filter": {"metadata_filter": passed}, "typed_config": log}


def _lua_text(text: str) -> str:
    """A string of Lua's, whatever is in it."""
    return '"' + "".join(f"\\{byte:03d}" for byte in text.encode()) + '"'
