"""Why there is no list: the problem as a type, and what each HTTP status means for an operator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from console.sync.providers.base import ProviderSpec
from console.sync.types import ProviderOutcome

_MENDABLE = (408, 500, 502, 503, 504)
_LONGEST = timedelta(days=7)
"""A provider that asks to be left alone for longer is asked again then: it is a mistake more often than not."""


class FetchProblem(Exception):
    """Why there is no list.

    code      stable: TIMED_OUT, HTTP_503, RATE_LIMITED, HTML, …
    sentence  for an operator; holds nothing that the provider wrote and nothing of a credential
    mendable  whether another try may help
    wait      seconds that the provider asked to be left alone for
    """

    def __init__(
        self,
        outcome: ProviderOutcome,
        code: str,
        sentence: str,
        *,
        mendable: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(sentence)
        self.outcome = outcome
        self.code = code
        self.sentence = sentence
        self.mendable = mendable
        self.wait = wait


def status_problem(spec: ProviderSpec, status: int, wait: float | None, *, credential: str) -> FetchProblem:
    """What an answer that is no list means.

    Args:
        wait: from ``Retry-After``
        credential: where the one that was sent is from, "" where none was
    """
    if status in (401, 403):
        if credential:
            sentence = f"{spec.name} does not accept the credential in {credential} (HTTP {status})"
        else:
            sentence = f"{spec.name} wants a credential (HTTP {status}): set {spec.auth.env}"
        return FetchProblem(ProviderOutcome.REFUSED, "CREDENTIAL_REFUSED", sentence)
    if status == 429:
        sentence = f"{spec.name} says that it is asked too often (HTTP 429){_asked(wait)}"
        return FetchProblem(ProviderOutcome.REFUSED, "RATE_LIMITED", sentence, mendable=True, wait=_honoured(wait))
    code = f"HTTP_{status}"
    if status >= 500 or status == 408:
        wait = wait if status == 503 else None
        sentence = f"{spec.name} has a fault of its own (HTTP {status}){_asked(wait)}"
        mendable = status in _MENDABLE
        return FetchProblem(ProviderOutcome.UNREACHABLE, code, sentence, mendable=mendable, wait=_honoured(wait))
    if status >= 400:
        return FetchProblem(ProviderOutcome.REFUSED, code, f"{spec.name} refuses to give its list (HTTP {status})")
    sentence = f"{spec.name} answered with HTTP {status} instead of a list"
    return FetchProblem(ProviderOutcome.UNPARSEABLE, code, sentence)


def _asked(wait: float | None) -> str:
    """What a provider asks for, in words, and what of it is honoured."""
    if wait is None:
        return ""
    longest = _LONGEST.total_seconds()
    bounded = f", of which {_spelled(longest)} are honoured" if wait > longest else ""
    return f" and asks to be left alone for {_spelled(wait)}{bounded}"


def _honoured(wait: float | None) -> float | None:
    return None if wait is None else min(wait, _LONGEST.total_seconds())


def _spelled(seconds: float) -> str:
    if seconds < 2 * 3600:
        return f"{seconds:.0f} s"
    hours = seconds / 3600
    if hours < 48:
        return f"{hours:.0f} hours"
    days = hours / 24
    return f"{days:,.0f} days" if days < 10**7 else "ever"


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds to wait, from either form of the header (RFC 9110 §10.2.3); as many as it says, also infinitely many."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
