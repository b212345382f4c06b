"""Request bodies: JSON, YAML and Kubernetes' protobuf."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.local.kube import protobuf
from console.local.kube.decode import DEEPEST, parse_json, parse_yaml
from console.local.kube.status import ApiError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=15,
)


@given(JSON)
def test_json_comes_through(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == (value, [])
    assert parse_yaml(json.dumps({"k": value}).encode()) == ({"k": value}, [])


def test_doubled_fields_are_named_with_their_path() -> None:
    text = b'{"a":1,"a":2,"l":[{"x":1},{"b":{"c":1,"c":2,"c":3}}]}'
    value, doubled = parse_json(text)
    assert value["a"] == 2
    assert sorted(doubled) == ["a", "l[1].b.c", "l[1].b.c"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b"{'a':1}",
        b'{"a":1}x',
        b"\xff",
        b"[" * 5000,
        b'{"a":' * (DEEPEST + 5) + b"1" + b"}" * (DEEPEST + 5),
    ],
)
def test_what_is_no_json_is_a_bad_request(text: bytes) -> None:
    for parse in (parse_json, parse_yaml):
        if parse is parse_yaml and not text.startswith(b"{"):
            continue
        with pytest.raises(ApiError) as caught:
            parse(text)
        assert caught.value.code == 400


def test_integers_beyond_64_bits_become_floats_as_in_go() -> None:
    value, _ = parse_json(b'{"a":9223372036854775808,"b":-9223372036854775808,"c":' + b"9" * 400 + b"}")
    assert value["a"] == 9223372036854775808.0
    assert isinstance(value["a"], float)
    assert value["b"] == -(2**63)


def test_yaml_is_read_as_json_would_be() -> None:
    value, doubled = parse_yaml(b"a: 2026-01-01\nb: yes\n2: x\ntrue: y\nc: &x [1]\nd: *x\n")
    assert value == {"a": "2026-01-01", "b": True, "2": "x", "true": "y", "c": [1], "d": [1]}
    assert value["c"] is not value["d"]
    assert doubled == []
    assert parse_yaml(b"a: 1\nb:\n  c: 1\n  c: 2\n")[1] == ["c"]


@pytest.mark.parametrize(
    "text",
    [
        b"a: [",
        b"a: !!python/object/apply:os.system [id]",
        b"? [1]\n: x",
        b"a: .nan",
        b"a: !!binary aGk=",
        b"a: &x [*x]",
        b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(9)),
        b"\xff\xfe\xff",
    ],
)
def test_hostile_yaml_is_a_bad_request(text: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_yaml(text)
    assert caught.value.code == 400


def refusal_of(call: Callable[[], object]) -> int | None:
    """The code that a call is refused with; None where it is not."""
    try:
        call()
    except ApiError as problem:
        return problem.code
    return None


# --- protobuf --------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    made = bytearray()
    value &= 0xFFFFFFFFFFFFFFFF
    while True:
        made.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(made)


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, "v1") + field(2, kind)) + field(2, raw) + field(3, "") + field(4, "")


def test_a_secret_in_protobuf() -> None:
    metadata = field(1, "s") + field(3, "ns") + field(5, "") + field(11, field(1, "k") + field(2, "v"))
    raw = field(1, metadata + field(8, field(1, 0))) + field(2, field(1, "a") + field(2, b"hi")) + field(3, "Opaque")
    assert protobuf.parse(envelope("Secret", raw + field(5, 1))) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "ns", "labels": {"k": "v"}, "creationTimestamp": "1970-01-01T00:00:00Z"},
        "data": {"a": "aGk="},
        "type": "Opaque",
        "immutable": True,
    }


def test_a_service_in_protobuf() -> None:
    target = field(1, 0) + field(2, 8080) + field(3, "")
    ports = field(1, field(1, "a") + field(3, 80) + field(4, target)) + field(
        1, field(3, 81) + field(4, field(1, 1) + field(3, "web"))
    )
    spec = protobuf.parse(envelope("Service", field(1, field(1, "x")) + field(2, ports)))["spec"]
    assert spec == {"ports": [{"name": "a", "port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "web"}]}


def test_numbers_may_be_negative() -> None:
    assert protobuf.parse(envelope("DeleteOptions", field(1, -1)))["gracePeriodSeconds"] == -1


def test_a_kind_that_is_not_read_in_protobuf() -> None:
    with pytest.raises(ApiError) as caught:
        protobuf.parse(envelope("Pod", b""))
    assert caught.value.code == 415


@given(st.binary(max_size=60), st.booleans())
def test_hostile_protobuf_is_a_bad_request(data: bytes, enveloped: bool) -> None:
    body = envelope("Secret", data) if enveloped else b"k8s\x00" + data
    assert refusal_of(lambda: protobuf.parse(body)) in (None, 400, 415)


def test_cut_off_protobuf() -> None:
    for body in (b"", b"k8s", b"k8s\x00" + struct.pack("B", 0x0A) + b"\xff", envelope("Secret", b"\x0a\x05a")):
        with pytest.raises(ApiError):
            protobuf.parse(body)
