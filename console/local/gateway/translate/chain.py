"""The listener: what every request passes, in which order (envoy.config.listener.v3.Listener).

    headers that clients may not send are removed, the client's address is that of its connection
    extract            the model, from the body; and keys that need no question, where a route says so
    ext_authz.…        the gates; each route names the one that it uses
    short_limits_told, short_limits
                       per second and minute, counted in Envoy; and what tells clients of them
    ratelimit          other limits, where there is a service that counts them; else
    retry_after, local_ratelimit
                       other local limits
    decompress         answers of models that came compressed: nobody could meter them
    meter              what an answer has cost
    override           the backend's name for the model, the place of its API
    router

No filter is ``disabled``: Envoy reads that from the route of the first look, before the model is known, and a gate
switched on by the route of the second would not be there. For the same reason a listener's route configuration is named
after its gates: a connection that is still on a listener without a gate gets routes that know that (`for_other_gates`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from console.local.gateway.translate.client import ClientSettings
from console.local.gateway.translate.extraction import extract_filter, override_filter
from console.local.gateway.translate.filters import direct_response
from console.local.gateway.translate.global_limits import global_limits_filter
from console.local.gateway.translate.limits import FILTER_NAME, retry_after_filter
from console.local.gateway.translate.metering import METADATA, decompress_filter, meter_filter
from console.local.gateway.translate.native import checking, uses_log
from console.local.gateway.translate.replies import local_reply_config, openai_error_text
from console.local.gateway.translate.security import BODY_HEADER, GATE_PREFIX, MODEL_HEADER, Gate, leave_alone
from console.local.gateway.translate.settings import LIMITS_FILE, Settings
from console.local.gateway.translate.short_limits import short_limits_filter, telling_filter

_TYPE = "type.googleapis.com/envoy."
_HCM = _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_CLIENT_ADDRESS = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
_SPOOFED = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "forwarded", "x-real-ip", MODEL_HEADER)


def routes_name(port: int, gates: Sequence[Gate]) -> str:
    """What the route configuration of a port is called (see above)."""
    digest = hashlib.sha256(" ".join(gate.name for gate in gates).encode()).hexdigest()[:8]
    return f"{port}-{digest}"


def gate_names(listener: dict[str, Any]) -> frozenset[str]:
    """The gates of a listener."""
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return frozenset(one["name"] for one in manager["http_filters"] if one["name"].startswith(GATE_PREFIX))


def for_other_gates(routes: dict[str, Any], name: str, gates: frozenset[str]) -> dict[str, Any]:
    """A route configuration for listeners with other gates than those that it was made for.

    What is guarded by a gate that they lack is answered 503 there: the client comes again, on a new connection.
    """
    hosts = [
        host | {"routes": [_for_other_gates(route, gates) for route in host["routes"]]}
        for host in routes["virtual_hosts"]
    ]
    return routes | {"name": name, "virtual_hosts": hosts}


def _for_other_gates(route: dict[str, Any], gates: frozenset[str]) -> dict[str, Any]:
    told = {name: value for name, value in route["typed_per_filter_config"].items() if name.startswith(GATE_PREFIX)}
    others = {name: value for name, value in route["typed_per_filter_config"].items() if name not in told}
    if any("disabled" not in settings and gate not in gates for gate, settings in told.items()):
        answer = direct_response(503, openai_error_text(503), "application/json")
        route = {"name": route["name"], "match": route["match"], **answer}
        told, others = {}, {}
    gated = {gate: told.get(gate, leave_alone()) for gate in sorted(gates)}
    return route | {"typed_per_filter_config": gated | others}


def stat_prefix(port: int) -> str:
    return f"port_{port}"


def listener(port: int, gates: Sequence[Gate], client: ClientSettings, settings: Settings) -> dict[str, Any]:
    """One port of this machine."""
    buffer_bytes = client.buffer_bytes or settings.buffer_bytes
    made: dict[str, Any] = {
        "@type": _TYPE + "config.listener.v3.Listener",
        "name": f"port-{port}",
        "address": {"socket_address": {"address": settings.address, "port_value": port}},
        "per_connection_buffer_limit_bytes": buffer_bytes,
        # Without this a second Envoy could listen on the same port, and the kernel would deal out the connections.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": _connection_manager(port, gates, settings)}]}],
    }
    if client.accepts is not None:
        made["max_connections_to_accept_per_socket_event"] = client.accepts
    return made


def _connection_manager(port: int, gates: Sequence[Gate], settings: Settings) -> dict[str, Any]:
    name = routes_name(port, gates)
    return {
        "@type": _HCM,
        "stat_prefix": stat_prefix(port),
        "rds": {"route_config_name": name, "config_source": settings.source(settings.routes_file(name))},
        "http_filters": [
            extract_filter(checking(settings.key_table) if settings.key_table else ""),
            *(gate.filter() for gate in gates),
            telling_filter(),
            short_limits_filter(),
            *([global_limits_filter(settings.limiter)] if settings.limiter else _other_local_limits(settings)),
            meter_filter(),
            override_filter(),
            decompress_filter(),
            {
                "name": "router",
                "typed_config": {
                    "@type": _TYPE + "extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "early_header_mutation_extensions": [_client_headers(settings)],
        # The address of a client is that of its connection; what it claims was removed, ours is there already.
        "use_remote_address": True,
        "skip_xff_append": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 65_536,
            "initial_connection_window_size": 1_048_576,
        },
        "local_reply_config": local_reply_config(),
        "access_log": _access_log(settings),
    }


def _other_local_limits(settings: Settings) -> list[dict[str, Any]]:
    """What a service would count if there were one."""
    limits = {
        "name": FILTER_NAME,
        "config_discovery": {
            "config_source": settings.source(LIMITS_FILE),
            "type_urls": [_TYPE + "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"],
        },
    }
    return [retry_after_filter(), limits]


def _client_headers(settings: Settings) -> dict[str, Any]:
    """envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation: before anybody reads a header."""
    address = {
        "header": {"key": "x-forwarded-for", "value": _CLIENT_ADDRESS},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {
        "name": "client_headers",
        "typed_config": {
            "@type": _TYPE + "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [
                *({"remove": name} for name in _SPOOFED),
                *({"remove_on_match": {"key_matcher": {"prefix": one}}} for one in settings.stripped_prefixes),
                {"append": address},
            ],
        },
    }


def _access_log(settings: Settings) -> list[dict[str, Any]]:
    """One JSON line per request. No Authorization, no query: a key may be in either."""
    uses = [uses_log(settings.key_table)] if settings.key_table else []
    if settings.access_log is None:
        return uses
    line = {
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "id": "%REQ(X-REQUEST-ID)%",
        "client": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
        "method": "%REQ(:METHOD)%",
        "host": "%REQ(:AUTHORITY)%",
        "path": "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "route": "%ROUTE_NAME%",
        "model": f"%REQ({MODEL_HEADER})%",
        "body": f"%REQ({BODY_HEADER})%",
        "key": "%REQ(X-MODELDECK-KEY-ID)%",
        "tenant": "%REQ(X-MODELDECK-TENANT)%",
        # Of a refusal: whose key it was, and why, as the authorizer or the limiter says.
        "refused_key": "%RESP(X-MODELDECK-KEY-ID)%",
        "refused_tenant": "%RESP(X-MODELDECK-TENANT)%",
        "reason": "%RESP(X-MODELDECK-REASON)%",
        "limit": "%RESP(X-MODELDECK-LIMIT)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "upstream": "%UPSTREAM_CLUSTER%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "milliseconds": "%DURATION%",
        "input_tokens": f"%DYNAMIC_METADATA({METADATA}:llm_input_token)%",
        "cached_tokens": f"%DYNAMIC_METADATA({METADATA}:llm_cached_input_token)%",
        "output_tokens": f"%DYNAMIC_METADATA({METADATA}:llm_output_token)%",
        "tokens": f"%DYNAMIC_METADATA({METADATA}:llm_total_token)%",
        "metered": f"%METADATA(ROUTE:{METADATA}:metered)%",
        "upstream_host": "%UPSTREAM_HOST%",
    }
    log = {
        "@type": _TYPE + "extensions.access_loggers.file.v3.FileAccessLog",
        "path": str(settings.access_log),
        "log_format": {
            "json_format": line,
            "formatters": [
                {
                    "name": "path",
                    "typed_config": {"@type": _TYPE + "extensions.formatter.req_without_query.v3.ReqWithoutQuery"},
                }
            ],
        },
    }
    return [{"name": "file", "typed_config": log}, *uses]
