"""What is particular about the core kinds: how they are prepared for storage, and what is refused in them."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from console.local.kube import status
from console.local.kube.metadata import Object
from console.local.kube.status import FieldError
from console.local.kube.validation import same

SECRET_LIMIT_BYTES = 1024 * 1024
NAMESPACE_FINALIZER = "kubernetes"
LASTING_NAMESPACES = ("default",)
"""Created at the start, and never deleted."""

_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_KEYS_OF_TYPE: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def prepare(kind: str, content: Object) -> None:
    """Bring an object of a core kind into the form in which it is stored, in place."""
    prepared = _PREPARATIONS.get(kind)
    if prepared is not None:
        prepared(content)


def errors_of(kind: str, new: Object, old: Object | None) -> Iterator[FieldError]:
    """What the schema cannot say."""
    check = _CHECKS.get(kind)
    return check(new, old) if check is not None else iter(())


# --- Secret and ConfigMap --------------------------------------------------------------------------------------


def _prepare_secret(content: Object) -> None:
    """``stringData`` goes into ``data``; it is never stored."""
    texts = content.pop("stringData", None)
    if isinstance(texts, dict) and texts:
        data = content.get("data")
        content["data"] = {
            **(data if isinstance(data, dict) else {}),
            **{key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()},
        }


def _default_secret(content: Object) -> None:
    content.setdefault("type", "Opaque")


def _check_secret(new: Object, old: Object | None) -> Iterator[FieldError]:
    data = new.get("data") or {}
    yield from _data_errors("data", data)
    if sum(len(base64.b64decode(value)) for value in data.values()) > SECRET_LIMIT_BYTES:
        yield status.too_long("data", SECRET_LIMIT_BYTES)
    for key in _KEYS_OF_TYPE.get(new.get("type", ""), ()):
        if key not in data:
            yield status.required(f"data[{key}]")
    if old is not None:
        if new.get("type") != old.get("type"):
            yield status.invalid_value("type", new.get("type"), "field is immutable")
        yield from _immutability(new, old, ("data",))


def _check_config_map(new: Object, old: Object | None) -> Iterator[FieldError]:
    texts, binary = new.get("data") or {}, new.get("binaryData") or {}
    yield from _data_errors("data", texts)
    yield from _data_errors("binaryData", binary)
    for key in texts.keys() & binary.keys():
        yield status.invalid_value(f"data[{key}]", status.OMIT, "duplicate of key present in binaryData")
    size = sum(len(text.encode()) for text in texts.values()) + sum(len(base64.b64decode(v)) for v in binary.values())
    if size > SECRET_LIMIT_BYTES:
        yield status.too_long("", SECRET_LIMIT_BYTES)
    if old is not None:
        yield from _immutability(new, old, ("data", "binaryData"))


def _data_errors(field: str, data: Mapping[str, Any]) -> Iterator[FieldError]:
    for key in data:
        if not _DATA_KEY.fullmatch(key) or key in (".", ".."):
            rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            yield status.invalid_value(f"{field}[{key}]", key, rule)


def _immutability(new: Object, old: Object, fields: tuple[str, ...]) -> Iterator[FieldError]:
    if not old.get("immutable"):
        return
    for field in (*fields, "immutable"):
        if not same(new.get(field), old.get(field)):
            yield status.forbidden_field(field, "field is immutable when `immutable` is set")


# --- Namespace -------------------------------------------------------------------------------------------------


def _default_namespace(content: Object) -> None:
    metadata = content["metadata"]
    labels = metadata.get("labels") or {}
    metadata["labels"] = {**labels, "kubernetes.io/metadata.name": metadata["name"]}
    content["spec"] = {**(content.get("spec") or {})}
    content["spec"].setdefault("finalizers", [NAMESPACE_FINALIZER])
    content.setdefault("status", {"phase": "Active"})


# --- Service ---------------------------------------------------------------------------------------------------


def _default_service(content: Object) -> None:
    for port in (content.get("spec") or {}).get("ports") or ():
        if isinstance(port, dict) and "port" in port:
            port.setdefault("targetPort", port["port"])
    content.setdefault("status", {"loadBalancer": {}})


def _check_service(new: Object, _old: Object | None) -> Iterator[FieldError]:
    spec = new.get("spec") or {}
    ports = spec.get("ports") or []
    if spec.get("type") == "ExternalName":
        if not spec.get("externalName"):
            yield status.required("spec.externalName")
    elif not ports and spec.get("clusterIP") != "None":
        yield status.required("spec.ports")
    names: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name", "")
        if not name and len(ports) > 1:
            yield status.required(f"spec.ports[{index}].name")
        elif name and name in names:
            yield status.duplicate(f"spec.ports[{index}].name", name)
        names.add(name)


_PREPARATIONS: Mapping[str, Callable[[Object], None]] = {"Secret": _prepare_secret}
_DEFAULTS: Mapping[str, Callable[[Object], None]] = {
    "Secret": _default_secret,
    "Namespace": _default_namespace,
    "Service": _default_service,
}
_CHECKS: Mapping[str, Callable[[Object, Object | None], Iterator[FieldError]]] = {
    "Secret": _check_secret,
    "ConfigMap": _check_config_map,
    "Service": _check_service,
}


def apply_defaults(kind: str, content: Object) -> None:
    """The defaults that depend on other fields, in place."""
    defaults = _DEFAULTS.get(kind)
    if defaults is not None:
        defaults(content)
