"""Why there is no list: the problem as a type, and what each HTTP status means for an operator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from console.sync.providers.base import ProviderSpec
from console.sync.types import ProviderOutcome

_MENDABLE = (408, 500, 502, 503, 504)


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


def status_problem(spec: ProviderSpec, status: int, wait: float | None, *, with_secret: bool) -> FetchProblem:
    """What an answer that is no list means. ``wait``: from ``Retry-After``; ``with_secret``: a credential was sent."""
    if status in (401, 403):
        if with_secret:
            sentence = f"{spec.name} does not accept the credential in {spec.auth.env} (HTTP {status})"
        else:
            sentence = f"{spec.name} wants a credential (HTTP {status}): set {spec.auth.env}"
        return FetchProblem(ProviderOutcome.REFUSED, "CREDENTIAL_REFUSED", sentence)
    if status == 429:
        until = f" and asks to be left alone for {wait:g} s" if wait is not None else ""
        sentence = f"{spec.name} says that it is asked too often (HTTP 429){until}"
        return FetchProblem(ProviderOutcome.REFUSED, "RATE_LIMITED", sentence, mendable=True, wait=wait)
    code = f"HTTP_{status}"
    if status >= 500 or status == 408:
        sentence = f"{spec.name} has a fault of its own (HTTP {status})"
        wait = wait if status == 503 else None
        return FetchProblem(ProviderOutcome.UNREACHABLE, code, sentence, mendable=status in _MENDABLE, wait=wait)
    if status >= 400:
        return FetchProblem(ProviderOutcome.REFUSED, code, f"{spec.name} refuses to give its list (HTTP {status})")
    sentence = f"{spec.name} answered with HTTP {status} instead of a list"
    return FetchProblem(ProviderOutcome.UNPARSEABLE, code, sentence)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds to wait, from either form of the header (RFC 9110 §10.2.3)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return min(float(header), timedelta(days=365).total_seconds())
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())
