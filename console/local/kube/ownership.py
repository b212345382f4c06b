"""Who owns which field: metadata.managedFields, and server-side apply on top of it.

KEP-555 and https://kubernetes.io/docs/reference/using-api/server-side-apply/; the order of the steps is that of
k8s.io/apimachinery ``pkg/util/managedfields`` and of structured-merge-diff's ``merge.Updater``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from console.local.kube import status
from console.local.kube.fieldset import FieldSet, Path, shown
from console.local.kube.merging import compare, fields_of, merge, remove
from console.local.kube.schema import Schema
from console.local.kube.validation import same

Object = dict[str, Any]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MOST_UPDATERS = 10
_SYSTEM = FieldSet.of(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Manager:
    """Whose entry in managedFields. For an apply the API version is not part of it: one applier has one entry."""

    name: str
    operation: Literal["Apply", "Update"]
    api_version: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        text = json.dumps(self.name)
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == "Update":
            text += f" using {self.api_version}"
        return text


@dataclass(frozen=True, slots=True)
class Owned:
    """What an entry of managedFields says about its manager."""

    fields: FieldSet
    api_version: str
    time: str


Owners = dict[Manager, Owned]


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, how, and what a write in this way cannot touch (the status, but for the status subresource)."""

    name: str
    api_version: str
    now: str
    subresource: str = ""
    out_of_reach: FieldSet = FieldSet()  # noqa: RUF009 - sets of fields are values


class Conflicts(Exception):
    """Fields that others own with another value."""

    def __init__(self, owned: Mapping[Manager, FieldSet]) -> None:
        super().__init__("apply conflicts")
        self.found: list[tuple[Manager, Path]] = [
            (manager, path) for manager in sorted(owned, key=str) for path in owned[manager].paths()
        ]

    def as_error(self) -> status.ApiError:
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": shown(path)}
            for manager, path in self.found
        ]
        if len(self.found) == 1:
            manager, path = self.found[0]
            text = f"Apply failed with 1 conflict: conflict with {manager}: {shown(path)}"
        else:
            lines = []
            for manager in dict.fromkeys(manager for manager, _path in self.found):
                lines.append(f"conflicts with {manager}:")
                lines += [f"- {shown(path)}" for owner, path in self.found if owner == manager]
            text = f"Apply failed with {len(self.found)} conflicts: " + "\n".join(lines)
        return status.apply_conflict(text, causes)


# --- the entries -----------------------------------------------------------------------------------------------


def decode(entries: Any) -> Owners:
    """The owners in a managedFields list; raises ValueError where it is malformed."""
    owners: Owners = {}
    for entry in entries or ():
        try:
            operation = entry["operation"]
            if operation not in ("Apply", "Update"):
                raise ValueError(f"operation {operation!r}")
            version = entry.get("apiVersion", "")
            manager = Manager(
                entry.get("manager", ""),
                operation,
                version if operation == "Update" else "",
                entry.get("subresource", ""),
            )
            owners[manager] = Owned(FieldSet.from_json(entry.get("fieldsV1", {})), version, entry.get("time") or "")
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(f"malformed managedFields entry: {problem}") from problem
    return owners


def encode(owners: Owners) -> list[Object]:
    """The managedFields list, in the order of a real server: applies first, then by time and name."""
    entries = []
    order = sorted(
        owners.items(), key=lambda pair: (pair[0].operation, pair[1].time, pair[0].name, pair[1].api_version)
    )
    for manager, owned in order:
        entry: Object = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": owned.api_version,
            "time": owned.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": owned.fields.to_json(),
        }
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    return entries


def without_times(entries: Iterable[Mapping[str, Any]]) -> list[Object]:
    return [{key: value for key, value in entry.items() if key != "time"} for entry in entries]


def _set_entries(target: Object, owners: Owners) -> None:
    entries = encode(owners)
    if entries:
        target["metadata"]["managedFields"] = entries
    else:
        target["metadata"].pop("managedFields", None)


def _plain(target: Object) -> Object:
    """The object without its managedFields; shares the rest."""
    metadata = {key: value for key, value in target.get("metadata", {}).items() if key != "managedFields"}
    return {**target, "metadata": metadata}


# --- plain writes ----------------------------------------------------------------------------------------------


def record_update(schema: Schema, live: Object | None, new: Object, writer: Writer) -> None:
    """Set the managedFields of an object that was created, replaced or patched: what changed is the writer's.

    managedFields in the object itself are believed, as in a real server, unless they are empty or malformed; an
    empty list, or one empty entry, clears them.
    """
    given = new.get("metadata", {}).get("managedFields")
    kept = (live or {}).get("metadata", {}).get("managedFields")
    owners: Owners = {}
    if writer.subresource or given is None:
        owners = _decoded_or_none(kept)
    elif given not in ([], [{}]):
        owners = _decoded_or_none(given) or _decoded_or_none(kept)
    if live is not None and not owners:
        new["metadata"].pop("managedFields", None)  # not tracked, until somebody applies
        return
    _set_entries(new, _after_update(schema, _plain(live) if live else {}, _plain(new), owners, writer))


def _decoded_or_none(entries: Any) -> Owners:
    try:
        return decode(entries)
    except ValueError:
        return {}


def _after_update(schema: Schema, live: Object, new: Object, owners: Owners, writer: Writer) -> Owners:
    difference = compare(schema, live, new).without(writer.out_of_reach)
    changed = difference.added.union(difference.modified)
    after = _released(owners, changed.union(difference.removed))
    mine = changed.difference(_SYSTEM)
    if mine:
        me = Manager(writer.name, "Update", writer.api_version, writer.subresource)
        before = after[me].fields if me in after else FieldSet()
        after[me] = Owned(mine.union(before), writer.api_version, writer.now)
    return _capped(after)


def _released(owners: Owners, fields: FieldSet, *, but: Manager | None = None) -> Owners:
    """The owners after everybody but one gave up some fields; who owns nothing more is gone."""
    after: Owners = {}
    for manager, owned in owners.items():
        rest = owned.fields if manager == but else owned.fields.difference(fields)
        if rest:
            after[manager] = Owned(rest, owned.api_version, owned.time)
    return after


def _capped(owners: Owners) -> Owners:
    """At most ten updaters: the oldest ones share an entry then, named ``ancient-changes``."""
    updaters = sorted((pair for pair in owners.items() if pair[0].operation == "Update"), key=lambda pair: pair[1].time)
    surplus = updaters[: max(0, len(updaters) - _MOST_UPDATERS + 1)] if len(updaters) > _MOST_UPDATERS else []
    after = {manager: owned for manager, owned in owners.items() if (manager, owned) not in surplus}
    for _manager, owned in surplus:
        bucket = Manager("ancient-changes", "Update", owned.api_version)
        fields = owned.fields.union(after[bucket].fields) if bucket in after else owned.fields
        after[bucket] = Owned(fields, owned.api_version, owned.time)
    return after


# --- server-side apply -----------------------------------------------------------------------------------------


def apply(schema: Schema, live: Object | None, config: Object, writer: Writer, *, force: bool) -> Object:
    """The object after an apply, with its managedFields; ``live`` None creates.

    What the writer applied last time and does not apply now is taken out, unless somebody else owns it. Raises
    `Conflicts` for fields that others own with another value, unless forced. The result shares no part with the
    arguments.
    """
    before = live or {"metadata": {}}
    owners = decode(before["metadata"].get("managedFields"))
    if live is not None and not owners:
        first = Writer("before-first-apply", writer.api_version, writer.now, "", writer.out_of_reach)
        owners = _after_update(schema, {}, _plain(live), {}, first)
    try:
        made, after = _apply(schema, _plain(before), config, owners, writer, force=force)
    except Conflicts as conflicts:
        if writer.name != "kubectl" or not _were_applied_by_kubectl(schema, _plain(before), conflicts):
            raise
        made, after = _apply(schema, _plain(before), config, owners, writer, force=True)
    made = copy.deepcopy(made)
    _renew_last_applied(made, config, writer)
    _set_entries(made, after)
    return made


def _apply(
    schema: Schema, live: Object, config: Object, owners: Owners, writer: Writer, *, force: bool
) -> tuple[Object, Owners]:
    me = Manager(writer.name, "Apply", "", writer.subresource)
    last = owners.get(me)
    claimed = fields_of(schema, config).without(writer.out_of_reach)
    after = {**owners, me: Owned(claimed, writer.api_version, writer.now)}
    made = merge(schema, live, config)
    if last is not None:
        made = _pruned(schema, made, last.fields, after)
    difference = compare(schema, live, made).without(writer.out_of_reach)
    changed = difference.added.union(difference.modified)
    disputed = {
        manager: shared
        for manager, owned in after.items()
        if manager != me and (shared := owned.fields.intersection(changed))
    }
    if disputed and not force:
        raise Conflicts(disputed)
    after = _released(after, changed.union(difference.removed), but=me)
    mine = claimed.difference(_SYSTEM)
    after.pop(me, None)
    if mine:
        unchanged = last is not None and last.fields == mine and last.api_version == writer.api_version
        time = last.time if last is not None and unchanged and same(live, made) else writer.now
        after[me] = Owned(mine, writer.api_version, time)
    return made, after


def _pruned(schema: Schema, made: Object, last: FieldSet, owners: Owners) -> Object:
    """Without what was applied last time and is now nobody's."""
    wanted = FieldSet()
    for owned in owners.values():
        wanted = wanted.union(owned.fields)
    present = fields_of(schema, made).with_named_fields(schema)
    surplus = present.intersection(last.with_named_fields(schema)).difference(wanted.with_named_fields(schema))
    left: Object = remove(schema, made, surplus, wanted=wanted, itself=True)
    return left


def _were_applied_by_kubectl(schema: Schema, live: Object, conflicts: Conflicts) -> bool:
    """Whether all conflicts are about fields that `kubectl apply` set before it applied on the server's side."""
    text = live["metadata"].get("annotations", {}).get(LAST_APPLIED)
    try:
        applied = json.loads(text) if text else None
    except ValueError:
        return False
    if not isinstance(applied, dict):
        return False
    difference = compare(schema, applied, live)
    changed = difference.added.union(difference.modified).union(difference.removed)
    allowed = set(fields_of(schema, applied).difference(changed).paths())
    return all(path in allowed for _manager, path in conflicts.found)


def _renew_last_applied(made: Object, config: Object, writer: Writer) -> None:
    """Keep kubectl's annotation true where it exists, so that a later `kubectl apply` starts from this apply."""
    annotations = made["metadata"].get("annotations")
    if writer.name == "kubectl" and not writer.subresource and annotations and LAST_APPLIED in annotations:
        kept = copy.deepcopy(config)
        kept.get("metadata", {}).get("annotations", {}).pop(LAST_APPLIED, None)
        annotations[LAST_APPLIED] = json.dumps(kept, separators=(",", ":")) + "\n"
