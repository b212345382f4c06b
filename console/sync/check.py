"""Whether a provider can be asked, without a sync: its credential is sent once, and only the answer's head is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from console.outcome import ModeldeckError
from console.sync.fetch import Fetcher
from console.sync.problems import FetchProblem
from console.sync.provider_sync import Credential
from console.sync.types import Limits, ProviderOutcome, ProviderTarget


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of asking. ``credential``: accepted, refused, missing, not needed, or not told."""

    provider: str
    outcome: ProviderOutcome
    credential: str
    sentence: str


async def check(
    targets: Sequence[ProviderTarget],
    *,
    credential: Credential,
    clock: Callable[[], datetime],
    limits: Limits | None = None,
) -> tuple[Checked, ...]:
    """Ask each provider once, side by side. Nothing is written, and no list is read."""
    bounds = limits or Limits()
    turnstile = asyncio.Semaphore(bounds.parallel)
    async with Fetcher(bounds, clock) as fetcher:

        async def one(target: ProviderTarget) -> Checked:
            async with turnstile:
                return await _checked(fetcher, target, credential)

        return tuple(await asyncio.gather(*(one(target) for target in targets)))


async def _checked(fetcher: Fetcher, target: ProviderTarget, credential: Credential) -> Checked:
    spec = target.spec
    if spec.list_path is None:
        return Checked(spec.slug, ProviderOutcome.NO_LIST, "not told", f"{spec.name} publishes no list of its models")
    try:
        found = credential(spec)
        secret = await found if isinstance(found, Awaitable) else found
        authorization = await fetcher.authorize(spec, secret, target.credential)
        await fetcher.probe(spec, spec.list_url(target.base_url), authorization=authorization)
    except FetchProblem as problem:
        states = {"NO_CREDENTIALS": "missing", "BAD_CREDENTIAL": "refused", "CREDENTIAL_REFUSED": "refused"}
        return Checked(spec.slug, problem.outcome, states.get(problem.code, "not told"), problem.sentence)
    except ModeldeckError as problem:  # of the keyring, or of a file
        return Checked(spec.slug, ProviderOutcome.NO_CREDENTIALS, "missing", str(problem))
    place = target.credential or spec.auth.env
    if spec.auth.required:
        return Checked(spec.slug, ProviderOutcome.OK, "accepted", f"{spec.name} gives its list for {place}")
    if not authorization.headers:
        return Checked(spec.slug, ProviderOutcome.OK, "not needed", f"the list of {spec.name} is public")
    # A public list may not look at the key at all.
    sentence = f"the list of {spec.name} is public; whether {place} is valid, it does not tell"
    return Checked(spec.slug, ProviderOutcome.OK, "not told", sentence)
