"""Which deliveries are taken for what they say, and which are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.outcome import Refusal
from console.sync import webhooks
from console.sync.webhooks import BODY_LIMIT, Delivery, Event, NamedModel

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SECRET = "correct horse battery staple"
PAYLOAD: dict[str, Any] = {
    "gateway": "openrouter",
    "event_type": "models.added",
    "models": [{"id": "openai/gpt-5", "name": "GPT-5", "provider_slug": "openai"}],
    "timestamp": 1704067200000,
}


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"x-webhook-signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def standard(
    body: bytes, *, key: bytes = SECRET.encode(), at: datetime = NOW, delivery: str = "msg_1"
) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    mac = hmac.new(key, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": delivery, "webhook-timestamp": stamp, "webhook-signature": signature}


def read(payload: object, headers: dict[str, str] | None = None, secret: str = SECRET) -> Delivery:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return webhooks.read(body, signed(body) if headers is None else headers, secret=secret, now=NOW)


def refused(payload: object, headers: dict[str, str] | None = None, secret: str = SECRET) -> tuple[str, int]:
    with pytest.raises(Refusal) as caught:
        read(payload, headers, secret)
    assert SECRET not in str(caught.value)
    return caught.value.code, caught.value.status


def test_the_delivery_of_the_seed() -> None:
    found = read(PAYLOAD)
    assert (found.gateway, found.event, found.signed) == ("openrouter", Event.ADDED, "hex")
    assert found.models == (NamedModel("openai/gpt-5", "GPT-5", "openai"),)
    assert found.sent_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert read(PAYLOAD).id == found.id != read(PAYLOAD | {"timestamp": 1704067200001}).id


def test_an_alias_of_a_gateway_is_its_provider() -> None:
    assert read(PAYLOAD | {"gateway": "google"}).gateway == "google-vertex"


def test_a_signature_may_be_in_capitals_and_must_be_of_this_very_body() -> None:
    body = json.dumps(PAYLOAD).encode()
    upper = {name: value.upper() for name, value in signed(body).items()}
    assert read(body, upper).event is Event.ADDED
    wrong = [
        {},
        {"x-webhook-signature": ""},
        {"x-webhook-signature": "ä" * 64},
        signed(body + b" "),
        signed(body, "another secret"),
        {"x-webhook-signature": "sha256=" + signed(body)["x-webhook-signature"]},
    ]
    for headers in wrong:
        assert refused(body, headers) == ("BAD_SIGNATURE", 401)


def test_without_a_secret_every_delivery_is_refused() -> None:
    body = json.dumps(PAYLOAD).encode()
    assert refused(body, signed(body, ""), "") == ("NO_WEBHOOK_SECRET", 403)
    assert refused(body, signed(body), "whsec_!!!") == ("BAD_SIGNATURE", 401)
    assert refused(body, standard(body), "whsec_!!!") == ("NO_WEBHOOK_SECRET", 403)


def test_a_standard_webhook() -> None:
    body = json.dumps(PAYLOAD).encode()
    found = read(body, standard(body))
    assert (found.id, found.signed, found.sent_at) == ("id:msg_1", "standard", NOW)
    key = b"\x00\x01secret bytes"
    secret = "whsec_" + base64.b64encode(key).decode()
    assert read(body, standard(body, key=key), secret).id == "id:msg_1"
    several = standard(body)
    several["webhook-signature"] = "v1a,xyz v1,AAAA " + several["webhook-signature"]
    assert read(body, several).id == "id:msg_1"


@pytest.mark.parametrize("minutes", [-6, 6, -60 * 24 * 365])
def test_an_old_or_early_standard_webhook_is_refused(minutes: int) -> None:
    body = json.dumps(PAYLOAD).encode()
    assert refused(body, standard(body, at=NOW + timedelta(minutes=minutes))) == ("STALE", 401)
    assert read(body, standard(body, at=NOW + timedelta(minutes=4 if minutes > 0 else -4)))


def test_a_standard_webhook_is_signed_with_its_id_and_its_time() -> None:
    body = json.dumps(PAYLOAD).encode()
    for name, value in (("webhook-id", "msg_2"), ("webhook-timestamp", str(int(NOW.timestamp()) + 1))):
        assert refused(body, standard(body) | {name: value}) == ("BAD_SIGNATURE", 401)
    for delivery in ("", "x" * 129, "a\x00b"):
        assert refused(body, standard(body, delivery=delivery)) == ("BAD_SIGNATURE", 401)
    # Somebody who has none of the one kind cannot choose the other.
    assert refused(body, {**signed(body), "webhook-signature": "v1,x"}) == ("BAD_SIGNATURE", 401)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"event_type": "models.renamed"}, "UNKNOWN_EVENT"),
        ({"event_type": None}, "UNKNOWN_EVENT"),
        ({"event_type": ["models.added"]}, "UNKNOWN_EVENT"),
        ({"gateway": "alpaca"}, "UNKNOWN_GATEWAY"),
        ({"gateway": ""}, "BAD_PAYLOAD"),
        ({"gateway": 3}, "BAD_PAYLOAD"),
        ({"gateway": "g" * 65}, "BAD_PAYLOAD"),
        ({"models": {}}, "BAD_PAYLOAD"),
        ({"models": [3]}, "BAD_PAYLOAD"),
        ({"models": [{"name": "GPT"}]}, "BAD_PAYLOAD"),
        ({"models": [{"id": 5}]}, "BAD_PAYLOAD"),
        ({"models": [{"id": "a\x1b[2J"}]}, "BAD_PAYLOAD"),
        ({"models": [{"id": "x" * 301}]}, "BAD_PAYLOAD"),
        ({"models": [{"id": "a"}] * 1001}, "BAD_PAYLOAD"),
        ({"timestamp": "now"}, "BAD_PAYLOAD"),
        ({"timestamp": -1}, "BAD_PAYLOAD"),
        ({"timestamp": True}, "BAD_PAYLOAD"),
        ({"timestamp": 10**15}, "BAD_PAYLOAD"),
    ],
)
def test_a_delivery_of_another_form_is_refused_with_422(changes: dict[str, Any], code: str) -> None:
    assert refused(PAYLOAD | changes) == (code, 422)


def test_bodies_that_are_no_delivery() -> None:
    assert refused(b"{") == ("BAD_JSON", 400)
    assert refused(b"[" * 100_000) == ("BAD_JSON", 400)
    assert refused(b"\xff") == ("BAD_JSON", 400)
    for other in (b"[]", b"3", b"null", b'"x"'):
        assert refused(other) == ("BAD_PAYLOAD", 422)
    assert refused(b" " * (BODY_LIMIT + 1)) == ("TOO_LARGE", 413)


def test_models_may_be_left_out() -> None:
    status = {"gateway": "groq", "event_type": "gateway.status_changed", "timestamp": 1}
    assert read(status).models == ()


def test_what_each_event_voids() -> None:
    def voided(event: str) -> tuple[str, ...]:
        return webhooks.voided(read(PAYLOAD | {"event_type": event}))

    model = "model:openrouter/openai/gpt-5"
    lists = ("models:all", "models:gateway:openrouter", "models:search")
    assert voided("models.added") == voided("models.removed") == (*lists, model, "rankings")
    assert voided("models.updated") == (*lists, model)
    assert voided("gateway.status_changed") == (*lists, "rankings")
    assert webhooks.paths(read(PAYLOAD)) == ("/models", "/", "/models/openai/gpt-5", "/rankings")
    updated = read(PAYLOAD | {"event_type": "models.updated"})
    assert webhooks.paths(updated) == ("/models", "/", "/models/openai/gpt-5")


@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=20), st.text(max_size=80), max_size=4))
def test_nothing_unsigned_gets_in_and_nothing_crashes(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(Refusal):
        webhooks.read(body, headers, secret=SECRET, now=NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.fixed_dictionaries({}, optional={name: JSON | st.just(value) for name, value in PAYLOAD.items()}) | JSON)
def test_whatever_is_signed_is_a_delivery_or_refused(payload: object) -> None:
    body = json.dumps(payload).encode()
    try:
        found = webhooks.read(body, signed(body), secret=SECRET, now=NOW)
    except Refusal:
        return
    assert found.gateway
    assert webhooks.voided(found)
