"""Reading a declaration: what it says, and the line and field of every mistake."""

from __future__ import annotations

import pytest

from console.outcome import Refusal
from console.publishing.declaration import read_declaration

_HEAD = "apiVersion: modeldeck.dev/v1\npublications:\n"
_ONE = "  - name: llama\n    tenant: acme\n    model: deepinfra/x/llama\n"


def test_what_it_says() -> None:
    more = "    type: openai\n    hostnames: [a.example.com]\n    limits:\n      requests_per_minute: 60\n"
    first, second = read_declaration(_HEAD + _ONE + more + "  - model: isvc/acme/iris\n")
    assert (first.name, first.tenant, first.model, first.type) == ("llama", "acme", "deepinfra/x/llama", "openai")
    assert first.hostnames == ("a.example.com",)
    assert (first.limits.requests_per_minute, first.limits.timeout_seconds) == (60, 300)
    assert (second.name, second.tenant, second.line) == ("iris", None, 10)


_BOMB = "a: &a [x]\n" + "".join(f"{n}: &{n} [*a, *a]\n" for n in "bcdef")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the file is empty"),
        ("a: [", "this is no YAML"),
        ("- 1", "the file is not a mapping"),
        ("apiVersion: v2\npublications: []\n", "line 1: apiVersion is not modeldeck.dev/v1"),
        ("apiVersion: modeldeck.dev/v1\npublications: []\n", "line 2: publications is not a list of at least one"),
        (_HEAD + _ONE + "    limit: {}\n", "line 6: publications[0] has no field 'limit' (did you mean limits?)"),
        (_HEAD + _ONE + "    limits: {rpm: 5}\n", "line 6: publications[0].limits has no field 'rpm'"),
        (
            _HEAD + _ONE + "    limits:\n      requests_per_minute: many\n",
            "line 7: publications[0].limits.requests_per_minute is not a whole number",
        ),
        (_HEAD + _ONE + "    limits:\n      requests_per_minute: yes\n", "line 7: "),
        (_HEAD + _ONE + "    limits:\n      timeout_seconds:\n", "line 7: "),
        (_HEAD + "  - name: 1.0\n    model: a/b\n", "line 3: publications[0].name is not a text: write it in quotes"),
        (_HEAD + '  - name: "a\\u202eb"\n    model: a/b\n', "publications[0].name is empty, too long or cannot be"),
        (_HEAD + "  - name: x\n", "line 3: publications[0] has no model"),
        (_HEAD + _ONE + _ONE, "line 6: publications[1].name: llama is in line 3 already"),
        (_HEAD + _ONE + "    name: again\n", "line 6: 'name' is there twice"),
        (_HEAD + _ONE + "    type: soap\n", "line 6: publications[0].type is auto, openai, traditional, not 'soap'"),
        (_HEAD + "  - &a {model: a/b}\n  - *a\n", "line 3: anchors and aliases"),
        (_BOMB, "line 1: anchors and aliases"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1: tags (!) are not read"),
        ("[" * 5000, "nested more than 8 deep"),
        ("x" * 300_000, "the file has 300000 characters"),
        ("apiVersion: modeldeck.dev/v1\n---\na: 1\n", "this is no YAML: but found another document"),
    ],
)
def test_what_it_refuses(text: str, said: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_declaration(text)
    assert said in str(refused.value)
    assert refused.value.code == "INVALID_DECLARATION"
    assert str(refused.value).startswith("the declaration's line ")
