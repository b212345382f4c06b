"""How a service of the cluster is called: made out from what it says of itself, or said by the operator."""

from __future__ import annotations

from typing import Any, cast

import pytest

from console.k8s.cluster import Cluster
from console.k8s.types import Ref
from console.outcome import Refusal
from console.publishing.origins import Found, detected, llm_service_origin, named, overruled, own_tenant, service_origin
from console.publishing.types import PublicationKind

READY = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}


def an_object(kind: str, name: str, spec: dict[str, Any], **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "acme", "generation": 1}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": READY | status}


def holding(*objects: dict[str, Any]) -> Cluster:
    class Holding:
        async def get(self, ref: Ref) -> dict[str, Any] | None:
            found = {f"{one['kind']} acme/{one['metadata']['name']}": one for one in objects}
            return found.get(str(ref))

    return cast(Cluster, Holding())


def a_model(name: str = "llama", **fields: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"model": {"uri": "hf://meta/llama"} | fields.pop("model", {})} | fields
    return an_object("LLMInferenceService", name, spec)


async def test_an_llm_inference_service_is_called_at_its_workload() -> None:
    found = await llm_service_origin(holding(a_model()), "llmisvc/acme/llama")
    endpoint = found.origin.endpoint
    assert (found.kind, found.origin.served_as, found.warnings) == (PublicationKind.OPENAI, "llama", ())
    assert (endpoint.host, endpoint.port) == ("llama-kserve-workload-svc.acme.svc.cluster.local", 8000)
    assert (endpoint.tls, endpoint.prefix) == (False, "/v1")
    assert (named(found.origin), own_tenant(found.origin)) == ("llmisvc/acme/llama", "acme")


async def test_its_model_may_have_another_name_and_adapters_of_its_own() -> None:
    adapters = {"name": "meta/llama", "lora": {"adapters": [{"name": "poet", "uri": "hf://p"}]}}
    cluster = holding(a_model(model=adapters))
    found = await llm_service_origin(cluster, "llmisvc/acme/llama")
    assert found.origin.served_as == "meta/llama"
    assert found.warnings == ("its LoRA adapters are models of their own: llmisvc/acme/llama/poet",)
    found = await llm_service_origin(cluster, "llmisvc/acme/llama/poet")
    assert (found.origin.served_as, found.origin.name, found.warnings) == ("poet", "acme/llama/poet", ())
    with pytest.raises(Refusal, match="has no LoRA adapter painter") as refused:
        await llm_service_origin(cluster, "llmisvc/acme/llama/painter")
    assert refused.value.then == "it has poet"


async def test_what_is_lost_or_has_to_be_trusted_is_told() -> None:
    service = an_object("Service", "llama-kserve-workload-svc", {"ports": [{"port": 8000, "appProtocol": "https"}]})
    cluster = holding(a_model(router={"scheduler": {}}), service)
    found = await llm_service_origin(cluster, "llmisvc/acme/llama")
    assert found.origin.endpoint.tls
    assert "its certificate must be one" in found.warnings[0]
    assert "its scheduler is passed by" in found.warnings[1]


@pytest.mark.parametrize("name", ["llmisvc/acme", "llmisvc/acme/", "llmisvc/A/b", "llmisvc/acme/llama/", "llmisvc/"])
async def test_what_names_no_llm_inference_service_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match="names no LLMInferenceService"):
        await llm_service_origin(holding(a_model()), name)


async def test_what_is_not_there_or_not_ready_is_not_published() -> None:
    with pytest.raises(Refusal, match="no LLMInferenceService other"):
        await llm_service_origin(holding(a_model()), "llmisvc/acme/other")
    loading = a_model()
    loading["status"] = {"conditions": [{"type": "Ready", "status": "False", "message": "WorkloadsReady: 0 of 1"}]}
    with pytest.raises(Refusal, match="LLMInferenceService acme/llama is not ready: WorkloadsReady: 0 of 1") as refused:
        await llm_service_origin(holding(loading), "llmisvc/acme/llama")
    assert (refused.value.code, refused.value.status) == ("MODEL_NOT_READY", 409)


@pytest.mark.parametrize(
    ("predictor", "status", "kind", "prefix"),
    [
        ({"model": {"modelFormat": {"name": "sklearn"}}}, {}, PublicationKind.TRADITIONAL, ""),
        ({"model": {"modelFormat": {"name": "vLLM"}}}, {}, PublicationKind.OPENAI, "/v1"),
        ({"huggingface": {}}, {}, PublicationKind.OPENAI, "/openai/v1"),
        (
            {"model": {"modelFormat": {"name": "huggingface"}, "args": ["--task=fill_mask"]}},
            {},
            PublicationKind.TRADITIONAL,
            "",
        ),
        (
            {"containers": [{}]},
            {"clusterServingRuntimeName": "kserve-huggingfaceserver-multinode"},
            PublicationKind.OPENAI,
            "/openai/v1",
        ),
        ({"containers": [{}]}, {"servingRuntimeName": "kserve-vllmserver"}, PublicationKind.OPENAI, "/v1"),
        ({"containers": [{}]}, {"servingRuntimeName": "mine"}, PublicationKind.TRADITIONAL, ""),
    ],
)
def test_how_a_service_is_called_follows_from_its_format_its_task_and_its_runtime(
    predictor: dict[str, Any], status: dict[str, Any], kind: PublicationKind, prefix: str
) -> None:
    made = detected(an_object("InferenceService", "x", {"predictor": predictor}, **status))
    assert made[:2] == (kind, prefix)


async def test_the_operator_decides_and_is_told_what_was_made_out() -> None:
    spec = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}}
    found = await service_origin(holding(an_object("InferenceService", "own", spec)), "isvc/acme/own")
    other = overruled(found, PublicationKind.OPENAI)
    assert other.origin.endpoint.host == "own-predictor.acme.svc.cluster.local"
    assert other.origin.endpoint.prefix == "/openai/v1"
    assert "though modelFormat sklearn serves KServe's predict protocol" in other.warnings[0]
    back = overruled(Found(other.origin, PublicationKind.OPENAI, "x"), PublicationKind.TRADITIONAL)
    assert back.origin == found.origin
    llm = await llm_service_origin(holding(a_model()), "llmisvc/acme/llama")
    with pytest.raises(Refusal, match="cannot be traditional"):
        overruled(llm, PublicationKind.TRADITIONAL)
