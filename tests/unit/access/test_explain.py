"""What is explained is what is decided, rule by rule; and where a budgateway would decide otherwise."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.access.codec import Malformed, encode_entry, encode_restrictions, parse_keys, parse_restrictions
from console.access.decision import STEPS, Allowed, Ask, Body, Denied, decide_for
from console.access.explain import as_budgateway, explain
from console.access.types import Entries, Grant, KeyEntry, Restrictions, Snapshot, digest_of

DIGEST = digest_of("bud_client_x")
CLIENT = "bud_client"
OWN, SHARED = Grant("e-own", None, "p1"), Grant("e-shared", None, "p2")
NOW = 1000.0
BOUND = Restrictions(own_project=frozenset({"own"}))
NETWORK = ipaddress.ip_network("10.0.0.0/8")


def world(restrictions: Restrictions | None = None, **changes: object) -> Snapshot:
    fields: dict[str, object] = {"key_id": "k1", "tenant": "acme", "project_id": "p1"}
    entry = KeyEntry(DIGEST, {"own": OWN}, **(fields | changes))  # type: ignore[arg-type]
    return Snapshot(Entries.of([entry]), {"shared": SHARED}, 7, restrictions or Restrictions())


def ask(model: str | None = "own", client: str | None = "10.1.2.3", body: Body = Body.OK) -> Ask:
    path = "/v1/chat/completions" if model or body is not Body.NONE else "/v1/models"
    return Ask((), "POST", path, model, body, client=client)


@pytest.mark.parametrize(
    ("snapshot", "request_", "rule", "status"),
    [
        (world(), ask(), None, 200),
        (world(), ask("shared"), None, 200),
        (world(), ask(None, body=Body.NONE), None, 200),
        (Snapshot(), ask(), "key is known", 401),
        (world(not_after=999.0), ask(), "key has not expired", 401),
        (world(suspended=True), ask(), "key is not suspended", 403),
        (world(Restrictions(frozenset({"acme"}))), ask(), "tenant is not suspended", 403),
        (world(Restrictions(frozenset({"other"}))), ask(), None, 200),
        (world(networks=(NETWORK,)), ask(client="192.168.1.1"), "client is in the key's networks", 403),
        (world(networks=(NETWORK,)), ask(client="not an address"), "client is in the key's networks", 403),
        (world(networks=(NETWORK,)), ask(client=None), "client is in the key's networks", 403),
        (world(networks=(NETWORK,)), ask(client="10.9.9.9"), None, 200),
        (world(networks=(NETWORK,)), ask(client="::ffff:10.9.9.9"), None, 200),
        (world(), ask(body=Body.TOO_LARGE), "body fits", 413),
        (world(), ask(body=Body.DUPLICATE), "body names one model", 400),
        (world(), ask(None, body=Body.MALFORMED), "body is JSON", 400),
        (world(), ask(None, body=Body.NO_MODEL), "body names a model", 400),
        (world(), ask("other"), "model is in the key's list", 404),
        (world(tenants=frozenset({"p2"})), ask("shared"), None, 200),
        (world(tenants=frozenset({"p1"})), ask("shared"), "model's tenant may be called", 404),
        (world(tenants=frozenset({"p9"})), ask(), None, 200),
        (world(BOUND), ask(), None, 200),
        (world(Restrictions(own_project=frozenset({"shared"}))), ask("shared"), "key is of the model's project", 403),
        (world(BOUND, project_id=None), ask(), "key is of the model's project", 403),
    ],
)  # fmt: skip
def test_the_rule_that_refuses_is_named(snapshot: Snapshot, request_: Ask, rule: str | None, status: int) -> None:
    found = explain(snapshot, DIGEST, CLIENT, request_, now=NOW, prefix="x-modeldeck")
    assert found.status == status
    refused = [finding.rule for finding in found.findings if finding.verdict == "refused"]
    assert refused == ([rule] if rule else [])
    assert [finding.rule for finding in found.findings] == list(STEPS[1:])
    if rule is not None:
        after = found.findings[list(STEPS[1:]).index(rule) + 1 :]
        assert all(finding.verdict == "not asked" for finding in after)


@given(
    st.sampled_from(["own", "shared", "other", None]),
    st.sampled_from(list(Body)),
    st.sampled_from([None, "10.1.1.1", "8.8.8.8", "x"]),
    st.booleans(),
    st.sampled_from([None, 999.0, 1001.0]),
    st.frozensets(st.sampled_from(["acme", "other"])),
    st.frozensets(st.sampled_from(["own", "shared"])),
    st.booleans(),
)
def test_an_explanation_is_the_decision(
    model: str | None, body: Body, client: str | None, suspended: bool, not_after: float | None,
    tenants: frozenset[str], bound: frozenset[str], fenced: bool,
) -> None:  # fmt: skip
    networks = (NETWORK,) if fenced else ()
    snapshot = world(Restrictions(tenants, bound), suspended=suspended, not_after=not_after, networks=networks)
    request_ = Ask((), "POST", "/v1/chat/completions", model, body, client=client)
    decided = decide_for(snapshot, DIGEST, CLIENT, request_, now=NOW)
    found = explain(snapshot, DIGEST, CLIENT, request_, now=NOW, prefix="x-modeldeck")
    assert found.answer == decided
    refused = [finding.rule for finding in found.findings if finding.verdict == "refused"]
    assert refused == ([decided.step] if isinstance(decided, Denied) else [])
    if isinstance(decided, Allowed):
        assert not suspended
        assert "acme" not in tenants
        assert not_after != 999.0
        assert not fenced or client == "10.1.1.1"


def test_a_budgateway_would_decide_otherwise_where_it_knows_less() -> None:
    restrictions = Restrictions(frozenset({"acme"}), frozenset({"own"}))
    snapshot = world(restrictions, suspended=True, not_after=999.0, networks=(NETWORK,))
    said = "\n".join(as_budgateway(snapshot, DIGEST, CLIENT, ask(), now=NOW, has_twin=False))
    for word in ("Redis expiry", "suspension", "suspended tenants", "networks", "projects", "model_table:e-own"):
        assert word in said
    assert list(as_budgateway(world(), DIGEST, CLIENT, ask(), now=NOW, has_twin=True)) == []


def test_a_budgateway_takes_the_published_entry_on_a_clash() -> None:
    snapshot = Snapshot(Entries.of([KeyEntry(DIGEST, {"m": OWN})]), {"m": SHARED})
    (said,) = as_budgateway(snapshot, DIGEST, CLIENT, ask("m"), now=NOW, has_twin=True)
    assert "e-shared" in said
    found = explain(snapshot, DIGEST, CLIENT, ask("m"), now=NOW, prefix="x")
    assert found.clashes == ("m",)


def test_a_budgateway_does_not_know_the_keys_of_the_seeds_form() -> None:
    snapshot = Snapshot(Entries.of([KeyEntry(DIGEST, {"m": OWN}, in_clear=True)]))
    (said,) = as_budgateway(snapshot, DIGEST, CLIENT, ask("m"), now=NOW, has_twin=True)
    assert "by digest only" in said


def test_networks_and_restrictions_are_read_as_they_are_written() -> None:
    text = encode_entry(
        {"m": OWN}, key_id="k", user_id=None, project_id=None, tenant="acme", generation=1, networks=("10.0.0.0/8",)
    )
    (entry,) = parse_keys("api_key:" + DIGEST, text).entries
    assert entry.networks == (NETWORK,)
    both = Restrictions(frozenset({"a", "b"}), frozenset({"m"}))
    assert parse_restrictions(encode_restrictions(both)) == both
    assert parse_restrictions(None) == Restrictions()


@pytest.mark.parametrize("networks", ['"10.0.0.0/8"', '["10.0.0.1/8"]', '["all"]', "[1]", "{}"])
def test_half_of_a_fence_is_none(networks: str) -> None:
    raw = f'{{"m": {{}}, "__metadata__": {{"modeldeck": {{"generation": 1, "networks": {networks}}}}}}}'
    parsed = parse_keys("api_key:" + DIGEST, raw)
    assert parsed.entries == ()
    assert len(parsed.faults) == 1


@pytest.mark.parametrize("raw", ["", "[]", "{", '{"suspended_tenants": "a"}', '{"own_project": [1]}'])
def test_malformed_restrictions_are_refused_whole(raw: str) -> None:
    with pytest.raises(Malformed):
        parse_restrictions(raw)


MDK = "mdk_client_0000000000000000000000000000000000000000000_38h12c"


def test_a_key_of_the_form_with_a_checksum_is_a_clients_and_a_mistyped_one_is_told_as_such() -> None:
    entry = KeyEntry(digest_of(MDK), {"own": OWN}, key_id="k1", labels=(("team", "search"),))
    snapshot = Snapshot(Entries.of([entry]), {"shared": SHARED})
    found = explain(snapshot, digest_of(MDK), MDK, ask("shared"), now=NOW, prefix="x")
    assert found.status == 200
    assert {one.rule: one.found for one in found.findings}["key is known"] == "k1, team=search"
    told = list(as_budgateway(snapshot, digest_of(MDK), MDK, ask("shared"), now=NOW, has_twin=True))
    assert told == ["it gives published models to texts that begin with bud_client alone: it would answer 404"]
    assert list(as_budgateway(snapshot, digest_of(MDK), MDK, ask("own"), now=NOW, has_twin=True)) == []
    wrong = MDK[:-1] + "d"
    denied = decide_for(snapshot, digest_of(wrong), wrong, ask("own"), now=NOW)
    assert isinstance(denied, Denied)
    assert (denied.status, denied.code) == (401, "mistyped_api_key")
    assert wrong not in denied.message
    as_known = KeyEntry(digest_of(wrong), {"own": OWN})
    snapshot = Snapshot(Entries.of([as_known]), {})
    assert isinstance(decide_for(snapshot, digest_of(wrong), wrong, ask("own"), now=NOW), Allowed)


def test_a_key_bound_to_tenants_lists_what_it_may_call_and_a_budgateway_would_not_know() -> None:
    snapshot = world(tenants=frozenset({"p1"}))
    entry = snapshot.keys.get(DIGEST)
    assert entry is not None
    assert set(snapshot.models_of(entry, CLIENT)) == {"own"}
    assert set(world().models_of(entry, CLIENT)) == {"own"}
    (told,) = as_budgateway(snapshot, DIGEST, CLIENT, ask("shared"), now=NOW, has_twin=True)
    assert told == "it knows no tenants of a key: it would let the key call shared"


@pytest.mark.parametrize("tenants", ["acme", [], ["acme", 1], {}])
def test_tenants_that_cannot_be_read_refuse_the_key(tenants: object) -> None:
    value = encode_entry({}, key_id="k", user_id=None, project_id=None, tenant="acme", generation=1)
    broken = value.replace('"generation":1', '"generation":1,"tenants":' + str(tenants).replace("'", '"'))
    if isinstance(tenants, str):
        broken = value.replace('"generation":1', '"generation":1,"tenants":"acme"')
    assert parse_keys(f"api_key:{DIGEST}", broken).entries == ()


def test_what_is_written_of_tenants_and_labels_is_read_again() -> None:
    value = encode_entry(
        {}, key_id="k", user_id=None, project_id=None, tenant="acme", generation=1,
        tenants=frozenset({"b", "a"}), labels={"team": "search", "env": "prod"},
    )  # fmt: skip
    (entry,) = parse_keys(f"api_key:{DIGEST}", value).entries
    assert entry.tenants == {"a", "b"}
    assert entry.labels == (("env", "prod"), ("team", "search"))
