"""What Envoy answers by itself, in the form of OpenAI's errors.

An SDK of OpenAI shows ``error.message`` to its user and decides by status and ``error.type`` whether to try again.
What an authorizer or an operator's own route answers is passed on as it is.
"""

from __future__ import annotations

import json
from typing import Any

_TYPE = "type.googleapis.com/envoy.extensions."
_SAYINGS: dict[int, tuple[str, str, str]] = {
    400: ("invalid_request_error", "bad_request", "The request is malformed."),
    401: ("authentication_error", "unauthorized", "The request carries no valid credential."),
    403: ("permission_error", "forbidden", "The request is not allowed."),
    404: ("not_found_error", "route_not_found", "No route of this gateway answers here."),
    405: ("invalid_request_error", "method_not_allowed", "The method is not allowed here."),
    408: ("timeout_error", "request_timeout", "The request did not arrive in time."),
    413: ("invalid_request_error", "request_too_large", "The body of the request is larger than this gateway takes."),
    415: ("invalid_request_error", "unsupported_media_type", "The content type is not supported."),
    426: ("invalid_request_error", "upgrade_required", "The protocol of the request is not supported."),
    429: ("rate_limit_error", "rate_limit_exceeded", "The rate limit is reached; try again after Retry-After seconds."),
    431: ("invalid_request_error", "headers_too_large", "The headers of the request are too large."),
    500: ("server_error", "internal_error", "The gateway cannot serve this route."),
    502: ("server_error", "bad_gateway", "The upstream's answer could not be understood."),
    503: ("server_error", "upstream_unavailable", "The upstream does not answer at the moment."),
    504: ("timeout_error", "upstream_timeout", "The upstream did not answer in time."),
}
_OTHER = ("server_error", "gateway_error", "The gateway could not serve the request.")
_NO_LIMITER = (
    "server_error",
    "limits_unknown",
    "The gateway cannot count requests at the moment.",
)
_NO_AUTHORIZER = (
    "server_error",
    "access_unknown",
    "The gateway cannot check keys at the moment.",
)


def openai_error(status: int, message: str = "", *, code: str = "") -> dict[str, Any]:
    """The body of an error: ``{"error": {message, type, param, code}}``."""
    kind, usual_code, usual_message = _SAYINGS.get(status, _OTHER)
    return _error(kind, code or usual_code, message or usual_message)


def openai_error_text(status: int) -> str:
    return json.dumps(openai_error(status))


def _error(kind: str, code: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def local_reply_config() -> dict[str, Any]:
    """envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig."""
    spoken_by_others = {"or_filter": {"filters": [_by_details("ext_authz_denied"), _by_details("direct_response")]}}
    mappers = [
        # An authorizer that does not answer is told from one that refuses: both have the same response flag.
        {"filter": _by_details("ext_authz_error"), "body_format_override": _body(_error(*_NO_AUTHORIZER))},
        {"filter": _by_details("rate_limiter_error"), "body_format_override": _body(_error(*_NO_LIMITER))},
        {
            # The service says which limit it is, in the same form.
            "filter": _by_details("request_rate_limited"),
            "body_format_override": {
                "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
                "content_type": "application/json",
            },
        },
        {
            "filter": spoken_by_others,
            "body_format_override": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}},
        },
        *(
            {"filter": _by_status(status), "body_format_override": _body(openai_error(status))}
            for status in sorted(_SAYINGS)
        ),
    ]
    return {"mappers": mappers, "body_format": _body(_error(*_OTHER))}


def _body(document: dict[str, Any]) -> dict[str, Any]:
    # Text, not json_format: its answer begins with what a client looks for, in the order that we wrote.
    text = json.dumps(document).replace("%", "%%")
    return {"text_format_source": {"inline_string": text}, "content_type": "application/json"}


def _by_status(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"modeldeck.reply.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _by_details(details: str) -> dict[str, Any]:
    expression = {
        "@type": _TYPE + "access_loggers.filters.cel.v3.ExpressionFilter",
        "expression": f"response.code_details == '{details}'",
    }
    return {"extension_filter": {"name": "cel", "typed_config": expression}}
