"""Delete: at once, or marked and left to finalizers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from console.local.kube import metadata, status
from console.local.kube.core import LASTING_NAMESPACES
from console.local.kube.metadata import Object
from console.local.kube.reading import Selection, page
from console.local.kube.state import State, Target
from console.local.kube.status import as_json
from console.local.kube.storage import Draft, Moved, Record
from console.local.kube.writing import pending_finalizers

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_POLICIES = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """meta/v1 DeleteOptions, as far as it means something here. ``gracePeriodSeconds`` is accepted: nothing runs."""

    uid: str = ""
    resource_version: str = ""
    policy: str = "Background"
    dry_run: bool = False

    @classmethod
    def parse(cls, body: Any, query: dict[str, str]) -> DeleteOptions:
        """From the body, or from the query where there is no body; raises `ApiError` 400 or 422."""
        given: Any = body if body is not None else {}
        if not isinstance(given, dict):
            raise status.bad_request("DeleteOptions is not an object")
        if given.get("kind") not in (None, "DeleteOptions"):
            raise status.bad_request(f"no kind {given['kind']!r} is expected here, but DeleteOptions")
        preconditions = given.get("preconditions") or {}
        if not isinstance(preconditions, dict):
            raise status.bad_request("preconditions is not an object")
        policy = given.get("propagationPolicy") or query.get("propagationPolicy")
        orphans = given.get("orphanDependents")
        if policy is None:
            policy = "Orphan" if orphans is True or query.get("orphanDependents") == "true" else "Background"
        errors = []
        if policy not in _POLICIES:
            errors.append(status.not_supported("propagationPolicy", policy, _POLICIES))
        dry_run = given.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else [])
        if dry_run not in ([], ["All"]):
            errors.append(status.not_supported("dryRun", dry_run, ["All"]))
        if errors:
            raise status.invalid("meta.k8s.io", "DeleteOptions", "", errors)
        return cls(
            str(preconditions.get("uid") or ""),
            str(preconditions.get("resourceVersion") or ""),
            policy,
            bool(dry_run),
        )


async def delete(state: State, target: Target, options: DeleteOptions) -> str:
    """Delete one object; the answer is a `Status`, or the object where finalizers hold it.

    Raises `ApiError`: 404, 409 for preconditions that do not hold, 403 for the default namespace.
    """
    while True:
        record = state.storage.get(target.key)
        if record is None:
            raise status.not_found(target.group, target.plural, target.name)
        try:
            return await _delete(state, target, record, options)
        except Moved:
            continue


async def _delete(state: State, target: Target, record: Record, options: DeleteOptions) -> str:
    content = target.object(record)
    _check_preconditions(target, content, options)
    if target.kind == "Namespace" and target.name in LASTING_NAMESPACES:
        raise status.forbidden("", "namespaces", target.name, "this namespace may not be deleted")
    dying = "deletionTimestamp" in content["metadata"]
    if not dying:
        _add_finalizer(content, options.policy)
    if not pending_finalizers(target.kind, content):
        if not options.dry_run:
            await state.storage.delete(target.key, expected=record.revision)
        return as_json(status.success(target.group, target.plural, target.name, record.uid))
    if dying:
        return target.text(record)
    _mark(target, content)
    if options.dry_run:
        return as_json(content)
    return target.text(await state.storage.write(Draft.of(target.key, content), expected=record.revision))


def _check_preconditions(target: Target, content: Object, options: DeleteOptions) -> None:
    actual = content["metadata"]
    for word, wanted, name in (
        ("UID", options.uid, "uid"),
        ("ResourceVersion", options.resource_version, "resourceVersion"),
    ):
        if wanted and wanted != actual[name]:
            hint = "deleted and then recreated" if name == "uid" else "modified"
            why = (
                f"the {word} in the precondition ({wanted}) does not match the {word} in record ({actual[name]}). "
                f"The object might have been {hint}"
            )
            raise status.conflict(target.group, target.plural, target.name, why)


def _add_finalizer(content: Object, policy: str) -> None:
    own = content["metadata"]
    kept = [one for one in own.get("finalizers") or [] if one not in (FOREGROUND, ORPHAN)]
    if policy == "Foreground":
        kept.append(FOREGROUND)
    elif policy == "Orphan":
        kept.append(ORPHAN)
    if kept:
        own["finalizers"] = kept
    else:
        own.pop("finalizers", None)


def _mark(target: Target, content: Object) -> None:
    own = content["metadata"]
    own["deletionTimestamp"] = metadata.now()
    own["deletionGracePeriodSeconds"] = 0
    if own.get("generation"):
        own["generation"] += 1
    if target.kind == "Namespace":
        content["status"] = {**(content.get("status") or {}), "phase": "Terminating"}


async def delete_collection(state: State, target: Target, selection: Selection, options: DeleteOptions) -> str:
    """Delete what is selected; the answer is the list of it."""
    found = page(state, target, selection)
    deleted = []
    for record in found.records:
        one = Target(target.resource, target.version, record.key.namespace, record.key.name)
        try:
            await delete(state, one, options)
        except status.ApiError as problem:
            if problem.code != 404:
                raise
            continue
        deleted.append(target.object(record))
    return as_json(
        {
            "apiVersion": target.api_version,
            "kind": target.resource.list_kind,
            "metadata": {"resourceVersion": str(state.storage.revision)},
            "items": deleted,
        }
    )
