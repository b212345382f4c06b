"""The plan: every object and Redis entry that would change, field by field, against what is there now.

On Kubernetes the would-be object comes from a server-side dry run, so that defaults, admission and CEL rules have had
their say before anything is written.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from console.access.codec import Malformed, published_document, unreadable_entry
from console.access.types import PUBLISHED_KEY, Grant
from console.config import Profile
from console.guard import Permit
from console.k8s.at_rest import AtRest, secrets_at_rest
from console.k8s.cluster import Cluster
from console.k8s.errors import Conflict
from console.k8s.types import LABEL_TENANT, NAMESPACE, Object, Ref, kind_of
from console.keys.book import grant_of
from console.outcome import Refusal, Unavailable, conflict
from console.publishing import backends, buffers, limits, listeners, native
from console.publishing.diff import field_changes
from console.publishing.manifests import LABEL_PUBLICATION, credential_of, grant_for_authorizer, manifests
from console.publishing.steps import Credential
from console.publishing.types import Effect, FieldChange, Plan, PlannedChange, Publication, PublicationKind

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
_PATH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(name: str, kind: PublicationKind) -> None:
    """A public name travels in headers, in JSON and, for a traditional model, in a path.

    Raises:
        Refusal: it cannot.
    """
    pattern = _PATH_NAME if kind is PublicationKind.TRADITIONAL else _NAME
    if not pattern.fullmatch(name):
        allowed = "letters, digits, . _ -" if kind is PublicationKind.TRADITIONAL else "letters, digits, . _ : / @ + -"
        raise Refusal(
            f"{name!r} cannot be a public name: {allowed}, starting with a letter or digit", code="INVALID_NAME"
        )


async def check_tenant(cluster: Cluster, tenant: str) -> None:
    """Tenants are namespaces with our label.

    Raises:
        Refusal: there is no such namespace, or it is no tenant.
    """
    namespace = await cluster.get(Ref(NAMESPACE, tenant, None))
    if namespace is None or LABEL_TENANT not in namespace["metadata"].get("labels", {}):
        why = "there is no such namespace" if namespace is None else f"its namespace has no label {LABEL_TENANT}"
        raise Refusal(f"{tenant} is not a tenant: {why}; nothing was changed", code="INVALID_TENANT")


def grant_for(publication: Publication) -> Grant:
    return grant_of(publication.id, publication.as_spec(), publication.tenant)


class Planner:
    """Compares what a publication needs with what is there."""

    def __init__(self, cluster: Cluster, redis: Redis, profile: Profile, credential: Credential) -> None:
        self._cluster = cluster
        self._redis = redis
        self._profile = profile
        self._credential = credential

    async def to_publish(
        self,
        permit: Permit,
        publication: Publication,
        title: str,
        warnings: Sequence[str] = (),
        *,
        before: Publication | None = None,
        take_over: bool = False,
    ) -> Plan:
        """What publishing, or updating what was there before, would change.

        ``take_over``: fields that another manager owns become ours; otherwise they are the plan's `conflicts`.

        Raises:
            Refusal: the gateway cannot hold its limits or would not take its route, an object of another owner is in
                the way, the API server refuses one, or the name is taken.
        """
        gateway = self._profile.gateway
        backends.check(publication)
        checked = native.check(publication, gateway)
        warnings = [*warnings, *limits.check(publication, gateway)]
        warnings += await listeners.check(self._cluster, publication, gateway)
        if before is None:
            warnings += await buffers.check(self._cluster, publication, gateway)
        changes = []
        shared = grant_for_authorizer(publication.tenant, self._profile.gateway)
        if (await self._cluster.get(_ref(shared))) is None:
            changes.append(PlannedChange(str(_ref(shared)), Effect.CREATE, field_changes(None, shared), shared))
        taken: list[str] = []
        for manifest in self.manifests(publication):
            change, theirs = await self._object(permit, manifest, publication)
            changes.append(change)
            taken += theirs
        if take_over:
            warnings += [f"{one}, and would be taken over" for one in taken]
            taken = []
        if any(one.effect is Effect.CREATE and one.target.startswith("Secret ") for one in changes):
            at_rest = await secrets_at_rest(self._cluster)
            if at_rest is not AtRest.ENCRYPTED:
                warnings.append(f"{at_rest.sentence}; a provider's credential goes into one")
        changes.append(await self._entry(publication))
        if before is not None:
            changes += [PlannedChange(str(_ref(one)), Effect.REMOVE) for one in self.superfluous(before, publication)]
        warnings += [*await self._twin_warning(publication), *checked]
        return Plan(title, publication, tuple(changes), tuple(warnings), tuple(taken))

    def superfluous(self, before: Publication, after: Publication) -> list[Object]:
        """The objects that nothing refers to any more after a change, in the order of their removal."""
        kept = {_ref(one) for one in self.manifests(after)}
        return [one for one in reversed(self.manifests(before)) if _ref(one) not in kept]

    async def to_unpublish(self, publication: Publication, title: str) -> Plan:
        """What unpublishing would remove, the route first."""
        changes = []
        for manifest in reversed(self.manifests(publication)):
            live = await self._cluster.get(_ref(manifest))
            ours = live is not None and live["metadata"].get("labels", {}).get(LABEL_PUBLICATION) == publication.id
            effect = Effect.REMOVE if ours else Effect.NOTHING
            changes.append(PlannedChange(str(_ref(manifest)), effect))
        current = await self._published()
        effect = Effect.REMOVE if _endpoint(current.get(publication.name)) == publication.id else Effect.NOTHING
        changes.insert(1, PlannedChange(f"{PUBLISHED_KEY} {publication.name}", effect))
        return Plan(title, publication, tuple(changes))

    def manifests(self, publication: Publication) -> list[Object]:
        """The publication's objects without the credential."""
        prefix = self._profile.access.header_prefix
        return manifests(publication, self._profile.gateway, header_prefix=prefix)

    async def entry_problem(self, publication: Publication) -> str | None:
        """What is wrong with the publication's entry in Redis, or None."""
        try:
            document = await self._published()
        except Refusal as problem:
            return str(problem)
        current = document.get(publication.name)
        if frozen := unreadable_entry(document):
            return f"gateways keep an older {PUBLISHED_KEY}, for an entry in it is malformed: {frozen}"
        if current is None:
            return f"drift: {PUBLISHED_KEY} has no entry {publication.name}; modeldeck publications repair puts it back"
        if current != grant_for(publication).as_json():
            return f"drift: {PUBLISHED_KEY} leads {publication.name} to {_endpoint(current)}"
        return None

    async def _object(
        self, permit: Permit, manifest: Object, publication: Publication
    ) -> tuple[PlannedChange, list[str]]:
        """What would become of one object, and which of the changed fields another manager owns."""
        ref = _ref(manifest)
        live = await self._cluster.get(ref)
        if live is not None and live["metadata"].get("labels", {}).get(LABEL_PUBLICATION) != publication.id:
            raise conflict(
                f"{ref} is there already and is not this publication's; nothing was changed", code="OBJECT_EXISTS"
            )
        if manifest["kind"] == "Secret":
            manifest = await self._with_credential(manifest, publication)
        taken: list[str] = []
        try:
            would = await self._cluster.apply(permit, manifest, dry_run=True)
        except Conflict as problem:
            if not problem.conflicts:
                raise
            taken = [f"{ref} {one.field.removeprefix('.')} is managed by {one.manager}" for one in problem.conflicts]
            would = await self._cluster.apply(permit, manifest, dry_run=True, force=True)
        fields = field_changes(live, would)
        effect = Effect.CREATE if live is None else Effect.CHANGE if fields else Effect.NOTHING
        # The manifest that is shown and exported never has the credential in it.
        shown = {**manifest, "data": {}} if manifest["kind"] == "Secret" else manifest
        return PlannedChange(str(ref), effect, fields, shown), taken

    async def _with_credential(self, manifest: Object, publication: Publication) -> Object:
        provider = credential_of(publication, manifest)
        secret = await self._credential(provider) if provider else None
        if provider and secret is None:
            raise Refusal(
                f"there is no credential for {provider}; nothing was changed",
                code="NO_CREDENTIALS",
                then=f"set profiles.{self._profile.name}.providers.{provider}.credential, or the provider's variable",
            )
        value = secret.get_secret_value() if secret else ""
        return {**manifest, "data": {"apiKey": base64.b64encode(value.encode()).decode()}}

    async def _entry(self, publication: Publication) -> PlannedChange:
        document = await self._published()
        current = document.get(publication.name)
        wanted = grant_for(publication).as_json()
        target = f"{PUBLISHED_KEY} {publication.name}"
        others = {name: entry for name, entry in document.items() if name != publication.name}
        if frozen := unreadable_entry(others):
            raise conflict(
                f"an entry of another writer in {PUBLISHED_KEY} is malformed: {frozen}; while it is there gateways "
                "keep an older one, and would not hear of this; nothing was changed",
                code="MALFORMED_REGISTRY",
                then=f"have that entry mended or removed, and only that one: redis-cli GET {PUBLISHED_KEY}",
            )
        if current is not None and _endpoint(current) != publication.id:
            raise conflict(
                f"{PUBLISHED_KEY} has an entry {publication.name} of another writer "
                f"(endpoint {_endpoint(current)}); nothing was changed",
                code="ALREADY_PUBLISHED",
                then="choose another --name",
            )
        if current == wanted:
            return PlannedChange(target, Effect.NOTHING)
        fields = tuple(
            FieldChange(name, json.dumps(current[name]) if current and name in current else None, json.dumps(value))
            for name, value in wanted.items()
            if not current or current.get(name) != value
        )
        return PlannedChange(target, Effect.CHANGE if current else Effect.CREATE, fields)

    async def frozen(self) -> str:
        """Why gateways keep an older ``published_model_info`` whatever is written there; empty where they follow."""
        return unreadable_entry(await self._published())

    async def _published(self) -> Mapping[str, Any]:
        try:
            return published_document(await self._redis.get(PUBLISHED_KEY))
        except Malformed as problem:
            raise conflict(
                f"{PUBLISHED_KEY} is malformed: {problem}; nothing was changed",
                code="MALFORMED_REGISTRY",
                then="repair or delete it with redis-cli",
            ) from None
        except (RedisError, OSError) as problem:
            raise Unavailable(f"Redis cannot be read: {type(problem).__name__}", code="REDIS_UNAVAILABLE") from problem

    async def _twin_warning(self, publication: Publication) -> list[str]:
        """A real budgateway looks the endpoint up in its model table (originals.md §1.3, C5)."""
        try:
            async for _ in self._redis.scan_iter(match="model_table:*", count=1000):
                if await self._redis.exists(f"model_table:{publication.id}"):
                    return []
                return [f"a budgateway on this Redis would answer 404: there is no model_table:{publication.id}"]
        except (RedisError, OSError):
            return ["Redis was not asked for model_table entries"]
        return []


def _ref(manifest: Mapping[str, Any]) -> Ref:
    metadata = manifest["metadata"]
    return Ref(kind_of(dict(manifest)), metadata["name"], metadata.get("namespace"))


def _endpoint(entry: Any) -> Any:
    return entry.get("endpoint_id") if isinstance(entry, dict) else None
