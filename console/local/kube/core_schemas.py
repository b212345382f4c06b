"""The schemas of the core kinds: those of a real server, as far as they are used here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Raw = dict[str, Any]

_TEXT: Raw = {"type": "string"}
_WHOLE: Raw = {"type": "integer", "format": "int32"}
_FLAG: Raw = {"type": "boolean"}
_TIME: Raw = {"type": "string", "format": "date-time", "nullable": True}
ANYTHING: Raw = {"x-kubernetes-preserve-unknown-fields": True}


def object_of(properties: Mapping[str, Raw], **more: Any) -> Raw:
    return {"type": "object", "properties": dict(properties), **more}


def _list(items: Raw, **more: Any) -> Raw:
    return {"type": "array", "items": items, **more}


def _texts() -> Raw:
    return {"type": "object", "additionalProperties": _TEXT}


def map_list(*keys: str, items: Raw | None = None) -> Raw:
    kind = items or {"x-kubernetes-preserve-unknown-fields": True}
    return {"items": kind, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


CONDITIONS = map_list("type")
_REFERENCE = object_of(
    dict.fromkeys(("apiVersion", "kind", "name", "namespace", "uid", "resourceVersion", "fieldPath"), _TEXT)
)


NAMESPACE = object_of(
    {
        "spec": object_of({"finalizers": _list(_TEXT)}),
        "status": object_of(
            {
                "phase": _TEXT,
                "conditions": map_list(
                    "type",
                    items=object_of(
                        {**dict.fromkeys(("type", "status", "reason", "message"), _TEXT), "lastTransitionTime": _TIME}
                    ),
                ),
            }
        ),
    }
)
_BYTES: Raw = {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}}
SECRET = object_of({"data": _BYTES, "stringData": _texts(), "type": _TEXT, "immutable": _FLAG})
CONFIG_MAP = object_of({"data": _texts(), "binaryData": _BYTES, "immutable": _FLAG})
_PORT: Raw = {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535}
_SERVICE_PORT = object_of(
    {
        "name": _TEXT,
        "protocol": {"type": "string", "default": "TCP", "enum": ["TCP", "UDP", "SCTP"]},
        "appProtocol": _TEXT,
        "port": _PORT,
        "targetPort": {"x-kubernetes-int-or-string": True},
        "nodePort": _WHOLE,
    },
    required=["port"],
)
SERVICE = object_of(
    {
        "spec": object_of(
            {
                "ports": map_list("port", "protocol", items=_SERVICE_PORT) | {"type": "array"},
                "selector": {**_texts(), "x-kubernetes-map-type": "atomic"},
                "type": {
                    "type": "string",
                    "default": "ClusterIP",
                    "enum": ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"],
                },
                "clusterIP": _TEXT,
                "clusterIPs": _list(_TEXT),
                "externalIPs": _list(_TEXT),
                "externalName": _TEXT,
                "sessionAffinity": {"type": "string", "default": "None", "enum": ["None", "ClientIP"]},
                "sessionAffinityConfig": ANYTHING,
                "loadBalancerIP": _TEXT,
                "loadBalancerClass": _TEXT,
                "loadBalancerSourceRanges": _list(_TEXT),
                "allocateLoadBalancerNodePorts": _FLAG,
                "internalTrafficPolicy": {"type": "string", "default": "Cluster"},
                "externalTrafficPolicy": _TEXT,
                "trafficDistribution": _TEXT,
                "healthCheckNodePort": _WHOLE,
                "publishNotReadyAddresses": _FLAG,
                "ipFamilies": _list(_TEXT),
                "ipFamilyPolicy": _TEXT,
            },
            default={},
        ),
        "status": object_of({"loadBalancer": {**ANYTHING, "type": "object"}, "conditions": CONDITIONS}),
    }
)
ENDPOINT_SLICE = object_of(
    {
        "addressType": {"type": "string", "enum": ["IPv4", "IPv6", "FQDN"]},
        "endpoints": _list(
            object_of(
                {
                    "addresses": _list(_TEXT, minItems=1, maxItems=100, **{"x-kubernetes-list-type": "set"}),
                    "conditions": object_of(dict.fromkeys(("ready", "serving", "terminating"), _FLAG)),
                    "hostname": _TEXT,
                    "nodeName": _TEXT,
                    "zone": _TEXT,
                    "deprecatedTopology": _texts(),
                    "hints": ANYTHING,
                    "targetRef": {**_REFERENCE, "x-kubernetes-map-type": "atomic"},
                },
                required=["addresses"],
            ),
            maxItems=1000,
        ),
        "ports": _list(
            object_of(
                {
                    "name": {"type": "string", "default": ""},
                    "protocol": {"type": "string", "default": "TCP"},
                    "port": _PORT,
                    "appProtocol": _TEXT,
                }
            ),
            maxItems=100,
        ),
    },
    required=["addressType"],
)
EVENT = object_of(
    {
        **dict.fromkeys(
            ("reason", "message", "type", "action", "reportingComponent", "reportingInstance", "reportingController"),
            _TEXT,
        ),
        "note": _TEXT,
        "involvedObject": _REFERENCE,
        "regarding": _REFERENCE,
        "related": _REFERENCE,
        "source": object_of({"component": _TEXT, "host": _TEXT}),
        "count": _WHOLE,
        "firstTimestamp": _TIME,
        "lastTimestamp": _TIME,
        "eventTime": _TIME,
        "series": ANYTHING,
    }
)
DEFINITION = object_of(
    {
        "spec": object_of(
            {
                "group": _TEXT,
                "scope": {"type": "string", "enum": ["Namespaced", "Cluster"]},
                "names": object_of(
                    {
                        **dict.fromkeys(("kind", "listKind", "plural", "singular"), _TEXT),
                        "shortNames": _list(_TEXT),
                        "categories": _list(_TEXT),
                    },
                    required=["kind", "plural"],
                ),
                "versions": _list({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, minItems=1),
                "conversion": {**ANYTHING, "type": "object", "default": {"strategy": "None"}},
                "preserveUnknownFields": _FLAG,
            },
            required=["group", "names", "scope", "versions"],
        ),
        "status": object_of(
            {
                "conditions": map_list(
                    "type",
                    items=object_of(
                        {
                            **dict.fromkeys(("type", "status", "reason", "message"), _TEXT),
                            "lastTransitionTime": _TIME,
                            "observedGeneration": {"type": "integer"},
                        }
                    ),
                ),
                "acceptedNames": {**ANYTHING, "type": "object"},
                "storedVersions": _list(_TEXT),
                "observedGeneration": {"type": "integer"},
            }
        ),
    },
    required=["spec"],
)
