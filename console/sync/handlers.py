"""What an operator can do about syncs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from console.call import Call
from console.catalog import read, tags
from console.catalog.provider_names import NAMES
from console.catalog.render import value_text
from console.catalog.types import ChangeKind, ModelChange
from console.outcome import Ending, Item, Outcome, Refusal, counted, not_found
from console.sync import analytics, service
from console.sync import held as waiting
from console.sync import history as record
from console.sync.engine import utc_now
from console.sync.providers import spec, specs
from console.sync.render import change_row, held_row, run_row
from console.sync.schedule import Schedule
from console.sync.telling import Telling
from console.sync.types import ProviderOutcome, ProviderReport, SyncReport

_MOST = 10_000
_RECENT = 12


async def run(call: Call) -> Outcome:
    """Sync some providers, or all."""
    schedule = await service.schedule(call.services)
    names = (*call["provider"], *call["providers"])
    if not names:  # who is paused is not meant by "all"
        left_alone = await schedule.paused()
        names = tuple(found.slug for found in specs() if found.slug not in left_alone)
        if left_alone:
            call.emit(f"paused, and left alone: {', '.join(sorted(left_alone))}")
        if not names:
            raise Refusal(
                "every provider is paused; nothing was asked", code="ALL_PAUSED", then="modeldeck sync resume"
            )
    finished: dict[str, ProviderOutcome] = {}
    try:
        report = await _sync(call, names, dry_run=call["dry_run"], finished=finished)
    except asyncio.CancelledError:
        if call["dry_run"] or not finished:
            raise
        told = await _made_known(call, schedule, finished)
        return tags.untold(_cut_off([found.slug for found in specs(names)], finished), told)
    if not call["dry_run"]:
        await schedule.learn(call.permit, report.providers, since=report.started_at)
    outcome = report.outcome()
    data = report.as_json()
    data["rows"] = data["providers"]
    if call["verbose"]:
        for line in _told(report):
            call.emit(line)
    then = report.next_step(verbose=call["verbose"])
    return dataclasses.replace(outcome, data=data, exits=report.exit_code, then=then)


async def diff(call: Call) -> Outcome:
    """What the lists say otherwise than the catalog, now; or what a run changed."""
    if call["run"] is not None:
        if call["provider"]:
            raise Refusal("name a run or providers, not both", code="BAD_REQUEST", status=400)
        store = await call.services.store()
        await record.refuse_unknown(store, call["run"])
        found = await record.changes(store, run_id=call["run"], limit=_MOST)
        rows = [_diff_row(change_row(change)) for change in found]
        return Outcome(Ending.DONE, f"{counted(len(rows), 'change')} by run {call['run']}", data={"rows": rows})
    report = await _sync(call, call["provider"], dry_run=True)
    rows = [_diff_row(change_row(change)) for provider in report.providers for change in provider.changes]
    rows += [_held_diff(row) for provider in report.providers for row in map(held_row, provider.held)]
    items = tuple(Item(r.provider, r.outcome.value, r.sentence) for r in report.providers if not r.outcome.good)
    summary = f"{counted(len(rows), 'difference')}; nothing was written"
    return Outcome(report.ending, summary, proof=(summary,), items=items, data={"rows": rows}, exits=report.exit_code)


async def status(call: Call) -> Outcome:
    """The last word of each provider, when it last changed anything, and its last runs."""
    store = await call.services.store()
    words = await record.last_words(store)
    slugs = [found.slug for found in specs()]
    recent = await record.recent(store, slugs, limit=_RECENT)
    changed = await record.last_changes(store, slugs)
    due = {entry.provider: entry for entry in await (await service.schedule(call.services)).entries()}
    rows = []
    for found in specs():
        word, entry = words.get(found.slug), due[found.slug]
        rows.append(
            {
                "provider": found.slug,
                "outcome": word.report.outcome.value if word else "never synced",
                "finished_at": _moment(word.finished_at) if word else None,
                "good_at": _moment(word.good_at) if word else None,
                "next_run_at": None if entry.paused else _moment(entry.next_run_at),
                "paused": entry.paused,
                "sentence": word.report.sentence if word else "",
                "changed_at": _moment(changed.get(found.slug)),
                "recent": [
                    {
                        "run": passed.run_id,
                        "at": _moment(passed.finished_at),
                        "outcome": passed.outcome.value,
                        "written": passed.written,
                        "milliseconds": passed.milliseconds,
                    }
                    for passed in recent[found.slug]
                ],
            }
        )
    return Outcome(Ending.DONE, counted(len(rows), "provider"), data=rows)


async def events(call: Call) -> Outcome:
    """What analytics were told of syncs, the newest first.

    Raises:
        Refusal: BAD_REQUEST, for an event that there is none of.
        ModeldeckError: Redis is not there; the events are kept in it alone.
    """
    name = call["event"] or ""
    if name and name not in analytics.EVENTS:
        raise Refusal(f"an event is one of {', '.join(analytics.EVENTS)}", code="BAD_REQUEST", status=400)
    slug = spec(call["provider"]).slug if call["provider"] else ""
    found = await analytics.recent(
        await call.services.redis(), name=name, provider=slug, limit=min(call["limit"], analytics.KEPT)
    )
    rows = [
        {"at": _moment(event.at), "event": event.name, "detail": _detail(event.data), **event.data} for event in found
    ]
    return Outcome(Ending.DONE, f"{len(rows)} event{'' if len(rows) == 1 else 's'}", data=rows)


def _detail(data: dict[str, Any]) -> str:
    """An event's data in one line, without what has a column of its own."""
    told = (
        item
        for item in data.items()
        if item[0] not in ("run", "provider", "by_provider") and item[1] not in (0, [], False, None)
    )
    return ", ".join(f"{name} {', '.join(value) if isinstance(value, list) else value}" for name, value in told)


async def providers(call: Call) -> Outcome:
    """Every provider that can be synced, and what the catalog has of it."""
    known = {found.slug: found for found in await read.providers(await call.services.store())}
    rows = []
    for found in specs():
        kept = known.get(found.slug)
        rows.append(
            {
                "provider": found.slug,
                "name": found.name,
                "aliases": list(NAMES[found.slug]),
                "tier": found.tier.value,
                "minutes": round(found.tier.interval.total_seconds() / 60),
                "models": kept.models if kept else 0,
                "listed_at": _moment(kept.listed_at) if kept else None,
                "credential": _credential_word(found.auth.env, required=found.auth.required),
                "list_url": found.list_url() or "(it publishes none)",
                "capabilities": list(found.capabilities),
            }
        )
    return Outcome(Ending.DONE, counted(len(rows), "provider"), data=rows)


async def check(call: Call) -> Outcome:
    """Ask each provider whether it would give its list for the credential that there is."""
    from console.sync.check import check as ask

    wanted = service.targets(call.services, call["provider"])
    found = await ask(wanted, credential=_credential(call), clock=utc_now)
    rows = [
        {"provider": c.provider, "outcome": c.outcome.value, "credential": c.credential, "sentence": c.sentence}
        for c in found
    ]
    bad = [c for c in found if not c.outcome.good]
    ending = Ending.DONE if not bad else Ending.PARTIAL if len(bad) < len(found) else Ending.FAILED
    summary = f"{len(found) - len(bad)} of {counted(len(found), 'provider')} would give a list; nothing was synced"
    return Outcome(ending, summary, proof=(summary,), data={"rows": rows}, exits=1 if bad else 0)


async def history(call: Call) -> Outcome:
    """The runs; or what changed: in a run, at a provider, of a model, in a field, since some time."""
    store = await call.services.store()
    asked = {name: call[name] for name in ("run", "provider", "model", "field", "since")}
    if all(value is None for value in asked.values()):
        rows = [run_row(found) for found in await record.runs(store, limit=call["limit"])]
        return Outcome(Ending.DONE, counted(len(rows), "run"), data={"rows": rows})
    if asked["run"] is not None:
        await record.refuse_unknown(store, asked["run"])
    model = await read.find_model(store, asked["model"]) if asked["model"] else None
    found = await record.changes(
        store,
        run_id=asked["run"],
        provider=spec(asked["provider"]).slug if asked["provider"] else "",
        model_id=model.id if model else None,
        field=asked["field"] or "",
        since=utc_now() - timedelta(seconds=asked["since"]) if asked["since"] is not None else None,
        limit=call["limit"],
    )
    rows = [change_row(change) for change in found]
    more = f"; there may be more, --limit {call['limit']} ended them" if len(rows) == call["limit"] else ""
    return Outcome(Ending.DONE, f"{counted(len(rows), 'change')}{more}", data={"rows": rows})


async def rejects(call: Call) -> Outcome:
    """The records that were left out, with why and their JSON: of one run, else of the last run of each provider."""
    store = await call.services.store()
    slugs = [found.slug for found in specs(call["provider"])]
    if call["run"] is not None:
        await record.refuse_unknown(store, call["run"])
        wanted = dict.fromkeys(slugs, call["run"])
    else:
        words = await record.last_words(store)
        wanted = {slug: words[slug].run_id for slug in slugs if slug in words}
    rows = [
        {
            "run": run_id,
            "provider": slug,
            "position": reject.position,
            "model": reject.native_id,
            "costs": reject.costs,
            "reason": reject.reason,
            "record": reject.record,
        }
        for slug, run_id in wanted.items()
        for reject in await record.rejects(store, run_id, provider=slug)
    ]
    whole = sum(row["costs"] == "record" for row in rows)
    summary = f"{counted(whole, 'record')} left out, {counted(len(rows) - whole, 'field')} left out of others"
    return Outcome(Ending.DONE, summary, data={"rows": rows})


async def held(call: Call) -> Outcome:
    """What waits for somebody to decide."""
    provider = spec(call["provider"]).slug if call["provider"] else ""
    found = await waiting.list_held(await call.services.store(), provider=provider)
    then = "modeldeck sync accept HELD, or sync refuse HELD; --provider NAME decides all of a provider" if found else ""
    return Outcome(Ending.DONE, counted(len(found), "held change"), data=[held_row(one) for one in found], then=then)


async def accept(call: Call) -> Outcome:
    """Let held changes through."""
    store, ids = await call.services.store(), await _chosen(call)
    chosen = [one for one in await waiting.list_held(store) if one.id in ids and one.native_id]
    outcome = await waiting.accept(call.permit, store, ids, now=datetime.now(UTC))
    changes = [ModelChange(one.provider, one.native_id, ChangeKind.CHANGED, one.field) for one in chosen]
    redis = await tags.redis_or_none(call.services)
    return tags.untold(outcome, await tags.void(redis, tags.of_changes(changes), reason="held changes accepted"))


async def refuse(call: Call) -> Outcome:
    """Keep the catalog as it is."""
    store, ids = await call.services.store(), await _chosen(call)
    return await waiting.refuse(call.permit, store, ids, now=datetime.now(UTC))


async def _sync(
    call: Call, names: Sequence[str], *, dry_run: bool, finished: dict[str, ProviderOutcome] | None = None
) -> SyncReport:
    """Sync these, and tell how far it is. ``finished``: filled with what came of each, as soon as it is known."""
    wanted = service.targets(call.services, names)
    telling = Telling(call.emit, len(wanted), {} if finished is None else finished)
    async with telling.of_what_takes_long():
        return await service.sync(call.services, call.permit, wanted, dry_run=dry_run, progress=telling)


async def _made_known(call: Call, schedule: Schedule, finished: Iterable[str]) -> bool:
    """What a run would do at its end for these providers, where it was cancelled before; whether caches were told."""
    store = await call.services.store()
    words = await record.last_words(store)
    ended = [words[slug] for slug in finished if slug in words]
    await schedule.learn(call.permit, [word.report for word in ended])
    changes = [
        change
        for word in ended
        for change in await record.changes(store, run_id=word.run_id, provider=word.report.provider, limit=_MOST)
    ]
    redis = await tags.redis_or_none(call.services)
    return await tags.void(redis, tags.of_changes(changes), reason="a cancelled run")


def _cut_off(slugs: Sequence[str], finished: Mapping[str, ProviderOutcome]) -> Outcome:
    """A run that was cancelled when some providers were finished, which is not undone."""
    left = [slug for slug in slugs if slug not in finished]
    cancelled = ProviderOutcome.CANCELLED
    return Outcome(
        Ending.PARTIAL,
        f"cancelled; {len(finished)} of {len(slugs)} providers were finished, and stay so",
        items=tuple(Item(slug, finished.get(slug, cancelled).value) for slug in slugs),
        code="CANCELLED",
        then=f"modeldeck sync run {' '.join(left)}" if left else "",
        exits=Ending.CANCELLED.exit_code,
    )


def _credential(call: Call) -> Any:
    return lambda found: call.services.provider_credential(found.slug)


def _credential_word(env: str, *, required: bool) -> str:
    return env if required else f"{env} (not needed for the list)"


def _told(report: SyncReport) -> Iterable[str]:
    for provider in report.providers:
        yield from _changes_and_rejects(provider)


def _changes_and_rejects(report: ProviderReport) -> Iterable[str]:
    for change in report.changes:
        row = change_row(change)
        yield f"{row['what']}: {row['detail']}"
    for one in report.held:
        yield f"{one.provider}/{one.native_id} {one.field} is held: {one.reason}"
    for reject in report.rejects:
        yield f"{report.provider} record {reject.position} {reject.native_id}: {reject.reason}"


def _diff_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "was": value_text(row["before"]),
        "is": row["detail"] if row["kind"] == "added" else value_text(row["after"]),
    }


def _held_diff(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "kind": "held", "was": row["before"], "is": f"{row['proposed']} ({row['reason']})"}


async def _chosen(call: Call) -> list[int]:
    """The held changes that are decided on, by their numbers or all of a provider.

    Raises:
        Refusal: neither is named, or both; nothing of this provider waits.
    """
    name = call["provider"]
    if bool(name) == bool(call["held"]):
        raise Refusal(
            "name held changes by their numbers, or a provider for all of its; nothing was changed",
            code="BAD_REQUEST",
            status=400,
            then="modeldeck sync held",
        )
    if not name:
        return _ids(call["held"])
    found = await waiting.list_held(await call.services.store(), provider=spec(name).slug)
    if not found:
        raise not_found(f"nothing of {name} waits for a decision; nothing was changed", code="HELD_NOT_FOUND")
    return [one.id for one in found]


def _ids(texts: Iterable[str]) -> list[int]:
    found = []
    for text in texts:
        if not text.isdecimal() or len(text) > 15:
            raise Refusal(
                f"a held change has a number, not {text!r}; nothing was changed", code="BAD_REQUEST", status=400
            )
        found.append(int(text))
    return list(dict.fromkeys(found))


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
