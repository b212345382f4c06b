"""What a webhook has to be before anybody acts on it: small enough, signed, fresh, and of a known form.

Two signatures are taken. The seed's: ``X-Webhook-Signature``, the HMAC-SHA256 of the raw body in hex. And that of the
Standard Webhooks (https://www.standardwebhooks.com): ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``,
which signs the three together, so that an old delivery is known to be old. There is no secret by default: without one
every delivery is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from console.catalog import tags
from console.outcome import Refusal
from console.sync.providers import find

BODY_LIMIT = 256 * 1024
MODELS_LIMIT = 1_000
TOLERANCE = timedelta(minutes=5)
_ID_LIMIT = 300
_DELIVERY_LIMIT = 128


class Event(StrEnum):
    """What can have happened (seed 002)."""

    ADDED = "models.added"
    UPDATED = "models.updated"
    REMOVED = "models.removed"
    STATUS = "gateway.status_changed"


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model that a delivery names. ``id`` is the provider's own."""

    id: str
    name: str = ""
    provider_slug: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that is what it says.

    id        the sender's, else the digest of the body: the same one again is known by it
    signed    hex, or standard
    gateway   a provider's slug, whatever alias was sent
    sent_at   as the body says; under a Standard Webhooks signature as the signed header says
    """

    id: str
    signed: str
    gateway: str
    event: Event
    models: tuple[NamedModel, ...]
    sent_at: datetime


def read(body: bytes, headers: Mapping[str, str], *, secret: str, now: datetime) -> Delivery:
    """Check a delivery and take it apart.

    Args:
        headers: by their names in lower case
        secret: "" where none is set

    Raises:
        Refusal: NO_WEBHOOK_SECRET (403), TOO_LARGE (413), BAD_SIGNATURE (401), STALE (401), BAD_JSON (400),
            BAD_PAYLOAD, UNKNOWN_EVENT or UNKNOWN_GATEWAY (422).
    """
    if not secret:
        raise Refusal(
            "webhooks are off: no secret is set", code="NO_WEBHOOK_SECRET", status=403, then="set MODEL_WEBHOOK_SECRET"
        )
    if len(body) > BODY_LIMIT:
        raise Refusal(f"a delivery has at most {BODY_LIMIT} bytes", code="TOO_LARGE", status=413)
    standard = "webhook-signature" in headers
    delivery_id, signed_at = (_standard if standard else _hex)(body, headers, secret, now)
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal("the body is not JSON", code="BAD_JSON", status=400) from None
    gateway, event = _gateway(payload), _event(payload)
    models = _models(payload)
    sent_at = signed_at or _sent_at(payload)
    return Delivery(delivery_id, "standard" if standard else "hex", gateway, event, models, sent_at)


def voided(delivery: Delivery) -> tuple[str, ...]:
    """The tags that a delivery voids, by the seed's table; what comes, goes or changes also changes every list."""
    if delivery.event is Event.STATUS:
        return (tags.ALL, tags.of_gateway(delivery.gateway), tags.SEARCH, tags.RANKINGS)
    models = (tags.of_model(f"{delivery.gateway}/{model.id}") for model in delivery.models)
    found = (tags.ALL, tags.of_gateway(delivery.gateway), tags.SEARCH, *models)
    return found if delivery.event is Event.UPDATED else (*found, tags.RANKINGS)


def paths(delivery: Delivery) -> tuple[str, ...]:
    """The pages of the seed's frontend that show what has changed."""
    if delivery.event is Event.STATUS:
        return ("/models", "/rankings", "/")
    found = ("/models", "/", *(f"/models/{model.id}" for model in delivery.models))
    return found if delivery.event is Event.UPDATED else (*found, "/rankings")


def _hex(body: bytes, headers: Mapping[str, str], secret: str, now: datetime) -> tuple[str, None]:
    given = headers.get("x-webhook-signature", "").strip()
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    # Compared as bytes: the header may hold anything, and `compare_digest` takes only ASCII as text.
    if not hmac.compare_digest(given.lower().encode("utf-8", "replace"), expected.encode()):
        raise _bad_signature()
    return f"sha256:{hashlib.sha256(body).hexdigest()}", None


def _standard(body: bytes, headers: Mapping[str, str], secret: str, now: datetime) -> tuple[str, datetime]:
    delivery_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signed = f"{delivery_id}.{stamp}.".encode("utf-8", "replace") + body
    expected = base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest())
    offered = (part.partition(",") for part in headers["webhook-signature"].split(" ")[:10])
    matches = [
        hmac.compare_digest(value.encode("utf-8", "replace"), expected)
        for version, _, value in offered
        if version == "v1"
    ]
    if not any(matches):
        raise _bad_signature()
    if not 0 < len(delivery_id) <= _DELIVERY_LIMIT or not delivery_id.isprintable() or not stamp.isdecimal():
        raise _bad_signature()
    try:
        sent_at = datetime.fromtimestamp(int(stamp), UTC)
    except (ValueError, OverflowError, OSError):
        raise _bad_signature() from None
    if abs(now - sent_at) > TOLERANCE:
        minutes = round(TOLERANCE.total_seconds() / 60)
        raise Refusal(f"the delivery is more than {minutes} minutes from now", code="STALE", status=401)
    return f"id:{delivery_id}", sent_at


def _key(secret: str) -> bytes:
    """``whsec_…`` holds the key in base64; anything else is the key itself."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise Refusal(
            "the webhook secret begins with whsec_ and is not base64 behind it", code="NO_WEBHOOK_SECRET", status=403
        ) from None


def _bad_signature() -> Refusal:
    return Refusal("Invalid webhook signature", code="BAD_SIGNATURE", status=401)


def _gateway(payload: Any) -> str:
    given = payload.get("gateway") if isinstance(payload, dict) else None
    if not isinstance(given, str) or not 0 < len(given) <= 64:
        raise _bad_payload("gateway is a provider's name")
    spec = find(given)
    if spec is None:
        raise Refusal("there is no such gateway", code="UNKNOWN_GATEWAY", status=422)
    return spec.slug


def _event(payload: Any) -> Event:
    try:
        return Event(payload.get("event_type"))
    except ValueError:
        names = ", ".join(event.value for event in Event)
        raise Refusal(f"event_type is one of {names}", code="UNKNOWN_EVENT", status=422) from None


def _models(payload: Any) -> tuple[NamedModel, ...]:
    given = payload.get("models", [])
    if not isinstance(given, list) or len(given) > MODELS_LIMIT:
        raise _bad_payload(f"models is a list of at most {MODELS_LIMIT}")
    return tuple(_model(one) for one in given)


def _model(given: Any) -> NamedModel:
    if not isinstance(given, dict):
        raise _bad_payload("a model is an object with an id")
    told = {name: given.get(name) or "" for name in ("id", "name", "provider_slug")}
    for name, value in told.items():
        if not isinstance(value, str) or len(value) > _ID_LIMIT or not value.isprintable():
            raise _bad_payload(f"the {name} of a model is text of at most {_ID_LIMIT} printable characters")
    if not told["id"]:
        raise _bad_payload("a model has an id")
    return NamedModel(**told)


def _sent_at(payload: Any) -> datetime:
    given = payload.get("timestamp")
    if isinstance(given, bool) or not isinstance(given, int) or not 0 < given < 10**14:
        raise _bad_payload("timestamp is in milliseconds since 1970")
    return datetime.fromtimestamp(given / 1000, UTC)


def _bad_payload(why: str) -> Refusal:
    return Refusal(f"the delivery is not of the form that is documented: {why}", code="BAD_PAYLOAD", status=422)
