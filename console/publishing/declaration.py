"""Publications as a file: read with the line of every mistake, brought about, and written back.

    apiVersion: modeldeck.dev/v1
    publications:
      - name: llama
        tenant: acme
        model: deepinfra/meta-llama/Llama-3.1-8B-Instruct
        limits:
          requests_per_minute: 60

``model``, ``type``, ``weight``, ``also`` and ``fallback`` are what the options of ``modeldeck publish`` are. Every
limit of a publication may stand under ``limits``, by the name that ``modeldeck published --json`` has for it.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.call import Call
from console.outcome import Ending, Outcome, Refusal, conflict
from console.publishing import backends, book, handlers, native
from console.publishing.origins import Found, find_origin, named, overruled, own_tenant
from console.publishing.plan import check_name, check_tenant
from console.publishing.types import Access, Limits, Plan, Publication, PublicationKind, PublicationState
from console.publishing.yaml_lines import At, Wrong, read_yaml

API_VERSION = "modeldeck.dev/v1"
_FIELDS = ("name", "tenant", "model", "type", "weight", "also", "fallback", "hostnames", "access", "limits")
_NO_LIMITS = Limits()
_NAME = re.compile(r"[A-Za-z_][\w-]{0,39}")
_MOST = 500


@dataclass(frozen=True, slots=True)
class Declared:
    """One publication as somebody wants it.

    ``tenant`` None and ``type`` ``auto`` go by what is published, ``access`` None by what the gateway can.
    """

    name: str
    tenant: str | None
    model: str
    type: str = "auto"
    limits: Limits = _NO_LIMITS
    hostnames: tuple[str, ...] = ()
    access: Access | None = None
    weight: int = 1
    also: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a declaration comes to. ``before`` is what is published under the name now."""

    publication: Publication
    before: Publication | None = None
    warnings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def by_default(model: str) -> str:
    """The public name where none is given: the last part of the model's."""
    return model.rpartition("/")[2]


# --- reading ----------------------------------------------------------------------------------------------------


def read_declaration(text: str) -> list[Declared]:
    """The publications of a file, in its order.

    Raises:
        Refusal: the sentence names the line and the field.
    """
    try:
        return _read(read_yaml(text))
    except Wrong as problem:
        raise Refusal(f"the declaration's {problem}; nothing was changed", code="INVALID_DECLARATION") from None


def _read(document: At) -> list[Declared]:
    top = document.mapping("the file")
    _known(document, top, ("apiVersion", "publications"), "the file")
    version = top.get("apiVersion")
    if version is None or version.value != API_VERSION:
        raise Wrong((version or document).line, f"apiVersion is not {API_VERSION}")
    listed = top.get("publications")
    entries = listed.sequence("publications") if listed is not None else []
    if not entries:
        raise Wrong((listed or document).line, "publications is not a list of at least one")
    if len(entries) > _MOST:
        raise Wrong(document.line, f"{len(entries)} publications are more than {_MOST}")
    found: dict[str, Declared] = {}
    for number, entry in enumerate(entries):
        one = _publication(entry, f"publications[{number}]")
        if one.name in found:
            first = found[one.name].line
            raise Wrong(entry.line, f"publications[{number}].name: {one.name} is in line {first} already")
        found[one.name] = one
    return list(found.values())


def _publication(entry: At, path: str) -> Declared:
    fields = entry.mapping(path)
    _known(entry, fields, _FIELDS, path)
    texts: dict[str, str | None] = dict.fromkeys(("name", "tenant", "model", "type", "access"))
    for name in texts:
        if name in fields:
            texts[name] = fields[name].text(f"{path}.{name}")
    if texts["model"] is None:
        raise Wrong(entry.line, f"{path} has no model")
    kinds = ("auto", *(kind.value for kind in PublicationKind))
    kind = texts["type"] or "auto"
    if kind not in kinds:
        raise Wrong(fields["type"].line, f"{path}.type is {', '.join(kinds)}, not {kind[:40]!r}")
    access = texts["access"]
    if access is not None and access not in tuple(Access):
        raise Wrong(fields["access"].line, f"{path}.access is {', '.join(Access)}, not {access[:40]!r}")

    def texts_of(name: str) -> tuple[str, ...]:
        listed = fields[name].sequence(f"{path}.{name}") if name in fields else []
        return tuple(one.text(f"{path}.{name}[{number}]") for number, one in enumerate(listed))

    return Declared(
        name=texts["name"] or by_default(texts["model"]),
        tenant=texts["tenant"],
        model=texts["model"],
        type=kind,
        limits=_limits(fields["limits"], f"{path}.limits") if "limits" in fields else Limits(),
        hostnames=texts_of("hostnames"),
        access=None if access is None else Access(access),
        weight=fields["weight"].integer(f"{path}.weight") if "weight" in fields else 1,
        also=texts_of("also"),
        fallback=texts_of("fallback"),
        line=entry.line,
    )


def _limits(entry: At, path: str) -> Limits:
    """Every field that `Limits` has, of its type; what it may be is the planner's business."""
    given = entry.mapping(path)
    hints = typing.get_type_hints(Limits)
    _known(entry, given, list(hints), path)
    return Limits(**{name: _of_type(one, hints[name], f"{path}.{name}") for name, one in given.items()})


def _of_type(one: At, hint: Any, path: str) -> Any:
    if isinstance(hint, types.UnionType):
        if one.value is None:
            return None
        hint = next(arm for arm in hint.__args__ if arm is not types.NoneType)
    if hint is int:
        return one.integer(path)
    if typing.get_origin(hint) is tuple:
        return tuple(item.text(f"{path}[{number}]") for number, item in enumerate(one.sequence(path)))
    raise TypeError(f"{path}: no rule reads {hint}")


def _known(at: At, fields: Mapping[str, At], names: Collection[str], path: str) -> None:
    for name, value in fields.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" (did you mean {close[0]}?)" if close else f"; it has {', '.join(names)}"
            # What is no name may be anything: the file is perhaps none of ours.
            called = f"no field {name[:40]!r}{hint}" if _NAME.fullmatch(name) else "a field whose name is none"
            raise Wrong(value.line or at.line, f"{path} has {called}")


# --- bringing about ---------------------------------------------------------------------------------------------


async def resolve(call: Call, declared: Declared) -> Resolved:
    """What it comes to on this cluster, with this catalog.

    Raises:
        Refusal: there is no such model or tenant, the name is another publication's, or a limit cannot be held.
    """
    found = await find_origin(call.services, declared.model)
    tenant = _tenant(call, declared, found)
    if declared.type != "auto":
        found = overruled(found, PublicationKind(declared.type))
    kind = found.kind
    check_name(declared.name, kind)
    await check_tenant(await call.services.cluster(), tenant)
    there = await book.find(await call.services.store(), declared.name)
    before = there[0] if there is not None else None
    if there is not None and before is not None:
        same = before.tenant == tenant and before.kind is kind
        if not same or there[1] is not PublicationState.READY:
            raise conflict(
                f"{declared.name} is {there[1].value} already: {before.origin.name} for tenant {before.tenant}, "
                f"{before.kind.value}; it was left as it is",
                code="ALREADY_PUBLISHED",
                then="choose another name, or unpublish it first",
            )
    publication, warnings = await _with_backends(call, declared, tenant, found, kind, before)
    access = declared.access or native.usual(call.services.profile.gateway)
    publication = dataclasses.replace(publication, limits=declared.limits, hostnames=declared.hostnames, access=access)
    if before is None:
        warnings = (*found.warnings, *warnings)
    return Resolved(publication, before, warnings, found.reasons)


async def _with_backends(
    call: Call, declared: Declared, tenant: str, found: Found, kind: PublicationKind, before: Publication | None
) -> tuple[Publication, tuple[str, ...]]:
    """The publication with the declared backends; those that are there already keep their objects."""

    async def find(target: str) -> Found:
        return await find_origin(call.services, target)

    if before is None:
        new = Publication(str(uuid.uuid4()), declared.name, tenant, kind, found.origin, weight=declared.weight)
        return await backends.changed(new, find, also=declared.also, fallback=declared.fallback)
    wanted = {declared.model, *declared.fallback, *(text.rpartition("=")[0] or text for text in declared.also)}
    there = [named(one.origin) for one in before.backends]
    return await backends.changed(
        before,
        find,
        also=(f"{declared.model}={declared.weight}", *declared.also),
        fallback=declared.fallback,
        drop=[name for name in there if name not in wanted],
    )


async def bring_about(call: Call, resolved: Resolved) -> Outcome:
    """Publish it, or make what is there what it should be; with ``plan``, only say what that would change."""
    return await handlers.bring_about(call, resolved.publication, resolved.before, resolved.warnings, resolved.reasons)


def _tenant(call: Call, declared: Declared, found: Found) -> str:
    own = own_tenant(found.origin)
    tenant = declared.tenant or own
    if tenant is None:
        raise Refusal(f"for which tenant is {declared.name}? nothing was changed", code="INVALID_TENANT")
    if own is not None and tenant != own:
        raise Refusal(
            f"{found.origin.name} belongs to tenant {own}, not {tenant}; nothing was changed", code="INVALID_TENANT"
        )
    call.permit.covers(tenant)
    return tenant


def combined(plans: Sequence[Plan], title: str) -> Outcome:
    """Several plans as one."""
    if len(plans) == 1:
        title = plans[0].title
    changes = tuple(change for plan in plans for change in plan.changes)

    def told(plan: Plan, sentence: str) -> str:
        return f"{plan.publication.name}: {sentence}" if len(plans) > 1 and plan.publication is not None else sentence

    warnings = tuple(told(plan, warning) for plan in plans for warning in plan.warnings)
    reasons = tuple(told(plan, reason) for plan in plans for reason in plan.reasons)
    conflicts = tuple(conflict for plan in plans for conflict in plan.conflicts)
    plan = Plan(title, plans[0].publication, changes, warnings, conflicts, reasons)
    return Outcome(Ending.UNCHANGED if plan.changes_nothing else Ending.DONE, plan.summary, data=plan)


# --- writing ----------------------------------------------------------------------------------------------------


def as_declaration(publication: Publication) -> dict[str, Any]:
    """The file that `read_declaration` makes the same publication of.

    Raises:
        Refusal: the form has no words for how its backends stand to each other.
    """
    first, *others = publication.backends
    also = [one for one in others if one.priority == 0]
    fallback = [one for one in others if one.priority > 0]
    if [one.priority for one in fallback] != list(range(1, len(fallback) + 1)) or any(
        one.weight != 1 for one in fallback
    ):
        raise Refusal(
            f"{publication.name} has fallbacks that share a place or a weight, and a declaration cannot say that",
            code="NOT_DECLARABLE",
            then="export its manifests instead: without --declaration",
        )
    usual, limits = Limits().as_spec(), publication.limits.as_spec()
    entry: dict[str, Any] = {
        "name": publication.name,
        "tenant": publication.tenant,
        "model": named(first.origin),
        "type": publication.kind.value,
        "weight": first.weight,
        "also": [f"{named(one.origin)}={one.weight}" for one in also],
        "fallback": [named(one.origin) for one in fallback],
        "hostnames": list(publication.hostnames),
        "access": publication.access.value,
        "limits": {name: value for name, value in limits.items() if value != usual[name]},
    }
    usual_entry = {("weight", 1)}
    kept = {
        name: value
        for name, value in entry.items()
        if value not in ([], {}) and (isinstance(value, list | dict) or (name, value) not in usual_entry)
    }
    return {"apiVersion": API_VERSION, "publications": [kept]}
