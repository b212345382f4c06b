"""Deletion: preconditions, finalizers, dependents, namespaces, collections."""

from __future__ import annotations

import pytest

from console.local.kube import KubeServer
from tests.service.kube.driving import ROUTES, SECRETS, Http, Object, namespace, route, secret
from tests.support.waiting import until


async def gone(http: Http, path: str) -> None:
    async def missing() -> bool:
        return (await http.get(path)).status_code == 404

    await until(missing, what=f"{path} gone")


def owned_by(*owners: Object, **more: object) -> list[Object]:
    return [
        {
            "apiVersion": one["apiVersion"],
            "kind": one["kind"],
            "name": one["metadata"]["name"],
            "uid": one["metadata"]["uid"],
            **more,
        }
        for one in owners
    ]


async def test_a_deletion_answers_with_a_status(http: Http) -> None:
    made = (await http.post(ROUTES, route())).json()
    answer = await http.delete(f"{ROUTES}/r")
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": "r",
            "group": "gateway.networking.k8s.io",
            "kind": "httproutes",
            "uid": made["metadata"]["uid"],
        },
    }
    assert (await http.delete(f"{ROUTES}/r")).status_code == 404


async def test_preconditions(http: Http) -> None:
    made = (await http.post(ROUTES, route())).json()["metadata"]
    for body in ({"preconditions": {"uid": "other"}}, {"preconditions": {"resourceVersion": "1"}}):
        refused = await http.delete(f"{ROUTES}/r", body)
        assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")
        assert "in the precondition" in refused.json()["message"]
    body = {"kind": "DeleteOptions", "preconditions": {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}}
    assert (await http.delete(f"{ROUTES}/r", body)).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"propagationPolicy": "Sometimes"}, 422),
        ({"dryRun": ["Some"]}, 422),
        ({"kind": "Secret"}, 400),
        ({"preconditions": 1}, 400),
        ([], 400),
    ],
)
async def test_delete_options_that_are_refused(http: Http, body: object, code: int) -> None:
    await http.post(ROUTES, route())
    assert (await http.delete(f"{ROUTES}/r", body)).status_code == code
    assert (await http.get(f"{ROUTES}/r")).status_code == 200


async def test_finalizers_hold_an_object(http: Http) -> None:
    await http.post(ROUTES, route(finalizers=["example.com/a", "example.com/b"]))
    marked = (await http.delete(f"{ROUTES}/r")).json()
    assert marked["kind"] == "HTTPRoute"
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert marked["metadata"]["generation"] == 2
    again = (await http.delete(f"{ROUTES}/r")).json()
    assert again["metadata"]["resourceVersion"] == marked["metadata"]["resourceVersion"]
    exists = await http.post(ROUTES, route())
    assert exists.json()["message"].startswith("object is being deleted: ")
    added = await http.patch(f"{ROUTES}/r", {"metadata": {"finalizers": ["example.com/a", "example.com/c"]}})
    assert "no new finalizers can be added" in added.json()["message"]
    revived = (await http.patch(f"{ROUTES}/r", {"metadata": {"deletionTimestamp": None}})).json()
    assert revived["metadata"]["deletionTimestamp"] == marked["metadata"]["deletionTimestamp"]
    await http.patch(f"{ROUTES}/r", {"metadata": {"finalizers": ["example.com/b"]}})
    async with http.watch(
        ROUTES, resourceVersion=(await http.get(ROUTES)).json()["metadata"]["resourceVersion"]
    ) as events:
        last = await http.patch(f"{ROUTES}/r", {"metadata": {"finalizers": None}})
        event = await anext(events)
    assert (last.status_code, event["type"]) == (200, "DELETED")
    assert "finalizers" not in event["object"]["metadata"]
    assert (await http.get(f"{ROUTES}/r")).status_code == 404


async def test_dependents_go_with_their_owner(http: Http) -> None:
    owner = (await http.post(ROUTES, route())).json()
    child = (
        await http.post(SECRETS, secret("child", metadata={"name": "child", "ownerReferences": owned_by(owner)}))
    ).json()
    await http.post(SECRETS, secret("x", metadata={"name": "grandchild", "ownerReferences": owned_by(child)}))
    await http.delete(f"{ROUTES}/r")
    await gone(http, f"{SECRETS}/child")
    await gone(http, f"{SECRETS}/grandchild")


async def test_a_dependent_of_two_stays_with_the_other(http: Http) -> None:
    one, two = [(await http.post(ROUTES, route(name))).json() for name in ("one", "two")]
    await http.post(SECRETS, secret("x", metadata={"name": "child", "ownerReferences": owned_by(one, two)}))
    await http.delete(f"{ROUTES}/one")

    async def left() -> bool:
        owners = (await http.get(f"{SECRETS}/child")).json()["metadata"]["ownerReferences"]
        return [one["name"] for one in owners] == ["two"]

    await until(left)


async def test_a_dependent_of_nobody_goes(http: Http) -> None:
    ghost = {**route(), "metadata": {"name": "ghost", "uid": "never-was"}}
    await http.post(SECRETS, secret("x", metadata={"name": "orphan", "ownerReferences": owned_by(ghost)}))
    await gone(http, f"{SECRETS}/orphan")


async def test_an_owner_in_another_namespace_is_none(http: Http) -> None:
    await http.post("/api/v1/namespaces", namespace("other"))
    owner = (await http.post(ROUTES.replace("acme", "other"), route())).json()
    await http.post(SECRETS, secret("x", metadata={"name": "child", "ownerReferences": owned_by(owner)}))
    await gone(http, f"{SECRETS}/child")


async def test_dependents_may_be_orphaned(http: Http) -> None:
    owner = (await http.post(ROUTES, route())).json()
    await http.post(SECRETS, secret("x", metadata={"name": "child", "ownerReferences": owned_by(owner)}))
    await http.delete(f"{ROUTES}/r", {"propagationPolicy": "Orphan"})
    await gone(http, f"{ROUTES}/r")
    assert not (await http.get(f"{SECRETS}/child")).json()["metadata"].get("ownerReferences")


async def test_an_owner_may_wait_for_its_dependents(http: Http) -> None:
    owner = (await http.post(ROUTES, route())).json()
    metadata = {
        "name": "child",
        "ownerReferences": owned_by(owner, blockOwnerDeletion=True),
        "finalizers": ["example.com/a"],
    }
    await http.post(SECRETS, secret("x", metadata=metadata))
    marked = (await http.delete(f"{ROUTES}/r", propagationPolicy="Foreground")).json()
    assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]

    async def marked_too() -> bool:
        return "deletionTimestamp" in (await http.get(f"{SECRETS}/child")).json()["metadata"]

    await until(marked_too)
    assert (await http.get(f"{ROUTES}/r")).status_code == 200
    await http.patch(f"{SECRETS}/child", {"metadata": {"finalizers": None}})
    await gone(http, f"{ROUTES}/r")


async def test_a_namespace_takes_its_content_along(http: Http) -> None:
    await http.post(SECRETS, secret())
    await http.post(ROUTES, route(finalizers=["example.com/a"]))
    ending = (await http.delete("/api/v1/namespaces/acme")).json()
    assert ending["status"]["phase"] == "Terminating"
    await gone(http, f"{SECRETS}/s")
    refused = await http.post(SECRETS, secret("late"))
    assert refused.status_code == 403
    assert refused.json()["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert "because it is being terminated" in refused.json()["message"]
    await http.patch(f"{ROUTES}/r", {"metadata": {"finalizers": None}})
    await gone(http, "/api/v1/namespaces/acme")
    assert (await http.post("/api/v1/namespaces", namespace("acme"))).status_code == 201
    assert (await http.get(ROUTES)).json()["items"] == []


async def test_the_default_namespace_stays(http: Http) -> None:
    refused = await http.delete("/api/v1/namespaces/default")
    assert refused.json()["message"] == 'namespaces "default" is forbidden: this namespace may not be deleted'


async def test_a_collection_is_deleted_by_selection(http: Http) -> None:
    for name in "abc":
        await http.post(ROUTES, route(name, labels={"pick": "yes" if name != "c" else "no"}))
    answer = await http.delete(ROUTES, labelSelector="pick=yes")
    assert [one["metadata"]["name"] for one in answer.json()["items"]] == ["a", "b"]
    assert [one["metadata"]["name"] for one in (await http.get(ROUTES)).json()["items"]] == ["c"]


async def test_deletions_are_finished_after_a_restart(http: Http, server: KubeServer) -> None:
    owner = (await http.post(ROUTES, route())).json()
    await http.post(SECRETS, secret("x", metadata={"name": "child", "ownerReferences": owned_by(owner)}))
    server._tasks[1].cancel()  # the collector dies first
    await http.delete(f"{ROUTES}/r")
    assert (await http.get(f"{SECRETS}/child")).status_code == 200
    await server.stop()
    await server.start()
    await gone(http, f"{SECRETS}/child")
