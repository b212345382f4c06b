"""Where a publication's requests go: found from what the operator names.

PROVIDER/MODEL-ID          a model of the catalog, at its provider
isvc/NAMESPACE/NAME        an InferenceService of KServe's
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from console.catalog import read as catalog
from console.config import Profile
from console.k8s.cluster import Cluster
from console.k8s.types import INFERENCE_SERVICE, Ref
from console.outcome import Refusal, not_found
from console.publishing.types import Endpoint, Origin, PublicationKind
from console.store.engine import Store

SERVICE_PREFIX = "isvc/"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# KServe's generative runtimes and where they serve OpenAI's API (gateway.md §1.8).
_OPENAI_FORMATS = {"huggingface": "/openai/v1", "vllm": "/v1"}
_ENCODER_TASKS = {"sequence_classification", "token_classification", "fill_mask"}


@dataclass(frozen=True, slots=True)
class Found:
    """An origin, the kind that it suggests and why, and what an operator should know before publishing it."""

    origin: Origin
    kind: PublicationKind
    reason: str
    warnings: tuple[str, ...] = ()


async def catalog_origin(store: Store, profile: Profile, name: str) -> Found:
    """A provider's model.

    Raises:
        Refusal: the catalog has no such model, or nobody knows where its provider answers.
    """
    provider, slash, native_id = name.partition("/")
    model = await catalog.get_model(store, provider, native_id) if slash else None
    if model is None:
        raise not_found(
            f"the catalog has no model {name}; nothing was changed",
            code="MODEL_NOT_FOUND",
            then=f"modeldeck models search {name.rpartition('/')[2]}",
        )
    row = await catalog.get_provider(store, provider)
    link = profile.providers.get(provider)
    url = (link.inference_url if link else None) or (row.api_url if row else "")
    endpoint = endpoint_of(url)
    if endpoint is None:
        raise Refusal(
            f"where {provider} answers requests is not known; nothing was changed",
            code="PROVIDER_UNKNOWN",
            then=f"set profiles.{profile.name}.providers.{provider}.inference_url",
        )
    warnings = []
    if not endpoint.tls and endpoint.host not in _LOOPBACK:
        warnings.append(f"{provider} is called over plain HTTP: its credential crosses the network in clear")
    if model.retired_at is not None:
        warnings.append(f"{provider} does not list this model any more (since {model.retired_at:%Y-%m-%d})")
    if model.price_unknown:
        warnings.append("its price is unknown: usage cannot be costed")
    origin = Origin("catalog", name, native_id, endpoint, provider, f"{provider}/{native_id}")
    return Found(origin, PublicationKind.OPENAI, f"{provider} serves OpenAI's API", tuple(warnings))


_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123, as Kubernetes names namespaces and InferenceServices."""


async def service_origin(cluster: Cluster, name: str) -> Found:
    """An InferenceService that is ready.

    Raises:
        Refusal: there is none (404), or it is not ready (409).
    """
    namespace, _, service = name.removeprefix(SERVICE_PREFIX).partition("/")
    if not (_DNS_LABEL.fullmatch(namespace) and _DNS_LABEL.fullmatch(service)):
        raise Refusal(
            f"{name[:120]!r} names no InferenceService: it is {SERVICE_PREFIX}NAMESPACE/NAME; nothing was changed",
            code="MODEL_NOT_FOUND",
        )
    found = await cluster.get(Ref(INFERENCE_SERVICE, service, namespace))
    if found is None:
        raise not_found(
            f"namespace {namespace} has no InferenceService {service}; nothing was changed", code="MODEL_NOT_FOUND"
        )
    refuse_unready(found)
    kind, prefix, reason = detected(found)
    host = f"{service}-predictor"
    if kind is PublicationKind.OPENAI:
        host = f"{host}.{namespace}.svc.cluster.local"
    endpoint = Endpoint(host, 80, tls=False, prefix=prefix)
    return Found(Origin("inferenceservice", f"{namespace}/{service}", service, endpoint), kind, reason)


def endpoint_of(url: str) -> Endpoint | None:
    """``https://api.deepinfra.com/v1/openai`` → host, port, TLS and the path that stands before /chat/completions."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    tls = parts.scheme == "https"
    return Endpoint(parts.hostname, parts.port or (443 if tls else 80), tls, parts.path.rstrip("/") or "/v1")


def refuse_unready(service: Mapping[str, Any]) -> None:
    """Requirement 1.1: only what is ready is published (conditions as in gateway.md §1.8)."""
    name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
    status = service.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    ready = conditions.get("Ready", {})
    if conditions.get("Stopped", {}).get("status") == "True":
        why = "it is stopped"
    elif ready.get("status") != "True":
        why = ready.get("message") or ready.get("reason") or "it has no Ready condition yet"
    elif status.get("observedGeneration") != service["metadata"].get("generation"):
        why = "its status is older than its spec"
    elif status.get("modelStatus", {}).get("transitionStatus", "UpToDate") not in ("", "UpToDate"):
        why = f"its model is {status['modelStatus']['transitionStatus']}"
    else:
        return
    raise Refusal(
        f"InferenceService {name} is not ready: {why}; nothing was changed", code="MODEL_NOT_READY", status=409
    )


def detected(service: Mapping[str, Any]) -> tuple[PublicationKind, str, str]:
    """Kind, OpenAI prefix and the reason; a suggestion that the operator may overrule (gateway.md §1.8)."""
    predictor = service.get("spec", {}).get("predictor", {})
    model = predictor.get("model", {})
    format_name = str(model.get("modelFormat", {}).get("name", "")).lower()
    if not format_name and "huggingface" in predictor:
        format_name = "huggingface"
    task = next((a.partition("=")[2] for a in model.get("args", []) if str(a).startswith("--task=")), "")
    if format_name in _OPENAI_FORMATS and task not in _ENCODER_TASKS:
        prefix = _OPENAI_FORMATS[format_name]
        return PublicationKind.OPENAI, prefix, f"modelFormat {format_name} serves OpenAI's API under {prefix}"
    because = f"task {task}" if task in _ENCODER_TASKS else f"modelFormat {format_name or 'unknown'}"
    return PublicationKind.TRADITIONAL, "", f"{because} serves KServe's predict protocol"
