"""Server-side apply and patches over HTTP, with the answers of a real server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.kube.driving import APPLY, JSON_PATCH, MERGE, ROUTES, SECRETS, STRATEGIC, Http, route, secret

GATEWAYS = "/apis/gateway.networking.k8s.io/v1/namespaces/acme/gateways"


def gateway(*listeners: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "gw"},
        "spec": {"listeners": list(listeners)},
    }


async def test_the_first_apply_creates_and_the_next_does_not(http: Http) -> None:
    made = await http.apply(f"{ROUTES}/r", route())
    assert made.status_code == 201
    again = await http.apply(f"{ROUTES}/r", route())
    assert (again.status_code, again.json()) == (200, made.json())


async def test_yaml_is_taken(http: Http) -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  a: hi\n"
    answer = await http.client.patch(
        f"{SECRETS}/s", content=text, headers={"Content-Type": APPLY}, params={"fieldManager": "m"}
    )
    assert answer.json()["data"] == {"a": "aGk="}
    created = await http.client.post(
        SECRETS, content=text.replace("name: s", "name: t"), headers={"Content-Type": "application/yaml"}
    )
    assert created.status_code == 201


async def test_a_conflict_and_force(http: Http) -> None:
    await http.apply(f"{ROUTES}/r", route(hosts=("a",)), manager="one")
    refused = await http.apply(f"{ROUTES}/r", route(hosts=("b",)), manager="two")
    assert refused.status_code == 409
    assert refused.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "one": .spec.hostnames',
        "reason": "Conflict",
        "details": {
            "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.hostnames"}]
        },
        "code": 409,
    }
    forced = await http.apply(f"{ROUTES}/r", route(hosts=("b",)), manager="two", force="true")
    assert forced.json()["spec"]["hostnames"] == ["b"]


async def test_map_lists_of_known_kinds_have_members(http: Http) -> None:
    await http.apply(f"{GATEWAYS}/gw", gateway({"name": "http", "port": 80}), manager="one")
    both = await http.apply(f"{GATEWAYS}/gw", gateway({"name": "https", "port": 443}), manager="two")
    assert [one["name"] for one in both.json()["spec"]["listeners"]] == ["http", "https"]
    doubled = await http.apply(f"{GATEWAYS}/gw", gateway({"name": "x"}, {"name": "x"}), manager="two")
    assert doubled.status_code == 422
    assert doubled.json()["details"]["causes"][0]["reason"] == "FieldValueDuplicate"


async def test_rules_and_parents_are_replaced_as_a_whole(http: Http) -> None:
    """Measured: they conflict, and are replaced, as a whole; a POST without a manager owns them too."""
    await http.post(ROUTES, route())
    refused = await http.apply(f"{ROUTES}/r", {**route(), "spec": {"parentRefs": [{"name": "other"}], "rules": [{}]}})
    assert [one["field"] for one in refused.json()["details"]["causes"]] == [".spec.parentRefs"]
    assert 'conflict with "python-httpx" using gateway.networking.k8s.io/v1' in refused.json()["message"]


async def test_what_is_not_applied_any_more_goes(http: Http) -> None:
    await http.apply(f"{ROUTES}/r", route(labels={"a": "1", "b": "2"}, annotations={"x": "y"}))
    await http.patch(f"{ROUTES}/r", {"metadata": {"labels": {"theirs": "3"}}})
    left = (await http.apply(f"{ROUTES}/r", route(labels={"a": "1"}))).json()
    assert left["metadata"]["labels"] == {"a": "1", "theirs": "3"}
    assert "annotations" not in left["metadata"]


async def test_guards(http: Http) -> None:
    """Measured: a resourceVersion is no guard against re-creating, a uid is; a stale version is a conflict."""
    made = (await http.apply(f"{ROUTES}/r", route())).json()
    version, uid = made["metadata"]["resourceVersion"], made["metadata"]["uid"]
    await http.patch(f"{ROUTES}/r", {"metadata": {"labels": {"x": "y"}}})
    stale = await http.apply(f"{ROUTES}/r", route(resourceVersion=version))
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    assert (await http.apply(f"{ROUTES}/r", route(uid=uid))).status_code == 200
    assert (await http.apply(f"{ROUTES}/r", route(uid="another"))).status_code == 422
    await http.delete(f"{ROUTES}/r")
    guarded = await http.apply(f"{ROUTES}/r", route(uid=uid))
    assert guarded.status_code == 409
    assert (
        f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        in guarded.json()["message"]
    )
    again = await http.apply(f"{ROUTES}/r", route(resourceVersion=version))
    assert again.status_code == 201


@pytest.mark.parametrize(
    ("body", "query", "code", "message"),
    [
        (route(managedFields=[]), {}, 400, "metadata.managedFields must be nil"),
        (route(), {"fieldManager": ""}, 422, "fieldManager: Required value: is required for apply patch"),
        (route(), {"fieldManager": "x" * 129}, 422, "fieldManager: Too long"),
        (route(), {"fieldManager": "a\nb"}, 422, "printable"),
        (
            {**route(), "apiVersion": "gateway.networking.k8s.io/v1beta1"},
            {},
            400,
            "Incorrect version specified in apply patch",
        ),
        ({"apiVersion": "gateway.networking.k8s.io/v1", "metadata": {}}, {}, 400, "Object 'Kind' is missing"),
        (route("other"), {}, 400, "does not match the name on the URL"),
        (route(), {"force": "maybe"}, 400, "is not a boolean"),
        ("text", {}, 400, "the body is not an object"),
    ],
)
async def test_applies_that_are_refused(http: Http, body: Any, query: dict[str, str], code: int, message: str) -> None:
    answer = await http.patch(f"{ROUTES}/r", body, APPLY, **{"fieldManager": "me", **query})
    assert answer.status_code == code
    assert message in answer.json()["message"]


async def test_a_status_is_applied_apart(http: Http) -> None:
    await http.apply(f"{ROUTES}/r", route())
    body = {**route(), "status": {"parents": [{"controllerName": "c"}]}, "spec": {"hostnames": ["ignored"]}}
    reported = (await http.apply(f"{ROUTES}/r/status", body, manager="controller")).json()
    assert reported["status"] == body["status"]
    assert reported["spec"] == route()["spec"]
    spec = (await http.apply(f"{ROUTES}/r", {**route(), "status": {}})).json()
    assert spec["status"] == body["status"]
    assert (await http.apply(f"{ROUTES}/none/status", route("none"), manager="controller")).status_code == 404


async def test_an_apply_that_creates_needs_the_right_to_create(http_as: Any, server: Any) -> None:
    async with http_as("controller") as controller:
        path = "/api/v1/namespaces/acme/secrets/s"
        assert (await controller.apply(path, secret())).status_code == 403
    async with http_as("acme") as publisher:
        assert (await publisher.apply(path, secret())).status_code == 201


# --- the other patches -----------------------------------------------------------------------------------------


async def test_a_merge_patch(http: Http) -> None:
    await http.post(ROUTES, route(labels={"a": "1", "b": "2"}))
    body = {"metadata": {"labels": {"a": None, "c": "3"}}, "spec": {"hostnames": ["z"]}}
    made = (await http.patch(f"{ROUTES}/r", body)).json()
    assert made["metadata"]["labels"] == {"b": "2", "c": "3"}
    assert made["spec"] == {"parentRefs": [{"name": "gw"}], "hostnames": ["z"]}
    assert made["metadata"]["generation"] == 2


async def test_a_json_patch(http: Http) -> None:
    await http.post(ROUTES, route())
    body = [
        {"op": "test", "path": "/spec/hostnames/0", "value": "a.example.com"},
        {"op": "add", "path": "/spec/hostnames/-", "value": "b"},
    ]
    made = await http.patch(f"{ROUTES}/r", body, JSON_PATCH)
    assert made.json()["spec"]["hostnames"] == ["a.example.com", "b"]
    failed = await http.patch(f"{ROUTES}/r", [{"op": "test", "path": "/spec/hostnames/0", "value": "x"}], JSON_PATCH)
    assert failed.status_code == 422
    assert failed.json()["message"] == "the server rejected our request due to an error in our request"


async def test_a_strategic_merge_patch_is_for_core_kinds_only(http: Http) -> None:
    await http.post(ROUTES, route())
    refused = await http.patch(f"{ROUTES}/r", {"spec": {}}, STRATEGIC)
    assert refused.status_code == 415
    await http.post(SECRETS, secret(data={"a": "YQ=="}))
    made = await http.patch(f"{SECRETS}/s", {"data": {"a": None}, "stringData": {"b": "x"}}, STRATEGIC)
    assert made.json()["data"] == {"b": "eA=="}


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (MERGE, [], 400),
        (MERGE, {"metadata": {"name": "other"}}, 400),
        (MERGE, {"metadata": {"namespace": "other"}}, 400),
        (MERGE, {"metadata": {"uid": "other"}}, 422),
        (MERGE, {"metadata": {"resourceVersion": "1"}}, 409),
        (MERGE, {"kind": "Other"}, 400),
        (MERGE, {"metadata": None}, 200),
        (JSON_PATCH, {}, 400),
        (JSON_PATCH, [{"op": "spam", "path": "/"}], 400),
        (JSON_PATCH, [{"op": "remove", "path": "/metadata"}], 200),
        (JSON_PATCH, [{"op": "replace", "path": "", "value": []}], 400),
        (JSON_PATCH, [{"op": "remove", "path": "/nothing"}], 422),
        ("text/plain", {}, 415),
        ("application/json", {}, 415),
    ],
)
async def test_odd_patches(http: Http, kind: str, body: Any, code: int) -> None:
    await http.post(ROUTES, route())
    answer = await http.patch(f"{ROUTES}/r", body, kind)
    assert answer.status_code == code, answer.text
    assert (await http.get(f"{ROUTES}/r")).json()["metadata"]["name"] == "r"


async def test_a_patch_of_what_is_not_there(http: Http) -> None:
    assert (await http.patch(f"{ROUTES}/r", {})).status_code == 404
    assert (await http.patch(f"{ROUTES}/r", [], JSON_PATCH)).status_code == 404
    await http.post(ROUTES, route())
    assert (await http.patch(f"{ROUTES}/r", {}, force="true")).status_code == 422
