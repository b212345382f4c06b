"""Where a publication's requests go: found from what the operator names.

PROVIDER/MODEL-ID          a model of the catalog, at its provider
isvc/NAMESPACE/NAME        an InferenceService of KServe's
llmisvc/NAMESPACE/NAME     an LLMInferenceService of KServe's; with /ADAPTER behind it, one of its LoRA adapters
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from console.catalog import read as catalog
from console.config import Profile
from console.k8s.cluster import Cluster
from console.k8s.types import INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, SERVICE, Ref
from console.outcome import Refusal, not_found
from console.publishing.listening import NOTHING_HEARD, Heard, listen
from console.publishing.types import Endpoint, Origin, PublicationKind
from console.store.engine import Store

if TYPE_CHECKING:
    from console.services import Services

SERVICE_PREFIX = "isvc/"
LLM_SERVICE_PREFIX = "llmisvc/"
_PREFIX_OF = {"inferenceservice": SERVICE_PREFIX, "llminferenceservice": LLM_SERVICE_PREFIX, "catalog": ""}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# KServe's generative runtimes and where they serve OpenAI's API (gateway.md §1.8).
_OPENAI_FORMATS = {"huggingface": "/openai/v1", "vllm": "/v1"}
_OPENAI_RUNTIMES = {"huggingfaceserver": "/openai/v1", "vllmserver": "/v1"}
_WORKLOAD_SERVICE, _WORKLOAD_PORT = "kserve-workload-svc", 8000
_ENCODER_TASKS = {"sequence_classification", "token_classification", "fill_mask"}

Ask = Callable[[str, str], Awaitable[Heard]]
"""Asks the InferenceService of a namespace and a name."""


@dataclass(frozen=True, slots=True)
class Found:
    """An origin, the kind that it suggests and why, and what an operator should know before publishing it.

    reason  what the object says of itself
    heard   what the service answered when it was asked
    """

    origin: Origin
    kind: PublicationKind
    reason: str
    warnings: tuple[str, ...] = ()
    heard: Heard = NOTHING_HEARD

    @property
    def reasons(self) -> tuple[str, ...]:
        """For a plan; none where there is nothing to make out."""
        return (self.reason, *self.heard.reasons) if self.origin.source == "inferenceservice" else ()


async def find_origin(services: Services, name: str) -> Found:
    """Where what an operator names answers.

    Raises:
        Refusal: there is no such thing, or it is not ready.
    """
    if name.startswith(SERVICE_PREFIX):
        cluster = await services.cluster()

        async def asked(namespace: str, service: str) -> Heard:
            return await listen(cluster, services.profile, namespace, service)

        return await service_origin(cluster, name, asked)
    if name.startswith(LLM_SERVICE_PREFIX):
        return await llm_service_origin(await services.cluster(), name)
    return await catalog_origin(await services.store(), services.profile, name)


def named(origin: Origin) -> str:
    """An origin as an operator names it."""
    return _PREFIX_OF[origin.source] + origin.name


def own_tenant(origin: Origin) -> str | None:
    """The tenant that a service of the cluster belongs to; None for a model of the catalog, which is everybody's."""
    return None if origin.source == "catalog" else origin.name.partition("/")[0]


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


async def service_origin(cluster: Cluster, name: str, asked: Ask | None = None) -> Found:
    """An InferenceService that is ready.

    Args:
        asked: what it answers itself; that suggests nothing, but speaks for or against what is suggested

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
    heard = await asked(namespace, service) if asked is not None else NOTHING_HEARD
    origin = Origin("inferenceservice", f"{namespace}/{service}", service, _predictor(namespace, service, kind, prefix))
    return Found(origin, kind, reason, tuple(_contradictions(kind, prefix, heard)), heard)


def _contradictions(kind: PublicationKind, prefix: str, heard: Heard) -> Iterator[str]:
    """What it answers otherwise than its object says.

    The suggestion stays: it must be the same whoever plans, from wherever, and whether or not the service is busy.
    """
    if kind is PublicationKind.TRADITIONAL and heard.openai and not heard.predict:
        yield f"it answers as OpenAI's API does under {heard.openai[0]}: --type openai would publish it so"
    if kind is PublicationKind.OPENAI and heard.openai and prefix not in heard.openai:
        yield f"it answers as OpenAI's API does under {heard.openai[0]}, and would be called under {prefix}"
    if kind is PublicationKind.OPENAI and heard.predict and not heard.openai:
        yield "it answers as KServe's protocols do, and not as OpenAI's API: --type traditional would publish it so"


def _predictor(namespace: str, service: str, kind: PublicationKind, prefix: str) -> Endpoint:
    """As a Backend names it, or as an HTTPRoute of its own namespace does."""
    host = f"{service}-predictor"
    if kind is PublicationKind.OPENAI:
        host = f"{host}.{namespace}.svc.cluster.local"
    return Endpoint(host, 80, tls=False, prefix=prefix)


def overruled(found: Found, kind: PublicationKind) -> Found:
    """What was found, called in the way that the operator says, whatever was made out.

    Raises:
        Refusal: it can be called in one way only.
    """
    if kind is found.kind:
        return found
    origin = found.origin
    if origin.source != "inferenceservice":
        raise Refusal(
            f"{named(origin)} cannot be {kind.value}: {found.reason}; nothing was changed",
            code="INVALID_PARAMETER",
            then="leave --type out",
        )
    namespace, _, service = origin.name.partition("/")
    heard = (*found.heard.openai, _OPENAI_FORMATS["huggingface"])
    prefix = heard[0] if kind is PublicationKind.OPENAI else ""
    origin = dataclasses.replace(origin, endpoint=_predictor(namespace, service, kind, prefix))
    told = f"it is published as {kind.value}, though {found.reason}"
    if prefix:
        told += f"; its API is {'' if found.heard.openai else 'taken to be '}under {prefix}"
    return Found(origin, kind, found.reason, (told,), found.heard)


async def llm_service_origin(cluster: Cluster, name: str) -> Found:
    """An LLMInferenceService that is ready, or one of its LoRA adapters: vLLM speaks OpenAI's API (gateway.md §1.8).

    Requests go to the Service of its workload: that takes weights, fallbacks and another name for the model, none of
    which the AI gateway has for an InferencePool.

    Raises:
        Refusal: there is none (404), or it is not ready (409).
    """
    namespace, _, rest = name.removeprefix(LLM_SERVICE_PREFIX).partition("/")
    service, slash, adapter = rest.partition("/")
    if not (_DNS_LABEL.fullmatch(namespace) and _DNS_LABEL.fullmatch(service)) or bool(slash) != bool(adapter):
        raise Refusal(
            f"{name[:120]!r} names no LLMInferenceService: it is {LLM_SERVICE_PREFIX}NAMESPACE/NAME, "
            "or with /ADAPTER; nothing was changed",
            code="MODEL_NOT_FOUND",
        )
    found = await cluster.get(Ref(LLM_INFERENCE_SERVICE, service, namespace))
    if found is None:
        raise not_found(
            f"namespace {namespace} has no LLMInferenceService {service}; nothing was changed", code="MODEL_NOT_FOUND"
        )
    refuse_unready(found)
    model = found.get("spec", {}).get("model", {})
    served, reason = model.get("name") or service, "an LLMInferenceService serves OpenAI's API under /v1"
    adapters = [str(one.get("name", "")) for one in (model.get("lora") or {}).get("adapters") or ()]
    if adapter and adapter not in adapters:
        raise not_found(
            f"LLMInferenceService {namespace}/{service} has no LoRA adapter {adapter}; nothing was changed",
            code="MODEL_NOT_FOUND",
            then=f"it has {', '.join(adapters)}" if adapters else "",
        )
    workload = f"{service}-{_WORKLOAD_SERVICE}"
    tls = _is_tls(await cluster.get(Ref(SERVICE, workload, namespace)))
    endpoint = Endpoint(f"{workload}.{namespace}.svc.cluster.local", _WORKLOAD_PORT, tls=tls)
    warnings = []
    if tls:
        warnings.append(
            f"{workload} is spoken to over TLS: its certificate must be one that the gateway's system trusts"
        )
    if (found["spec"].get("router") or {}).get("scheduler") is not None:
        warnings.append(f"its scheduler is passed by: the requests are shared by Service {workload}")
    if not adapter and adapters:
        said = ", ".join(f"{LLM_SERVICE_PREFIX}{namespace}/{service}/{one}" for one in adapters)
        warnings.append(f"its LoRA adapters are models of their own: {said}")
    origin = Origin("llminferenceservice", f"{namespace}/{rest}", adapter or served, endpoint)
    return Found(origin, PublicationKind.OPENAI, reason, tuple(warnings))


def _is_tls(service: Mapping[str, Any] | None) -> bool:
    ports = (service or {}).get("spec", {}).get("ports", [])
    mine: Mapping[str, Any] = next((one for one in ports if one.get("port") == _WORKLOAD_PORT), {})
    return "https" in (mine.get("appProtocol"), mine.get("name"))


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
        f"{service.get('kind', 'InferenceService')} {name} is not ready: {why}; nothing was changed",
        code="MODEL_NOT_READY",
        status=409,
    )


def detected(service: Mapping[str, Any]) -> tuple[PublicationKind, str, str]:
    """Kind, OpenAI prefix and the reason; a suggestion that the operator may overrule (gateway.md §1.8)."""
    predictor = service.get("spec", {}).get("predictor", {})
    model = predictor.get("model", {})
    format_name = str(model.get("modelFormat", {}).get("name", "")).lower()
    if not format_name and "huggingface" in predictor:
        format_name = "huggingface"
    status = service.get("status") or {}
    runtime = str(status.get("servingRuntimeName") or status.get("clusterServingRuntimeName") or "")
    task = next((a.partition("=")[2] for a in model.get("args", []) if str(a).startswith("--task=")), "")
    if format_name in _OPENAI_FORMATS and task not in _ENCODER_TASKS:
        prefix = _OPENAI_FORMATS[format_name]
        return PublicationKind.OPENAI, prefix, f"modelFormat {format_name} serves OpenAI's API under {prefix}"
    known = next((name for name in _OPENAI_RUNTIMES if name in runtime), None)
    if not format_name and known is not None and task not in _ENCODER_TASKS:
        prefix = _OPENAI_RUNTIMES[known]
        return PublicationKind.OPENAI, prefix, f"runtime {runtime} serves OpenAI's API under {prefix}"
    because = f"task {task}" if task in _ENCODER_TASKS else f"modelFormat {format_name or 'unknown'}"
    return PublicationKind.TRADITIONAL, "", f"{because} serves KServe's predict protocol"
