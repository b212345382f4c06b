"""The API's errors: `Status` objects with the code, reason, message and causes that a real server sends.

The wording follows k8s.io/apimachinery ``pkg/api/errors`` and ``pkg/util/validation/field``, because operators
search for it and the console shows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

OMIT: Final = object()
"""As a `FieldError.value`: the message does not repeat the value (objects and arrays)."""

_HEADLINES = {
    "FieldValueRequired": "Required value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueNotFound": "Not found",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueTypeInvalid": "Invalid value",
}
_WITHOUT_VALUE = ("FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong")


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with one field: a cause of a 422.

    ``field`` is a path such as ``spec.rules[0].name``; ``<nil>`` stands for none (the "some validation rules were
    not checked" cause).
    """

    reason: str
    field: str
    value: Any = OMIT
    detail: str = ""

    @property
    def message(self) -> str:
        text = _HEADLINES[self.reason]
        if self.value is not OMIT and self.reason not in _WITHOUT_VALUE:
            text += f": {as_json(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def as_json(value: Any) -> str:
    """Compact JSON, as Go prints a value inside a message."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, OMIT, detail)


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, value, detail)


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", field, value, detail)


def not_supported(field: str, value: Any, supported: Iterable[Any]) -> FieldError:
    listed = ", ".join(json.dumps(one if isinstance(one, str) else as_json(one)) for one in supported)
    return FieldError("FieldValueNotSupported", field, value, f"supported values: {listed}")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError("FieldValueTooLong", field, OMIT, f"may not be more than {limit} bytes")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    items = "item" if limit == 1 else "items"
    return FieldError("FieldValueTooMany", field, actual, f"must have at most {limit} {items}")


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, value)


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, OMIT, detail)


class ApiError(Exception):
    """An answer other than success; becomes a `Status` object over HTTP and an ERROR event in a watch."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details) if details else None
        self.metadata = dict(metadata) if metadata else {}
        self.headers = dict(headers) if headers else {}

    def status(self) -> dict[str, Any]:
        """The `Status` object (meta/v1)."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details is not None:
            body["details"] = self.details
        return body


def success(group: str, plural: str, name: str, uid: str = "") -> dict[str, Any]:
    """The `Status` that a completed deletion answers with."""
    details = {"name": name, "kind": plural}
    if group:
        details["group"] = group
    if uid:
        details["uid"] = uid
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def qualified(group: str, name: str) -> str:
    """``httproutes.gateway.networking.k8s.io``, or the bare name in the core group."""
    return f"{name}.{group}" if group else name


def _details(group: str, kind: str, name: str, causes: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    if causes:
        details["causes"] = list(causes)
    return details


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized", headers={"WWW-Authenticate": 'Bearer realm="modeldeck"'})


def forbidden(group: str, plural: str, name: str, why: str) -> ApiError:
    target = qualified(group, plural)
    subject = f'{target} "{name}" is forbidden' if name else f"{target} is forbidden" if target else "forbidden"
    return ApiError(403, "Forbidden", f"{subject}: {why}", details=_details(group, plural, name))


def not_found(group: str, plural: str, name: str) -> ApiError:
    message = f'{qualified(group, plural)} "{name}" not found'
    return ApiError(404, "NotFound", message, details=_details(group, plural, name))


def no_such_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def method_not_allowed(method: str, target: str) -> ApiError:
    message = f'{method} is not supported on resources of kind "{target}"'
    return ApiError(405, "MethodNotAllowed", message, details={})


def already_exists(group: str, plural: str, name: str, *, being_deleted: bool = False) -> ApiError:
    message = f'{qualified(group, plural)} "{name}" already exists'
    if being_deleted:
        message = f"object is being deleted: {message}"
    return ApiError(409, "AlreadyExists", message, details=_details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_details(group, plural, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def apply_conflict(message: str, causes: Sequence[Mapping[str, Any]]) -> ApiError:
    return ApiError(409, "Conflict", message, details={"causes": list(causes)})


def expired(message: str, *, carry_on: str = "") -> ApiError:
    """410: the resourceVersion or the continue token is older than the history. ``carry_on`` is a new token."""
    return ApiError(410, "Expired", message, metadata={"continue": carry_on} if carry_on else None)


def too_large(message: str) -> ApiError:
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")


def not_acceptable() -> ApiError:
    message = (
        "only the following media types are accepted: application/json, application/json;as=Table;g=meta.k8s.io;v=v1"
    )
    return ApiError(406, "NotAcceptable", message)


def unsupported_media_type(accepted: Iterable[str]) -> ApiError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return ApiError(415, "UnsupportedMediaType", message)


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 with one cause per field error."""
    causes = [{"reason": one.reason, "message": one.message, "field": one.field} for one in errors]
    listed = list(dict.fromkeys(str(one) for one in errors))
    text = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    message = f'{qualified(group, kind)} "{name}" is invalid: {text}'
    return ApiError(422, "Invalid", message, details=_details(group, kind, name, causes))


def unprocessable() -> ApiError:
    """422 for a JSON patch that does not fit the object; a real server does not say more either (measured)."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", details={})


def internal(message: str) -> ApiError:
    details = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", details=details)


def unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message, details={"retryAfterSeconds": 1})


def future_version(asked: int, current: int) -> ApiError:
    """504: a resourceVersion that does not exist yet."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return ApiError(504, "Timeout", message, details=details, headers={"Retry-After": "1"})
