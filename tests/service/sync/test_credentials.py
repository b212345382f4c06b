"""A credential goes where it belongs, over a safe line, and into no message."""

from __future__ import annotations

import logging

import pytest
from pydantic import SecretStr

from console.local.samples import faults
from console.local.samples.providers import SampleProviders
from console.outcome import Refusal, Unavailable
from console.sync.engine import Syncer
from console.sync.providers import spec
from console.sync.providers.base import ProviderSpec
from console.sync.types import ProviderOutcome, ProviderTarget

from .conftest import TOKEN, Deck


async def test_without_the_credential_that_it_needs_a_provider_is_not_asked(deck: Deck) -> None:
    deck.token = None
    report = await deck.one("together")
    assert (report.outcome, report.code) == (ProviderOutcome.NO_CREDENTIALS, "NO_CREDENTIALS")
    assert "TOGETHER_API_KEY is not set; it was not asked" in report.sentence
    assert deck.samples.seen("together") == []


async def test_a_public_list_is_read_without_one(deck: Deck) -> None:
    deck.token = None
    assert (await deck.one("openrouter")).outcome is ProviderOutcome.OK
    assert deck.samples.seen("openrouter")[0].authorized is None


async def test_a_credential_that_cannot_be_sent_is_not_shown_either(deck: Deck) -> None:
    deck.token = "tök-en\nwith a line"
    report = await deck.one("together")
    assert (report.outcome, report.code) == (ProviderOutcome.NO_CREDENTIALS, "BAD_CREDENTIAL")
    assert "tök" not in report.sentence
    assert deck.samples.seen("together") == []


async def test_the_line_end_of_a_secret_file_is_no_part_of_it(deck: Deck) -> None:
    deck.token = TOKEN + "\n"
    assert (await deck.one("together")).outcome is ProviderOutcome.OK


async def test_a_credential_may_be_looked_up_slowly_and_may_fail(deck: Deck) -> None:
    async def later(declared: ProviderSpec) -> SecretStr | None:
        return SecretStr(TOKEN)

    async def locked(declared: ProviderSpec) -> SecretStr | None:
        raise Unavailable("the keyring is locked", code="KEYRING_LOCKED")

    good = await Syncer(deck.store, credential=later).run(deck.permit, deck.targets("together"))
    assert good.providers[0].outcome is ProviderOutcome.OK
    bad = await Syncer(deck.store, credential=locked).run(deck.permit, deck.targets("together"))
    assert (bad.providers[0].outcome, bad.providers[0].code) == (ProviderOutcome.NO_CREDENTIALS, "KEYRING_LOCKED")


async def test_plain_http_elsewhere_is_refused_before_anything_is_sent(deck: Deck) -> None:
    with pytest.raises(Refusal, match="plain http") as caught:
        await deck.syncer().run(deck.permit, [ProviderTarget(spec("together"), "http://models.example")])
    assert caught.value.code == "INSECURE_URL"


async def test_a_redirect_to_another_server_does_not_carry_the_credential(deck: Deck) -> None:
    other = SampleProviders(token=TOKEN)
    await other.start()
    try:
        deck.samples.fault("together", faults.Redirect(f"{other.base_url('together')}/models"))
        report = await deck.one("together")
        assert (report.outcome, report.code) == (ProviderOutcome.REFUSED, "UNSAFE_REDIRECT")
        assert "none was sent there" in report.sentence
        assert [seen.authorized for seen in deck.samples.seen("together")] == [True]
        assert [seen.authorized for seen in other.seen("together")] == [None]
    finally:
        await other.stop()


async def test_a_redirect_on_the_same_server_does(deck: Deck) -> None:
    deck.samples.fault("openrouter", faults.Redirect("/together/models"))
    target = ProviderTarget(spec("together"), deck.samples.base_url("openrouter"))
    report = await deck.syncer().run(deck.permit, [target])
    assert report.providers[0].outcome is ProviderOutcome.OK
    assert deck.samples.seen("together")[0].authorized


@pytest.mark.parametrize(
    "location", ["http://models.example/list", "ftp://127.0.0.1/list", "https://u:p@models.example/"]
)
async def test_an_unsafe_redirect_is_not_followed(deck: Deck, location: str) -> None:
    deck.samples.fault("together", faults.Redirect(location))
    report = await deck.one("together")
    assert (report.outcome, report.code) == (ProviderOutcome.REFUSED, "UNSAFE_REDIRECT")


async def test_redirects_in_circles_end(deck: Deck) -> None:
    deck.samples.fault("together", faults.Redirect("/together/models"))
    report = await deck.one("together")
    assert (report.outcome, report.code) == (ProviderOutcome.UNREACHABLE, "REDIRECTS")
    assert len(deck.samples.seen("together")) == 6


@pytest.mark.parametrize(
    "fault",
    [
        faults.WrongToken(),
        faults.Status(500),
        faults.Status(429, "600"),
        faults.Html(),
        faults.Truncated(),
        faults.BrokenOff(),
        faults.Redirect("http://models.example/"),
        None,
    ],
)
async def test_no_part_of_a_credential_is_in_a_report_or_in_the_log(
    deck: Deck, fault: faults.Fault | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    deck.samples.fault("together", fault)
    deck.samples.add("together", {"you_sent": TOKEN})
    report = await deck.run("together")
    said = f"{report}{report.as_json()}{report.outcome().as_json()}{caplog.text}"
    for part in (TOKEN, TOKEN[:8], TOKEN[-8:]):
        assert part not in said
