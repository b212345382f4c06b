"""HTTPRoute matches as Envoy's, and the order in which they are tried (Gateway API v1, "HTTPRouteRule", precedence)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from console.local.gateway.translate.reading import Node, Unfit

_PATH_RANKS = {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}
"""Exact before a prefix; where a regular expression stands is the implementation's to say: Envoy Gateway's place."""
_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*")
_BAD_PATH_PARTS = ("//", "/./", "/../", "%2f", "%2F", "#")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")


@dataclass(frozen=True, slots=True)
class Match:
    """One match of a rule.

    envoy        an envoy.config.route.v3.RouteMatch
    precedence   sorts earlier what is to be tried earlier
    path_prefix  the prefix without its last slash where the match is a PathPrefix, for ReplacePrefixMatch
    """

    envoy: dict[str, Any]
    precedence: tuple[int, int, int, int, int]
    path_prefix: str | None


def read_matches(rule: Node) -> list[Match]:
    """The matches of a rule; a rule without any matches every path."""
    nodes = rule.nodes("matches") or [Node({}, rule.at("matches[0]"))]
    return [_read_match(node) for node in nodes]


def _read_match(node: Node) -> Match:
    node.only("path", "headers", "queryParams", "method")
    path = node.node("path")
    path.only("type", "value")
    kind = path.choice("type", tuple(_PATH_RANKS), "PathPrefix")
    value = path.text("value", "/")
    envoy, prefix = _path_match(path, kind, value)
    headers = _first_of_each([_header_match(one) for one in node.nodes("headers")])
    query = _first_of_each([_query_match(one) for one in node.nodes("queryParams")])
    method = node.maybe_text("method")
    matched_headers = list(headers)
    if method is not None:
        if method not in _METHODS:
            raise Unfit(f"{node.at('method')} {method!r} is not an HTTP method")
        matched_headers.append({"name": ":method", "string_match": {"exact": method}})
    if matched_headers:
        envoy["headers"] = matched_headers
    if query:
        envoy["query_parameters"] = query
    precedence = (_PATH_RANKS[kind], -len(value), 0 if method else 1, -len(headers), -len(query))
    return Match(envoy, precedence, prefix)


def _path_match(path: Node, kind: str, value: str) -> tuple[dict[str, Any], str | None]:
    if kind == "RegularExpression":
        return {"safe_regex": {"regex": path.regex("value")}}, None
    if not _PATH.fullmatch(value) or any(part in value for part in _BAD_PATH_PARTS) or value.endswith(("/.", "/..")):
        raise Unfit(f"{path.at('value')} {value!r} is not a path that a request could have")
    if kind == "Exact":
        return {"path": value}, None
    prefix = value.rstrip("/")
    # A prefix ends at a slash or at the end: /v1 takes /v1 and /v1/x, not /v1x.
    return ({"path_separated_prefix": prefix} if prefix else {"prefix": "/"}), prefix


def _header_match(node: Node) -> dict[str, Any]:
    node.only("type", "name", "value")
    name = node.header_name()
    return {"name": ":authority" if name == "host" else name, "string_match": _string_match(node)}


def _query_match(node: Node) -> dict[str, Any]:
    node.only("type", "name", "value")
    if not node.text("name"):
        raise Unfit(f"{node.at('name')} is empty")
    return {"name": node.text("name"), "string_match": _string_match(node)}


def _string_match(node: Node) -> dict[str, Any]:
    if node.choice("type", ("Exact", "RegularExpression"), "Exact") == "Exact":
        return {"exact": node.text("value")}
    return {"safe_regex": {"regex": node.regex("value")}}


def _first_of_each(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of several matches on one name only the first counts (Gateway API, HTTPHeaderMatch and HTTPQueryParamMatch)."""
    first: dict[str, dict[str, Any]] = {}
    for one in found:
        first.setdefault(one["name"], one)
    return list(first.values())
