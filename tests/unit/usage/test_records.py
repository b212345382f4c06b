"""What a line of the access log means, and what it cannot mean."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.store.tables.usage import LATENCIES, LATENCY_BOUNDS, MEASURES
from console.usage.pricing import Prices, Rates
from console.usage.reading import Sums
from console.usage.records import Ending, NotARequest, Request, read_line
from console.usage.tally import Series, Tally, series_of

LINE: dict[str, Any] = {
    "time": "2026-11-21T15:57:15.325Z",
    "id": "f401bc34",
    "key": "k6xnj9",
    "tenant": "acme",
    "model": "llama",
    "status": 200,
    "details": "via_upstream",
    "flags": "-",
    "upstream": "backend/acme/pub-llama#de7196f6",
    "milliseconds": 3,
    "input_tokens": 1,
    "output_tokens": 26,
    "metered": True,
    "upstream_host": "10.0.0.7:443",
}


def line(**changes: Any) -> bytes:
    return json.dumps(LINE | changes).encode()


def test_a_request_that_was_answered() -> None:
    found = read_line(line())
    assert (found.key, found.tenant, found.model, found.backend) == ("k6xnj9", "acme", "llama", "acme/pub-llama")
    assert (found.input_tokens, found.output_tokens, found.unmetered, found.denial) == (1, 26, False, "")
    assert (found.ending, found.milliseconds, found.at) == (Ending.ANSWERED, 3, 1795276635.325)


@pytest.mark.parametrize(
    ("changes", "ending", "denial"),
    [
        ({"status": 401, "details": "ext_authz_denied", "flags": "UAEX"}, Ending.REFUSED, "invalid_api_key"),
        ({"status": 404, "details": "ext_authz_denied"}, Ending.REFUSED, "not_found"),
        ({"status": 429, "details": "request_rate_limited", "flags": "RL"}, Ending.REFUSED, "rate_limit_exceeded"),
        ({"status": 429, "details": "local_rate_limited"}, Ending.REFUSED, "rate_limit_exceeded"),
        ({"status": 429}, Ending.REFUSED, ""),  # the provider's own limit is no denial of the gateway's
        ({"status": 404, "details": "route_not_found"}, Ending.REFUSED, "route_not_found"),
        ({"status": 503, "details": "no_healthy_upstream", "flags": "UH"}, Ending.FAILED, "no_healthy_upstream"),
        (
            {"status": 503, "details": "upstream_reset_before_response_started{connection_failure}", "flags": "UF"},
            Ending.FAILED,
            "",
        ),
        ({"status": 0, "details": "downstream_remote_disconnect", "flags": "DC"}, Ending.ABORTED, ""),
        ({"status": 200, "details": "downstream_remote_disconnect", "flags": "DC"}, Ending.ABORTED, ""),
        ({"status": 200, "details": "upstream_reset_after_response_started{protocol_error}", "flags": "UPE"},
         Ending.FAILED, ""),
        ({"status": 200, "details": "stream_idle_timeout", "flags": "SI"}, Ending.FAILED, ""),
        ({"status": 403, "details": "rbac_access_denied_matched_policy[none]"}, Ending.REFUSED,
         "rbac_access_denied_matched_policy"),
    ],
)  # fmt: skip
def test_how_a_request_ended(changes: dict[str, Any], ending: Ending, denial: str) -> None:
    found = read_line(line(**changes))
    assert (found.ending, found.denial) == (ending, denial)


REFUSED = {"status": 403, "details": "ext_authz_denied", "key": "-", "tenant": "-", "upstream_host": None}


def test_a_refusal_is_the_keys_that_was_presented_and_says_why() -> None:
    found = read_line(line(**REFUSED, refused_key="k6xnj9", refused_tenant="globex", reason="tenant_suspended"))
    assert (found.key, found.tenant, found.denial, found.unmetered) == ("k6xnj9", "globex", "tenant_suspended", False)
    nobodys = read_line(
        line(**REFUSED | {"status": 401}, refused_key="-", refused_tenant="-", reason="invalid_api_key")
    )
    assert (nobodys.key, nobodys.tenant, nobodys.denial) == ("", "", "invalid_api_key")
    for reason in ("-", "", "Two Words", "x" * 60, "a\nb"):
        assert read_line(line(**REFUSED, refused_key="k1", reason=reason)).denial == "forbidden", reason


def test_what_an_answer_of_a_providers_says_of_keys_and_reasons_is_not_believed() -> None:
    said = {"refused_key": "k-of-another", "refused_tenant": "globex", "reason": "tenant_suspended"}
    for status in (200, 403):
        found = read_line(line(**said, status=status))
        assert (found.key, found.tenant, found.denial) == ("k6xnj9", "acme", "")


def test_a_limit_is_named() -> None:
    limited = {"status": 429, "details": "request_rate_limited"}
    named = read_line(line(**limited, limit="30 tokens per day for this key"))
    assert named.denial == "rate_limit_exceeded: 30 tokens per day for this key"
    assert read_line(line(**limited, limit="<script>")).denial == "rate_limit_exceeded"


def test_a_model_that_a_refused_request_names_is_not_kept() -> None:
    """Who has a key could else make up names without an end."""
    prices = Prices({}, {"llama": "acme"})
    told = {"refused_key": "k1", "refused_tenant": "globex", "reason": "model_not_found"}
    assert series_of(read_line(line(**REFUSED | told, model="made-up")), prices) == Series("globex", "k1", "")
    assert series_of(read_line(line(**REFUSED | told, model="llama")), prices) == Series("globex", "k1", "llama")
    nobodys = read_line(line(**REFUSED, model="llama"))
    assert series_of(nobodys, prices) == Series("acme", "", "llama")


def test_an_unknown_usage_is_unmetered_unless_the_gateway_itself_answered() -> None:
    nothing = {"input_tokens": None, "output_tokens": None}
    assert read_line(line(**nothing)).unmetered
    assert read_line(line(**nothing, status=500)).unmetered
    assert read_line(line(**nothing, flags="DC", details="downstream_remote_disconnect")).unmetered
    half = read_line(line(output_tokens=None))
    assert (half.input_tokens, half.unmetered) == (None, True)
    for free in (
        {"status": 503, "details": "no_healthy_upstream", "upstream_host": None},
        {"status": 503, "details": "no_healthy_upstream"},
        {"status": 0, "flags": "DC", "details": "downstream_remote_disconnect", "upstream_host": None},
        {"status": 429},  # the provider's own
        {"metered": None},  # no model's route
        {
            "status": 503,
            "details": "upstream_reset_before_response_started{remote_connection_failure|Connection refused}",
        },
    ):
        assert not read_line(line(**nothing | free)).unmetered, free


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'"x"', b"[" * 100_000, b'{"a":' * 50_000,
        line(time=None), line(time="yesterday"), line(time="2026-11-21T15:57:15"), line(time="0001-01-01T00:00:00Z"),
        line(status="200"), line(status=-1), line(status=2.5), line(status=True),
        line(input_tokens=-1), line(input_tokens=10**12), line(input_tokens="7"), line(output_tokens=[]),
        line(milliseconds=10**12), json.dumps(LINE).replace("26", "1e999").encode(),
    ],
)  # fmt: skip
def test_what_is_no_request_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(NotARequest):
        read_line(raw)


@given(st.dictionaries(st.sampled_from(sorted(LINE)), st.recursive(st.none() | st.booleans() | st.floats() | st.text()
    | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=3)))  # fmt: skip
def test_no_line_is_a_crash_or_an_invented_number(changes: dict[str, Any]) -> None:
    try:
        found = read_line(line(**changes))
    except NotARequest:
        return
    said = LINE | changes
    for name in ("input_tokens", "output_tokens"):
        assert getattr(found, name) in (None, said[name])
    assert len(found.model) <= 256
    Tally().add([found], Prices({}, {}))


def request(**changes: Any) -> Request:
    return read_line(line(**changes))


def test_names_that_a_client_made_up_are_not_kept() -> None:
    prices = Prices({}, {"llama": "globex"})
    denied = {"key": None, "tenant": None, "status": 401, "details": "ext_authz_denied"}
    assert series_of(request(**denied, model="made-up"), prices) == Series("", "", "")
    assert series_of(request(**denied), prices) == Series("globex", "", "llama")
    assert series_of(request(key="probe-1234"), prices) == Series("acme", "probe", "llama")


def test_to_look_at_the_list_of_models_is_no_use_of_a_key() -> None:
    tally = Tally()
    tally.add([request(method="GET", path="/v1/models"), request(method="POST", path="/v1/models")], Prices({}, {}))
    ((_, sums),) = tally.totals.items()
    assert sums[0] == 1


def test_costs_are_exact_and_unknown_prices_are_not_free() -> None:
    rates = Rates(Decimal("0.00000005"), Decimal("0.0000000000019"), Decimal("0.01"))
    assert rates.cost(1_000_000, 1_000_000) == (50_000 + 1.9) * 10**6 + 10**10
    assert rates.cost(1_000, 0, 400) == rates.cost(1_000, 0), "no price of its own: as any other"
    cheaper = replace(rates, cached=Decimal("0.00000001"))
    assert cheaper.cost(1_000, 0, 400) == rates.cost(600, 0) + 400 * 10**4
    assert [request(cached_tokens=many).cached_tokens for many in (1, 2)] == [1, 0]  # of one that went in
    tally = Tally()
    prices = Prices({("llama", "acme/pub-llama"): rates, ("other", "acme/pub-llama"): None}, {"llama": "acme"})
    tally.add([request(), request(model="other"), request(input_tokens=None, unmetered=True)], prices)
    known, unknown = tally.totals[Series("acme", "k6xnj9", "llama")], tally.totals[Series("acme", "k6xnj9", "other")]
    at = {name: number for number, name in enumerate(MEASURES)}
    assert [known[at[name]] for name in ("requests", "metered", "unmetered", "unpriced")] == [2, 1, 1, 0]
    assert known[at["cost"]] == rates.cost(1, 26)
    assert [unknown[at[name]] for name in ("metered", "unpriced", "cost")] == [1, 1, 0]


def test_latencies_are_told_from_what_was_counted() -> None:
    counted = [0] * len(LATENCIES)
    assert Sums("x").latency(0.5) is None
    counted[1] = 100
    half = Sums("x", latencies=tuple(counted)).latency(0.5)
    assert half == 75  # between 50 and 100 ms
    counted[-1] = 900
    assert Sums("x", latencies=tuple(counted)).latency(0.95) == LATENCY_BOUNDS[-1]
