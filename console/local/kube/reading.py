"""Get and list."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from console.local.kube import status
from console.local.kube.selectors import FieldSelector, LabelSelector
from console.local.kube.state import State, Target
from console.local.kube.storage import Compacted, Record
from console.local.kube.tables import plain_path


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a collection."""

    labels: LabelSelector = LabelSelector()  # noqa: RUF009 - frozen
    fields: FieldSelector = FieldSelector()  # noqa: RUF009 - frozen

    def __bool__(self) -> bool:
        return bool(self.labels.requirements or self.fields.terms)

    def matches(self, target: Target, record: Record) -> bool:
        if not self.labels.matches(record.labels):
            return False
        return not self.fields.terms or self.fields.matches(lambda path: field_of(target, record, path))


def field_of(target: Target, record: Record, path: str) -> str:
    """A field as field selectors compare it."""
    if path == "metadata.name":
        return record.key.name
    if path == "metadata.namespace":
        return record.key.namespace
    value = plain_path(target.object(record), path)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Page:
    """A list, or a part of one. ``carry_on`` is the continue token; ``remaining`` how many objects follow."""

    records: list[Record]
    revision: int
    carry_on: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = {"resourceVersion": str(self.revision)}
        if self.carry_on:
            found["continue"] = self.carry_on
        if self.remaining:
            found["remainingItemCount"] = self.remaining
        return found


def get(state: State, target: Target) -> Record:
    record = state.storage.get(target.key)
    if record is None:
        raise status.not_found(target.group, target.plural, target.name)
    return record


def page(
    state: State,
    target: Target,
    selection: Selection,
    *,
    limit: int = 0,
    carry_on: str = "",
    exactly: int | None = None,
) -> Page:
    """A list; the later pages of one show the objects as they were at the first.

    ``limit`` 0 means all. ``exactly`` asks for the state at a resourceVersion. Raises `ApiError`: 410 where that
    state is compacted, 400 for a token that is none.
    """
    namespace = target.namespace or None
    start: tuple[str, str] = ("", "")
    revision = exactly
    if carry_on:
        revision, start = _parse_token(carry_on)
    if revision is None:
        records, revision = state.storage.collection(target.resource.key, namespace)
    elif revision > state.storage.revision:
        raise status.future_version(revision, state.storage.revision)
    else:
        try:
            records = state.storage.list_at(revision, target.resource.key, namespace)
        except Compacted:
            raise _too_old(state, revision, carrying_on=bool(carry_on)) from None
    records = [one for one in records if (one.key.namespace, one.key.name) > start and selection.matches(target, one)]
    if not limit or len(records) <= limit:
        return Page(records, revision)
    shown = records[:limit]
    last = shown[-1].key
    remaining = None if selection else len(records) - limit
    return Page(shown, revision, _token(revision, last.namespace, last.name), remaining)


def _too_old(state: State, revision: int, *, carrying_on: bool) -> status.ApiError:
    if carrying_on:
        return status.expired("The provided continue parameter is too old to display a consistent list result.")
    return status.expired(f"too old resource version: {revision} ({state.storage.revision})")


def _token(revision: int, namespace: str, name: str) -> str:
    text = json.dumps({"v": "modeldeck/v1", "rv": revision, "start": [namespace, name]})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _parse_token(token: str) -> tuple[int, tuple[str, str]]:
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        revision, (namespace, name) = content["rv"], content["start"]
        if not isinstance(revision, int) or not isinstance(namespace, str) or not isinstance(name, str):
            raise TypeError(content)
    except (binascii.Error, ValueError, TypeError, KeyError, RecursionError):
        raise status.bad_request("continue key is not valid") from None
    return revision, (namespace, name)
