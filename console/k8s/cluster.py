"""A Kubernetes cluster: the only way in which Modeldeck talks to one.

Writes are server-side applies under one field manager, with ``fieldValidation=Strict``; each takes a `Permit`. Kinds
of the AI gateway are written in v1beta1 where it is served, else in v1alpha1 (gateway.md §1.0).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

from console.guard import Permit
from console.k8s.errors import Conflict, Expired, Missing, NotServed
from console.k8s.transport import APPLY, MERGE, Answer, Transport
from console.k8s.types import Change, Kind, Object, Ref, kind_of, ref_of
from console.k8s.watching import watch_kind
from console.outcome import TimedOut

FIELD_MANAGER = "modeldeck"
_PAGE = 500
_ATTEMPTS = 5

Listed = tuple[list[Object], str]
"""Objects, and the resourceVersion at which they were so."""


class Cluster:
    """Made by `connect`. Safe to use from many tasks of one loop."""

    def __init__(self, transport: Transport, *, manager: str = FIELD_MANAGER) -> None:
        self._transport = transport
        self._manager = manager
        self._served: dict[tuple[str, str], list[str]] = {}

    def __repr__(self) -> str:
        return f"Cluster({self._transport.host})"

    @classmethod
    async def connect(
        cls,
        *,
        kubeconfig: Path | None,
        context: str | None = None,
        timeout: float = 10,
        manager: str = FIELD_MANAGER,
    ) -> Cluster:
        """Read the kubeconfig (None: the pod's service account, else the default file); nothing is sent yet.

        ``timeout`` in seconds holds for every call. ``manager`` is the field manager of every write.

        Raises:
            Refusal: the configuration cannot be used.
        """
        return cls(await Transport.open(kubeconfig=kubeconfig, context=context, timeout=timeout), manager=manager)

    async def close(self) -> None:
        await self._transport.close()

    # --- asking ------------------------------------------------------------------------------------------------

    async def version(self) -> str:
        """The server's version: ``v1.36.2``."""
        answer = await self._transport.request("GET", "/version", doing="tell its version")
        return str(answer.content.get("gitVersion", ""))

    async def who(self) -> str:
        """Who the cluster takes us for (SelfSubjectReview)."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await self._review("authentication.k8s.io", "selfsubjectreviews", body, "say who we are")
        return str(answer.content["status"]["userInfo"].get("username", ""))

    async def may(
        self, verb: str, kind: Kind, namespace: str | None, name: str | None = None, *, subresource: str = ""
    ) -> bool:
        """Whether our credentials allow something (SelfSubjectAccessReview). ``namespace`` None: everywhere."""
        asked = {
            "verb": verb,
            "group": kind.group,
            "version": kind.version,
            "resource": kind.plural,
            "subresource": subresource,
            "namespace": (namespace or "") if kind.namespaced else "",
            "name": name or "",
        }
        spec = {"resourceAttributes": {key: value for key, value in asked.items() if value}}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        doing = f"say whether we may {verb} {kind.plural}"
        answer = await self._review("authorization.k8s.io", "selfsubjectaccessreviews", body, doing)
        return bool(answer.content["status"].get("allowed"))

    def metrics(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The lines of the API server's own metrics; entering raises `Forbidden` or `Missing` where it shows none."""
        return self._transport.stream("/metrics", doing="read its metrics", query={}, silence=self._transport.timeout)

    async def _review(self, group: str, plural: str, body: Object, doing: str) -> Answer:
        return await self._transport.request("POST", f"/apis/{group}/v1/{plural}", doing=doing, body=body)

    async def serves(self, kind: Kind) -> Kind | None:
        """The kind in a version that the cluster serves: the asked one, else its preferred one; None for none.

        What is served is remembered; what is not is asked again.
        """
        if not kind.group:
            return kind
        key = (kind.group, kind.plural)
        if key not in self._served:
            versions = await self._discover(kind)
            if not versions:
                return None
            self._served[key] = versions
        versions = self._served[key]
        return kind if kind.version in versions else kind.at(versions[0])

    async def _discover(self, kind: Kind) -> list[str]:
        """The versions in which a kind is served, the preferred one first."""
        try:
            group = await self._transport.request("GET", f"/apis/{kind.group}", doing=f"list {kind.group}")
            versions = [str(one["version"]) for one in group.content.get("versions", ())]
            found = []
            for version in versions:
                path = f"/apis/{kind.group}/{version}"
                listed = await self._transport.request("GET", path, doing=f"list {kind.group}/{version}")
                if any(one.get("name") == kind.plural for one in listed.content.get("resources", ())):
                    found.append(version)
        except Missing:
            return []
        return found

    async def _as_served(self, kind: Kind) -> Kind:
        served = await self.serves(kind)
        if served is None:
            raise NotServed(
                f"the cluster does not serve {kind.kind} ({kind.group}); nothing was changed",
                then="install its CustomResourceDefinition, or choose another context",
            )
        return served

    # --- reading -----------------------------------------------------------------------------------------------

    async def get(self, ref: Ref) -> Object | None:
        """An object, or None; also None where its kind is not served."""
        kind = await self.serves(ref.kind)
        if kind is None:
            return None
        try:
            answer = await self._transport.request("GET", kind.path(ref.namespace, ref.name), doing=f"read {ref}")
        except Missing:
            return None
        found: Object = answer.content
        return found

    async def list(self, kind: Kind, *, namespace: str | None = None, labels: str = "", fields: str = "") -> Listed:
        """All objects of a kind that two selectors choose, and the resourceVersion to watch from.

        ``namespace`` None means everywhere. Read in pages; where the cluster forgets between two of them (410), all
        is read again in one.

        Raises:
            NotServed: the cluster does not know the kind.
        """
        served = await self._as_served(kind)
        try:
            return await self._list(served, namespace, labels, fields, page=_PAGE)
        except Expired:
            return await self._list(served, namespace, labels, fields, page=0)

    async def _list(self, kind: Kind, namespace: str | None, labels: str, fields: str, *, page: int) -> Listed:
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(page) if page else ""}
        found: list[Object] = []
        while True:
            answer = await self._transport.request(
                "GET", kind.path(namespace), doing=f"list {kind.plural}", query=_given(query)
            )
            # Items of a built-in kind come without their kind.
            own = {"apiVersion": kind.api_version, "kind": kind.kind}
            found += ({**own, **one} for one in answer.content.get("items") or ())
            metadata = answer.content.get("metadata") or {}
            query["continue"] = metadata.get("continue") or ""
            if not query["continue"]:
                return found, str(metadata.get("resourceVersion", ""))

    async def watch(self, kind: Kind, *, namespace: str | None = None, labels: str = "") -> AsyncIterator[Change]:
        """What is there (``added``), then one ``synced``, then every change, until the iterator is closed.

        Reconnects by itself, with a growing pause. Where the cluster has forgotten too much it lists again and tells
        the difference: nothing is missed, though an object that changed twice may be told once.

        Raises:
            NotServed, Forbidden: at the first attempt only.
        """
        served = await self._as_served(kind)

        async def listed() -> Listed:
            return await self.list(served, namespace=namespace, labels=labels)

        async with aclosing(watch_kind(self._transport, served, namespace, labels, listed)) as changes:
            async for change in changes:
                yield change

    # --- writing -----------------------------------------------------------------------------------------------

    async def apply(
        self,
        permit: Permit,
        manifest: Object,
        *,
        force: bool = False,
        dry_run: bool = False,
        uid: str | None = None,
    ) -> Object:
        """Server-side apply: the object as it is then (as it would be, with ``dry_run``).

        ``force`` takes over fields that others own. ``uid`` guards against an object that was deleted, or deleted and
        made again, meanwhile.

        Raises:
            Conflict, Invalid, Forbidden, NotServed: nothing was changed.
        """
        query = self._write_query(dry_run=dry_run)
        if force:
            query["force"] = "true"
        return await self._apply(permit, manifest, query, "", uid)

    async def apply_status(self, permit: Permit, manifest: Object) -> Object:
        """Server-side apply of a status, taking over every field: for controllers, which own what they report.

        Raises:
            Missing: the object is not there.
        """
        return await self._apply(permit, manifest, {**self._write_query(), "force": "true"}, "/status", None)

    async def _apply(
        self, permit: Permit, manifest: Object, query: dict[str, str], suffix: str, uid: str | None
    ) -> Object:
        ref = ref_of(manifest)
        _check(permit, ref)
        kind = await self._as_served(ref.kind)
        body = {**manifest, "apiVersion": kind.api_version}
        if uid:
            body["metadata"] = {**manifest["metadata"], "uid": uid}
        answer = await self._transport.request(
            "PATCH",
            kind.path(ref.namespace, ref.name) + suffix,
            doing=f"apply {ref}",
            query=query,
            body=body,
            content_type=APPLY,
        )
        found: Object = answer.content
        return found

    async def create(self, permit: Permit, manifest: Object, *, dry_run: bool = False) -> Object:
        """Create; the name may be left to the server (``generateName``). Raises `Conflict` where it exists."""
        metadata = manifest["metadata"]
        name = metadata.get("name") or f"{metadata.get('generateName', '')}*"
        ref = Ref(kind_of(manifest), name, metadata.get("namespace"))
        _check(permit, ref)
        kind = await self._as_served(ref.kind)
        answer = await self._transport.request(
            "POST",
            kind.path(ref.namespace),
            doing=f"create {ref}",
            query=self._write_query(dry_run=dry_run),
            body={**manifest, "apiVersion": kind.api_version},
        )
        found: Object = answer.content
        return found

    async def replace_status(self, permit: Permit, manifest: Object) -> Object:
        """Replace the status of an object that was read before; raises `Conflict` where it has changed since."""
        ref = ref_of(manifest)
        _check(permit, ref)
        kind = await self._as_served(ref.kind)
        answer = await self._transport.request(
            "PUT",
            kind.path(ref.namespace, ref.name) + "/status",
            doing=f"replace the status of {ref}",
            query=self._write_query(),
            body={**manifest, "apiVersion": kind.api_version},
        )
        found: Object = answer.content
        return found

    async def patch_status(self, permit: Permit, ref: Ref, status: Object, *, uid: str | None = None) -> Object:
        """Merge into the status of an object (RFC 7386: null removes, lists are replaced).

        ``uid`` guards against another object of the name. A write to a status ignores the uid in its body, so the
        resourceVersion is the guard: the object is read, and read again where it has changed meanwhile.

        Raises:
            Missing: it is not there.
            Conflict: it is another object, or changes all the time.
        """
        doing = f"patch the status of {ref}"
        if uid is None:
            return await self._merge(permit, ref, {"status": status}, "/status", doing)
        for attempt in range(_ATTEMPTS):
            found = await self.get(ref)
            if found is None:
                raise Missing(f"{ref} is not there; nothing was changed")
            if found["metadata"].get("uid") != uid:
                raise Conflict(f"{ref} was deleted and made again meanwhile; nothing was changed")
            body = {"status": status, "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}}
            try:
                return await self._merge(permit, ref, body, "/status", doing)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    async def patch(self, permit: Permit, ref: Ref, patch: Object) -> Object:
        """Merge into an object (RFC 7386): for finalizers and the like, which an apply does not fit."""
        return await self._merge(permit, ref, patch, "", f"patch {ref}")

    async def _merge(self, permit: Permit, ref: Ref, body: Object, suffix: str, doing: str) -> Object:
        _check(permit, ref)
        kind = await self._as_served(ref.kind)
        path = kind.path(ref.namespace, ref.name) + suffix
        query = self._write_query()
        answer = await self._transport.request("PATCH", path, doing=doing, query=query, body=body, content_type=MERGE)
        found: Object = answer.content
        return found

    async def delete(
        self,
        permit: Permit,
        ref: Ref,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        dry_run: bool = False,
        wait: float = 0,
    ) -> bool:
        """Delete; False where it was not there. ``wait`` seconds for it to be gone: finalizers may hold it.

        An object of the same name and another uid counts as gone.

        Raises:
            Conflict: it is another object (``uid``), or has changed (``resource_version``).
            TimedOut: it is still there after the wait; it is marked for deletion and will go.
        """
        _check(permit, ref)
        kind = await self.serves(ref.kind)
        if kind is None:
            return False
        path = kind.path(ref.namespace, ref.name)
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        preconditions = _given({"uid": uid or "", "resourceVersion": resource_version or ""})
        if preconditions:
            body["preconditions"] = preconditions
        if dry_run:
            body["dryRun"] = ["All"]
        try:
            answer = await self._transport.request("DELETE", path, doing=f"delete {ref}", body=body)
        except Missing:
            return False
        if wait and not dry_run:
            await self._gone(ref, _uid_of(answer.content) or uid, wait)
        return True

    async def _gone(self, ref: Ref, uid: str | None, wait: float) -> None:
        pause = 0.02
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            found = await self.get(ref)
            if found is None or (uid and found["metadata"].get("uid") != uid):
                return
            if loop.time() >= deadline:
                held = ", ".join(found["metadata"].get("finalizers") or ()) or "its deletion takes long"
                raise TimedOut(
                    f"{ref} is marked for deletion but still there after {wait:g} s: {held}",
                    code="KUBE_DELETION_PENDING",
                    then="see whether the controller that owns the finalizer runs",
                )
            await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
            pause = min(pause * 2, 0.5)

    def _write_query(self, *, dry_run: bool = False) -> dict[str, str]:
        query = {"fieldManager": self._manager, "fieldValidation": "Strict"}
        return {**query, "dryRun": "All"} if dry_run else query


def _check(permit: Permit, ref: Ref) -> None:
    """A tenant is a namespace: a permit for one does not reach into another."""
    if ref.namespace is not None:
        permit.covers(ref.namespace)


def _given(values: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def _uid_of(content: Object) -> str | None:
    """The uid in the answer to a deletion: a `Status` with details, or the object."""
    details = content.get("details") or content.get("metadata") or {}
    return details.get("uid") or None
