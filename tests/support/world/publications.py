"""Publications, what is planned for them, and their documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from console.operations.types import Progress, StepState
from console.outcome import Ending, Outcome
from console.publishing.documentation import Check, Documentation, markdown
from console.publishing.examples import examples_of
from console.publishing.types import (
    Effect,
    Endpoint,
    FieldChange,
    Limits,
    Origin,
    Plan,
    PlannedChange,
    Publication,
    PublicationKind,
)
from tests.support.console import NOW
from tests.support.world.common import URL, moment


def _publication(name: str, tenant: str, offer: str, reason: str = "", **more: Any) -> dict[str, Any]:
    slug = f"pub-{name}-f9b45b"
    kinds = ("Secret", "Backend", "AIServiceBackend", "BackendTrafficPolicy", "SecurityPolicy", "AIGatewayRoute")
    return {
        "name": name,
        "tenant": tenant,
        "kind": "openai",
        "source": f"catalog {offer}",
        "state": "ready",
        "status": more.get("state") or ("not ready" if reason else "ready"),
        "ready": not reason,
        "reason": reason,
        "url": URL,
        "limits": Limits(60).as_spec(),
        "backends": [{"source": f"catalog {offer}", "weight": 1, "priority": 0}],
        "hostnames": [],
        "access": "ext_authz",
        "created_at": moment(days=12),
        "objects": [f"{kind} {tenant}/{slug}" for kind in kinds],
        "drift": [],
        "endpoint_id": "e4659130-cda1-41a1-9de3-7bbb3d98a81a",
        "requests": 41_302,
    } | more


PUBLISHED = [
    _publication("claude-sonnet", "globex", "openrouter/anthropic/claude-sonnet-4.5"),
    _publication("iris", "acme", "", kind="traditional", limits=Limits(timeout_seconds=30).as_spec(),
        url="https://llm.example.com/v1/models/iris:predict",
        requests=12, source="isvc ml/sklearn-iris"),
    _publication("llama", "acme", "deepinfra/meta-llama/Llama-3.1-8B-Instruct"),
]  # fmt: skip
DRIFT = _publication(
    "mixtral", "acme", "together/mistralai/Mixtral-8x7B-Instruct-v0.1",
    "changed by hand: BackendTrafficPolicy acme/pub-mixtral-f9b45b spec.timeout.http.requestTimeout is 30s, not 300s,"
    " by kubectl-edit, and 1 more",
    requests=0, status="drifted", ready=True,
    drift=[
        {"object": "BackendTrafficPolicy acme/pub-mixtral-f9b45b", "field": field, "wanted": wanted, "found": found,
         "by": "kubectl-edit", "at": moment(minutes=20), "repairable": True}
        for field, wanted, found in (("spec.timeout.http.requestTimeout", "300s", "30s"), ("spec.retry", None, "{…}"))
    ],
)  # fmt: skip
PUBLISHING = _publication("qwen", "acme", "deepinfra/Qwen/Qwen2.5-VL-72B-Instruct", "the route is not programmed yet",
                          state="publishing", requests=0)  # fmt: skip
_PUBLICATION = Publication(
    "e4659130-cda1-41a1-9de3-7bbb3d98a81a",
    "llama",
    "acme",
    PublicationKind.OPENAI,
    Origin("catalog", "deepinfra/meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct",
           Endpoint("api.deepinfra.com", 443, tls=True)),
    Limits(60),
)  # fmt: skip
_TARGETS = (
    "Secret acme/pub-llama-f9b45b",
    "Backend acme/pub-llama-f9b45b",
    "AIServiceBackend acme/pub-llama-f9b45b",
    "BackendTrafficPolicy acme/pub-llama-f9b45b",
    "SecurityPolicy acme/pub-llama-f9b45b",
    "AIGatewayRoute acme/pub-llama-f9b45b",
    "published_model_info llama",
)


def _created(target: str) -> PlannedChange:
    kind, _, name = target.partition(" ")
    fields = (
        FieldChange("kind", None, f'"{kind}"'),
        FieldChange("metadata.name", None, f'"{name}"'),
        FieldChange("spec.endpoints[0].fqdn.hostname", None, '"api.deepinfra.com"'),
    )
    if kind == "Secret":
        fields = (FieldChange("stringData.apiKey", None, "•••"),)
    return PlannedChange(target, Effect.CREATE, fields)


PLAN = Plan(
    "publish deepinfra/meta-llama/Llama-3.1-8B-Instruct as llama for acme",
    _PUBLICATION,
    tuple(_created(target) for target in _TARGETS),
    ("no credential for deepinfra is set: calls go out without one",),
)
REPAIR = replace(
    PLAN,
    title="repair mixtral",
    warnings=(),
    changes=(
        PlannedChange("Backend acme/pub-mixtral-f9b45b", Effect.NOTHING),
        PlannedChange(
            "BackendTrafficPolicy acme/pub-mixtral-f9b45b",
            Effect.CHANGE,
            (
                FieldChange("spec.rateLimit.global.rules[0].limit.requests", "6000", "60"),
                FieldChange("spec.timeout.http.requestTimeout", '"10s"', '"300s"'),
            ),
        ),
        PlannedChange("AIGatewayRoute acme/pub-mixtral-f9b45b", Effect.NOTHING),
    ),
)
REMOVAL = replace(
    PLAN,
    title="unpublish llama",
    warnings=(),
    changes=tuple(PlannedChange(target, Effect.REMOVE) for target in reversed(_TARGETS)),
)


def plan(values: Mapping[str, Any]) -> Outcome:
    if not values.get("tenant"):
        return Outcome(Ending.REFUSED, "for which tenant?", code="NO_TENANT", then="add --tenant NAME")
    return Outcome(Ending.DONE, PLAN.title, data=PLAN)


def steps(taken: int, failed: bool = False) -> list[Progress]:
    """Progress of a publication: so many steps taken, the next under way, or failed."""
    names = ("name llama", *_TARGETS, "ready", "live probe")
    found = [Progress("f500ad83", at, len(names), names[at], StepState.TAKEN, 0.1, "created") for at in range(taken)]
    if failed:
        why = "the cluster refused it: admission webhook denied the request: no listener accepts this route"
        found.append(Progress("f500ad83", taken, len(names), names[taken], StepState.FAILED, 0.2, why))
        found += [Progress("f500ad83", at, len(names), names[at], StepState.UNDONE, 0.1) for at in range(taken)]
    elif taken < len(names):
        found.append(Progress("f500ad83", taken, len(names), names[taken], StepState.TAKING, 0.0))
    return found


PUBLISH_DONE = Outcome(Ending.DONE, f"llama is published: {URL}", data=PUBLISHED[2])
PUBLISH_FAILED = Outcome(
    Ending.FAILED, "AIGatewayRoute acme/pub-llama-f9b45b was refused by the cluster; everything is undone",
    code="APPLY_REFUSED", then="modeldeck operations show f500ad83",
)  # fmt: skip


def docs(values: Mapping[str, Any]) -> Outcome:
    """The page of the publication that is asked for, its examples checked a moment ago."""
    row = next(row for row in PUBLISHED if row["name"] == values["name"])
    publication = replace(REPAIR.publication, name=row["name"], tenant=row["tenant"])
    base = row["url"].removesuffix("/v1/chat/completions")
    told = "the examples' request was answered 200 in 23 ms"
    examples = examples_of(publication, base)
    text = markdown(publication, base, examples, Check(NOW, 200, told))
    facts = {
        "name": row["name"],
        "checked": {"at": NOW.isoformat(timespec="seconds"), "status": 200, "good": True, "sentence": told},
        "examples": [asdict(example) for example in examples],
    }
    return Outcome(Ending.DONE, f"{row['name']}: {told}", data=Documentation(text, [], facts))
