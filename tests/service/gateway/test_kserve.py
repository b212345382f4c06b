"""InferenceServices that servers on this machine play, from the annotation to the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from console.k8s.types import ENDPOINT_SLICE, INFERENCE_SERVICE, LLM_INFERENCE_SERVICE, SERVICE, Object, Ref
from console.local.gateway.kserve import UPSTREAM_ANNOTATION, KServe
from console.local.ports import LOOPBACK, free_ports
from tests.service.gateway.driving import Stack, Upstream
from tests.support.waiting import until
from tests.unit.gateway.manifests import (
    http_route,
    manifest,
    rule,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def kserve(stack: Stack) -> AsyncIterator[KServe]:
    made = KServe(stack.cluster, probe_seconds=0.05)
    await made.start()
    yield made
    await made.stop()


def inference_service(place: str, upstream: str | None, name: str = "iris", model: str = "sklearn") -> Object:
    spec = {"predictor": {"model": {"modelFormat": {"name": model}, "storageUri": "file:///x"}}}
    annotations = {UPSTREAM_ANNOTATION: upstream} if upstream else {}
    return manifest("serving.kserve.io/v1beta1", "InferenceService", place, name, spec, annotations=annotations)


async def ready(stack: Stack, place: str, expected: str, name: str = "iris") -> dict[str, Any]:
    """The status, once Ready is as expected."""

    async def look() -> dict[str, Any] | None:
        status = await stack.status(INFERENCE_SERVICE, place, name)
        said = [one["status"] for one in status.get("conditions", ()) if one["type"] == "Ready"]
        return status if said == [expected] else None

    found = await until(look, what=f"Ready is {expected}")
    assert found is not None
    return found


async def test_a_server_that_answers_makes_its_service_ready(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = await stack.upstream("iris")
    await stack.apply(inference_service(place, f"{LOOPBACK}:{up.port}"))
    status = await ready(stack, place, "True")
    assert up.last.path == "/v1/models/iris"
    types = {one["type"]: one["status"] for one in status["conditions"]}
    assert types == {"Ready": "True", "PredictorReady": "True", "IngressReady": "True", "Stopped": "False"}
    assert status["deploymentMode"] == "Standard"
    assert status["observedGeneration"] == 1
    assert status["clusterServingRuntimeName"] == "kserve-sklearnserver"
    assert status["modelStatus"]["transitionStatus"] == "UpToDate"
    assert status["modelStatus"]["states"]["activeModelState"] == "Loaded"
    assert status["address"]["url"] == f"http://iris-predictor.{place}.svc.cluster.local"
    assert status["components"]["predictor"]["url"]
    await stack.put(http_route(place, "r", rule("/", "iris-predictor"), hostnames=[f"{place}.test"]))
    assert (await client.get("/", headers={"host": f"{place}.test"})).text == "iris"


async def test_a_server_that_goes_away_is_told_and_not_called(
    stack: Stack, client: httpx.AsyncClient, place: str
) -> None:
    up = Upstream("iris")
    await up.start()
    await stack.apply(inference_service(place, f"{LOOPBACK}:{up.port}"))
    await ready(stack, place, "True")
    await up.stop()
    status = await ready(stack, place, "False")
    assert status["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad"
    assert "does not answer" in status["modelStatus"]["lastFailureInfo"]["message"]
    assert "url" not in status
    await stack.put(http_route(place, "r", rule("/", "iris-predictor"), hostnames=[f"{place}.test"]))
    assert (await client.get("/", headers={"host": f"{place}.test"})).status_code == 503


async def test_a_server_is_only_asked_and_never_written_of_twice(stack: Stack, place: str, kserve: KServe) -> None:
    up = await stack.upstream("iris")
    await stack.apply(inference_service(place, f"{LOOPBACK}:{up.port}"))
    await ready(stack, place, "True")
    await stack.settle()
    asked = len(up.seen)
    before = stack.server.resource_version
    await until(lambda: len(up.seen) > asked + 3)
    assert stack.server.resource_version == before
    assert "services" in await kserve.health()


@pytest.mark.parametrize(
    ("upstream", "annotations", "reason", "sentence"),
    [
        (None, {}, "NoServer", f"set the annotation {UPSTREAM_ANNOTATION}"),
        ("10.0.0.1:80", {}, "NoServer", "which is not an address such as"),
        ("127.0.0.1:x", {}, "NoServer", "which is not an address such as"),
        ("127.0.0.1:{free}", {}, "ServerUnreachable", "does not answer"),
        ("127.0.0.1:{free}", {"serving.kserve.io/stop": "true"}, "Stopped", "stopped"),
        ("127.0.0.1:{free}", {"serving.kserve.io/deploymentMode": "Knative"}, "UnsupportedDeploymentMode", "Standard"),
    ],
)
async def test_what_cannot_be_played_says_why(
    stack: Stack, place: str, upstream: str | None, annotations: dict[str, str], reason: str, sentence: str
) -> None:
    made = inference_service(place, upstream.format(free=free_ports(1)[0]) if upstream else None)
    made["metadata"]["annotations"] |= annotations
    await stack.apply(made)
    status = await ready(stack, place, "False")
    said = next(one for one in status["conditions"] if one["type"] == "Ready")
    assert said["reason"] == reason
    assert sentence in said["message"]


async def test_an_llm_inference_service_has_its_workload_service(stack: Stack, place: str) -> None:
    up = await stack.upstream("llama")
    annotations = {UPSTREAM_ANNOTATION: f"{LOOPBACK}:{up.port}"}
    await stack.apply(
        manifest(
            "serving.kserve.io/v1alpha2",
            "LLMInferenceService",
            place,
            "llama",
            {"model": {"uri": "hf://x"}},
            annotations=annotations,
        )
    )

    async def is_ready() -> bool:
        status = await stack.status(LLM_INFERENCE_SERVICE, place, "llama")
        return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))

    await until(is_ready)
    found = await stack.cluster.get(Ref(SERVICE, "llama-kserve-workload-svc", place))
    assert found is not None
    assert found["spec"]["ports"][0]["port"] == 8000


async def test_what_it_made_goes_with_its_service(stack: Stack, place: str) -> None:
    up = await stack.upstream("iris")
    await stack.apply(inference_service(place, f"{LOOPBACK}:{up.port}"))
    await ready(stack, place, "True")
    await stack.delete(INFERENCE_SERVICE, place, "iris")

    async def is_gone() -> bool:
        kinds = (SERVICE, ENDPOINT_SLICE)
        return not any([await stack.cluster.get(Ref(kind, "iris-predictor", place)) for kind in kinds])

    await until(is_gone)
