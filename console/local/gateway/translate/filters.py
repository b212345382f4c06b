"""HTTPRoute filters as parts of an Envoy route ("HTTPRouteFilter", in Gateway API v1 and in Envoy Gateway)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from console.local.gateway.snapshot import ENVOY_GATEWAY, Object, Snapshot
from console.local.gateway.translate.matches import Match
from console.local.gateway.translate.reading import Node, Unfit, Unsupported, spec_of
from console.local.gateway.translate.replies import openai_error

_REDIRECTS = {
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}
_UNTOUCHABLE = ("host", "content-length", "transfer-encoding", "connection")
_LONGEST_ANSWER_BYTES = 3 * 1024  # Envoy takes 4 KiB, and OpenAI's form adds to it
_WELL_KNOWN_PORTS = {"http": 80, "https": 443}
ROUTE_NOT_FOUND = "route-not-found"
"""The rule that Envoy AI Gateway adds to each route of its own, and whose name it reserves."""


@dataclass(slots=True)
class Filtered:
    """What the filters of a rule make of it.

    route     fields of envoy.config.route.v3.Route: header changes
    action    fields of its RouteAction: rewrites. Those of a path depend on the match, hence a function of it
    answer    a redirect or a direct response instead of a forward, as the field of Route that it is
    """

    route: dict[str, Any] = field(default_factory=dict)
    action: dict[str, Any] = field(default_factory=dict)
    rewrite_path: Callable[[Match], dict[str, Any]] | None = None
    answer: Callable[[Match], dict[str, Any]] | None = None


def read_filters(rule: Node, route: Object, snapshot: Snapshot, *, listener_port: int, ai_generated: bool) -> Filtered:
    """The filters of a rule.

    Args:
        listener_port: where a redirect leads that names no port
        ai_generated: whether the route comes from an AIGatewayRoute, whose own 404 is answered in OpenAI's form
    """
    filtered = Filtered()
    seen: set[str] = set()
    for node in rule.nodes("filters"):
        kind = node.text("type")
        if kind in seen and kind != "ExtensionRef":
            raise Unfit(f"{node.at('type')}: {kind} is there twice")
        seen.add(kind)
        if kind == "RequestHeaderModifier":
            node.only("type", "requestHeaderModifier")
            filtered.route |= header_changes(node.node("requestHeaderModifier"), "request")
        elif kind == "ResponseHeaderModifier":
            node.only("type", "responseHeaderModifier")
            filtered.route |= header_changes(node.node("responseHeaderModifier"), "response")
        elif kind == "URLRewrite":
            node.only("type", "urlRewrite")
            _read_rewrite(node.node("urlRewrite"), filtered)
        elif kind == "RequestRedirect":
            node.only("type", "requestRedirect")
            filtered.answer = _redirect(node.node("requestRedirect"), listener_port)
        elif kind == "ExtensionRef":
            node.only("type", "extensionRef")
            _read_extension(node.node("extensionRef"), rule, route, snapshot, filtered, ai_generated=ai_generated)
        else:
            raise Unsupported(f"{node.at('type')} {kind} is not supported by the local gateway")
    if {"URLRewrite", "RequestRedirect"} <= seen:
        raise Unfit(f"{rule.at('filters')}: URLRewrite and RequestRedirect exclude each other")
    return filtered


def header_changes(node: Node, side: str) -> dict[str, Any]:
    """HTTPHeaderFilter as the header fields that routes and weighted clusters share; ``side``: request or response."""
    node.only("set", "add", "remove")
    added = [_addition(one, "OVERWRITE_IF_EXISTS_OR_ADD") for one in node.nodes("set")]
    added += [_addition(one, "APPEND_IF_EXISTS_OR_ADD") for one in node.nodes("add")]
    removed = node.header_names("remove")
    for name in [one["header"]["key"] for one in added] + removed:
        if name in _UNTOUCHABLE or name.startswith(":"):
            raise Unfit(f"{node.path}: the header {name} cannot be changed")
    fields: dict[str, Any] = {}
    if added:
        fields[f"{side}_headers_to_add"] = added
    if removed:
        fields[f"{side}_headers_to_remove"] = removed
    return fields


def _addition(node: Node, how: str) -> dict[str, Any]:
    node.only("name", "value")
    # Envoy formats what it adds; here a percent sign means itself.
    value = node.header_value().replace("%", "%%")
    return {"header": {"key": node.header_name(), "value": value}, "append_action": how, "keep_empty_value": True}


def _read_rewrite(node: Node, filtered: Filtered) -> None:
    node.only("hostname", "path")
    if node.has("hostname"):
        filtered.action["host_rewrite_literal"] = node.hostname("hostname")
    if node.has("path"):
        rewriting = _path_rewriting(node.node("path"))
        filtered.rewrite_path = lambda match: {"regex_rewrite": rewriting(match)}


def _path_rewriting(path: Node) -> Callable[[Match], dict[str, Any]]:
    """HTTPPathModifier as an envoy.type.matcher.v3.RegexMatchAndSubstitute, which leaves the query alone."""
    path.only("type", "replaceFullPath", "replacePrefixMatch")
    if path.choice("type", ("ReplaceFullPath", "ReplacePrefixMatch")) == "ReplaceFullPath":
        full = _substitution(_rewritten(path, "replaceFullPath"))
        return lambda _: _substitute("^.*$", full)
    prefix = _rewritten(path, "replacePrefixMatch").rstrip("/")

    def rewrite(match: Match) -> dict[str, Any]:
        if match.path_prefix is None:
            raise Unfit(f"{path.at('replacePrefixMatch')} needs a match of type PathPrefix")
        matched = "^" + re.escape(match.path_prefix)
        if not prefix:
            return _substitute(matched + "/*", "/")
        return _substitute(matched + "(/|$)", _substitution(prefix) + r"\1")

    return rewrite


def _rewritten(path: Node, name: str) -> str:
    value = path.text(name, "/")
    if not value.startswith("/") or "?" in value or "#" in value or any(ord(sign) <= 0x20 for sign in value):
        raise Unfit(f"{path.at(name)} {value!r} is not a path")
    return value


def _substitution(text: str) -> str:
    return text.replace("\\", "\\\\")


def _substitute(regex: str, substitution: str) -> dict[str, Any]:
    return {"pattern": {"regex": regex}, "substitution": substitution}


def _redirect(node: Node, listener_port: int) -> Callable[[Match], dict[str, Any]]:
    node.only("scheme", "hostname", "path", "port", "statusCode")
    status = node.number("statusCode", 302)
    if status not in _REDIRECTS:
        raise Unfit(f"{node.at('statusCode')} {status} is not a redirect")
    redirect: dict[str, Any] = {"response_code": _REDIRECTS[status]}
    scheme = node.choice("scheme", ("http", "https")) if node.has("scheme") else None
    if scheme is not None:
        redirect["scheme_redirect"] = scheme
    if node.has("hostname"):
        redirect["host_redirect"] = node.hostname("hostname")
    # Gateway API: the port of the scheme where one is named, else that of the listener. One that goes without saying
    # is left out, except where the Host header's own would stay otherwise.
    port = node.port("port") if node.has("port") else _WELL_KNOWN_PORTS.get(scheme or "", listener_port)
    unspoken = port == _WELL_KNOWN_PORTS[scheme or "http"]
    if not unspoken or (scheme is not None and not node.has("hostname")):
        redirect["port_redirect"] = port
    rewriting = _path_rewriting(node.node("path")) if node.has("path") else None

    def answer(match: Match) -> dict[str, Any]:
        path = {"regex_rewrite": rewriting(match)} if rewriting else {}
        return {"redirect": redirect | path}

    return answer


def _read_extension(
    ref: Node, rule: Node, route: Object, snapshot: Snapshot, filtered: Filtered, *, ai_generated: bool
) -> None:
    ref.only("group", "kind", "name")
    if (ref.text("group"), ref.text("kind")) != (ENVOY_GATEWAY, "HTTPRouteFilter"):
        raise Unsupported(f"{ref.path}: {ref.text('group')}/{ref.text('kind')} is not supported by the local gateway")
    namespace = route["metadata"].get("namespace") or ""
    found = snapshot.get("HTTPRouteFilter", namespace, ref.text("name"))
    if found is None:
        raise Unfit(f"{ref.path}: HTTPRouteFilter {namespace}/{ref.text('name')} not found")
    spec = spec_of(found)
    try:
        spec.only("urlRewrite", "directResponse")
        if spec.has("urlRewrite"):
            _read_host_rewrite(spec.node("urlRewrite"), filtered)
        if spec.has("directResponse"):
            own_404 = ai_generated and rule.raw("name") == ROUTE_NOT_FOUND
            filtered.answer = _direct_response(spec.node("directResponse"), in_openai_form=own_404)
    except Unfit as problem:
        raise type(problem)(f"{ref.path}: HTTPRouteFilter {namespace}/{ref.text('name')}: {problem}") from None


def _read_host_rewrite(node: Node, filtered: Filtered) -> None:
    node.only("hostname")
    hostname = node.node("hostname")
    hostname.only("type", "header")
    if hostname.choice("type", ("Backend", "Header")) == "Backend":
        filtered.action["auto_host_rewrite"] = True
    else:
        filtered.action["host_rewrite_header"] = hostname.header_name("header")


def _direct_response(node: Node, *, in_openai_form: bool) -> Callable[[Match], dict[str, Any]]:
    node.only("contentType", "statusCode", "body")
    body = node.node("body")
    body.only("type", "inline")
    body.choice("type", ("Inline",), "Inline")
    status = node.number("statusCode", 200, least=200, most=599)
    text = body.text("inline", "")
    if len(text.encode()) > _LONGEST_ANSWER_BYTES:
        raise Unfit(f"{body.at('inline')} is longer than {_LONGEST_ANSWER_BYTES} bytes")
    content_type = node.header_value("contentType") if node.has("contentType") else None
    if in_openai_form:
        text = json.dumps(openai_error(status, text, code="model_not_found"))
        content_type = "application/json"
    return lambda _: direct_response(status, text, content_type)


def direct_response(status: int, text: str, content_type: str | None) -> dict[str, Any]:
    """An answer of Envoy's own, as fields of a Route."""
    fields: dict[str, Any] = {"direct_response": {"status": status}}
    if text:
        fields["direct_response"]["body"] = {"inline_string": text}
    if content_type is not None:
        header = {"key": "content-type", "value": content_type.replace("%", "%%")}
        fields["response_headers_to_add"] = [{"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]
    return fields
