"""Plays KServe for model servers that run on this machine already.

The annotation ``local.modeldeck.dev/upstream: 127.0.0.1:PORT`` of an InferenceService names the server that is its
predictor. It gets the Service that KServe would make (deployment mode Standard), with that port behind it, and the
status that KServe would write, driven by what the server answers (gateway.md §1.8).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from console.guard import system_permit
from console.k8s.cluster import Cluster
from console.k8s.errors import Conflict, Missing, NotServed
from console.k8s.types import ENDPOINT_SLICE, INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, SERVICE, Kind, Object, Ref
from console.local.gateway.snapshot import annotations_of, being_deleted, generation_of, labels_of, namespace_of
from console.local.gateway.statuses import Status, differs, timed
from console.outcome import Failure, ModeldeckError
from console.tls import trusted

log = logging.getLogger("modeldeck.kserve")

UPSTREAM_ANNOTATION: Final = "local.modeldeck.dev/upstream"
_STOP_ANNOTATION = "serving.kserve.io/stop"
_MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
_STANDARD_MODES = ("Standard", "RawDeployment")
_DOMAIN = "example.com"  # KServe's own default for external URLs
_PROBE_SECONDS = 2.0
_PROBE_TIMEOUT_SECONDS = 2.0
_RETRY_SECONDS = 3.0
_SERVER_ERRORS = 500
_RUNTIMES = {
    "huggingface": "kserve-huggingfaceserver",
    "vLLM": "kserve-vllmserver",
    "sklearn": "kserve-sklearnserver",
    "xgboost": "kserve-xgbserver",
    "lightgbm": "kserve-lgbserver",
    "pmml": "kserve-pmmlserver",
    "tensorflow": "kserve-tensorflow-serving",
    "triton": "kserve-tritonserver",
    "mlflow": "kserve-mlserver",
}

Name = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Played:
    """How a kind is played: the Service that leads to its server, and its port."""

    kind: Kind
    suffix: str
    port: int

    def service(self, name: str) -> str:
        return f"{name}-{self.suffix}"


_KINDS = (_Played(INFERENCE_SERVICE, "predictor", 80), _Played(LLM_INFERENCE_SERVICE, "kserve-workload-svc", 8000))


@dataclass(frozen=True, slots=True)
class _Found:
    """What there is to say of a service: ready, or the reason and the sentence that say why not."""

    reason: str = ""
    message: str = ""

    @property
    def ready(self) -> bool:
        return not self.reason


class KServe:
    """Watches, probes, reports; from `start` to `stop`.

    Args:
        cluster: with the rights of a controller (`console.local.kube.CONTROLLER`)
        probe_seconds: how often each server is asked
    """

    def __init__(self, cluster: Cluster, *, probe_seconds: float = _PROBE_SECONDS) -> None:
        self._cluster = cluster
        self._seconds = probe_seconds
        self._permit = system_permit("play KServe")
        self._objects: dict[Name, tuple[_Played, Object]] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._problem = ""

    async def start(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._watch(played)) for played in _KINDS]
            self._tasks.append(asyncio.create_task(self._run()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def health(self) -> str:
        """How many services it plays.

        Raises:
            Failure: it cannot at the moment.
        """
        if not self._tasks or any(task.done() for task in self._tasks):
            raise Failure("the controller for InferenceServices has ended", code="KSERVE_ENDED")
        if self._problem:
            raise Failure(f"InferenceServices are not looked after: {self._problem}", code="KSERVE_BEHIND")
        return f"{len(self._objects)} services"

    async def _watch(self, played: _Played) -> None:
        while True:
            try:
                async for change in self._cluster.watch(played.kind):
                    if change.type == "synced":
                        continue
                    name = (played.kind.kind, namespace_of(change.object), change.object["metadata"]["name"])
                    if change.type == "deleted":
                        self._objects.pop(name, None)
                    else:
                        self._objects[name] = (played, change.object)
                        self._wake.set()
            except NotServed:
                await asyncio.sleep(_RETRY_SECONDS)
            except ModeldeckError as problem:
                self._problem = str(problem)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=_PROBE_TIMEOUT_SECONDS, trust_env=False, verify=trusted()) as client:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._seconds)
                self._wake.clear()
                try:
                    await asyncio.gather(*(self._look_after(client, *one) for one in list(self._objects.values())))
                except (ModeldeckError, OSError) as problem:
                    self._problem = str(problem)
                    log.warning("InferenceServices are not looked after: %s", problem)
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    self._problem = ""

    async def _look_after(self, client: httpx.AsyncClient, played: _Played, one: Object) -> None:
        if being_deleted(one):
            return
        found = await _probe(client, played, one)
        upstream = _upstream(one)
        if isinstance(upstream, tuple):
            for manifest in _objects_for(played, one, *upstream, ready=found.ready):
                await self._bring_about(manifest)
        await self._report(played, one, found)

    async def _bring_about(self, manifest: Object) -> None:
        kind = SERVICE if manifest["kind"] == "Service" else ENDPOINT_SLICE
        metadata = manifest["metadata"]
        known = await self._cluster.get(Ref(kind, metadata["name"], metadata["namespace"]))
        if known is None or not _holds(known, manifest):
            with contextlib.suppress(Missing):  # its namespace is going
                await self._cluster.apply(self._permit, manifest, force=True)

    async def _report(self, played: _Played, one: Object, found: _Found) -> None:
        name = (played.kind.kind, namespace_of(one), one["metadata"]["name"])
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = _llm_status(played, one, found) if played.kind is LLM_INFERENCE_SERVICE else _status(one, found, now)
        status = timed(wanted, one.get("status") or {}, now)
        if not differs(one.get("status"), status):
            return
        ref = Ref(played.kind, name[2], name[1])
        try:
            written = await self._cluster.patch_status(self._permit, ref, status, uid=one["metadata"].get("uid"))
        except (Missing, Conflict):
            return
        if name in self._objects:
            self._objects[name] = (played, written)


def _upstream(one: Object) -> tuple[str, int] | str:
    """Host and port of the server, or the sentence that says why there is none."""
    text = annotations_of(one).get(UPSTREAM_ANNOTATION)
    if not text:
        return f"no server on this machine plays it: set the annotation {UPSTREAM_ANNOTATION} to 127.0.0.1:PORT"
    host, _, port = text.strip().rpartition(":")
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback or not port.isdecimal() or not 0 < int(port) <= 65535:
        return f"the annotation {UPSTREAM_ANNOTATION} is {text!r}, which is not an address such as 127.0.0.1:8080"
    return ("127.0.0.1" if host == "localhost" else host.strip("[]")), int(port)


async def _probe(client: httpx.AsyncClient, played: _Played, one: Object) -> _Found:
    """Whether the service could be called now."""
    if annotations_of(one).get(_STOP_ANNOTATION) == "true":
        return _Found("Stopped", "Service is stopped")
    mode = annotations_of(one).get(_MODE_ANNOTATION, _STANDARD_MODES[0])
    if mode not in _STANDARD_MODES:
        return _Found(
            "UnsupportedDeploymentMode", f"deployment mode {mode} is not played on this machine: use Standard"
        )
    upstream = _upstream(one)
    if isinstance(upstream, str):
        return _Found("NoServer", upstream)
    host, port = upstream
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    path = _probe_path(played, one)
    try:
        answer = await client.get(f"http://{shown}{path}")
    except httpx.HTTPError as problem:
        return _Found("ServerUnreachable", f"http://{shown}{path} does not answer ({type(problem).__name__})")
    if answer.status_code >= _SERVER_ERRORS:
        return _Found("ServerNotReady", f"http://{shown}{path} answers {answer.status_code}")
    return _Found()


def _model(one: Object) -> Mapping[str, Any]:
    predictor = (one.get("spec") or {}).get("predictor") or {}
    model = predictor.get("model")
    return model if isinstance(model, Mapping) else {}


def _probe_path(played: _Played, one: Object) -> str:
    """Where KServe's protocols say whether a server is ready. Any answer but a server's error counts."""
    if played.kind is LLM_INFERENCE_SERVICE:
        return "/v1/models"
    if _model(one).get("protocolVersion") == "v2":
        return "/v2/health/ready"
    return f"/v1/models/{one['metadata']['name']}"


def _objects_for(played: _Played, one: Object, host: str, port: int, *, ready: bool) -> tuple[Object, Object]:
    """The Service and its EndpointSlice, owned by the service that they are for."""
    name = played.service(one["metadata"]["name"])
    owner = {
        "apiVersion": one["apiVersion"],
        "kind": one["kind"],
        "name": one["metadata"]["name"],
        "uid": one["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {"app": f"isvc.{name}"}
    metadata = {"name": name, "namespace": namespace_of(one), "ownerReferences": [owner], "labels": labels}
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"ports": [{"name": "http", "port": played.port, "protocol": "TCP", "targetPort": port}]},
    }
    slice_: Object = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata | {"labels": labels | {"kubernetes.io/service-name": name}},
        "addressType": "IPv6" if ":" in host else "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": ready}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }
    return service, slice_


def _holds(known: Object, manifest: Object) -> bool:
    """Whether an object is as it should be; what a server adds does not matter."""
    owners = [owner.get("uid") for owner in known["metadata"].get("ownerReferences") or ()]
    wanted_owner = manifest["metadata"]["ownerReferences"][0]["uid"]
    if wanted_owner not in owners or not dict(labels_of(known)).items() >= manifest["metadata"]["labels"].items():
        return False
    if manifest["kind"] == "Service":
        ports = (known.get("spec") or {}).get("ports") or ()
        return [one.get("port") for one in ports] == [one["port"] for one in manifest["spec"]["ports"]] and [
            one.get("targetPort") for one in ports
        ] == [one["targetPort"] for one in manifest["spec"]["ports"]]
    return all(known.get(name) == manifest[name] for name in ("addressType", "endpoints", "ports"))


def _condition(kind: str, found: _Found) -> Status:
    if found.ready:
        return {"type": kind, "status": "True"}
    return {"type": kind, "status": "False", "reason": found.reason, "message": found.message}


def _status(one: Object, found: _Found, now: str) -> Status:
    """InferenceService.status in mode Standard: Ready is PredictorReady and IngressReady."""
    name, namespace = one["metadata"]["name"], namespace_of(one)
    conditions = [_condition(kind, found) for kind in ("IngressReady", "PredictorReady", "Ready")]
    stopped = found.reason == "Stopped"
    if stopped:
        conditions.append({"type": "Stopped", "status": "True"})
    else:
        conditions.append({"type": "Stopped", "status": "False"})
    status: Status = {
        "observedGeneration": generation_of(one),
        "deploymentMode": "Standard",
        "conditions": conditions,
        "url": f"http://{name}-{namespace}.{_DOMAIN}" if found.ready else None,
        "address": {"url": f"http://{name}-predictor.{namespace}.svc.cluster.local"} if found.ready else None,
        "components": {"predictor": {"url": f"http://{name}-predictor-{namespace}.{_DOMAIN}"}},
        "modelStatus": _model_status(one, found, now),
    }
    runtime = _RUNTIMES.get(str((_model(one).get("modelFormat") or {}).get("name")))
    if runtime is not None:
        status["clusterServingRuntimeName"] = runtime
    return status


def _model_status(one: Object, found: _Found, now: str) -> Status:
    if found.ready:
        return {
            "transitionStatus": "UpToDate",
            "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
            "copies": {"failedCopies": 0, "totalCopies": 1},
            "lastFailureInfo": None,
        }
    before = ((one.get("status") or {}).get("modelStatus") or {}).get("lastFailureInfo") or {}
    failure = {"reason": "RuntimeUnhealthy", "message": found.message}
    same = before.get("message") == found.message
    return {
        "transitionStatus": "InProgress" if found.reason == "ServerNotReady" else "BlockedByFailedLoad",
        "states": {"activeModelState": "", "targetModelState": "Pending"},
        "copies": {"failedCopies": 1, "totalCopies": 0},
        "lastFailureInfo": failure | {"time": before.get("time", now) if same else now},
    }


def _llm_status(played: _Played, one: Object, found: _Found) -> Status:
    """LLMInferenceService.status: Ready is PresetsCombined, WorkloadsReady and RouterReady."""
    name, namespace = one["metadata"]["name"], namespace_of(one)
    url = f"http://{played.service(name)}.{namespace}.svc.cluster.local:{played.port}"
    return {
        "observedGeneration": generation_of(one),
        "conditions": [
            {"type": "PresetsCombined", "status": "True"},
            *(_condition(kind, found) for kind in ("RouterReady", "WorkloadsReady", "Ready")),
        ],
        "url": url if found.ready else None,
        "addresses": [{"url": url}] if found.ready else [],
    }
