"""How the providers want to be asked: in pages, with a key in some header, with a credential to be exchanged first."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from console.catalog import read
from console.sync import history
from console.sync.google import access_headers
from console.sync.problems import FetchProblem
from console.sync.providers import spec
from console.sync.types import ProviderOutcome, ProviderTarget

from .conftest import TOKEN, Deck

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("slug", ["anthropic", "google-vertex", "cohere", "huggingface", "fal"])
async def test_a_list_in_pages_is_read_to_its_last_page(deck: Deck, slug: str) -> None:
    report = await deck.one(slug)
    offered = deck.samples.models(slug)
    assert (report.outcome, report.counts.fetched, report.counts.rejected) == ("ok", len(offered), 0)
    assert len(deck.samples.seen(slug)) > 1


@pytest.mark.parametrize("slug", ["anthropic", "fal", "groq"])
async def test_the_key_is_in_the_header_that_the_provider_reads(deck: Deck, slug: str) -> None:
    deck.offered_everywhere = True
    assert (await deck.one(slug)).outcome is ProviderOutcome.OK
    assert {seen.authorized for seen in deck.samples.seen(slug)} == {True}


async def test_a_version_that_is_no_secret_goes_with_every_request(deck: Deck) -> None:
    await deck.one("anthropic")
    assert {seen.headers.get("anthropic-version") for seen in deck.samples.seen("anthropic")} == {"2023-06-01"}


async def test_a_provider_without_a_list_is_said_to_have_none_and_is_not_asked(deck: Deck) -> None:
    silent = dataclasses.replace(spec("groq"), list_path=None)
    report = await deck.syncer().run(deck.permit, [ProviderTarget(silent, deck.samples.base_url("groq"))])
    (word,) = report.providers
    assert (word.outcome, word.code) == (ProviderOutcome.NO_LIST, "NO_LIST_API")
    assert word.sentence == "Groq publishes no list of its models; the catalog is unchanged"
    assert (report.exit_code, deck.samples.seen("groq")) == (1, [])
    assert (await history.last_words(deck.store))["groq"].report.outcome is ProviderOutcome.NO_LIST
    provider = await read.get_provider(deck.store, "groq")
    assert provider is not None
    assert (provider.list_url, provider.models) == ("", 0)


# --- Google's credentials ---------------------------------------------------------------------------------------------


@dataclasses.dataclass
class TokenServer:
    """Gives out tokens as Google does; ``asked`` holds the forms that came in."""

    url: str = ""
    status: int = 200
    body: bytes = b'{"access_token":"ya29.token","expires_in":600,"token_type":"Bearer"}'
    asked: list[dict[str, str]] = dataclasses.field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        form = parse_qs((await reader.readexactly(length)).decode())
        self.asked.append({name: values[0] for name, values in form.items()})
        lines = [f"HTTP/1.1 {self.status} X", f"content-length: {len(self.body)}", "connection: close", "", ""]
        writer.write("\r\n".join(lines).encode() + self.body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def tokens() -> AsyncIterator[TokenServer]:
    found = TokenServer()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    yield found
    server.close()
    await server.wait_closed()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


Ask = Callable[[object], Awaitable[dict[str, str]]]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Exchanges a credential."""
    async with httpx.AsyncClient(trust_env=False) as client:

        async def exchange(credential: object) -> dict[str, str]:
            text = credential if isinstance(credential, str) else json.dumps(credential)
            return await access_headers(client, text, NOW)

        yield exchange


def account(tokens: TokenServer, key: Any, **changes: object) -> dict[str, object]:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    told = {
        "type": "service_account",
        "project_id": "acme-prod",
        "private_key_id": "k1",
        "private_key": pem,
        "client_email": "sync@acme-prod.iam.gserviceaccount.com",
        "token_uri": tokens.url,
    }
    return {name: value for name, value in {**told, **changes}.items() if value is not None}


async def test_a_service_account_signs_for_a_token(tokens: TokenServer, key: rsa.RSAPrivateKey, ask: Ask) -> None:
    headers = await ask(account(tokens, key))
    assert headers == {"Authorization": "Bearer ya29.token", "X-Goog-User-Project": "acme-prod"}
    (form,) = tokens.asked
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = form["assertion"].split(".")

    def unpacked(part: str) -> bytes:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    key.public_key().verify(unpacked(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    assert json.loads(unpacked(head)) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    told = json.loads(unpacked(claims))
    assert (told["iss"], told["aud"]) == ("sync@acme-prod.iam.gserviceaccount.com", tokens.url)
    assert (told["iat"], told["exp"] - told["iat"]) == (int(NOW.timestamp()), 600)
    assert told["scope"].endswith("cloud-platform.read-only")


async def test_a_users_login_gives_its_refresh_token(tokens: TokenServer, tmp_path: Path, ask: Ask) -> None:
    told = {
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
        "token_uri": tokens.url,
    }
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps(told))
    assert await ask(str(file)) == {"Authorization": "Bearer ya29.token"}
    form = {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    assert tokens.asked == [form]


async def test_a_token_is_sent_as_it_is(ask: Ask) -> None:
    assert await ask("ya29.ready") == {"Authorization": "Bearer ya29.ready"}


async def refused(ask: Ask, credential: object) -> FetchProblem:
    with pytest.raises(FetchProblem) as caught:
        await ask(credential)
    return caught.value


async def test_a_credential_that_is_none_is_refused_without_being_shown(
    tokens: TokenServer, key: rsa.RSAPrivateKey, tmp_path: Path, ask: Ask
) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    bad: list[tuple[object, str]] = [
        (str(tmp_path / "nowhere.json"), "names a file that cannot be read"),
        ("{broken", "is not JSON"),
        ("not a token", "is neither a credentials file nor a token"),
        ("tök", "is neither a credentials file nor a token"),
        ({"type": "external_account"}, "of a type that is not supported"),
        (account(tokens, key, client_email=None), "has no client_email"),
        (account(tokens, key, private_key="-----BEGIN secret"), "private key that cannot be read"),
        (account(tokens, elliptic), "private key that is not RSA"),
        (account(tokens, key, token_uri="https://evil.example/token"), "an address that is not Google's"),
        (account(tokens, key, token_uri="http://oauth2.googleapis.com/token"), "an address that is not Google's"),
        (account(tokens, key, token_uri=7), "an address that is not Google's"),
    ]
    for credential, why in bad:
        problem = await refused(ask, credential)
        assert (problem.outcome, problem.code) == (ProviderOutcome.NO_CREDENTIALS, "BAD_CREDENTIAL")
        assert why in problem.sentence
        assert "BEGIN" not in problem.sentence
        assert "tök" not in problem.sentence
    assert tokens.asked == []


async def test_what_google_says_instead_of_a_token(tokens: TokenServer, key: rsa.RSAPrivateKey, ask: Ask) -> None:
    for status, body, outcome, code in (
        (400, b'{"error":"invalid_grant"}', ProviderOutcome.REFUSED, "CREDENTIAL_REFUSED"),
        (200, b"<html>", ProviderOutcome.REFUSED, "CREDENTIAL_REFUSED"),
        (200, b'{"access_token":""}', ProviderOutcome.REFUSED, "CREDENTIAL_REFUSED"),
        (503, b"", ProviderOutcome.UNREACHABLE, "TOKEN_UNREACHABLE"),
    ):
        tokens.status, tokens.body = status, body
        problem = await refused(ask, account(tokens, key))
        assert (problem.outcome, problem.code) == (outcome, code)
        assert "invalid_grant" not in problem.sentence
    gone = account(tokens, key, token_uri="http://127.0.0.1:1/token")
    assert (await refused(ask, gone)).code == "TOKEN_UNREACHABLE"


async def test_the_token_of_an_exchange_is_in_no_record(
    deck: Deck, tokens: TokenServer, key: rsa.RSAPrivateKey
) -> None:
    tokens.body = json.dumps({"access_token": TOKEN}).encode()
    deck.token = json.dumps(account(tokens, key))
    deck.samples.add("google-vertex", {"note": f"you sent {TOKEN}"})
    report = await deck.one("google-vertex")
    assert (report.outcome, report.counts.rejected) == (ProviderOutcome.OK, 1)
    assert TOKEN not in report.rejects[0].record
    assert {seen.headers.get("x-goog-user-project") for seen in deck.samples.seen("google-vertex")} == {"acme-prod"}


async def test_a_refused_exchange_is_the_providers_outcome(
    deck: Deck, tokens: TokenServer, key: rsa.RSAPrivateKey
) -> None:
    tokens.status = 401
    deck.token = json.dumps(account(tokens, key))
    report = await deck.one("google-vertex")
    assert (report.outcome, report.code) == (ProviderOutcome.REFUSED, "CREDENTIAL_REFUSED")
    assert deck.samples.seen("google-vertex") == []
