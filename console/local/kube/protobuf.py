"""Request bodies in Kubernetes' protobuf, which kubectl's typed commands send (`create namespace`, `create secret`,
`auth can-i`, …) since 1.35 and for which they have no fallback. Answers are JSON, which they accept.

A body is ``k8s\\0`` and a ``runtime.Unknown`` around the message. Only the kinds below are read; the numbers are those
of the ``generated.proto`` files of k8s.io/api and k8s.io/apimachinery.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from console.local.kube import status

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_DEEPEST = 20

# A field is its name and the form of its value; a form in a list repeats. A message is a mapping of such fields.
Form = Any
Message = Mapping[int, tuple[str, Form]]

_TIME = "time"
_OWNER: Message = {
    1: ("kind", str),
    3: ("name", str),
    4: ("uid", str),
    5: ("apiVersion", str),
    6: ("controller", bool),
    7: ("blockOwnerDeletion", bool),
}
_META: Message = {
    1: ("name", str),
    2: ("generateName", str),
    3: ("namespace", str),
    5: ("uid", str),
    6: ("resourceVersion", str),
    7: ("generation", int),
    8: ("creationTimestamp", _TIME),
    9: ("deletionTimestamp", _TIME),
    10: ("deletionGracePeriodSeconds", int),
    11: ("labels", "texts"),
    12: ("annotations", "texts"),
    13: ("ownerReferences", [_OWNER]),
    14: ("finalizers", [str]),
}
_PORT: Message = {
    1: ("name", str),
    2: ("protocol", str),
    3: ("port", int),
    4: ("targetPort", "int-or-string"),
    5: ("nodePort", int),
    6: ("appProtocol", str),
}
_SERVICE_SPEC: Message = {
    1: ("ports", [_PORT]),
    2: ("selector", "texts"),
    3: ("clusterIP", str),
    4: ("type", str),
    5: ("externalIPs", [str]),
    7: ("sessionAffinity", str),
    8: ("loadBalancerIP", str),
    9: ("loadBalancerSourceRanges", [str]),
    10: ("externalName", str),
    11: ("externalTrafficPolicy", str),
    12: ("healthCheckNodePort", int),
    13: ("publishNotReadyAddresses", bool),
    17: ("ipFamilyPolicy", str),
    18: ("clusterIPs", [str]),
    19: ("ipFamilies", [str]),
    20: ("allocateLoadBalancerNodePorts", bool),
    21: ("loadBalancerClass", str),
    22: ("internalTrafficPolicy", str),
    23: ("trafficDistribution", str),
}
_ATTRIBUTES = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_ACCESS_SPEC: Message = {
    1: ("resourceAttributes", {number: (name, str) for number, name in enumerate(_ATTRIBUTES, 1)}),
    2: ("nonResourceAttributes", {1: ("path", str), 2: ("verb", str)}),
}
_KINDS: Mapping[str, Message] = {
    "Namespace": {1: ("metadata", _META), 2: ("spec", {1: ("finalizers", [str])})},
    "Secret": {
        1: ("metadata", _META),
        2: ("data", "bytes"),
        3: ("type", str),
        4: ("stringData", "texts"),
        5: ("immutable", bool),
    },
    "ConfigMap": {1: ("metadata", _META), 2: ("data", "texts"), 3: ("binaryData", "bytes"), 4: ("immutable", bool)},
    "Service": {1: ("metadata", _META), 2: ("spec", _SERVICE_SPEC)},
    "SelfSubjectAccessReview": {1: ("metadata", _META), 2: ("spec", _ACCESS_SPEC)},
    "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", {1: ("namespace", str)})},
    "SelfSubjectReview": {1: ("metadata", _META)},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", int),
        2: ("preconditions", {1: ("uid", str), 2: ("resourceVersion", str)}),
        3: ("orphanDependents", bool),
        4: ("propagationPolicy", str),
        5: ("dryRun", [str]),
    },
}
_UNKNOWN: Message = {1: ("type", {1: ("apiVersion", str), 2: ("kind", str)}), 2: ("raw", bytes)}


def parse(body: bytes) -> dict[str, Any]:
    """The object in JSON's form; raises `ApiError` 400, or 415 for a kind that is not read in this form."""
    if not body.startswith(_MAGIC):
        raise status.bad_request("the body is not Kubernetes protobuf")
    try:
        envelope = _message(body[len(_MAGIC) :], _UNKNOWN, 0)
        kind = envelope.get("type", {}).get("kind", "")
        fields = _KINDS.get(kind)
        if fields is None:
            raise status.unsupported_media_type(["application/json", "application/yaml"])
        content = _message(envelope.get("raw", b""), fields, 0)
    except (ValueError, IndexError, struct.error, OverflowError) as problem:
        raise status.bad_request(f"the body could not be parsed as protobuf: {problem}") from None
    return {"apiVersion": envelope["type"].get("apiVersion", ""), "kind": kind, **_without_empty(content)}


def _without_empty(content: dict[str, Any]) -> dict[str, Any]:
    """Fields that are empty are sent in protobuf where JSON leaves them out."""
    kept: dict[str, Any] = {}
    for name, value in content.items():
        plain = _without_empty(value) if isinstance(value, dict) else value
        if plain not in ("", [], {}) or name in ("metadata", "data", "stringData", "spec"):
            kept[name] = plain
    return kept


def _message(data: bytes, fields: Message, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    made: dict[str, Any] = {}
    for number, value in _fields(data):
        if number not in fields:
            continue
        name, form = fields[number]
        if isinstance(form, list):
            made.setdefault(name, []).append(_value(value, form[0], depth))
        elif form in ("texts", "bytes"):
            key, one = _entry(value, str if form == "texts" else bytes)
            made.setdefault(name, {})[key] = one
        else:
            made[name] = _value(value, form, depth)
    return made


def _entry(value: Any, form: type) -> tuple[str, Any]:
    entry = _message(_bytes(value), {1: ("key", str), 2: ("value", form)}, 1)
    one = entry.get("value", form())
    return entry.get("key", ""), base64.b64encode(one).decode() if form is bytes else one


def _value(value: Any, form: Form, depth: int) -> Any:
    if isinstance(form, Mapping):
        return _message(_bytes(value), form, depth + 1)
    if form is str:
        return _bytes(value).decode()
    if form is bytes:
        return _bytes(value)
    if form == _TIME:
        seconds = _message(_bytes(value), {1: ("seconds", int)}, depth + 1).get("seconds")
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if form == "int-or-string":
        parts = _message(_bytes(value), {1: ("type", int), 2: ("number", int), 3: ("text", str)}, depth + 1)
        return parts.get("text", "") if parts.get("type") else parts.get("number", 0)
    if not isinstance(value, int):
        raise ValueError("a number is expected")
    return bool(value) if form is bool else value - (1 << 64) if value >= 1 << 63 else value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("text or a message is expected")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and raw values: int for numbers, bytes for everything with a length."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
        elif wire == 2:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise ValueError("cut off")
            yield number, data[position : position + length]
            position += length
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            yield number, struct.unpack_from("<Q" if wire == 1 else "<I", data, position)[0]
            position += size
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise ValueError("a number is too long")
