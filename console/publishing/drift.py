"""Drift: where the cluster and Redis are otherwise than a publication says, field by field, and who made it so."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from console.access.codec import Malformed, published_document
from console.access.types import PUBLISHED_KEY
from console.call import Call
from console.guard import system_permit
from console.k8s.types import Object, ref_of
from console.outcome import Ending, Outcome, Unavailable, counted
from console.publishing import book, leftovers
from console.publishing.diff import field_changes
from console.publishing.managers import NOBODY, Writer, added_by_others, written_by
from console.publishing.manifests import LABEL_PUBLICATION, credential_of, grant_for_authorizer, manifests
from console.publishing.plan import grant_for
from console.publishing.types import Publication, PublicationState

if TYPE_CHECKING:
    from console.services import Services


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is otherwise, or with an empty ``path`` a whole object or entry.

    wanted, found   JSON texts; None is absent
    by              who wrote it, where Kubernetes knows
    added           the path of a field that we do not ask for; empty for the others
    foreign         it belongs to somebody else, and is not ours to put right
    """

    target: str
    path: str
    wanted: str | None
    found: str | None
    by: Writer = NOBODY
    added: tuple[str, ...] = ()
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """A publication's objects as they should be, and where they and its entry are otherwise.

    shared  the object that it has in common with the tenant's other publications
    """

    publication: Publication
    wanted: Mapping[str, Object]
    differences: tuple[Difference, ...]
    shared: Object

    @property
    def entry(self) -> str:
        return entry_target(self.publication)


def entry_target(publication: Publication) -> str:
    return f"{PUBLISHED_KEY} {publication.name}"


async def listing(call: Call) -> Outcome:
    """Every difference of every publication, or of one, and what is left of publications that are gone."""
    store = await call.services.store()
    if call["name"]:
        publication, state, _ = await book.read(store, call["name"])
        call.permit.covers(publication.tenant)
        chosen = [(publication, state)]
    else:
        tenants = call.principal.tenants
        listed = await book.listing(store, tenants=None if tenants is None else sorted(tenants))
        chosen = [(publication, state) for publication, state, _ in listed]
    rows: list[dict[str, Any]] = []
    # What an operation is at work on is about to change.
    for publication, state in chosen:
        if state is PublicationState.READY:
            compared = await compare(call, publication)
            rows += [_row(publication.name, publication.tenant, one) for one in compared.differences]
    if not call["name"]:
        rows += [
            _row("", one.tenant, Difference(one.target, "", None, "there", one.by, foreign=True))
            for one in await leftovers.find(call)
        ]
    names = {row["name"]: None for row in rows if row["name"]}
    told = []
    if names:
        differing = sum(bool(row["name"]) for row in rows)
        told.append(f"{counted(differing, 'difference')} in {counted(len(names), 'publication')}")
    if any(not row["name"] for row in rows):
        told.append(counted(sum(not row["name"] for row in rows), "leftover"))
    summary = ", ".join(told) or "everything is as it should be"
    then = f"modeldeck publications repair {next(iter(names)) if len(names) == 1 else '--all'}" if names else ""
    if told and not names:
        then = "modeldeck publications prune --plan"
    return Outcome(Ending.DONE, summary, data=rows, then=then)


async def compare(call: Call, publication: Publication) -> Compared:
    """What is otherwise, by a server-side dry run of every object; nothing is changed."""
    profile = call.services.profile
    wanted = {
        str(ref_of(one)): one
        for one in manifests(publication, profile.gateway, header_prefix=profile.access.header_prefix)
    }
    found = await asyncio.gather(*(_object(call, publication, one) for one in wanted.values()))
    differences = [difference for differences in found for difference in differences]
    shared = grant_for_authorizer(publication.tenant, profile.gateway)
    differences += await _shared(call, shared)
    return Compared(publication, wanted, (*differences, *await _entry(call, publication)), shared)


async def _shared(call: Call, manifest: Object) -> list[Difference]:
    live = await (await call.services.cluster()).get(ref_of(manifest))
    if live is None:
        return [Difference(str(ref_of(manifest)), "", "there", None)]
    fields = field_changes({"spec": live.get("spec")}, {"spec": manifest["spec"]})
    target = str(ref_of(manifest))
    return [Difference(target, one.path, one.after, one.before, written_by(live, one.path)) for one in fields]


async def _object(call: Call, publication: Publication, manifest: Object) -> list[Difference]:
    cluster = await call.services.cluster()
    ref = ref_of(manifest)
    target = str(ref)
    live = await cluster.get(ref)
    if live is None:
        return [Difference(target, "", "there", None)]
    owner = live["metadata"].get("labels", {}).get(LABEL_PUBLICATION)
    if owner != publication.id:
        path = f"metadata.labels.{json.dumps(LABEL_PUBLICATION)}"
        shown = None if owner is None else json.dumps(owner)
        by = written_by(live, path)
        return [Difference(target, path, json.dumps(publication.id), shown, by, foreign=True)]
    if manifest["kind"] == "Secret":
        manifest = await with_credential(call.services, publication, manifest)
    permit = system_permit(call.permit.action, target=target).on_behalf_of(call.permit.actor)
    # Forced, for a field that another manager has taken is what is looked for; a dry run takes nothing.
    would = await cluster.apply(permit, manifest, force=True, dry_run=True)
    found = [
        Difference(target, one.path, one.after, one.before, written_by(live, one.path))
        for one in field_changes(live, would)
    ]
    for added, value, by in added_by_others(live, manifest):
        text = json.dumps(value, ensure_ascii=False)
        found.append(Difference(target, ".".join(added), None, text, by, added=added))
    return found


async def with_credential(services: Services, publication: Publication, manifest: Object) -> Object:
    """With the credential that it should hold; where that is not known here, what it holds is not judged."""
    provider = credential_of(publication, manifest)
    secret = await services.provider_credential(provider) if provider else None
    if secret is None:
        return {name: value for name, value in manifest.items() if name != "data"}
    return {**manifest, "data": {"apiKey": base64.b64encode(secret.get_secret_value().encode()).decode()}}


async def _entry(call: Call, publication: Publication) -> list[Difference]:
    target = entry_target(publication)
    wanted = grant_for(publication).as_json()
    try:
        current = published_document(await (await call.services.redis()).get(PUBLISHED_KEY)).get(publication.name)
    except Malformed as problem:
        return [Difference(PUBLISHED_KEY, "", "well-formed", f"malformed: {problem}", foreign=True)]
    except (RedisError, OSError) as problem:
        raise Unavailable(f"Redis cannot be read: {type(problem).__name__}", code="REDIS_UNAVAILABLE") from problem
    if current is None:
        return [Difference(target, "", "there", None)]
    found = current if isinstance(current, dict) else {}
    foreign = found.get("endpoint_id") != publication.id
    return [
        Difference(target, name, _text(wanted.get(name)), _text(found.get(name)), foreign=foreign)
        for name in dict.fromkeys([*wanted, *found])
        if wanted.get(name) != found.get(name)
    ]


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _row(name: str, tenant: str | None, one: Difference) -> dict[str, Any]:
    return {"name": name, "tenant": tenant, **row_of(one)}


def row_of(one: Difference) -> dict[str, Any]:
    """A difference as JSON."""
    return {
        "object": one.target,
        "field": one.path,
        "wanted": one.wanted,
        "found": one.found,
        "by": one.by.name,
        "at": one.by.at,
        "repairable": not one.foreign,
    }


def sentence(differences: Sequence[Difference]) -> str:
    """What an operator reads of them: the first, and how many more there are; empty where there are none."""
    if not differences:
        return ""
    first, more = differences[0], len(differences) - 1
    what = f"{first.path} is {first.found or 'absent'}, not {first.wanted or 'absent'}" if first.path else "is missing"
    by = f", by {first.by.name}" if first.by.name else ""
    return f"changed by hand: {first.target} {what}{by}{f', and {more} more' if more else ''}"


def by_target(differences: Sequence[Difference]) -> dict[str, list[Difference]]:
    """The differences of each object or entry, in their order."""
    found: dict[str, list[Difference]] = {}
    for one in differences:
        found.setdefault(one.target, []).append(one)
    return found
