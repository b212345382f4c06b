"""One request as the gateway's access log tells of it.

A line is JSON (console/local/gateway/translate/chain.py). Nothing in it is believed beyond what a gateway can mean:
numbers have bounds, names a length, and what a client chose is told apart from what the gateway knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from console.access.types import is_probe

PROBE = "probe"
"""What the short-lived keys of Modeldeck's own live probes are counted as, for there is a new one each time."""
_LONGEST_NAME = 256
_MOST_TOKENS = 1_000_000_000
_MOST_MILLISECONDS = 7 * 86_400_000
_CLIENT_GONE = "DC"
_BROKEN_OFF = frozenset({"UC", "UPE", "UR", "UT", "SI", "DT"})
"""In RESPONSE_FLAGS: the upstream ended the connection or the stream, broke its protocol, or took too long."""
_RESET_IN_ANSWER = "upstream_reset_after_response_started"
_MODELS_PATH = "/v1/models"
_REASONS = {
    401: "invalid_api_key",
    402: "insufficient_quota",
    403: "forbidden",
    404: "not_found",
    413: "too_large",
    429: "rate_limit_exceeded",
    503: "access_unknown",
}


class NotARequest(ValueError):
    """What a line says is no request of a gateway's; the text says why."""


class Ending(StrEnum):
    """How a request ended: one of four, so that they add up to all."""

    ANSWERED = "answered"
    REFUSED = "refused"
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Request:
    """What is known of one request.

    at             Unix seconds of its beginning
    key            id of the key that was presented; "" where it is none, or one without an id
    model          as the client named it; only a name where ``key`` is empty
    backend        ``namespace/name`` of what answered; "" where nothing did
    milliseconds   from its first byte to the last one of its answer
    input_tokens   with ``output_tokens`` None where the answer did not tell
    cached_tokens  of the input, what the provider had in its cache; 0 where it does not say
    unmetered      it may have cost tokens, and nobody knows how many
    denial         why the gateway itself refused it, a word of its own; "" where it did not
    look           it only asked for the list of models: no use of anything
    """

    identifier: str
    at: float
    tenant: str
    key: str
    model: str
    backend: str
    status: int
    ending: Ending
    milliseconds: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    unmetered: bool = False
    denial: str = ""
    look: bool = False


def read_line(line: bytes) -> Request:
    """A line of the access log.

    Raises:
        NotARequest: it is none.
    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise NotARequest(f"it is no JSON ({type(problem).__name__})") from None
    if not isinstance(said, dict):
        raise NotARequest("it is no JSON object")
    return read_fields(said, _moment(said.get("time")))


def read_fields(said: Mapping[str, Any], at: float) -> Request:
    """The fields of a line, however they came here.

    Raises:
        NotARequest: one of them cannot be.
    """
    status = _number(said.get("status"), 999, "status") or 0
    flags, details = _text(said.get("flags")), _text(said.get("details"))
    denial = _denial(said, status, details)
    # A refusal tells whose key it was in its answer, for nothing went on; any other answer may say what it likes there.
    spoken = "refused_" if details == _REFUSED else ""
    key, tenant = _text(said.get(f"{spoken}key")), _text(said.get(f"{spoken}tenant"))
    input_tokens = _number(said.get("input_tokens"), _MOST_TOKENS, "input_tokens")
    output_tokens = _number(said.get("output_tokens"), _MOST_TOKENS, "output_tokens")
    cached = _number(said.get("cached_tokens"), _MOST_TOKENS, "cached_tokens") or 0
    metered = input_tokens is not None and output_tokens is not None
    return Request(
        _text(said.get("id")),
        at,
        tenant,
        PROBE if is_probe(key) else key,
        _text(said.get("model")),
        _backend(_text(said.get("upstream")), details),
        status,
        _ending(status, flags, details),
        _number(said.get("milliseconds"), _MOST_MILLISECONDS, "milliseconds") or 0,
        input_tokens if metered else None,
        output_tokens if metered else None,
        cached if metered and cached <= (input_tokens or 0) else 0,
        not metered and said.get("metered") is True and _may_have_cost(said, status, details),
        denial,
        said.get("path") == _MODELS_PATH and said.get("method") == "GET",
    )


def _ending(status: int, flags: str, details: str) -> Ending:
    marks = set(flags.split(","))
    if _CLIENT_GONE in marks:
        return Ending.ABORTED
    if marks & _BROKEN_OFF or details.startswith(_RESET_IN_ANSWER):
        return Ending.FAILED  # whatever its status was: the client has half of an answer
    if 200 <= status < 400:
        return Ending.ANSWERED
    return Ending.REFUSED if 400 <= status < 500 else Ending.FAILED


_REFUSED = "ext_authz_denied"
_NOT_REACHED = re.compile(r"connection_(failure|timeout)")
"""In RESPONSE_CODE_DETAILS: there was no connection on which anything could have been sent."""
_WORD = re.compile(r"[a-z_]{1,48}")
_WORDS = re.compile(r"[a-zA-Z0-9 ,.'-]{1,64}")
_CLUSTER = re.compile(r"(?:backend|service)/([^/#:]+/[^/#:]+)")


def _backend(cluster: str, details: str) -> str:
    """Of ``backend/acme/pub-llama#de7196f6``, if it was asked at all: ``acme/pub-llama``."""
    found = _CLUSTER.match(cluster)
    return found[1] if found and not _is_of_the_gateway(details) else ""


def _is_of_the_gateway(details: str) -> bool:
    """Whether the gateway answered itself, and nothing was spent (RESPONSE_CODE_DETAILS of Envoy's)."""
    return details not in ("via_upstream", "-", "") and not details.startswith(
        ("upstream_", "downstream_", "response_timeout", "stream_idle_timeout", "http1.", "http2.")
    )


def _may_have_cost(said: Mapping[str, Any], status: int, details: str) -> bool:
    """Whether somebody was asked who may have worked for it; what was refused, or never arrived, has cost nothing."""
    asked = bool(_text(said.get("upstream_host"))) and not _is_of_the_gateway(details)
    return asked and not 400 <= status < 500 and not _NOT_REACHED.search(details)


def _denial(said: Mapping[str, Any], status: int, details: str) -> str:
    if status < 400 or not _is_of_the_gateway(details):
        return ""
    usual = _REASONS.get(status, str(status))
    if details == _REFUSED:
        reason = _text(said.get("reason"))
        return reason if _WORD.fullmatch(reason) else usual
    if status in (402, 429):
        limit = _text(said.get("limit"))
        return f"{usual}: {limit}" if _WORDS.fullmatch(limit) else usual
    # Envoy's own words, without what it adds in braces: there are few of them.
    return re.split(r"[{[\s]", details, maxsplit=1)[0][:64] or str(status)


def _moment(text: Any) -> float:
    if isinstance(text, str) and len(text) <= 40:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            if found.tzinfo is not None and found >= datetime(2000, 1, 1, tzinfo=UTC):
                return found.timestamp()
    raise NotARequest("it has no time")


def _text(value: Any) -> str:
    return value[:_LONGEST_NAME] if isinstance(value, str) and value != "-" else ""


def _number(value: Any, most: int, what: str) -> int | None:
    """A whole number from 0 to ``most``; Envoy writes numbers of its metadata as 7 or as 7.0."""
    if value is None or value == "-":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise NotARequest(f"its {what} cannot be")
    return value
