"""Google's credentials, exchanged for an access token: what ``GOOGLE_APPLICATION_CREDENTIALS`` names, or holds.

A service account signs a short statement (RFC 7523) and gets a token for it; a user's login gives its refresh token
(RFC 6749 §6). A token that somebody has already (``gcloud auth print-access-token``) is sent as it is. Neither the
credential nor the token is in any message.
"""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from console.sync import urls
from console.sync.problems import FetchProblem
from console.sync.types import ProviderOutcome

if TYPE_CHECKING:
    import httpx

_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_SCOPE = "https://www.googleapis.com/auth/cloud-platform.read-only"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SECONDS = 600  # a token for one run; Google gives an hour where an hour is asked for


async def access_headers(client: httpx.AsyncClient, credential: str, now: datetime) -> dict[str, str]:
    """The headers that the credential is worth: an access token, and the project that answers for the quota.

    Args:
        credential: the path of a credentials file, the text of one, or an access token

    Raises:
        FetchProblem: it is none of these, or Google does not give a token for it.
    """
    told = await _told(credential)
    if told is None:
        _refuse_unsendable(credential)
        return {"Authorization": f"Bearer {credential}"}
    token = await _exchanged(client, _form(told, now), told)
    headers = {"Authorization": f"Bearer {token}"}
    project = told.get("quota_project_id") or told.get("project_id")
    if isinstance(project, str) and project.isascii() and project.isprintable():
        headers["X-Goog-User-Project"] = project
    return headers


async def _told(credential: str) -> dict[str, Any] | None:
    """What a credentials file says; None for a bare token."""
    text = credential
    if not credential.startswith("{"):
        path = Path(credential).expanduser()
        if "/" not in credential and path.suffix != ".json":
            return None
        try:
            text = await asyncio.to_thread(path.read_text, "utf-8")
        except (OSError, UnicodeDecodeError, ValueError):
            raise _unusable("names a file that cannot be read") from None
    try:
        told = json.loads(text)
    except ValueError:
        raise _unusable("is no credentials file: it is not JSON") from None
    if not isinstance(told, dict):
        raise _unusable("is no credentials file")
    return told


def _form(told: dict[str, Any], now: datetime) -> dict[str, str]:
    """What the token is asked for with."""
    match told.get("type"):
        case "service_account":
            return {"grant_type": _GRANT, "assertion": _assertion(told, now)}
        case "authorized_user":
            names = ("client_id", "client_secret", "refresh_token")
            return {"grant_type": "refresh_token", **{name: _text(told, name) for name in names}}
        case _:
            raise _unusable("is of a type that is not supported: service_account and authorized_user are")


def _assertion(told: dict[str, Any], now: datetime) -> str:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise _unusable("needs the package cryptography to be signed with: install modeldeck[vertex]") from None
    issued = int(now.timestamp())
    header = {"alg": "RS256", "typ": "JWT", "kid": _text(told, "private_key_id")}
    claims = {
        "iss": _text(told, "client_email"),
        "scope": _SCOPE,
        "aud": _token_uri(told),
        "iat": issued,
        "exp": issued + _SECONDS,
    }
    unsigned = b".".join(_packed(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    try:
        key = load_pem_private_key(_text(told, "private_key").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unusable("has a private key that cannot be read") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _unusable("has a private key that is not RSA")
    return b".".join((unsigned, _packed(key.sign(unsigned, padding.PKCS1v15(), hashes.SHA256())))).decode()


async def _exchanged(client: httpx.AsyncClient, form: dict[str, str], told: dict[str, Any]) -> str:
    import httpx

    try:
        answer = await client.post(_token_uri(told), data=form)
    except httpx.HTTPError as problem:
        raise FetchProblem(
            ProviderOutcome.UNREACHABLE,
            "TOKEN_UNREACHABLE",
            f"Google gave no access token: it cannot be reached ({type(problem).__name__})",
        ) from None
    if answer.status_code >= 500:
        raise FetchProblem(
            ProviderOutcome.UNREACHABLE, "TOKEN_UNREACHABLE", f"Google gave no access token (HTTP {answer.status_code})"
        )
    try:
        body = answer.json() if answer.status_code == 200 else None
    except ValueError:
        body = None
    token = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(token, str) or not token:
        raise FetchProblem(
            ProviderOutcome.REFUSED,
            "CREDENTIAL_REFUSED",
            "Google does not accept the credential in GOOGLE_APPLICATION_CREDENTIALS "
            f"(HTTP {answer.status_code} for a token)",
        )
    _refuse_unsendable(token)
    return token


def _token_uri(told: dict[str, Any]) -> str:
    """Where the file says that tokens are given out: at Google, or on this machine."""
    uri = told.get("token_uri") or _TOKEN_URI
    host = urlsplit(uri).hostname or "" if isinstance(uri, str) and urls.why_not(uri) is None else ""
    if not (host == "oauth2.googleapis.com" or urls.is_loopback(host)):
        raise _unusable("wants its token from an address that is not Google's")
    return str(uri)


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not value:
        raise _unusable(f"has no {name}")
    return value


def _packed(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _refuse_unsendable(token: str) -> None:
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise _unusable("is neither a credentials file nor a token")


def _unusable(why: str) -> FetchProblem:
    sentence = f"the credential in GOOGLE_APPLICATION_CREDENTIALS {why}; Google Vertex AI was not asked"
    return FetchProblem(ProviderOutcome.NO_CREDENTIALS, "BAD_CREDENTIAL", sentence)
