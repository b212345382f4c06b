"""Replay: what would have become of the requests of a log, had something been otherwise.

Every request with an accepted key is decided again by the gateway's own function on what Redis holds now, once as it is
and once with the change; limits are counted again in the windows of the rate-limit service (console/limits/). Only what
comes out differently is told. Nothing is changed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import io
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.access.decision import Ask, Denied, decide_for
from console.access.mirror import Mirror
from console.access.types import Grant, Snapshot
from console.call import Call
from console.keys import book as keys
from console.keys.types import Key
from console.outcome import Ending, Outcome, Refusal, not_found
from console.publishing import book as publications
from console.publishing.declaration import by_default, read_declaration
from console.publishing.limits import changed
from console.publishing.types import LIMIT_OPTIONS, Limits
from console.usage.records import PROBE, NotARequest, Request, read_line

_ACCESS_LOG = Path("envoy") / "access.log"
_MOST_LINES = 5_000_000
_LONGEST_LINE = 256 * 1024
_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3600, 86_400
_OK = "let through"
_TOKENS = ("tph", "tpd")
COUNTED = ("burst", "rpm", "rph", "rpd", "tenant_rpm", "model_rpm", *_TOKENS)
"""The limits that count requests or tokens, by their options."""


@dataclass(frozen=True, slots=True)
class Change:
    """What would be otherwise: public names that are gone or new, keys and tenants that are refused, other limits."""

    gone: frozenset[str] = frozenset()
    new: Mapping[str, str] = field(default_factory=dict)
    """By name the tenant."""
    revoked: frozenset[str] = frozenset()
    suspended: frozenset[str] = frozenset()
    limits: Mapping[str, Limits] = field(default_factory=dict)

    def applied(self, snapshot: Snapshot, grants: Mapping[str, Grant]) -> Snapshot:
        published = {name: grant for name, grant in snapshot.published.items() if name not in self.gone} | dict(grants)
        restrictions = dataclasses.replace(
            snapshot.restrictions, suspended_tenants=snapshot.restrictions.suspended_tenants | self.suspended
        )
        return dataclasses.replace(snapshot, published=published, restrictions=restrictions)


@dataclass(slots=True)
class Counted:
    """What became, and would become, of the requests of one key for one model."""

    requests: int = 0
    otherwise: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)


class Windows:
    """Limits, counted in fixed windows as the rate-limit service counts them: a refused request uses up nothing, and
    tokens are charged after the answer."""

    def __init__(self, limits: Mapping[str, Limits]) -> None:
        self._limits = limits
        self._used: Counter[tuple[str, ...]] = Counter()

    def refuses(self, request: Request) -> str:
        """The limit that says no; "" where none does."""
        limits = self._limits.get(request.model)
        if limits is None:
            return ""
        rules = [
            (option, most, (option, *who, str(int(request.at) // seconds)))
            for option, most, seconds, who in _rules(limits, request)
        ]
        for option, most, counter in rules:
            # Of tokens something must be left, of requests this one must fit.
            if self._used[counter] >= most:
                return f"{option} {most}"
        tokens = (request.input_tokens or 0) + (request.output_tokens or 0)
        for option, _, counter in rules:
            self._used[counter] += tokens if option in _TOKENS else 1
        return ""


def _rules(limits: Limits, request: Request) -> Iterator[tuple[str, int, int, tuple[str, ...]]]:
    """Option, bound, seconds of the window, and whose it is."""
    key, tenant, model = (request.model, request.key), (request.model, "tenant", request.tenant), (request.model,)
    for option, seconds, who in (
        ("burst", _SECOND, key),
        ("rpm", _MINUTE, key),
        ("rph", _HOUR, key),
        ("rpd", _DAY, key),
        ("tenant_rpm", _MINUTE, tenant),
        ("model_rpm", _MINUTE, model),
        ("tph", _HOUR, key),
        ("tpd", _DAY, key),
    ):
        most = getattr(limits, LIMIT_OPTIONS[option])
        if most is not None:
            yield option, most, seconds, who


async def replay(call: Call) -> Outcome:
    """Decide a log again."""
    logs = _logs(call)
    store = await call.services.store()
    published = {one.name: one for one, _, _ in await publications.listing(store)}
    all_keys = {one.id: one for one in await keys.list_keys(store, revoked=True)}
    change = _change(call, published, all_keys)
    mirror = Mirror(await call.services.redis(), call.services.profile.access)
    await mirror.load()
    now = {name: one.limits for name, one in published.items()}
    grants = {name: Grant(name, None, tenant) for name, tenant in change.new.items()}
    judges = (
        _Judge(mirror.snapshot, all_keys, now, Change()),
        _Judge(change.applied(mirror.snapshot, grants), all_keys, {**now, **change.limits}, change),
    )
    since = time.time() - call["since"]
    allowed = call.principal.tenants
    if call["tenant"] and call["tenant"] not in {one.tenant for one in all_keys.values()}:
        raise _no_tenant(call["tenant"])
    found = await asyncio.to_thread(_decide, logs, since, judges, allowed, call["tenant"])
    if found.lines and found.unreadable == found.lines:
        raise Refusal(
            f"none of the {found.lines} lines is a request of a gateway's log; nothing was changed",
            code="NOT_READABLE", status=400, then="name the access log with --log FILE",
        )  # fmt: skip
    return _report(found, all_keys, logs)


class _Judge:
    """Decides the requests of a log on one view of what is allowed."""

    def __init__(
        self, snapshot: Snapshot, all_keys: Mapping[str, Key], limits: Mapping[str, Limits], change: Change
    ) -> None:
        # Where a request came from need not be asked again: it was let through, so it came from there.
        anywhere = {one.digest: dataclasses.replace(one, networks=()) for one in snapshot.keys if one.networks}
        self._snapshot = dataclasses.replace(snapshot, keys=snapshot.keys.with_changes(anywhere))
        self._keys = all_keys
        self._windows = Windows(limits)
        self._change = change
        self._known: dict[tuple[str, str], str] = {}

    def verdict(self, request: Request, now: float) -> str:
        """``let through``, or the status with its reason."""
        asked = (request.key, request.model)
        if asked not in self._known:
            self._known[asked] = self._access(request, now)
        denied = self._known[asked]
        if denied:
            return denied
        limit = self._windows.refuses(request)
        return f"429 {limit}" if limit else _OK

    def _access(self, request: Request, now: float) -> str:
        key = self._keys.get(request.key)
        gone = "404 model_not_found" if request.model in self._change.gone else ""
        if request.key == PROBE:
            return gone
        if key is None or request.key in self._change.revoked:
            return "401 invalid_api_key"
        ask = Ask((), "POST", "/v1/chat/completions", request.model, route_model=request.model)
        answer = decide_for(self._snapshot, key.generations[-1].digest, key.beginning, ask, now=now)
        return f"{answer.status} {answer.code}" if isinstance(answer, Denied) else gone


@dataclass(slots=True)
class _Found:
    by: dict[tuple[str, str], Counted] = field(default_factory=dict)
    lines: int = 0
    unreadable: int = 0
    without_key: int = 0
    begins: float | None = None
    ends: float | None = None


def _decide(
    logs: Sequence[Path],
    since: float,
    judges: tuple[_Judge, _Judge],
    tenants: frozenset[str] | None,
    tenant: str | None,
) -> _Found:
    found, now = _Found(), time.time()
    before, after = judges
    for line in _lines(logs):
        found.lines += 1
        if found.lines > _MOST_LINES:
            raise Refusal(
                f"the logs have more than {_MOST_LINES:,} lines; nothing was changed", code="TOO_MANY",
                then="replay one of them at a time",
            )  # fmt: skip
        try:
            request = read_line(line)
        except NotARequest:
            found.unreadable += 1
            continue
        if request.at < since or request.look:
            continue
        if not request.key:
            found.without_key += 1
            continue
        if (tenants is not None and request.tenant not in tenants) or (tenant and request.tenant != tenant):
            continue
        found.begins = request.at if found.begins is None else min(found.begins, request.at)
        found.ends = request.at if found.ends is None else max(found.ends, request.at)
        counted = found.by.setdefault((request.key, request.model), Counted())
        counted.requests += 1
        was, would = before.verdict(request, now), after.verdict(request, now)
        if _is_otherwise(was, would):
            counted.otherwise[would] += 1
            counted.first.setdefault(would, request.at)
    return found


def _is_otherwise(was: str, would: str) -> bool:
    """Whether the client gets something else: a 429 by another number is the same to it."""
    return was != would and not (was.startswith("429 ") and would.startswith("429 "))


def _lines(logs: Sequence[Path]) -> Iterator[bytes]:
    for path in logs:
        try:
            with path.open("rb") as raw:
                stream = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
                reader = io.BufferedReader(stream)
                while line := reader.readline(_LONGEST_LINE):
                    yield line
        except (OSError, EOFError) as problem:
            raise Refusal(
                f"{path} cannot be read: {problem}; nothing was changed", code="NOT_READABLE", status=400
            ) from None


def _report(found: _Found, all_keys: Mapping[str, Key], logs: Sequence[Path]) -> Outcome:
    rows: list[dict[str, Any]] = []
    for (key, model), counted in found.by.items():
        for would, count in counted.otherwise.most_common():
            rows.append(
                {
                    "key": key,
                    "label": f"{all_keys[key].name} {key}" if key in all_keys else key,
                    "tenant": all_keys[key].tenant if key in all_keys else None,
                    "model": model,
                    "would": would,
                    "requests": count,
                    "of": counted.requests,
                    "first": datetime.fromtimestamp(counted.first[would], UTC).isoformat(timespec="seconds"),
                }
            )
    rows.sort(key=lambda row: (row["would"] == _OK, -int(row["requests"]), row["label"]))
    notes = []
    if found.unreadable:
        notes.append(f"{found.unreadable} lines were no requests")
    if found.without_key:
        notes.append(f"{found.without_key} requests had no known key: whose they were is not known")
    requests = sum(one.requests for one in found.by.values())
    told = _told(rows)
    data = {
        "logs": [str(path) for path in logs],
        "requests": requests,
        "since": None if found.begins is None else datetime.fromtimestamp(found.begins, UTC).isoformat("T", "seconds"),
        "until": None if found.ends is None else datetime.fromtimestamp(found.ends, UTC).isoformat("T", "seconds"),
        "rows": rows,
        "notes": notes,
    }
    return Outcome(Ending.DONE, f"{requests:,} requests decided again: {told}", data=data)


def _told(rows: Sequence[Mapping[str, Any]]) -> str:
    """``3 keys would get 404, 2 keys would get 429``."""
    statuses: dict[str, set[str]] = {}
    for row in rows:
        status = row["would"].split(" ")[0]
        statuses.setdefault("let" if row["would"] == _OK else status, set()).add(row["key"])
    if not statuses:
        return "nothing would be otherwise"
    parts = []
    for status, who in sorted(statuses.items()):
        many = f"{len(who)} key{'s' if len(who) != 1 else ''}"
        become = "be let through where they are not" if status == "let" else f"get {status}"
        parts.append(f"{many} would {become}")
    return ", ".join(parts)


def _logs(call: Call) -> list[Path]:
    """The logs that are named, else those of the local gateway, the older one first.

    Raises:
        Refusal: files of a server are not read for others; there is none.
    """
    named = [Path(one).expanduser() for one in call["log"]]
    if named and call.principal.via not in ("cli", "console"):
        raise Refusal("only the command line and the console read files", code="INVALID_PARAMETER", status=400)
    stack = call.services.profile.stack
    if not named and stack is not None:
        log = stack.parent / _ACCESS_LOG
        named = [path for path in (log.with_name(log.name + ".1"), log) if path.exists()]
    if not named:
        raise Refusal("there is no log to replay", code="NO_LOG", then="name one with --log FILE")
    return named


def _change(call: Call, published: Mapping[str, Any], all_keys: Mapping[str, Key]) -> Change:
    """What the options say.

    Raises:
        Refusal: they name what is not there, or nothing at all.
    """
    for name in call["unpublish"]:
        if name not in published:
            raise not_found(f"nothing is published as {name}", code="NOT_PUBLISHED", then="modeldeck published")
    revoked = frozenset(_key_id(name, all_keys) for name in call["revoke"])
    limits: dict[str, Limits] = {}
    new: dict[str, str] = {}
    if call["file"]:
        for declared in read_declaration(call["file"]):
            name = declared.name or by_default(declared.model)
            limits[name] = declared.limits
            if name not in published:
                new[name] = declared.tenant or ""
    given = {name: call[name] for name in COUNTED}
    if any(value not in (None, ()) for value in given.values()) or call["no"]:
        names = call["model"] or tuple(published)
        for name in names:
            if name not in published:
                raise not_found(f"nothing is published as {name}", code="NOT_PUBLISHED", then="modeldeck published")
            limits[name] = changed(limits.get(name, published[name].limits), given, call["no"])
    for tenant in call["suspend"]:
        if tenant not in {one.tenant for one in all_keys.values()}:
            raise _no_tenant(tenant)
    change = Change(frozenset(call["unpublish"]), new, revoked, frozenset(call["suspend"]), limits)
    if change == Change():
        raise Refusal(
            "nothing is to be otherwise", code="INVALID_PARAMETER",
            then="say what: --unpublish NAME, --revoke KEY, --suspend TENANT, --file FILE, --model NAME --rpm 60",
        )  # fmt: skip
    return change


def _no_tenant(name: str) -> Refusal:
    return not_found(f"no key is of a tenant {name}", code="INVALID_TENANT", then="modeldeck tenants list")


def _key_id(name: str, all_keys: Mapping[str, Key]) -> str:
    found = [one.id for one in all_keys.values() if name in (one.id, one.name) and one.revoked_at is None]
    if len(found) != 1:
        raise not_found(f"there is no one key {name}", code="KEY_NOT_FOUND", then="modeldeck keys list")
    return found[0]
