"""Setting how large a request may be at the Gateway: an act of its own, never a part of publishing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from console.call import Call
from console.guard import system_permit
from console.k8s.cluster import Cluster
from console.k8s.errors import Conflict
from console.k8s.types import CLIENT_TRAFFIC_POLICY, GATEWAY, Object, Ref, ref_of
from console.operations.types import NewOperation, Step
from console.outcome import Ending, Outcome, Refusal, TimedOut, conflict
from console.publishing.buffers import bytes_of, of_gateway
from console.publishing.diff import field_changes
from console.publishing.manifests import ANNOTATION_OPERATION
from console.publishing.readiness import policy_verdict
from console.publishing.types import Effect, Plan, PlannedChange

_NAME = "modeldeck-requests"
_LEAST, _MOST = 4 * 1024, 1024**3
_ACCEPTED_SECONDS = 15.0
_POLL_SECONDS = 0.1


async def set_buffer(call: Call) -> Outcome:
    """Write ``connection.bufferLimit`` of the ClientTrafficPolicy that the Gateway has, or give it one."""
    size = call["size"]
    amount = bytes_of(size)
    if amount is None or not _LEAST <= amount <= _MOST:
        raise Refusal(
            f"{size[:40]!r} is no size from 4Ki to 1Gi; nothing was changed",
            code="INVALID_PARAMETER",
            then="as in Kubernetes: 512Ki, 8Mi, 1Gi",
        )
    if call.principal.tenants is not None:
        raise Refusal(
            "it is for every tenant of the Gateway, and you have only some; nothing was changed",
            code="TENANT_FORBIDDEN",
            status=403,
        )
    cluster, link = await call.services.cluster(), call.services.profile.gateway
    place = f"Gateway {link.namespace}/{link.name}"
    if await cluster.get(Ref(GATEWAY, link.name, link.namespace)) is None:
        raise Refusal(f"there is no {place}; nothing was changed", code="GATEWAY_CONFIG_FAILED")
    policies = await of_gateway(cluster, link)
    if len(policies) > 1:
        names = ", ".join(one["metadata"]["name"] for one in policies)
        raise conflict(
            f"{place} has several ClientTrafficPolicies: {names}; nothing was changed",
            code="GATEWAY_CONFIG_FAILED",
            then="change the one that is meant by hand",
        )
    live = policies[0] if policies else None
    manifest = _manifest(live, link.name, link.namespace, size)
    title = f"let requests be as large as {size} at {place}"
    plan = await _plan(call, cluster, title, live, manifest)
    if call["plan"]:
        return Outcome(Ending.UNCHANGED if plan.changes_nothing else Ending.DONE, plan.summary, data=plan)
    if plan.conflicts:
        raise conflict(
            f"{plan.conflicts[0]}; nothing was changed",
            code="FIELD_CONFLICT",
            then="change it where it is kept, or take it over with --take-over",
        )
    if plan.changes_nothing:
        return Outcome(Ending.UNCHANGED, f"{place} takes requests of up to {size} already", data=plan)
    call.emit(plan)
    arguments = {"action": call.permit.action, "actor": call.permit.actor, "manifest": manifest}
    step = Step("gateway.buffer", str(ref_of(manifest)), arguments | {"force": bool(call["take_over"])})
    operation = NewOperation(
        call.permit.action, f"gateway {link.namespace}/{link.name}", None, call.permit.actor, (step,)
    )
    record, outcome = await (await call.services.runner()).run(operation, call.emit)
    if outcome.ending is not Ending.DONE:
        return outcome
    data = {"operation": record.id, "gateway": f"{link.namespace}/{link.name}", "bytes": amount}
    return Outcome(Ending.DONE, f"{place} takes requests of up to {size}", proof=outcome.proof, data=data)


def _manifest(live: Object | None, gateway: str, namespace: str, size: str) -> Object:
    """All of a policy of ours; of somebody else's only the one field."""
    name = live["metadata"]["name"] if live is not None else _NAME
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    spec: dict[str, Any] = {"connection": {"bufferLimit": size}}
    ours = {"app.kubernetes.io/managed-by": "modeldeck"}
    if live is None or ours.items() <= live["metadata"].get("labels", {}).items():
        metadata["labels"] = ours
        spec["targetRefs"] = [{"group": GATEWAY.group, "kind": "Gateway", "name": gateway}]
    kind = CLIENT_TRAFFIC_POLICY
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


async def _plan(call: Call, cluster: Cluster, title: str, live: Object | None, manifest: Object) -> Plan:
    taken: list[str] = []
    try:
        would = await cluster.apply(call.permit, manifest, dry_run=True, force=bool(call["take_over"]))
    except Conflict as problem:
        if not problem.conflicts:
            raise
        ref = ref_of(manifest)
        taken = [f"{ref} {one.field.removeprefix('.')} is managed by {one.manager}" for one in problem.conflicts]
        would = await cluster.apply(call.permit, manifest, dry_run=True, force=True)
    spec = {"spec": live.get("spec")} if live is not None else None
    fields = field_changes(spec, {"spec": would.get("spec")})
    effect = Effect.CREATE if live is None else Effect.CHANGE if fields else Effect.NOTHING
    change = PlannedChange(str(ref_of(manifest)), effect, fields, manifest)
    warnings = ("it holds for every publication of the Gateway, and is held in memory for every request under way",)
    return Plan(title, None, (change,), warnings, tuple(taken))


class SetBuffer:
    """The step: the policy is written, and the gateway has accepted it. Undone by the limit before, or its removal."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]:
        live = await self._cluster.get(ref_of(arguments["manifest"]))
        if live is None:
            return {"existed": False}
        return {"existed": True, "limit": (live["spec"].get("connection") or {}).get("bufferLimit")}

    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        manifest = dict(arguments["manifest"])
        ref = ref_of(manifest)
        manifest["metadata"] = {**manifest["metadata"], "annotations": {ANNOTATION_OPERATION: operation}}
        permit = system_permit(arguments["action"], target=str(ref)).on_behalf_of(arguments["actor"])
        await self._cluster.apply(permit, manifest, force=arguments["force"])
        started = time.monotonic()
        while True:
            verdict = policy_verdict(CLIENT_TRAFFIC_POLICY, await self._cluster.get(ref))
            waited = time.monotonic() - started
            if verdict is None:
                return f"accepted after {waited:.1f} s"
            if waited > _ACCEPTED_SECONDS:
                raise TimedOut(f"not accepted after {waited:.0f} s: {verdict.sentence}", code="GATEWAY_CONFIG_FAILED")
            await asyncio.sleep(_POLL_SECONDS)

    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str:
        ref = ref_of(arguments["manifest"])
        permit = system_permit("undo", target=str(ref))
        live = await self._cluster.get(ref)
        if live is None or (live["metadata"].get("annotations") or {}).get(ANNOTATION_OPERATION) != operation:
            return "nothing to undo: it was not written, or somebody else has written it since"
        if undo["existed"]:
            await self._cluster.patch(permit, ref, {"spec": {"connection": {"bufferLimit": undo["limit"]}}})
            return "as before"
        await self._cluster.delete(permit, ref, uid=live["metadata"]["uid"])
        return "deleted again"
