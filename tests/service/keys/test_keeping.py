"""A key's text in the operator's keyring: there and back, and nowhere where there is no safe one."""

from __future__ import annotations

import dataclasses

import httpx
import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail

from console.access.decision import Allowed
from console.outcome import Ending
from tests.service.keys.test_keys import ADMIN, Bench, bench, text_of

__all__ = ["bench"]


class Ring(KeyringBackend):
    """In memory; ``broken`` where it takes nothing."""

    priority = 5

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.broken = False

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.broken:
            raise RuntimeError(f"locked; you said {password}")
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    made = Ring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: made)
    monkeypatch.setattr(keyring, "get_password", made.get_password)
    monkeypatch.setattr(keyring, "set_password", made.set_password)
    return made


async def test_a_key_goes_to_the_keyring_and_comes_back(bench: Bench, ring: Ring) -> None:
    outcome = await bench.do("keys.create", name="chat", tenant="acme", keyring=True)
    assert (outcome.ending, outcome.revealed) == (Ending.DONE, None), "it is not shown"
    identifier = outcome.data["id"]
    (first,) = ring.entries.values()
    assert list(ring.entries) == [("modeldeck", f"test/{identifier}/1")]
    assert first not in str(outcome.as_json())
    assert text_of(await bench.do("keys.copy", key="chat", stdout=True)) == first
    assert isinstance(bench.decide(first), Allowed)
    await bench.do("keys.rotate", key="chat", keyring=True)
    second = text_of(await bench.do("keys.copy", key="chat", stdout=True))
    assert second != first
    assert isinstance(bench.decide(second), Allowed)


async def test_a_key_that_is_not_in_the_keyring_is_not_copied(bench: Bench, ring: Ring) -> None:
    await bench.create()
    absent = await bench.do("keys.copy", key="chat", stdout=True)
    assert (absent.code, absent.status) == ("NOT_IN_KEYRING", 404)
    identifier = (await bench.do("keys.show", key="chat")).data["id"]
    ring.entries["modeldeck", f"test/{identifier}/1"] = "bud_client_another"
    foreign = await bench.do("keys.copy", key="chat", stdout=True)
    assert foreign.ending is Ending.REFUSED
    assert "bud_client_another" not in str(foreign.as_json())


async def test_without_a_safe_keyring_no_key_is_issued(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    outcome = await bench.do("keys.create", name="chat", tenant="acme", keyring=True)
    assert (outcome.code, outcome.revealed) == ("NO_KEYRING", None)
    assert (await bench.do("keys.list")).data == []


async def test_a_keyring_that_fails_after_the_issue_does_not_lose_the_text(bench: Bench, ring: Ring) -> None:
    ring.broken = True
    outcome = await bench.do("keys.create", name="chat", tenant="acme", keyring=True)
    assert "not in the keyring, so shown here" in outcome.summary
    text = text_of(outcome)
    assert isinstance(bench.decide(text), Allowed)
    assert text not in outcome.summary


async def test_over_http_the_servers_keyring_is_not_the_operators(bench: Bench, ring: Ring) -> None:
    over_http = dataclasses.replace(ADMIN, via="api")
    refused = await bench.do("keys.create", who=over_http, name="x", tenant="acme", keyring=True)
    assert refused.ending is Ending.REFUSED
    await bench.do("keys.create", name="chat", tenant="acme", keyring=True)
    assert (await bench.do("keys.copy", who=over_http, key="chat", stdout=True)).ending is Ending.REFUSED


async def test_a_kept_old_text_is_proven_through_the_gateway_too(bench: Bench, ring: Ring) -> None:
    asked: list[str] = []

    def gateway(request: httpx.Request) -> httpx.Response:
        text = request.headers["authorization"].removeprefix("Bearer ")
        asked.append(text)
        return httpx.Response(200 if isinstance(bench.decide(text), Allowed) else 401)

    transport = httpx.MockTransport(gateway)
    bench.services._opened["http"] = httpx.AsyncClient(transport=transport)
    await bench.do("keys.create", name="chat", tenant="acme", keyring=True)
    rotated = await bench.do("keys.rotate", key="chat", keyring=True)
    assert rotated.proof[-2:] == tuple(f"generation {number} accepted through the gateway (200)" for number in (2, 1))
    finished = await bench.do("keys.finish", key="chat", keyring=True)
    assert finished.ending is Ending.DONE
    assert "generation 1 is refused through the gateway (401)" in finished.proof
    assert "generation 2 accepted through the gateway (200)" in finished.proof
    assert set(asked) == set(ring.entries.values())
    ring.entries.clear()
    again = await bench.do("keys.rotate", key="chat", keyring=True)
    assert "generation 2 still accepted by its entry" in again.proof
