"""``access explain``: which rule lets a key through or refuses it, asked of the gateway's own view of Redis."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from console.access.decision import Ask, Body
from console.access.explain import Explanation, as_budgateway, explain
from console.access.forms import is_key_text
from console.access.mirror import Mirror
from console.access.types import CLIENT_PREFIX, digest_of, is_digest
from console.call import Call
from console.keys import book
from console.keys.types import KeyState, told
from console.outcome import Ending, Outcome, Refusal

_MODEL_TABLE = "model_table:"
_LONGEST_KEY = 512
_LONGEST_NAME = 40


async def explain_access(call: Call) -> Outcome:
    """Walk the rules for one key and one model, as the gateway's workers would now."""
    redis = await call.services.redis()
    rules = call.services.profile.access
    mirror = Mirror(redis, rules)
    await mirror.load()
    digest, beginning, typed = await _key_meant(call)
    ask = _ask(call)
    now = time.time()
    if mirror.snapshot.keys.get(digest) is None and not typed:
        # What a text begins with says nothing of its checksum.
        found = explain(mirror.snapshot, digest, "", ask, now=now, prefix=rules.header_prefix)
        found = _without_entry(found, await _why_unknown(call, digest))
    else:
        found = explain(mirror.snapshot, digest, beginning, ask, now=now, prefix=rules.header_prefix)
    if call["as"] == "budgateway":
        entry = mirror.snapshot.keys.get(digest)
        grant = mirror.snapshot.grant_of(entry, beginning, ask.model) if entry is not None and ask.model else None
        twin = bool(await redis.exists(f"{_MODEL_TABLE}{grant.endpoint_id}")) if grant is not None else None
        differences = as_budgateway(mirror.snapshot, digest, beginning, ask, now=now, has_twin=twin)
        found = Explanation(found.answer, found.findings, found.clashes, tuple(differences))
    verdict = "let through" if found.status == 200 else f"refused with {found.status}"
    why = next(
        (f": {one.found}" for one in found.findings if one.rule == "key is known" and one.verdict == "refused"), ""
    )
    return Outcome(Ending.DONE, f"{verdict}{_by(found)}{why}", data=_report(found))


async def _why_unknown(call: Call, digest: str) -> str:
    """Why the gateway has no entry for a text of a key, as far as the database knows it."""
    key = await book.key_of_digest(await call.services.store(), digest)
    if key is None:
        return "Redis has no entry for it, and no key of Modeldeck's has that text"
    now = datetime.now(UTC)
    generation = next(one for one in key.generations if one.digest == digest)
    if key.revoked_at is not None:
        return f"key {key} was revoked ({told(key.revoked_at, now)})"
    if key.state(now) is KeyState.EXPIRED and key.expires_at is not None:
        return f"key {key} has expired ({told(key.expires_at, now)})"
    if not generation.live(now):
        return f"generation {generation.number} of {key} has ended"
    return f"Redis has no entry for generation {generation.number} of {key}: modeldeck keys restore"


def _without_entry(found: Explanation, why: str) -> Explanation:
    """Of a key without an entry, with the reason."""
    told_of = {"key's checksum is right": "its text is not known here", "key is known": why}
    findings = tuple(replace(one, found=told_of.get(one.rule, one.found)) for one in found.findings)
    return replace(found, findings=findings)


def _by(found: Explanation) -> str:
    step = getattr(found.answer, "step", None)
    return f" by the rule: {step}" if step else ""


def _report(found: Explanation) -> dict[str, Any]:
    body = found.as_json()
    notes = [f"published elsewhere, and the key's own entry wins: {name}" for name in found.clashes]
    notes += [f"budgateway: {difference}" for difference in found.differences]
    return body | {"rows": body.pop("rules"), "notes": notes}


def _ask(call: Call) -> Ask:
    model: str | None = call["model"]
    body = Body.OK if model else Body.NONE
    method = "POST" if model else "GET"
    path = call["path"] or ("/v1/chat/completions" if model else "/v1/models")
    return Ask((), method, path, model, body, client=call["client"])


async def _key_meant(call: Call) -> tuple[str, str, bool]:
    """The digest of the key that was named by its id, its digest, or its text on standard input; the text or what
    it begins with; and whether it is the text.

    Raises:
        Refusal: there is no such key, or its text stands on the command line.
    """
    named: str = call["key"]
    if is_digest(named):
        return named, await _beginning(call, named), False
    if named == "-":
        if call.principal.via != "cli":
            what = "only the command line has a standard input"
            raise Refusal(what, code="INVALID_PARAMETER", then="send its digest")
        text = (await asyncio.to_thread(sys.stdin.readline, _LONGEST_KEY + 2)).strip()
        if not text or len(text) > _LONGEST_KEY:
            raise Refusal("no key came on standard input", code="INVALID_PARAMETER")
        return digest_of(text, call.services.profile.access.salt), text, True
    if is_key_text(named) or named.startswith("sk-") or len(named) > _LONGEST_NAME:
        raise Refusal(
            "a key's text does not belong on a command line, which others can see",
            code="INVALID_PARAMETER",
            then="use its id, or --key - and type it",
        )
    key = await book.read_key(await call.services.store(), named, revoked=True)
    call.permit.covers(key.tenant)
    newest = (key.live(datetime.now(UTC)) or key.generations)[-1]  # one that was taken back is not what is asked of
    return newest.digest, key.beginning, False


async def _beginning(call: Call, digest: str) -> str:
    """What the text of a key with this digest begins with, as far as the database knows it."""
    key = await book.key_of_digest(await call.services.store(), digest)
    return key.beginning if key is not None else CLIENT_PREFIX
