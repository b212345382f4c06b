"""Who may call what: one pure function of what is known and what was asked.

The ext_authz service, ``access explain`` and the Access screen all decide with `decide`. The answers are those of
DESIGN.md §4; error bodies have OpenAI's shape.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import unquote

from console.access.forms import MISTYPED, mistyped
from console.access.types import Grant, KeyEntry, Network, Snapshot, digest_of


class Body(StrEnum):
    """What the gateway (or our own parser) found in a request's body."""

    OK = "ok"
    NONE = "none"
    NO_MODEL = "no-model"
    NOT_JSON = "not-json"
    MALFORMED = "malformed"
    DUPLICATE = "duplicate-model"
    TOO_LARGE = "too-large"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as far as the decision needs it.

    authorizations  every ``Authorization`` header, as sent
    path            with or without a query
    model           what the body names, where it names one
    route_model     the model that the route itself stands for (a traditional model, whose body names none)
    """

    authorizations: tuple[str, ...]
    method: str = "POST"
    path: str = "/v1/chat/completions"
    model: str | None = None
    body: Body = Body.OK
    route_model: str | None = None
    client: str | None = None


class Allowed(NamedTuple):
    """Let it through, with headers for the upstream (client copies are stripped before).

    A tuple, for it is made at every request: a frozen dataclass takes three times as long to make.
    """

    headers: dict[str, str]
    key_id: str | None
    digest: str
    model: str | None


@dataclass(frozen=True, slots=True)
class Denied:
    """Refuse it. ``step`` names the rule that refused, for people and for counters.

    key_id, tenant  whose the key is that was presented, where it is one: also of a request that is refused
    """

    status: int
    code: str
    message: str
    step: str
    retry_after: int | None = None
    digest: str | None = None
    key_id: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    tenant: str | None = None

    def told(self, prefix: str) -> dict[str, str]:
        """The headers of the answer, which the gateway's access log has too: what was refused, and whose key it was.

        Values that cannot be header text are left out.
        """
        told = dict(self.headers) | {"content-type": "application/json", REASON_HEADER: self.code}
        if self.retry_after is not None:
            told["retry-after"] = str(self.retry_after)
        whose = {f"{prefix}-key-id": self.key_id, f"{prefix}-tenant": self.tenant}
        return told | {name: value for name, value in whose.items() if value and _fits_a_header(value)}

    def body(self) -> bytes:
        """OpenAI's error shape."""
        kind = "invalid_request_error" if self.status in (400, 401, 404, 413) else "access_denied"
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()


REASON_HEADER = "x-modeldeck-reason"
_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9\-._~+/]+=*) *\Z")
"""RFC 9110 §11.1 (the scheme is case-insensitive) and RFC 6750 §2.1 (b64token)."""
MODELS_PATH = "/v1/models"
_WITHOUT_MODEL = frozenset({MODELS_PATH, "/v1/batches", "/v1/files"})
_BELOW_WITHOUT_MODEL = ("/v1/batches/", "/v1/files/")
_MAX_KEY = 512


def bearer(authorizations: tuple[str, ...]) -> str | Denied:
    """The key that was presented, or why there is none. The raw header is never taken for a key."""
    if not authorizations:
        return _no_key("missing_api_key", "You didn't provide an API key: send 'Authorization: Bearer KEY'.")
    if len(authorizations) > 1:
        return _no_key("invalid_authorization", "There is more than one Authorization header.")
    match = _BEARER.match(authorizations[0])
    if match is None or len(match[1]) > _MAX_KEY:
        return _no_key("invalid_authorization", "The Authorization header is not 'Bearer KEY'.")
    return match[1]


STEPS = (
    "view is usable",
    "key is presented",
    "key's checksum is right",
    "key is known",
    "key has not expired",
    "key is not suspended",
    "tenant is not suspended",
    "client is in the key's networks",
    "body fits",
    "body names one model",
    "body is JSON",
    "body names a model",
    "model is in the key's list",
    "model's tenant may be called",
    "key is of the model's project",
)
"""The rules in the order in which they are asked; `Denied.step` names the one that refused."""


def decide(
    snapshot: Snapshot, ask: Ask, *, now: float, salt: str = "bud-", prefix: str = "x-modeldeck"
) -> Allowed | Denied:
    """Allow with headers, or refuse with status, code and reason.

    Args:
        now: Unix seconds; grace and expiry are judged by it, whatever Redis has got round to expiring.
    """
    presented = bearer(ask.authorizations)
    if isinstance(presented, Denied):
        return presented
    return decide_for(snapshot, digest_of(presented, salt), presented, ask, now=now, prefix=prefix)


def decide_for(
    snapshot: Snapshot,
    digest: str,
    presented: str,
    ask: Ask,
    *,
    now: float,
    prefix: str = "x-modeldeck",
) -> Allowed | Denied:
    """The decision once it is known which key was presented.

    Args:
        presented: the key's text, or as much of it as is known: its beginning says whether it is a client's
    """
    entry = snapshot.keys.get(digest)
    if entry is None:
        if mistyped(presented):
            message = f"Incorrect API key provided: it is {MISTYPED}."
            return _no_key("mistyped_api_key", message, step="key's checksum is right", digest=digest)
        return _no_key("invalid_api_key", "Incorrect API key provided.", step="key is known", digest=digest)
    if entry.not_after is not None and now >= entry.not_after:
        return _no_key("expired_api_key", "This API key has expired.", step="key has not expired", entry=entry)
    if entry.suspended:
        return _for_key(entry, 403, "key_suspended", "This API key is suspended.", "key is not suspended")
    restrictions = snapshot.restrictions
    if entry.tenant is not None and entry.tenant in restrictions.suspended_tenants:
        message = "This API key's tenant is suspended."
        return _for_key(entry, 403, "tenant_suspended", message, "tenant is not suspended")
    if entry.networks and not _comes_from(ask.client, entry.networks):
        message = "This API key may not be used from your address."
        return _for_key(entry, 403, "network_not_allowed", message, "client is in the key's networks")
    path = ask.path.partition("?")[0]
    if _needs_no_model(path):
        return Allowed(_headers(entry, None, None, prefix), entry.key_id, digest, None)
    names = _models_asked_for(ask, path)
    if isinstance(names, Denied):
        return replace(names, key_id=entry.key_id, tenant=entry.tenant)
    grants = [snapshot.grant_of(entry, presented, name) for name in names]
    for name, grant in zip(names, grants, strict=True):
        if grant is None:
            # The name comes from the client: it goes back escaped by JSON, and shortened.
            message = f"The model '{name[:120]}' does not exist or you do not have access to it."
            shut_out = snapshot.shut_out(entry, presented, name)
            step = "model's tenant may be called" if shut_out else "model is in the key's list"
            return _for_key(entry, 404, "model_not_found", message, step)
        if name in restrictions.own_project and (grant.project_id is None or grant.project_id != entry.project_id):
            message = f"The model '{name[:120]}' is for keys of its own project."
            return _for_key(entry, 403, "project_not_allowed", message, "key is of the model's project")
    return Allowed(_headers(entry, names[0], grants[0], prefix), entry.key_id, digest, names[0])


def _comes_from(client: str | None, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of the networks; an address that cannot be read is in none."""
    try:
        address = ipaddress.ip_address(client or "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def _needs_no_model(path: str) -> bool:
    return path in _WITHOUT_MODEL or path.startswith(_BELOW_WITHOUT_MODEL)


def _models_asked_for(ask: Ask, path: str) -> list[str] | Denied:
    """Every model that this request could reach: the route's own; else the body's, the path's, or both.

    Where the two differ the key must hold both, for a route may go by either.
    """
    if ask.body is Body.TOO_LARGE:
        return Denied(413, "request_too_large", "The request body is too large.", "body fits")
    if ask.body is Body.DUPLICATE:
        return _bad("duplicate_model", "The request body names 'model' more than once.", "body names one model")
    if ask.route_model is not None:
        return [ask.route_model]
    named = [name for name in (ask.model, _model_in(path)) if name]
    if named:
        return named
    if ask.body in (Body.MALFORMED, Body.NOT_JSON):
        return _bad("invalid_json", "We could not parse the JSON body of your request.", "body is JSON")
    return _bad("missing_model", "You must provide a model parameter.", "body names a model")


_MODEL_PATH = re.compile(r"/v1/models/([^/:]+)(?::\w+)?\Z|/v2/models/([^/]+)(?:/.*)?\Z")


def _model_in(path: str) -> str | None:
    """The model that a path names: ``/v1/models/NAME``, ``…/NAME:predict`` and ``/v2/models/NAME/…`` (KServe)."""
    match = _MODEL_PATH.match(path) if "/models/" in path else None
    return unquote(match[1] or match[2]) if match else None


def _for_key(entry: KeyEntry, status: int, code: str, message: str, step: str) -> Denied:
    return Denied(status, code, message, step, digest=entry.digest, key_id=entry.key_id, tenant=entry.tenant)


def _bad(code: str, message: str, step: str) -> Denied:
    return Denied(400, code, message, step)


def _no_key(
    code: str, message: str, *, step: str = "key is presented", digest: str | None = None, entry: KeyEntry | None = None
) -> Denied:
    return Denied(
        401,
        code,
        message,
        step,
        digest=entry.digest if entry else digest,
        key_id=entry.key_id if entry else None,
        headers={"www-authenticate": "Bearer"},
        tenant=entry.tenant if entry else None,
    )


def _headers(entry: KeyEntry, name: str | None, grant: Grant | None, prefix: str) -> dict[str, str]:
    """What the upstream is told. Values that cannot be header text are left out rather than mangled."""
    names = _header_names(prefix)
    found: tuple[str | None, ...] = (name, entry.key_id, entry.tenant)
    if grant is not None:
        found += (grant.endpoint_id, grant.model_id, grant.project_id)
    return {header: value for header, value in zip(names, found, strict=False) if value and _fits_a_header(value)}


def _fits_a_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


@functools.cache
def _header_names(prefix: str) -> tuple[str, ...]:
    """In the order of `_headers`; made once, for this runs once per request of every client."""
    return tuple(
        f"{prefix}-{field}" for field in ("model", "key-id", "tenant", "endpoint-id", "model-id", "project-id")
    )
