"""Why a request would be let through or refused: the rules one by one, with what each of them found.

The verdict is `decide`'s own; what is told beside it is read from the same snapshot. ``as_budgateway`` says what
today's budgateway would do instead (its auth.rs, as originals.md §1.3 has it), where that is something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from console.access.decision import STEPS, Allowed, Ask, Body, Denied, decide_for
from console.access.forms import GET_PUBLISHED, OURS
from console.access.types import CLIENT_PREFIX, KeyEntry, Snapshot


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule. ``verdict``: passed, refused, not asked (a rule before it refused), or without effect."""

    rule: str
    verdict: str
    found: str = ""

    def as_json(self) -> dict[str, str]:
        return {"rule": self.rule, "verdict": self.verdict, "found": self.found}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its reasons.

    clashes  models that the key has itself and that are published to somewhere else
    """

    answer: Allowed | Denied
    findings: tuple[Finding, ...]
    clashes: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        return 200 if isinstance(self.answer, Allowed) else self.answer.status

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"status": self.status, "rules": [finding.as_json() for finding in self.findings]}
        if isinstance(self.answer, Denied):
            body |= {"code": self.answer.code, "message": self.answer.message, "refused_by": self.answer.step}
        else:
            body["headers"] = self.answer.headers
        return body | {"clashes": list(self.clashes), "budgateway": list(self.differences)}


def explain(snapshot: Snapshot, digest: str, beginning: str, ask: Ask, *, now: float, prefix: str) -> Explanation:
    """Decide, and say why.

    Args:
        beginning: the key's text, or what it begins with: that decides whether published models count
    """
    answer = decide_for(snapshot, digest, beginning, ask, now=now, prefix=prefix)
    entry = snapshot.keys.get(digest)
    refused = answer.step if isinstance(answer, Denied) else None
    findings = []
    over = False
    for rule in STEPS[1:]:
        if over:
            findings.append(Finding(rule, "not asked"))
        elif rule == refused:
            assert isinstance(answer, Denied)
            findings.append(Finding(rule, "refused", answer.message))
            over = True
        else:
            effect, found = _found(rule, snapshot, entry, beginning, ask, now)
            findings.append(Finding(rule, "passed" if effect else "without effect", found))
    clashes = tuple(snapshot.clashes_of(entry)) if entry is not None and beginning.startswith(GET_PUBLISHED) else ()
    return Explanation(answer, tuple(findings), clashes)


def _found(
    rule: str, snapshot: Snapshot, entry: KeyEntry | None, beginning: str, ask: Ask, now: float
) -> tuple[bool, str]:
    """Whether a rule that let the request go on had something to look at, and what it was."""
    if rule == "key's checksum is right":
        checked = beginning.startswith(OURS)
        return checked, "" if checked else "it has none"
    if entry is None or rule == "key is presented":
        return True, ""
    match rule:
        case "key is known":
            labels = ", ".join(f"{name}={value}" for name, value in entry.labels)
            parts = (entry.key_id or "an entry without an id", labels, "stored in clear" if entry.in_clear else "")
            return True, ", ".join(filter(None, parts))
        case "key has not expired":
            ends = entry.not_after
            return ends is not None, "it has no end" if ends is None else f"{ends - now:.0f} s are left"
        case "key is not suspended":
            return True, ""
        case "tenant is not suspended":
            return entry.tenant is not None, entry.tenant or "the entry names no tenant"
        case "client is in the key's networks":
            networks = ", ".join(str(network) for network in entry.networks)
            return bool(networks), f"{ask.client} in {networks}" if networks else "it has none: from anywhere"
        case "body is JSON" | "body fits" | "body names one model":
            return ask.body is not Body.NONE, ""
        case "body names a model":
            return True, ask.route_model or ask.model or ""
        case "model is in the key's list":
            return _found_model(snapshot, entry, beginning, ask)
        case "model's tenant may be called":
            tenants = ", ".join(sorted(entry.tenants))
            return bool(tenants), tenants or "every tenant's may"
        case _:
            demands = (ask.route_model or ask.model or "") in snapshot.restrictions.own_project
            return demands, "" if demands else "the model does not ask for it"


def _found_model(snapshot: Snapshot, entry: KeyEntry, beginning: str, ask: Ask) -> tuple[bool, str]:
    name = ask.route_model or ask.model
    if not name:
        return False, "this path needs no model"
    grant = snapshot.grant_of(entry, beginning, name)
    source = "the key's own entry" if name in entry.models else "published"
    return True, f"{source}, endpoint {grant.endpoint_id or 'unknown'}" if grant is not None else ""


def as_budgateway(
    snapshot: Snapshot, digest: str, beginning: str, ask: Ask, *, now: float, has_twin: bool | None
) -> Iterator[str]:
    """Where today's budgateway would decide otherwise, a sentence each (its auth.rs, originals.md §1.3).

    Args:
        has_twin: whether ``model_table:`` has the endpoint that it would look up; None: nobody looked
    """
    entry = snapshot.keys.get(digest)
    if entry is None:
        return
    if entry.in_clear:
        yield "it would not know this key: it reads entries by digest only, and this one stands in a shared value"
        return
    if entry.not_after is not None and now >= entry.not_after:
        yield "it goes by the Redis expiry alone, and lets the key through until Redis has dropped it"
    if entry.suspended:
        yield "it knows no suspension: it would let the key through"
    if entry.tenant is not None and entry.tenant in snapshot.restrictions.suspended_tenants:
        yield "it knows no suspended tenants: it would let the key through"
    if entry.networks:
        yield "it knows no networks of a key: it would let every client address through"
    name = ask.route_model or ask.model
    if name is None:
        return
    own_only = beginning.startswith(OURS) and beginning.startswith(GET_PUBLISHED)
    if own_only and name not in entry.models and name in snapshot.published:
        yield f"it gives published models to texts that begin with {CLIENT_PREFIX} alone: it would answer 404"
        return
    if snapshot.shut_out(entry, beginning, name):
        yield f"it knows no tenants of a key: it would let the key call {name}"
    if name in snapshot.restrictions.own_project:
        yield "it does not compare projects: a key of another one would be let through"
    own, published = entry.models.get(name), snapshot.published.get(name)
    if beginning.startswith(CLIENT_PREFIX) and own is not None and published is not None and own != published:
        yield f"for {name} it takes the published entry, endpoint {published.endpoint_id}; the key's own is lost"
    grant = snapshot.grant_of(entry, beginning, name)
    if grant is not None and has_twin is False:
        yield f"model_table:{grant.endpoint_id} is not there: it would let the key in and then answer 404"
