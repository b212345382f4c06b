"""CustomResourceDefinitions: installing, changing and removing them."""

from __future__ import annotations

from typing import Any

import pytest

from console.local.kube import KubeServer
from console.outcome import Refusal
from tests.service.kube.driving import DEFINITIONS, ROUTES, Http, Object, published, route
from tests.support.waiting import until

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/example.com/v1/namespaces/acme/things"


def definition(spec: Object | None = None, *, versions: tuple[str, ...] = ("v1",), **names: Any) -> Object:
    schema = {"type": "object", "properties": {"spec": spec or {"type": "object"}, "status": {"type": "object"}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", **names},
            "versions": [
                {"name": one, "served": True, "storage": one == versions[0], "schema": {"openAPIV3Schema": schema}}
                for one in versions
            ],
        },
    }


def thing(name: str = "t", **spec: Any) -> Object:
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec}


async def test_a_definition_is_served_as_soon_as_it_is_accepted(http: Http) -> None:
    assert (await http.get(THINGS)).status_code == 404
    made = (await http.post(CRDS, definition(shortNames=["th"], categories=["all"]))).json()
    conditions = {one["type"]: one["status"] for one in made["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert made["status"]["storedVersions"] == ["v1"]
    assert made["spec"]["names"]["listKind"] == "ThingList"
    assert (await http.post(THINGS, thing())).status_code == 201
    assert (await http.get("/apis/example.com/v1")).json()["resources"][0]["shortNames"] == ["th"]


async def test_a_version_that_is_not_served_is_not_there(http: Http) -> None:
    body = definition(versions=("v1", "v1beta1"))
    body["spec"]["versions"][1]["served"] = False
    await http.post(CRDS, body)
    assert (await http.get(THINGS)).status_code == 200
    assert (await http.get(THINGS.replace("v1", "v1beta1"))).status_code == 404


async def test_a_definition_without_a_status_subresource(http: Http) -> None:
    await http.post(CRDS, definition())
    made = (await http.post(THINGS, {**thing(), "status": {}})).json()
    assert made["status"] == {}
    assert (await http.get(f"{THINGS}/t/status")).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda one: one["metadata"].update(name="other.example.com"), "metadata.name"),
        (lambda one: one["spec"].update(group="nodots"), "spec.group"),
        (lambda one: one["spec"].update(scope="Everywhere"), "spec.scope"),
        (lambda one: one["spec"].pop("names"), "spec.names"),
        (lambda one: one["spec"].update(versions=[]), "spec.versions"),
        (lambda one: one["spec"]["versions"][0].update(storage=False), "spec.versions"),
        (lambda one: one["spec"]["versions"][0].pop("served"), "spec.versions[0].served"),
        (lambda one: one["spec"]["versions"][0].pop("schema"), "spec.versions[0].schema.openAPIV3Schema"),
        (
            lambda one: one["spec"]["versions"].append({**one["spec"]["versions"][0], "storage": False}),
            "spec.versions[1].name",
        ),
        (lambda one: schema_of(one).update(type="array"), "spec.versions[0].schema.openAPIV3Schema.type"),
        (
            lambda one: schema_of(one)["properties"].update(a={"type": "spam"}),
            "spec.versions[0].schema.openAPIV3Schema.properties[a].type",
        ),
        (
            lambda one: schema_of(one)["properties"].update(a={"pattern": "("}),
            "spec.versions[0].schema.openAPIV3Schema.properties[a].pattern",
        ),
        (
            lambda one: schema_of(one)["properties"].update(a={"maxLength": "3"}),
            "spec.versions[0].schema.openAPIV3Schema.properties[a].maxLength",
        ),
        (
            lambda one: schema_of(one)["properties"].update(
                a={"items": {"anyOf": {}, "x-kubernetes-list-type": "map"}}
            ),
            "spec.versions[0].schema.openAPIV3Schema.properties[a].items.x-kubernetes-list-map-keys",
        ),
    ],
)
async def test_definitions_that_are_refused(http: Http, change: Any, field: str) -> None:
    body = definition()
    change(body)
    answer = await http.post(CRDS, body)
    assert answer.status_code == 422, answer.text
    assert field in [one["field"] for one in answer.json()["details"]["causes"]]
    assert (await http.get(THINGS)).status_code == 404


def schema_of(one: Object) -> Object:
    found: Object = one["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


async def test_a_rule_that_cannot_be_evaluated_is_reported_and_refuses(http: Http) -> None:
    spec = {"type": "object", "x-kubernetes-validations": [{"rule": "quantity(self.q).isInteger()"}]}
    made = await http.post(CRDS, definition(spec))
    assert "a rule cannot be evaluated and refuses every object: v1 spec: the function" in made.headers["warning"]
    (condition,) = [one for one in made.json()["status"]["conditions"] if one["type"] == "RulesEvaluated"]
    assert (condition["status"], condition["reason"]) == ("False", "UnsupportedRules")
    refused = await http.post(THINGS, thing(q="1"))
    assert refused.status_code == 422
    assert "rule compile error" in refused.json()["message"]


async def test_a_changed_definition_holds_at_once_but_not_for_what_stays(http: Http) -> None:
    await http.post(
        CRDS, definition({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}})
    )
    await http.post(THINGS, thing(a="long"))
    stricter = definition(
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 1}, "b": {"type": "string"}}}
    )
    changed = await http.apply(f"{CRDS}/things.example.com", stricter, force="true")
    assert changed.json()["metadata"]["generation"] == 2
    assert (await http.post(THINGS, thing("u", a="long"))).status_code == 422
    assert (await http.patch(f"{THINGS}/t", {"spec": {"b": "x"}})).status_code == 200
    assert (await http.patch(f"{THINGS}/t", {"spec": {"a": "longer"}})).status_code == 422


async def test_a_second_apply_of_a_definition_changes_nothing(http: Http) -> None:
    first = (await http.apply(f"{CRDS}/things.example.com", definition())).json()
    assert (await http.apply(f"{CRDS}/things.example.com", definition())).json() == first


async def test_a_definition_takes_its_objects_along(http: Http) -> None:
    await http.post(CRDS, definition())
    held = thing("held")
    held["metadata"]["finalizers"] = ["example.com/a"]
    await http.post(THINGS, thing())
    await http.post(THINGS, held)
    ending = (await http.delete(f"{CRDS}/things.example.com")).json()
    assert ending["metadata"]["deletionTimestamp"]

    async def names() -> list[str]:
        return [one["metadata"]["name"] for one in (await http.get(THINGS)).json().get("items", [])]

    async def only_the_held_one() -> bool:
        return await names() == ["held"]

    await until(only_the_held_one)
    await http.patch(f"{THINGS}/held", {"metadata": {"finalizers": None}})

    async def gone() -> bool:
        return (await http.get(THINGS)).status_code == 404

    await until(gone)
    assert (await http.get(f"{CRDS}/things.example.com")).status_code == 404


async def test_a_known_kind_goes_back_to_being_known(http: Http, server: KubeServer) -> None:
    """Objects that were there before stay readable with the definition, and its removal brings the known kind back."""
    if not DEFINITIONS.is_dir():
        pytest.skip("the published definitions are not here")
    await http.post(ROUTES, {**route(), "spec": {"anything": "goes"}})
    (routes,) = published("httproutes.*")
    await server.install_crd(routes)
    assert (await http.get(f"{ROUTES}/r")).json()["spec"] == {"anything": "goes"}
    assert (
        await http.post(ROUTES, {**route("x"), "spec": {"anything": "goes"}}, fieldValidation="Strict")
    ).status_code == 400
    await http.delete(f"{CRDS}/{routes['metadata']['name']}")

    async def again() -> bool:
        answer = await http.post(ROUTES, {**route("y"), "spec": {"anything": "goes"}}, fieldValidation="Strict")
        return answer.status_code == 201

    await until(again)
    assert [one["metadata"]["name"] for one in (await http.get(ROUTES)).json()["items"]] == ["y"]


async def test_definitions_are_there_after_a_restart(http: Http, server: KubeServer) -> None:
    await http.post(CRDS, definition({"type": "object", "properties": {"a": {"type": "integer"}}}))
    await http.post(THINGS, thing(a=1))
    await server.stop()
    await server.start()
    assert (await http.get(f"{THINGS}/t")).json()["spec"] == {"a": 1}
    assert (await http.post(THINGS, thing("u", a="x"))).status_code == 422


async def test_an_invalid_definition_is_refused_to_the_program_too(server: KubeServer) -> None:
    with pytest.raises(Refusal, match=r"things\.example\.com was not installed"):
        await server.install_crd({**definition(), "spec": {}})


async def test_fields_may_be_selected_where_the_definition_says_so(http: Http) -> None:
    body = definition({"type": "object", "properties": {"color": {"type": "string"}}})
    body["spec"]["versions"][0]["selectableFields"] = [{"jsonPath": ".spec.color"}]
    await http.post(CRDS, body)
    for name, color in (("a", "red"), ("b", "blue")):
        await http.post(THINGS, thing(name, color=color))
    found = (await http.get(THINGS, fieldSelector="spec.color=red")).json()["items"]
    assert [one["metadata"]["name"] for one in found] == ["a"]


async def test_all_published_definitions_are_understood(defined: KubeServer) -> None:
    async with Http(defined.url, "admin-token") as http:
        found = (await http.get(CRDS)).json()["items"]
    assert len(found) == len(list(DEFINITIONS.glob("*.yaml")))
    for one in found:
        assert [each["type"] for each in one["status"]["conditions"]] == ["NamesAccepted", "Established"]
