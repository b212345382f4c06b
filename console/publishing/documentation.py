"""What a client needs to know of a publication: where it is, how it is called, what it answers, in Markdown.

The examples' request is sent through the gateway before they are shown, with a key of our own that lives for a minute
at most. The page says when that was and what came of it; where it failed, or could not be done, it says that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from console.call import Call
from console.catalog.types import Document
from console.guard import Danger, Role, system_permit
from console.outcome import Ending, ModeldeckError, Outcome
from console.publishing import book
from console.publishing.examples import Example, examples_of, request_of
from console.publishing.manifests import public_host
from console.publishing.probe import ClientRequest, ProbeResult, ask, internal_key
from console.publishing.showing import url_of
from console.publishing.types import Publication, PublicationKind

_AUTHORIZER_ERRORS = (
    ("400", "`invalid_json`, `missing_model`, `duplicate_model`", "never as it is: mend the request"),
    ("401", "`missing_api_key`, `invalid_authorization`, `invalid_api_key`, `expired_api_key`", "with another key"),
    (
        "403",
        "`key_suspended`, `tenant_suspended`, `network_not_allowed`, `project_not_allowed`",
        "never by itself: ask the operator",
    ),
    ("404", "`model_not_found`: the key may not call it, or it is not published any more", "never by itself"),
    ("413", "`request_too_large`", "with a smaller body"),
)
_GATEWAY_ERRORS = (
    ("429", "`rate_limit_exceeded`", "after the seconds in `Retry-After`"),
    ("500", "`internal_error`: the route cannot be served", "later, growing pauses; tell the operator"),
    ("502, 503", "`bad_gateway`, `upstream_unavailable`, `access_unknown`", "at once, then with growing pauses"),
    ("504", "`upstream_timeout`: no answer within the timeout", "with growing pauses; ask for less"),
)
_BODY_NAMES_MODEL = "400"


@dataclass(frozen=True, slots=True)
class Check:
    """What came of sending the examples' request.

    status  None where it was not sent, or not answered
    wanted  it was to be sent, and may be
    """

    at: datetime
    status: int | None
    sentence: str
    wanted: bool = True

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Documentation(Document):
    """The page, and the same for a program."""

    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {**self.facts, "markdown": self.text}


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked of the guard: the check writes a key to Redis for a moment."""

    id: str
    role: Role = Role.PUBLISHER
    danger: Danger = Danger.WRITE


async def docs(call: Call) -> Outcome:
    """The documentation of one publication, its examples checked just now."""
    publication, _, _ = await book.read(await call.services.store(), call["name"])
    call.permit.covers(publication.tenant)
    checked = await _checked(call, publication)
    url = url_of(publication, call.services.profile.gateway.url)
    request = request_of(publication)
    base = url.removesuffix(request.path)
    examples = examples_of(publication, base)
    text = markdown(publication, base, examples, checked)
    facts = {
        "name": publication.name,
        "tenant": publication.tenant,
        "kind": publication.kind.value,
        "url": url,
        "limits": publication.as_spec()["limits"],
        "request": {
            "method": request.method,
            "path": request.path,
            "headers": dict(request.headers) | {"Authorization": "Bearer $API_KEY"},
            "body": request.body,
        },
        "checked": {
            "at": checked.at.isoformat(timespec="seconds"),
            "status": checked.status,
            "good": checked.good,
            "sentence": checked.sentence,
        },
        "examples": [dataclasses.asdict(example) for example in examples],
    }
    page = Documentation(text, [], facts)
    if checked.good or not checked.wanted:
        return Outcome(Ending.DONE, f"{publication.name}: {checked.sentence}", data=page)
    summary = f"{publication.name}: {checked.sentence}; the page is for reading only, its examples do not work now"
    return Outcome(Ending.PARTIAL, summary, data=page, then=f"modeldeck published {publication.name}")


async def _checked(call: Call, publication: Publication) -> Check:
    now = datetime.now(UTC)
    if call["unchecked"]:
        return Check(now, None, "the examples were not sent: --unchecked", wanted=False)
    guard = await call.services.guard(records=False)
    demand = _Request(call.permit.action)
    why = await guard.why_not(demand, call.principal, tenant=publication.tenant)
    if why is not None:
        told = f"the examples were not sent, for that takes a key for a moment: {why}"
        return Check(now, None, told, wanted=False)
    profile = call.services.profile
    permit = system_permit(call.permit.action, target=publication.name).on_behalf_of(call.permit.actor)
    try:
        redis, writer = await call.services.redis(), await call.services.writer()
        async with internal_key(redis, writer, permit, publication, profile) as key:
            result = await ask(key, _addressed(publication), profile)
    except ModeldeckError as problem:
        return Check(now, None, f"the examples could not be sent: {problem}")
    return Check(now, result.status or None, _told(result))


def _addressed(publication: Publication) -> ClientRequest:
    """The examples' request on its way to the gateway's own address, whose hostname may not be known here yet."""
    request, host = request_of(publication), public_host(publication)
    if host is None:
        return request
    return dataclasses.replace(request, headers={**request.headers, "Host": host})


def _told(result: ProbeResult) -> str:
    if result.good:
        return f"the examples' request was answered {result}"
    return f"the examples' request FAILED: it was answered {result}"


def markdown(publication: Publication, base: str, examples: Sequence[Example], checked: Check) -> str:
    """The whole page. It names no key, no credential and no address behind the gateway."""
    parts = [
        f"# {publication.name}",
        _calling(publication, base),
        _limits(publication),
        _errors(publication),
        "\n".join(
            [
                "## Examples",
                "",
                "The key is read from `$API_KEY`; keep it out of your shell's history.",
                "",
                f"Checked {checked.at:%Y-%m-%d %H:%M:%S} UTC: {checked.sentence}.",
                "All examples make this one request.",
            ]
        ),
        *(_shown(example) for example in examples),
    ]
    return "\n\n".join(parts) + "\n"


def _calling(publication: Publication, base: str) -> str:
    request = request_of(publication)
    lines = [
        f"    {request.method} {base}{request.path}",
        "",
        "| header | value |",
        "|---|---|",
        "| `Authorization` | `Bearer KEY` |",
        *(f"| `{name}` | `{value}` |" for name, value in request.headers.items()),
        "",
    ]
    if publication.kind is PublicationKind.OPENAI:
        lines.append(
            f'The API is OpenAI\'s: base URL `{base}/v1`, model `{publication.name}`. `"stream": true` streams.'
        )
        lines.append("`GET /v1/models` lists what a key may call.")
    else:
        lines.append("The protocols are KServe's: v1 (`:predict`, `:explain`) and v2 (`/v2/models/NAME/…`) below the")
        lines.append("same prefix.")
    return "\n".join(lines)


def _limits(publication: Publication) -> str:
    """Those that are set; the rest is no business of a client's."""
    set_ = {name: value for name, value in publication.as_spec()["limits"].items() if value not in (None, [])}
    rows = [
        f"| {name.replace('_', ' ')} | {', '.join(value) if isinstance(value, list) else value} |"
        for name, value in set_.items()
    ]
    counted = "Requests and tokens are counted for each key by itself, but for the totals of a tenant and of the model."
    return "\n".join(["## Limits", "", counted, "", "| limit | value |", "|---|---|", *rows])


def _errors(publication: Publication) -> str:
    rows = [
        row
        for row in (*_AUTHORIZER_ERRORS, *_GATEWAY_ERRORS)
        # A traditional route stands for its model: nothing is asked of the body but its size.
        if publication.kind is PublicationKind.OPENAI or row[0] != _BODY_NAMES_MODEL
    ]
    lines = [
        "## Errors",
        "",
        'The body is `{"error": {"message", "type", "param", "code"}}`, as OpenAI\'s. What the model itself refuses is',
        "passed on as it says it.",
        "",
        "| status | code | try again |",
        "|---|---|---|",
        *(f"| {status} | {code} | {again} |" for status, code, again in rows),
    ]
    return "\n".join(lines)


def _shown(example: Example) -> str:
    return f"### {example.title}\n\nNeeds: {example.needs}.\n\n```{example.language}\n{example.text.rstrip()}\n```"
