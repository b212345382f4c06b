"""Create, read, list, replace: what a real server does, as measured (reference/kubernetes-api.md)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import pytest

from console.local.kube import KubeServer
from tests.service.kube.driving import APPLY, ROUTES, SECRETS, Http, namespace, route, secret


async def test_a_creation_answers_with_the_stored_object(http: Http) -> None:
    made = await http.post(ROUTES, route(labels={"a": "b"}), fieldManager="me")
    assert made.status_code == 201
    content = made.json()
    metadata = content["metadata"]
    assert metadata["namespace"] == "acme"
    assert metadata["generation"] == 1
    assert int(metadata["resourceVersion"]) > 1
    assert len(metadata["uid"]) == 36
    assert metadata["creationTimestamp"].endswith("Z")
    assert metadata["managedFields"][0]["manager"] == "me"
    assert (await http.get(f"{ROUTES}/r")).json() == content


async def test_system_fields_are_the_servers(http: Http) -> None:
    body = route(uid="mine", creationTimestamp="1999-01-01T00:00:00Z", generation=7, selfLink="/x")
    metadata = (await http.post(ROUTES, body)).json()["metadata"]
    assert metadata["uid"] != "mine"
    assert not metadata["creationTimestamp"].startswith("1999")
    assert metadata["generation"] == 1
    assert "selfLink" not in metadata


async def test_a_second_creation_is_a_conflict(http: Http) -> None:
    await http.post(ROUTES, route())
    again = await http.post(ROUTES, route())
    assert again.status_code == 409
    assert again.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'httproutes.gateway.networking.k8s.io "r" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "r", "group": "gateway.networking.k8s.io", "kind": "httproutes"},
        "code": 409,
    }


async def test_names_are_generated(http: Http) -> None:
    body = route()
    body["metadata"] = {"generateName": "prefix-"}
    names = {(await http.post(ROUTES, body)).json()["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("prefix-") and len(name) == 12 for name in names)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, 400, "Object 'Kind' is missing"),
        ({**route(), "kind": "Other"}, 400, "does not match the expected kind"),
        ({**route(), "apiVersion": "gateway.networking.k8s.io/v2"}, 400, "does not match the expected API version"),
        (route(""), 422, "name or generateName is required"),
        (route("UPPER"), 422, "a lowercase RFC 1123 subdomain"),
        (route("x" * 254), 422, "must be no more than 253 characters"),
        (route(namespace="other"), 400, "the namespace of the provided object does not match"),
        (route(labels={"a b": "c"}), 422, "name part must consist of"),
        (route(labels={"a": "b c"}), 422, "a valid label must be"),
        (route(labels={"a": "x" * 64}), 422, "must be no more than 63 characters"),
        (route(labels={"a": 1}), 400, "cannot be handled as a HTTPRoute"),
        (route(labels=["a"]), 400, "cannot be handled as a HTTPRoute"),
        (route(annotations={"a": "x" * 300_000}), 422, "Too long: may not be more than 262144 bytes"),
        (route(finalizers=["no/such/name"]), 422, "metadata.finalizers"),
        (
            route(ownerReferences=[{"kind": "K", "name": "n", "uid": "u", "apiVersion": ""}]),
            422,
            "ownerReferences[0].apiVersion",
        ),
        (route(resourceVersion="5"), 400, "resourceVersion should not be set on objects to be created"),
        ({**route(), "metadata": "x"}, 400, "metadata is not an object"),
        ([], 400, "the body is not an object"),
    ],
)
async def test_what_is_not_created(http: Http, body: object, code: int, message: str) -> None:
    answer = await http.post(ROUTES, body)
    assert (answer.status_code, answer.json()["code"]) == (code, code)
    assert message in answer.json()["message"]
    assert (await http.get(ROUTES)).json()["items"] == []


async def test_nothing_is_created_without_a_namespace(http: Http) -> None:
    answer = await http.post(ROUTES.replace("acme", "nowhere"), route())
    assert (answer.status_code, answer.json()["message"]) == (404, 'namespaces "nowhere" not found')


async def test_a_missing_object(http: Http) -> None:
    answer = await http.get(f"{SECRETS}/none")
    assert answer.status_code == 404
    assert answer.json()["message"] == 'secrets "none" not found'
    assert answer.json()["details"] == {"name": "none", "kind": "secrets"}


# --- replacing -------------------------------------------------------------------------------------------------


async def test_a_replacement_needs_the_version_it_was_read_at(http: Http) -> None:
    made = (await http.post(ROUTES, route())).json()
    changed = {**made, "spec": {"hostnames": ["b"]}}
    first = await http.put(f"{ROUTES}/r", changed)
    assert (first.status_code, first.json()["metadata"]["generation"]) == (200, 2)
    second = await http.put(f"{ROUTES}/r", changed)
    assert second.status_code == 409
    assert second.json()["message"] == (
        'Operation cannot be fulfilled on httproutes.gateway.networking.k8s.io "r": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    del changed["metadata"]["resourceVersion"]
    third = await http.put(f"{ROUTES}/r", changed)
    assert third.status_code == 422
    assert third.json()["details"]["causes"] == [
        {
            "reason": "FieldValueInvalid",
            "message": "Invalid value: 0: must be specified for an update",
            "field": "metadata.resourceVersion",
        }
    ]


async def test_a_core_object_may_be_replaced_unconditionally(http: Http) -> None:
    await http.post(SECRETS, secret(data={"a": "YQ=="}))
    answer = await http.put(f"{SECRETS}/s", secret(data={"b": "Yg=="}))
    assert (answer.status_code, answer.json()["data"]) == (200, {"b": "Yg=="})


async def test_a_replacement_checks_uid_and_name(http: Http) -> None:
    made = (await http.post(ROUTES, route())).json()
    other = {**made, "metadata": {**made["metadata"], "uid": "another"}}
    answer = await http.put(f"{ROUTES}/r", other)
    assert answer.status_code == 409
    assert "Precondition failed: UID in precondition: another" in answer.json()["message"]
    assert (await http.put(f"{ROUTES}/other", made)).status_code == 400
    assert (await http.put(f"{ROUTES}/none", route("none", resourceVersion="1"))).status_code == 404


async def test_a_write_that_changes_nothing_keeps_the_version(http: Http) -> None:
    made = (await http.post(ROUTES, route())).json()
    again = (await http.put(f"{ROUTES}/r", made)).json()
    assert again == made


async def test_metadata_does_not_count_for_the_generation(http: Http) -> None:
    made = (await http.post(ROUTES, route())).json()
    made["metadata"]["labels"] = {"x": "y"}
    changed = (await http.put(f"{ROUTES}/r", made)).json()
    assert changed["metadata"]["generation"] == 1
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]


async def test_the_status_is_a_world_of_its_own(http: Http) -> None:
    made = (await http.post(ROUTES, {**route(), "status": {"parents": []}})).json()
    assert "status" not in made
    body = {**made, "spec": {"hostnames": ["changed"]}, "status": {"parents": [{"x": 1}]}}
    reported = (await http.put(f"{ROUTES}/r/status", body)).json()
    assert reported["status"] == {"parents": [{"x": 1}]}
    assert reported["spec"] == made["spec"]
    assert reported["metadata"]["generation"] == 1
    entries = {(one["manager"], one.get("subresource")) for one in reported["metadata"]["managedFields"]}
    assert ("python-httpx", "status") in entries
    spec = (await http.put(f"{ROUTES}/r", {**reported, "status": {"parents": []}, "spec": {}})).json()
    assert spec["status"] == {"parents": [{"x": 1}]}
    assert (await http.get(f"{ROUTES}/r/status")).json() == spec


async def test_one_object_is_served_in_every_version(http: Http) -> None:
    path = "/apis/aigateway.envoyproxy.io/{}/namespaces/acme/aigatewayroutes"
    body = {
        "apiVersion": "aigateway.envoyproxy.io/v1alpha1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": "r"},
        "spec": {},
    }
    made = await http.post(path.format("v1alpha1"), body)
    assert (
        made.headers["warning"]
        == '299 - "aigateway.envoyproxy.io/v1alpha1 is deprecated; use aigateway.envoyproxy.io/v1beta1 instead"'
    )
    read = await http.get(path.format("v1beta1") + "/r")
    assert "warning" not in read.headers
    assert read.json()["apiVersion"] == "aigateway.envoyproxy.io/v1beta1"
    assert read.json()["metadata"]["uid"] == made.json()["metadata"]["uid"]
    assert (await http.get(path.format("v1alpha1"))).json()["items"][0]["apiVersion"].endswith("v1alpha1")


# --- dry run, field validation ---------------------------------------------------------------------------------


async def test_a_dry_run_persists_nothing(http: Http, server: KubeServer) -> None:
    before = server.resource_version
    made = await http.post(ROUTES, route(), dryRun="All")
    assert (made.status_code, made.json()["metadata"]["generation"]) == (201, 1)
    assert "resourceVersion" not in made.json()["metadata"]
    assert (await http.apply(f"{ROUTES}/r", route(), dryRun="All")).status_code == 201
    assert server.resource_version == before
    stored = (await http.post(ROUTES, route())).json()
    would = (await http.patch(f"{ROUTES}/r", {"spec": {"hostnames": []}}, dryRun="All")).json()
    assert would["spec"]["hostnames"] == []
    assert would["metadata"]["generation"] == 2
    assert (await http.delete(f"{ROUTES}/r", {"dryRun": ["All"]})).status_code == 200
    assert (await http.get(f"{ROUTES}/r")).json() == stored
    assert (await http.post(ROUTES, route("x"), dryRun="Some")).status_code == 422


async def test_unknown_fields(http: Http) -> None:
    body = secret(spam=1, data={"a": "YQ=="})
    strict = await http.post(SECRETS, body, fieldValidation="Strict")
    assert strict.status_code == 400
    assert strict.json()["message"].endswith('strict decoding error: unknown field "spam"')
    warned = await http.post(SECRETS, body, fieldValidation="Warn")
    assert warned.headers.get_list("warning") == ['299 - "unknown field \\"spam\\""']
    assert "spam" not in warned.json()
    ignored = await http.post(SECRETS, {**body, "metadata": {"name": "t"}}, fieldValidation="Ignore")
    assert "warning" not in ignored.headers
    assert (await http.post(SECRETS, body, fieldValidation="Spam")).status_code == 422


async def test_doubled_fields(http: Http) -> None:
    text = '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","name":"t"}}'
    headers = {"Content-Type": "application/json"}
    strict = await http.client.post(SECRETS, content=text, headers=headers, params={"fieldValidation": "Strict"})
    assert strict.status_code == 400
    assert 'duplicate field "metadata.name"' in strict.json()["message"]
    for query, warnings in (({}, 1), ({"fieldValidation": "Ignore"}, 0)):
        answer = await http.client.post(SECRETS, content=text, headers=headers, params={"dryRun": "All", **query})
        assert answer.json()["metadata"]["name"] == "t"
        assert len(answer.headers.get_list("warning")) == warnings
    yaml = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, name: s}\n"
    answer = await http.client.patch(
        f"{SECRETS}/s",
        content=yaml,
        headers={"Content-Type": APPLY},
        params={"fieldManager": "m", "fieldValidation": "Strict"},
    )
    assert answer.status_code == 400


# --- lists -----------------------------------------------------------------------------------------------------


async def test_a_list_carries_the_version_to_watch_from(http: Http, server: KubeServer) -> None:
    await http.post(ROUTES, route("a"))
    await http.post(ROUTES, route("b"))
    content = (await http.get(ROUTES)).json()
    assert (content["kind"], content["apiVersion"]) == ("HTTPRouteList", "gateway.networking.k8s.io/v1")
    assert content["metadata"] == {"resourceVersion": str(server.resource_version)}
    assert [(one["kind"], one["metadata"]["name"]) for one in content["items"]] == [
        ("HTTPRoute", "a"),
        ("HTTPRoute", "b"),
    ]


async def test_selectors(http: Http) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"}), ("c", {})):
        await http.post(ROUTES, route(name, labels=labels))

    async def names(**query: str) -> list[str]:
        return [one["metadata"]["name"] for one in (await http.get(ROUTES, **query)).json()["items"]]

    assert await names(labelSelector="x") == ["a", "b"]
    assert await names(labelSelector="x!=1") == ["b", "c"]
    assert await names(labelSelector="x in (1,2),x notin (2)") == ["a"]
    assert await names(fieldSelector="metadata.name=b") == ["b"]
    assert await names(fieldSelector="metadata.namespace!=acme") == []
    assert (await http.get(ROUTES, labelSelector="x=")).json()["items"] == []
    assert (await http.get(ROUTES, labelSelector="=")).status_code == 400
    assert (await http.get(ROUTES, fieldSelector="spec.x=1")).status_code == 400


async def test_the_pages_of_a_list_are_of_one_moment(http: Http, server: KubeServer) -> None:
    for number in range(5):
        await http.post(ROUTES, route(f"r{number}"))
    first = (await http.get(ROUTES, limit=2)).json()
    assert first["metadata"]["remainingItemCount"] == 3
    await http.delete(f"{ROUTES}/r3")
    await http.post(ROUTES, route("r9"))
    await http.patch(f"{ROUTES}/r4", {"metadata": {"labels": {"late": "yes"}}})
    names, token = [one["metadata"]["name"] for one in first["items"]], first["metadata"]["continue"]
    while token:
        page = (await http.get(ROUTES, limit=2, **{"continue": token})).json()
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        assert all("labels" not in one["metadata"] for one in page["items"])
        names += [one["metadata"]["name"] for one in page["items"]]
        token = page["metadata"].get("continue")
    assert names == ["r0", "r1", "r2", "r3", "r4"]
    await server.compact()
    gone = await http.get(ROUTES, limit=2, **{"continue": first["metadata"]["continue"]})
    assert (gone.status_code, gone.json()["reason"]) == (410, "Expired")
    for token in ("spam", "e30", base64.urlsafe_b64encode(b'{"rv":"1","start":[1,2]}').decode()):
        assert (await http.get(ROUTES, **{"continue": token})).status_code == 400


async def test_a_list_of_an_earlier_moment(http: Http, server: KubeServer) -> None:
    await http.post(ROUTES, route("a"))
    then = str(server.resource_version)
    await http.delete(f"{ROUTES}/a")
    exact = await http.get(ROUTES, resourceVersion=then, resourceVersionMatch="Exact")
    assert [one["metadata"]["name"] for one in exact.json()["items"]] == ["a"]
    assert (await http.get(ROUTES, resourceVersion=then)).json()["items"] == []
    future = await http.get(ROUTES, resourceVersion="999999")
    assert (future.status_code, future.json()["reason"]) == (504, "Timeout")
    assert (await http.get(ROUTES, resourceVersion="x")).status_code == 400


async def test_a_list_over_all_namespaces(http: Http) -> None:
    await http.post("/api/v1/namespaces", namespace("other"))
    for name in ("acme", "other"):
        await http.post(ROUTES.replace("acme", name), route(name))
    everywhere = (await http.get(ROUTES.replace("/namespaces/acme", ""))).json()["items"]
    assert [one["metadata"]["namespace"] for one in everywhere] == ["acme", "other"]


async def test_a_table(http: Http) -> None:
    await http.post(ROUTES, route(hosts=("a", "b")))
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    for path in (ROUTES, f"{ROUTES}/r"):
        content = (await http.client.get(path, headers=headers)).json()
        assert [one["name"] for one in content["columnDefinitions"]] == ["Name", "Hostnames", "Age"]
        assert content["rows"][0]["cells"][:2] == ["r", '["a","b"]']
        assert content["rows"][0]["object"]["metadata"]["name"] == "r"


# --- core kinds ------------------------------------------------------------------------------------------------


async def test_string_data_becomes_data(http: Http) -> None:
    made = (await http.post(SECRETS, secret(stringData={"a": "hi"}, data={"b": "Yg=="}))).json()
    assert made["data"] == {"a": base64.b64encode(b"hi").decode(), "b": "Yg=="}
    assert made["type"] == "Opaque"
    assert "stringData" not in made


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (secret(data={"a": "not base64!"}), 400, "cannot be handled as a Secret"),
        (secret(data={"a": 1}), 400, "cannot be handled as a Secret"),
        (secret(data={"a/b": "YQ=="}), 422, "a valid config key"),
        (
            secret(data={"a": base64.b64encode(b"x" * 1_048_577).decode()}),
            422,
            "data: Too long: may not be more than 1048576 bytes",
        ),
        (secret(type="kubernetes.io/tls", data={"tls.crt": ""}), 422, "data[tls.key]: Required value"),
    ],
)
async def test_secrets_that_are_refused(http: Http, body: object, code: int, message: str) -> None:
    answer = await http.post(SECRETS, body)
    assert answer.status_code == code
    assert message in answer.json()["message"]


async def test_a_secrets_type_stays(http: Http) -> None:
    await http.post(SECRETS, secret(immutable=True, data={"a": "YQ=="}))
    assert "type: Invalid value" in (await http.patch(f"{SECRETS}/s", {"type": "x"})).json()["message"]
    frozen = await http.patch(f"{SECRETS}/s", {"data": {"b": "Yg=="}})
    assert "field is immutable when `immutable` is set" in frozen.json()["message"]
    assert (await http.patch(f"{SECRETS}/s", {"metadata": {"labels": {"a": "b"}}})).status_code == 200


async def test_services(http: Http) -> None:
    path = "/api/v1/namespaces/acme/services"
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
    made = (await http.post(path, body)).json()
    assert made["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert made["spec"]["type"] == "ClusterIP"
    for spec, message in (
        ({}, "spec.ports: Required value"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name: Required value"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port"),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
    ):
        answer = await http.post(path, {**body, "metadata": {"name": "x"}, "spec": spec})
        assert answer.status_code == 422
        assert message in answer.json()["message"]


async def test_namespaces_name_themselves(http: Http) -> None:
    made = (await http.get("/api/v1/namespaces/acme")).json()
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "acme"}
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["status"] == {"phase": "Active"}
    assert (await http.post("/api/v1/namespaces", namespace("a.b"))).status_code == 422


# --- many at once ----------------------------------------------------------------------------------------------


async def test_writers_do_not_overwrite_each_other(http: Http) -> None:
    await http.post(ROUTES, route())
    answers = await asyncio.gather(
        *(http.patch(f"{ROUTES}/r", {"metadata": {"labels": {f"l{number}": "x"}}}) for number in range(30))
    )
    assert {one.status_code for one in answers} == {200}
    assert len((await http.get(f"{ROUTES}/r")).json()["metadata"]["labels"]) == 30


async def test_only_one_of_many_creates(http: Http) -> None:
    answers = await asyncio.gather(*(http.post(ROUTES, route()) for _ in range(10)))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 9
    answers = await asyncio.gather(
        *(http.apply(f"{ROUTES}/x", route("x"), manager=f"m{number}") for number in range(10))
    )
    assert sorted(one.status_code for one in answers) == [200] * 9 + [201]


async def test_identities(http_as: Callable[[str], Http]) -> None:
    for name, code in (("", 401), ("wrong", 401), ("viewer", 403), ("admin", 201)):
        async with http_as(name) as client:
            assert (await client.post(ROUTES, route())).status_code == code
