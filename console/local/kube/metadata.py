"""ObjectMeta: what a client may set, what the server sets, and what is refused.

k8s.io/apimachinery ``pkg/api/validation/objectmeta.go``.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from console.local.kube import status
from console.local.kube.selectors import LABEL_VALUE, is_label_key
from console.local.kube.status import FieldError

Object = dict[str, Any]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_RFC_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_ANNOTATIONS_LIMIT = 256 * 1024
_GENERATED_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_OF_THE_SERVER = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "generation",
)

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_RFC_1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    f"regex used for validation is '{_RFC_1035}')"
)
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345')"
)


def now() -> str:
    """The time in the form of the API: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def set_by_server(new: Object) -> None:
    """Make a new object's system fields, in place; what the client sent of them is ignored."""
    metadata = new["metadata"]
    for name in _OF_THE_SERVER:
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now()


def generate_name(base: str) -> str:
    return base[:58] + "".join(secrets.choice(_GENERATED_ALPHABET) for _ in range(5))


def keep_system_fields(new: Object, old: Object) -> None:
    """Carry over what an update cannot change, in place."""
    metadata, before = new["metadata"], old["metadata"]
    metadata.pop("selfLink", None)
    metadata.setdefault("uid", before["uid"])
    for name in ("creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"):
        if name in before:
            metadata[name] = before[name]
        else:
            metadata.pop(name, None)


def name_errors(kind: str, name: str, *, field: str = "metadata.name") -> Iterator[FieldError]:
    """Namespaces are labels, services RFC 1035 labels, everything else a subdomain."""
    form, rule, limit = {
        "Namespace": (_LABEL, _LABEL_RULE, 63),
        "Service": (_RFC_1035, _RFC_1035_RULE, 63),
    }.get(kind, (_SUBDOMAIN, _SUBDOMAIN_RULE, 253))
    if len(name) > limit:
        yield status.invalid_value(field, name, f"must be no more than {limit} characters")
    elif not re.fullmatch(form, name):
        yield status.invalid_value(field, name, rule)


def errors_of(kind: str, new: Object, old: Object | None) -> Iterator[FieldError]:
    """What is wrong with an object's metadata. The types are right by then (the schema has been checked)."""
    metadata = new["metadata"]
    if old is None:
        yield from name_errors(kind, metadata["name"])
    yield from _label_errors(metadata.get("labels") or {})
    yield from _annotation_errors(metadata.get("annotations") or {})
    yield from _finalizer_errors(metadata.get("finalizers") or [], old)
    yield from _owner_errors(metadata.get("ownerReferences") or [])
    if old is not None:
        for name in ("uid", "name", "namespace"):
            if metadata.get(name) != old["metadata"].get(name):
                yield status.invalid_value(f"metadata.{name}", metadata.get(name), "field is immutable")


def _label_errors(labels: dict[str, str]) -> Iterator[FieldError]:
    for key, value in labels.items():
        if not is_label_key(key):
            yield status.invalid_value("metadata.labels", key, _KEY_RULE)
        if not LABEL_VALUE.fullmatch(value):
            rule = "must be no more than 63 characters" if len(value) > 63 else _VALUE_RULE
            yield status.invalid_value("metadata.labels", value, rule)


def _annotation_errors(annotations: dict[str, str]) -> Iterator[FieldError]:
    for key in annotations:
        if not is_label_key(key.lower()):
            yield status.invalid_value("metadata.annotations", key, _KEY_RULE)
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        yield status.too_long("metadata.annotations", _ANNOTATIONS_LIMIT)


def _finalizer_errors(finalizers: list[str], old: Object | None) -> Iterator[FieldError]:
    before = (old or {"metadata": {}})["metadata"].get("finalizers") or []
    for name in finalizers:
        if not is_label_key(name):
            yield status.invalid_value("metadata.finalizers", name, _KEY_RULE)
    added = [name for name in finalizers if name not in before]
    if old is not None and "deletionTimestamp" in old["metadata"] and added:
        listed = status.as_json(added)
        yield status.forbidden_field(
            "metadata.finalizers",
            f"no new finalizers can be added if the object is being deleted, found new finalizers {listed}",
        )


def _owner_errors(owners: list[Object]) -> Iterator[FieldError]:
    for index, owner in enumerate(owners):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                yield status.invalid_value(
                    f"metadata.ownerReferences[{index}].{name}", owner.get(name, ""), f"{name} must not be empty"
                )
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        yield status.invalid_value(
            "metadata.ownerReferences", status.OMIT, "Only one reference can have Controller set to true"
        )
