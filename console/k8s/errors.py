"""What a cluster refuses, as errors that an operator reads. Built from the API's `Status`; no credential is in one.

The server's causes are kept (`causes`, `conflicts`), but for those that say nothing: a real server adds one with the
field ``<nil>`` to many 422 answers, which only says that some rules were not checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from console.k8s.types import Cause, Conflicting
from console.outcome import Failure, ModeldeckError, Refusal, TimedOut, Unavailable

_MOST_SHOWN = 4


class KubeError(Failure):
    """The cluster failed: it answered what it should not, or with an error of its own."""

    code = "KUBE_ERROR"


class Conflict(Refusal):
    """Somebody else changed the object, or owns a field of it (`conflicts`). Nothing was changed."""

    status = 409
    code = "KUBE_CONFLICT"
    conflicts: tuple[Conflicting, ...] = ()
    causes: tuple[Cause, ...] = ()


class Invalid(Refusal):
    """The cluster refuses the object; `causes` say which fields. Nothing was changed."""

    status = 422
    code = "KUBE_INVALID"
    causes: tuple[Cause, ...] = ()


class Forbidden(Refusal):
    """The credentials are not accepted, or do not suffice. Nothing was changed."""

    status = 403
    code = "KUBE_FORBIDDEN"


class NotServed(Refusal):
    """The cluster does not know the kind: its CustomResourceDefinition is not installed."""

    status = 404
    code = "KUBE_KIND_NOT_SERVED"


class Missing(Refusal):
    """What the request needs is not there: a namespace, mostly."""

    status = 404
    code = "KUBE_NOT_FOUND"


class Expired(KubeError):
    """The resourceVersion is older than the cluster's history: list again."""

    code = "KUBE_EXPIRED"


def error_from(code: int, body: bytes, doing: str) -> ModeldeckError:
    """The error for an answer; ``doing`` is the sentence's beginning: ``apply AIGatewayRoute acme/llama``."""
    answer = _status(body)
    message = str(answer.get("message") or "") or f"the answer was {code}"
    details = answer.get("details")
    causes = _causes(details if isinstance(details, Mapping) else {})
    sentence = f"the cluster refused to {doing}: {_told(message, causes)}"
    if code == 401:
        return Forbidden(
            f"the cluster does not accept the credentials to {doing}",
            code="KUBE_UNAUTHENTICATED",
            then="check the user of the kubeconfig's context",
        )
    if code == 403:
        return Forbidden(f"{sentence}; nothing was changed", then="ask for the right, or use another context")
    if code == 404:
        return Missing(f"{sentence}; nothing was changed")
    if code == 409 or (code == 422 and any(one.field == "metadata.uid" for one in causes)):
        return _conflict(sentence, causes)
    if code in (400, 413, 415, 422):
        invalid = Invalid(f"{sentence}; nothing was changed", status=422 if code == 422 else 400)
        invalid.causes = causes
        return invalid
    if code == 410:
        return Expired(sentence)
    if code in (429, 503):
        return Unavailable(f"the cluster cannot {doing} now: {message}", code="KUBE_BUSY", then="try again in a while")
    if code == 504:
        return TimedOut(f"the cluster did not {doing} in time: {message}", code="KUBE_TIMEOUT")
    return KubeError(f"the cluster failed to {doing}: {message}")


def _conflict(sentence: str, causes: tuple[Cause, ...]) -> Conflict:
    conflicts = tuple(
        Conflicting(found[1] if (found := _MANAGER.match(one.message)) else "", one.field)
        for one in causes
        if one.reason == "FieldManagerConflict"
    )
    then = (
        "look at what the other manager wants, or take the fields over" if conflicts else "look at it again, and retry"
    )
    problem = Conflict(f"{sentence}; nothing was changed", then=then)
    problem.causes = causes
    problem.conflicts = conflicts
    return problem


_MANAGER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')


def _status(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) and content.get("kind") == "Status" else {}


def _causes(details: Mapping[str, Any]) -> tuple[Cause, ...]:
    listed = details.get("causes")
    return tuple(
        Cause(str(one.get("field") or ""), str(one.get("message") or ""), str(one.get("reason") or ""))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping) and not _says_nothing(one)
    )


def _says_nothing(cause: Mapping[str, Any]) -> bool:
    return cause.get("field") == "<nil>" and "some validation rules were not checked" in str(cause.get("message"))


def _told(message: str, causes: tuple[Cause, ...]) -> str:
    """The causes where there are some, else the server's message on one line."""
    if not causes or causes[0].reason == "FieldManagerConflict":
        return " ".join(message.split())
    shown = [str(one).removeprefix("<nil>: ") for one in causes[:_MOST_SHOWN]]
    rest = len(causes) - len(shown)
    return "; ".join(shown) + (f"; and {rest} more" if rest else "")
