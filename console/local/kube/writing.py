"""Create, replace, patch and apply: from a parsed body, which becomes theirs, to a committed revision.

A write computes the new object from the stored one and commits it only if that is still the stored one; else it
computes again. So a computation may run in a thread, and nothing is locked meanwhile.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from console.local.kube import admission, definitions, jsonpatch, metadata, ownership, status
from console.local.kube.core import NAMESPACE_FINALIZER
from console.local.kube.fieldset import FieldSet
from console.local.kube.metadata import Object
from console.local.kube.ownership import Conflicts, record_update, without_times
from console.local.kube.state import Body, Options, State, Target, computed
from console.local.kube.storage import Draft, Key, Moved, Record
from console.local.kube.strategic import strategic_patch
from console.local.kube.validation import list_errors, same, validate

STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_NAME_ATTEMPTS = 8


async def create(state: State, target: Target, body: Body, options: Options) -> str:
    """The created object as JSON text."""

    def prepared() -> Object:
        content = admission.identify(target, body.content)
        admission.tidy(target, content, options, body.doubled)
        own = content["metadata"]
        if own.get("resourceVersion"):
            raise status.bad_request("resourceVersion should not be set on objects to be created")
        if not own.get("name") and not own.get("generateName"):
            errors = [status.required("metadata.name", "name or generateName is required")]
            raise status.invalid(target.group, target.kind, "", errors)
        return content

    content = await computed(body.size, prepared)
    if content["metadata"].get("name"):
        return await _create(state, target, content, options, body.size)
    base = content["metadata"]["generateName"]
    for attempt in range(_NAME_ATTEMPTS):
        content["metadata"]["name"] = metadata.generate_name(base)
        try:
            return await _create(state, target, copy.deepcopy(content), options, body.size)
        except status.ApiError as problem:
            if problem.reason != "AlreadyExists" or attempt == _NAME_ATTEMPTS - 1:
                raise
    raise AssertionError


async def _create(
    state: State, target: Target, content: Object, options: Options, size: int, *, owned: bool = False
) -> str:
    """``owned``: the content carries its managedFields already."""
    _check_namespace(state, target)
    key = Key(target.resource.key, target.namespace, content["metadata"]["name"])

    def made() -> tuple[Object, Draft]:
        metadata.set_by_server(content)
        if target.version.status:
            content.pop("status", None)
        admission.complete(target, content)
        if target.resource.custom or target.kind in _COUNTED:
            content["metadata"]["generation"] = 1
        _settle(target, content, None, options)
        if not owned:
            record_update(target.version.schema, None, content, _writer(target, options, content))
        admission.check(target, content, None)
        return content, Draft.of(key, content)

    new, draft = await computed(size, made)
    if state.storage.get(key) is not None:
        raise _exists(state, target, key)
    if options.dry_run:
        return _text(new)
    try:
        record = await state.storage.write(draft, expected=None)
    except Moved:
        raise _exists(state, target, key) from None
    await _serve(state, target, record, new)
    return target.text(record)


def _text(content: Object) -> str:
    """An object that is not stored, as JSON."""
    return status.as_json(content)


_COUNTED = ("EndpointSlice", "CustomResourceDefinition")
"""The core kinds that have a generation."""


def _exists(state: State, target: Target, key: Key) -> status.ApiError:
    record = state.storage.get(key)
    dying = record is not None and "deletionTimestamp" in target.object(record)["metadata"]
    return status.already_exists(target.group, target.plural, key.name, being_deleted=dying)


def _check_namespace(state: State, target: Target) -> None:
    """Nothing is created where there is no namespace, or one that is being deleted."""
    if not target.resource.namespaced:
        return
    record = state.storage.get(Key("namespaces", "", target.namespace))
    if record is None:
        raise status.not_found("", "namespaces", target.namespace)
    if "deletionTimestamp" in record.object("v1", "Namespace")["metadata"]:
        why = f"unable to create new content in namespace {target.namespace} because it is being terminated"
        problem = status.forbidden(target.group, target.plural, target.name, why)
        cause = {"reason": "NamespaceTerminating", "message": f"namespace {target.namespace} is being terminated"}
        problem.details = {**(problem.details or {}), "causes": [{**cause, "field": "metadata.namespace"}]}
        raise problem


# --- replacing and patching ------------------------------------------------------------------------------------


async def replace(state: State, target: Target, body: Body, options: Options) -> str:
    """The replaced object as JSON text."""

    def prepared() -> Object:
        content = admission.identify(target, body.content)
        admission.check_name(target, content)
        admission.tidy(target, content, options, body.doubled)
        return content

    content = await computed(body.size, prepared)

    def replaced(old: Object) -> Object:
        given, actual = content["metadata"].get("uid"), old["metadata"]["uid"]
        if given and given != actual:
            why = f"Precondition failed: UID in precondition: {given}, UID in object meta: {actual}"
            raise status.conflict(target.group, target.plural, target.name, why)
        version = content["metadata"].get("resourceVersion")
        if not version and (target.resource.custom or target.kind == "CustomResourceDefinition"):
            errors = [status.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")]
            raise status.invalid(target.group, target.plural, target.name, errors)
        _check_version(target, content, old)
        return copy.deepcopy(content)

    return await _update(state, target, replaced, options, body.size)


async def patch(state: State, target: Target, kind: str, body: Body, options: Options) -> tuple[str, bool]:
    """The patched object as JSON text, and whether it was created (which only an apply does)."""
    if kind == APPLY:
        return await _apply(state, target, body, options)

    def patched(old: Object) -> Object:
        match kind:
            case jsonpatch.MERGE_TYPE:
                if not isinstance(body.content, dict):
                    raise status.bad_request("error decoding patch: a merge patch is an object")
                made = jsonpatch.merge_patch(old, body.content)
            case jsonpatch.TYPE:
                try:
                    made = jsonpatch.json_patch(old, body.content)
                except jsonpatch.DoesNotFit:
                    raise status.unprocessable() from None
            case _:
                made = strategic_patch(old, body.content)
        content = admission.identify(target, made)
        admission.check_name(target, content)
        admission.tidy(target, content, options, body.doubled)
        _check_version(target, content, old)
        return content

    return await _update(state, target, patched, options, body.size), False


def _check_version(target: Target, content: Object, old: Object) -> None:
    version = content["metadata"].get("resourceVersion")
    if version and version != old["metadata"]["resourceVersion"]:
        raise status.conflict(target.group, target.plural, target.name, status.MODIFIED)


async def _apply(state: State, target: Target, body: Body, options: Options) -> tuple[str, bool]:
    def prepared() -> Object:
        if not isinstance(body.content, dict):
            raise status.bad_request("error decoding YAML: the body is not an object")
        _check_apply_version(target, body.content)
        config = admission.identify(target, body.content)
        admission.check_name(target, config)
        if "managedFields" in config["metadata"]:
            raise status.bad_request("metadata.managedFields must be nil")
        admission.tidy(target, config, options, body.doubled)
        _check_lists(target, config)
        return config

    config = await computed(body.size, prepared)
    writer = _writer(target, options, config)

    def applied(live: Object | None) -> Object:
        try:
            made = ownership.apply(target.version.schema, live, config, writer, force=options.force)
        except Conflicts as conflicts:
            raise conflicts.as_error() from None
        except ValueError as problem:
            raise status.bad_request(f"failed to decode managed fields: {problem}") from None
        if live is not None:
            _check_version(target, made, live)
        return made

    while True:
        if state.storage.get(target.key) is not None or target.subresource:
            try:
                return await _update(state, target, applied, options, body.size, owned=True), False
            except status.ApiError as problem:
                if problem.code != 404 or target.subresource:  # deleted meanwhile: create it
                    raise
        if options.create_refusal:
            raise status.forbidden(target.group, target.plural, target.name, options.create_refusal)
        uid = config["metadata"].get("uid")
        if uid:
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise status.conflict(target.group, target.plural, target.name, why)
        content = await computed(body.size, lambda: applied(None))
        content["metadata"].pop("resourceVersion", None)  # measured: it is no guard against re-creating
        try:
            return await _create(state, target, content, options, body.size, owned=True), True
        except status.ApiError as problem:
            if problem.reason != "AlreadyExists":  # created meanwhile: apply to that
                raise


def _check_apply_version(target: Target, content: Object) -> None:
    version = content.get("apiVersion")
    if version is not None and version != target.api_version:
        raise status.bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {version}, expected: {target.api_version}"
        )
    for name in ("apiVersion", "kind"):
        if content.get(name) is None:
            raise status.bad_request(f"Object '{name[0].upper()}{name[1:]}' is missing in the body")


def _check_lists(target: Target, config: Object) -> None:
    """An apply configuration must tell the elements of its sets and map lists apart."""
    errors = list(list_errors(target.version.schema, config))
    if errors:
        raise status.invalid(target.group, target.kind, target.name, errors)


async def _update(
    state: State,
    target: Target,
    change: Callable[[Object], Object],
    options: Options,
    size: int,
    *,
    owned: bool = False,
) -> str:
    """Change the stored object; ``change`` makes a new one that shares nothing with the old one."""
    while True:
        record = state.storage.get(target.key)
        if record is None:
            raise status.not_found(target.group, target.plural, target.name)
        warned = len(options.warnings)

        def made(record: Record = record) -> _Outcome:
            old = target.object(record)
            new = _changed(target, old, change(old), options, owned=owned)
            if same(_comparable(new), _comparable(old)):
                return _Outcome(new, None, leaves=False)
            leaves = "deletionTimestamp" in old["metadata"] and not pending_finalizers(target.kind, new)
            return _Outcome(new, Draft.of(target.key, new), leaves=leaves)

        outcome = await computed(max(size, len(record.body)), made)
        if outcome.draft is None:
            return target.text(record)
        if options.dry_run:
            outcome.content["metadata"]["resourceVersion"] = str(record.revision)
            return _text(outcome.content)
        try:
            if outcome.leaves:
                # The last finalizer went: so does the object. The answer is the object, as a real server's is.
                body = outcome.draft.body
                return target.text(await state.storage.delete(target.key, expected=record.revision, body=body))
            written = await state.storage.write(outcome.draft, expected=record.revision)
        except Moved:
            del options.warnings[warned:]
            continue
        await _serve(state, target, written, outcome.content)
        return target.text(written)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What an update comes to. ``draft`` None: nothing changed. ``leaves``: the object goes with this write."""

    content: Object
    draft: Draft | None
    leaves: bool


def _changed(target: Target, old: Object, new: Object, options: Options, *, owned: bool) -> Object:
    metadata.keep_system_fields(new, old)
    entries = new["metadata"].get("managedFields")
    if target.subresource:
        kept = copy.deepcopy(old)
        kept.pop("status", None)
        if "status" in new:
            kept["status"] = new["status"]
        if owned and entries is not None:
            kept["metadata"]["managedFields"] = entries
        new = kept
    elif target.version.status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    admission.complete(target, new)
    _settle(target, new, old, options)
    if not owned:
        record_update(target.version.schema, old, new, _writer(target, options, new))
    admission.check(target, new, old)
    if (
        "generation" in old["metadata"]
        and not target.subresource
        and not same(_spec_of(target, new), _spec_of(target, old))
    ):
        new["metadata"]["generation"] = old["metadata"]["generation"] + 1
    return new


def _spec_of(target: Target, content: Object) -> Object:
    """What counts for the generation: all but the metadata and a status that has a subresource of its own."""
    ignored = ("apiVersion", "kind", "metadata", *(("status",) if target.version.status else ()))
    return {name: value for name, value in content.items() if name not in ignored}


def _comparable(content: Object) -> Object:
    """What makes a write a change: times in managedFields do not."""
    own = {name: value for name, value in content["metadata"].items() if name != "resourceVersion"}
    if "managedFields" in own:
        own["managedFields"] = without_times(own["managedFields"])
    return {**content, "metadata": own}


def pending_finalizers(kind: str, content: Object) -> list[str]:
    """Who has to agree before an object that is being deleted goes."""
    found: list[str] = list(content["metadata"].get("finalizers") or [])
    if kind == "Namespace" and NAMESPACE_FINALIZER in ((content.get("spec") or {}).get("finalizers") or []):
        found.append(NAMESPACE_FINALIZER)
    return found


# --- what all writes share -------------------------------------------------------------------------------------


def _writer(target: Target, options: Options, content: Object) -> ownership.Writer:
    if target.subresource:
        others = [name for name in content if name not in ("apiVersion", "kind", "status")]
        reach = FieldSet.of(*((f"f:{name}",) for name in others))
    else:
        reach = FieldSet.of(("f:status",)) if target.version.status else FieldSet()
    return ownership.Writer(options.manager, target.api_version, metadata.now(), target.subresource, reach)


def _settle(target: Target, new: Object, old: Object | None, options: Options) -> None:
    """Let the server's own part of a definition follow what its author wrote, in place."""
    if target.resource.group != definitions.GROUP or target.subresource:
        return
    if (missing := definitions.missing_parts()) != "":
        raise status.unavailable(
            f"CustomResourceDefinitions need {missing}: pip install 'modeldeck[crds]'; nothing was changed"
        )
    errors = validate(target.version.schema, new) or list(definitions.errors_of(new))
    if errors:
        raise status.invalid(target.group, target.kind, new["metadata"]["name"], errors)
    unsupported = definitions.unsupported_rules(new)
    options.warnings += [f"a rule cannot be evaluated and refuses every object: {text}" for text in unsupported[:10]]
    definitions.prepare(new, old, unsupported)


async def _serve(state: State, target: Target, record: Record, new: Object) -> None:
    """Serve what a definition that was just written defines, unless it has been written again meanwhile."""
    if target.resource.group != definitions.GROUP or "deletionTimestamp" in new["metadata"]:
        return
    resource = await computed(len(record.body), lambda: definitions.resource_of(new))
    current = state.storage.get(record.key)
    if current is not None and current.revision == record.revision:
        state.registry.install(resource)
