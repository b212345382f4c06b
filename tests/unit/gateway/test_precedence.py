"""The order in which matches are tried, against the rule as Gateway API words it."""

from __future__ import annotations

import fnmatch
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.gateway.manifests import http_route
from tests.unit.gateway.worlds import World, world

PATHS = ["/", "/a", "/a/b", "/a/b/c", "/ab"]
MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "path": st.fixed_dictionaries(
            {"type": st.sampled_from(["Exact", "PathPrefix"]), "value": st.sampled_from(PATHS)}
        ),
        "method": st.sampled_from(["GET", "POST"]),
        "headers": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["x", "y"]), "value": st.sampled_from("12")}),
            max_size=2,
            unique_by=lambda one: one["name"],
        ),
        "queryParams": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["p", "q"]), "value": st.sampled_from("12")}),
            max_size=2,
            unique_by=lambda one: one["name"],
        ),
    },
)
ROUTES = st.lists(st.lists(st.lists(MATCHES, min_size=1, max_size=3), min_size=1, max_size=3), min_size=1, max_size=4)
REQUESTS = st.fixed_dictionaries(
    {
        "path": st.sampled_from([*PATHS, "/a/b/c/d", "/z"]),
        "method": st.sampled_from(["GET", "POST"]),
        "headers": st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from("12")),
        "query": st.dictionaries(st.sampled_from(["p", "q"]), st.sampled_from("12")),
    }
)


def matches(match: dict[str, Any], request: dict[str, Any]) -> bool:
    path = match.get("path", {"type": "PathPrefix", "value": "/"})
    value = path["value"]
    if path["type"] == "Exact":
        on_path = request["path"] == value
    else:
        on_path = request["path"] == value or request["path"].startswith(value.rstrip("/") + "/")
    return (
        on_path
        and match.get("method", request["method"]) == request["method"]
        and all(request["headers"].get(one["name"]) == one["value"] for one in match.get("headers", ()))
        and all(request["query"].get(one["name"]) == one["value"] for one in match.get("queryParams", ()))
    )


def better(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Gateway API v1, HTTPRouteRule: the criteria in their order, each deciding where the one before leaves a tie."""
    match, place = one
    other_match, other_place = other
    for wins in (
        lambda m: m.get("path", {}).get("type") == "Exact",
        lambda m: len(m.get("path", {"value": "/"})["value"]),
        lambda m: "method" in m,
        lambda m: len(m.get("headers", ())),
        lambda m: len(m.get("queryParams", ())),
    ):
        if wins(match) != wins(other_match):
            return bool(wins(match) > wins(other_match))
    return bool(place < other_place)  # the older route, the earlier rule, the earlier match


def envoy_picks(made: World, request: dict[str, Any]) -> str | None:
    """What Envoy does: the first route that matches."""
    for route in made.hosts()["*"]:
        match = route["match"]
        path = request["path"]
        separated = match.get("path_separated_prefix")
        on_path = (
            match.get("path") == path
            or ("prefix" in match and path.startswith(match["prefix"]))
            or (separated is not None and (path == separated or path.startswith(separated + "/")))
        )
        headers = request["headers"] | {":method": request["method"]}
        named = [(headers, one) for one in match.get("headers", ())]
        named += [(request["query"], one) for one in match.get("query_parameters", ())]
        if on_path and all(values.get(one["name"]) == one["string_match"]["exact"] for values, one in named):
            return str(route["name"])
    return None


@given(routes=ROUTES, requests=st.lists(REQUESTS, min_size=8, max_size=8))
@settings(deadline=None, max_examples=60)
def test_the_match_that_gateway_api_prefers_is_tried_first(
    routes: list[list[list[dict[str, Any]]]], requests: list[dict[str, Any]]
) -> None:
    backend = {"backendRefs": [{"name": "a", "port": 80}]}
    objects = [
        http_route("ns", f"r{index}", *({"matches": rule, **backend} for rule in rules))
        for index, rules in enumerate(routes)
    ]
    made = world(*objects)
    for request in requests:
        candidates = [
            (match, (route, rule, number))
            for route, rules in enumerate(routes)
            for rule, all_matches in enumerate(rules)
            for number, match in enumerate(all_matches)
            if matches(match, request)
        ]
        best: tuple[Any, ...] | None = None
        for one in candidates:
            if best is None or better(one, best):
                best = one
        expected = None if best is None else "ns/r{}/rule/{}/match/{}".format(*best[1])
        assert envoy_picks(made, request) == expected


def test_the_older_route_wins_a_tie_and_the_name_decides_among_twins() -> None:
    rule = {"backendRefs": [{"name": "a", "port": 80}]}
    young, old = http_route("ns", "a-young", rule), http_route("ns", "z-old", rule)
    young["metadata"]["creationTimestamp"] = "2026-02-02T00:00:00Z"
    old["metadata"]["creationTimestamp"] = "2025-02-02T00:00:00Z"
    assert envoy_picks(world(young, old), _get("/")) == "ns/z-old/rule/0/match/0"
    old["metadata"]["creationTimestamp"] = young["metadata"]["creationTimestamp"]
    assert envoy_picks(world(young, old), _get("/")) == "ns/a-young/rule/0/match/0"


def test_of_two_matches_on_one_header_the_first_counts() -> None:
    headers = [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}]
    made = world(http_route("ns", "r", {"matches": [{"headers": headers}], "backendRefs": [{"name": "a", "port": 80}]}))
    assert made.routes()[0]["match"]["headers"] == [{"name": "x-a", "string_match": {"exact": "1"}}]


def test_the_names_of_routes_tell_where_they_come_from() -> None:
    made = world(http_route("ns", "r", {"backendRefs": [{"name": "a", "port": 80}]}))
    assert all(fnmatch.fnmatch(route["name"], "*/*/rule/*/match/*") for route in made.hosts()["*"])


def _get(path: str) -> dict[str, Any]:
    return {"path": path, "method": "GET", "headers": {}, "query": {}}
