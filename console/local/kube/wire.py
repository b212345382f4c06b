"""Requests as they come over HTTP: paths, query parameters, media types, bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request

from console.local.kube import protobuf, status
from console.local.kube.decode import parse_json, parse_yaml
from console.local.kube.jsonpatch import MERGE_TYPE, TYPE
from console.local.kube.kinds import Registry
from console.local.kube.state import Body, Options, Target, computed
from console.local.kube.status import FieldError
from console.local.kube.writing import APPLY, STRATEGIC

BODY_LIMIT_BYTES = 3 * 1024 * 1024
"""As in a real server."""

JSON_TYPE = "application/json"
YAML_TYPES = ("application/yaml", "application/x-yaml")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for objects: the verb as RBAC knows it, and what it is about."""

    verb: str
    target: Target

    @property
    def resource(self) -> str:
        """The resource as RBAC names it, with its subresource."""
        subresource = self.target.subresource
        return f"{self.target.plural}/{subresource}" if subresource else self.target.plural

    @property
    def namespace(self) -> str:
        """The namespace that rights are asked for in: of a Namespace, that is itself."""
        return self.target.name if self.target.kind == "Namespace" else self.target.namespace


def parse_request(registry: Registry, method: str, path: str, query: Mapping[str, str]) -> Asked:
    """What a request below /api/v1 or /apis/G/V asks for; raises `ApiError` 404 or 405."""
    parts = path.strip("/").split("/")
    group, parts = ("", parts[1:]) if parts[0] == "api" else (parts[1], parts[2:])
    version, parts = parts[0], parts[1:]
    namespace = ""
    if len(parts) >= 3 and parts[0] == "namespaces" and parts[2] != "status":
        namespace, parts = parts[1], parts[2:]
    found = registry.find(group, version, parts[0])
    if found is None or len(parts) > 3 or "" in parts or (namespace and not found[0].namespaced):
        raise status.no_such_resource()
    resource, served = found
    name, subresource = [*parts[1:], "", ""][:2]
    if subresource and not (subresource == "status" and served.status):
        raise status.no_such_resource()
    target = Target(resource, served, namespace, name, subresource)
    verb = _verb(method, target, query)
    if verb == "" or (resource.namespaced and not namespace and verb not in ("list", "watch")):
        raise status.method_not_allowed(method, status.qualified(group, resource.plural))
    return Asked(verb, target)


def _verb(method: str, target: Target, query: Mapping[str, str]) -> str:
    """The verb, or nothing where the method does not go with the path."""
    if target.resource.origin == "review":
        return "create" if method == "POST" and not target.name else ""
    if method == "GET":
        if flag(query, "watch"):
            return "watch"
        return "get" if target.name else "list"
    if method == "DELETE" and not target.subresource:
        return "delete" if target.name else "deletecollection"
    if method == "POST":
        return "" if target.name else "create"
    return _VERBS.get(method, "") if target.name else ""


# --- query parameters ------------------------------------------------------------------------------------------


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter; raises `ApiError` 400."""
    value = query.get(name, "")
    if value in ("", "0", "false", "False"):
        return False
    if value in ("1", "true", "True"):
        return True
    raise status.bad_request(f"invalid value for {name}: {value!r} is not a boolean")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A whole number of 0 or more, or None; raises `ApiError` 400."""
    value = query.get(name, "")
    if value == "":
        return None
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise status.bad_request(f"invalid value for {name}: {value!r} is not a number")
    return int(value)


def write_options(query: Mapping[str, str], user_agent: str, *, kind: str, apply: bool = False) -> Options:
    """The options of a create, an update or a patch (``kind``: CreateOptions, …); raises `ApiError` 422."""
    errors: list[FieldError] = []
    if query.get("dryRun", "") not in ("", "All"):
        errors.append(status.not_supported("dryRun", [query["dryRun"]], ["All"]))
    validation = query.get("fieldValidation", "") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        errors.append(status.not_supported("fieldValidation", validation, ["Ignore", "Strict", "Warn"]))
    manager = query.get("fieldManager", "")
    if apply and not manager:
        errors.append(status.required("fieldManager", "is required for apply patch"))
    if len(manager) > 128:
        errors.append(status.too_long("fieldManager", 128))
    elif not manager.isprintable():
        errors.append(status.invalid_value("fieldManager", manager, "should only contain printable characters"))
    if "force" in query and not apply and kind == "PatchOptions":
        errors.append(status.forbidden_field("force", "may not be specified for non-apply patch"))
    if errors:
        raise status.invalid("meta.k8s.io", kind, "", errors)
    return Options(
        manager or user_agent.partition("/")[0].strip()[:128] or "unknown",
        query.get("dryRun") == "All",
        validation,  # type: ignore[arg-type]  # one of the three
        flag(query, "force"),
    )


# --- bodies ----------------------------------------------------------------------------------------------------


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, accepted: Sequence[str], *, twice: bool = True) -> Body:
    """The parsed body; raises `ApiError` 415, 413 or 400. ``twice``: duplicate fields are of interest."""
    kind = media_type(request)
    if kind and kind not in accepted:
        raise status.unsupported_media_type(accepted)
    text = await _limited(request)
    if kind == protobuf.MEDIA_TYPE:
        return Body(protobuf.parse(text), len(text))
    parse = parse_yaml if kind in (*YAML_TYPES, APPLY) else parse_json
    value, doubled = await computed(len(text), lambda: parse(text))
    return Body(value, len(text), tuple(doubled) if twice else ())


async def _limited(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > BODY_LIMIT_BYTES:
        raise status.too_large(f"limit is {BODY_LIMIT_BYTES}")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_LIMIT_BYTES:
            raise status.too_large(f"limit is {BODY_LIMIT_BYTES}")
        chunks.append(chunk)
    return b"".join(chunks)


OBJECT_TYPES = (JSON_TYPE, *YAML_TYPES, protobuf.MEDIA_TYPE)


def patch_types(target: Target) -> tuple[str, ...]:
    """The patches that a kind takes: no strategic merge patch for custom resources."""
    return (TYPE, MERGE_TYPE, APPLY) if target.resource.custom else (TYPE, MERGE_TYPE, STRATEGIC, APPLY)


# --- answers ---------------------------------------------------------------------------------------------------


def wants(request: Request, form: str = "") -> bool:
    """Whether the client prefers a special form (``Table``) of JSON; raises `ApiError` 406 where it takes no JSON."""
    accept = request.headers.get("accept", "")
    if not accept.strip():
        return False
    for part in accept.split(","):
        kind, *parameters = (one.strip() for one in part.split(";"))
        options = dict(one.split("=", 1) for one in parameters if "=" in one)
        if kind not in (JSON_TYPE, "*/*", "application/*"):
            continue
        special = options.get("as", "")
        if special and special == form and options.get("v") in ("v1", "v2"):
            return True
        if not special:
            return False
    raise status.not_acceptable()
