"""Rules in CEL: the language, and what becomes of a rule that breaks or cannot be evaluated."""

from __future__ import annotations

import random
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import celpy
import pytest
import yaml

from console.local.kube import rules
from console.local.kube.cel import CelError, Unsupported, compile_expression
from console.local.kube.schema import Schema

DEFINITIONS = Path(__file__).parents[4] / "shared" / "crds"


def value_of(text: str, **variables: Any) -> Any:
    return compile_expression(text).evaluate(variables)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / -2", -3),
        ("-7 % 3", -1),
        ("7.0 / 2.0", 3.5),
        ("5u + 1u", 6),
        ("0x1F", 31),
        ("!true || !false", True),
        ("--1", 1),
        ("'a' + \"b\"", "ab"),
        (r"'tab\tquote\'\u0041\x42\103'", "tab\tquote'ABC"),
        (r'r"""raw\d"""', r"raw\d"),
        ("b'ab'", b"ab"),
        ("[1, 2] + [3]", [1, 2, 3]),
        ("{'a': 1, 'b': 2}['b']", 2),
        ("[1, 2, 3][1]", 2),
        ("1 == 1.0", True),
        ("true == 1", False),
        ("[1, [2]] == [1.0, [2]]", True),
        ("null == null", True),
        ("2 in [1, 2]", True),
        ("'k' in {'k': 1}", True),
        ("1 < 2 && 'a' < 'b'", True),
        ("true ? 'y' : 'n'", "y"),
        ("size('grün')", 4),
        ("[1, 2].size()", 2),
        ("duration('1h30m') == duration('5400s')", True),
        ("duration('-0.5s')", timedelta(seconds=-0.5)),
        ("timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-01T00:00:00.1Z')", True),
        ("'a,b'.split(',')", ["a", "b"]),
        ("['a', 'b'].join('-')", "a-b"),
        ("'AbC'.lowerAscii() + 'aÄ'.upperAscii()", "abcAÄ"),
        ("'hello'.substring(1, 3)", "el"),
        ("'hello'.indexOf('l') + 'hello'.lastIndexOf('l')", 5),
        ("' x '.trim() + 'aba'.replace('a', 'c')", "xcbc"),
        ("'abc'.charAt(1)", "b"),
        ("[3, 1, 2].max() + [3, 1, 2].min() + [3, 1, 2].sum()", 10),
        ("[1, 2, 2].isSorted()", True),
        ("int('42') + int(1.9) + int(true ? 1 : 0)", 44),
        ("string(1.5) + string(2) + string(true)", "1.52true"),
        ("double('1.5')", 1.5),
        ("bool('true')", True),
        ("[1, 2, 3].filter(x, x > 1)", [2, 3]),
        ("[1, 2, 3].map(x, x * 2)", [2, 4, 6]),
        ("[1, 2, 3].map(x, x > 1, x * 2)", [4, 6]),
        ("{'a': 1}.all(k, k == 'a')", True),
        ("[1, 2].exists(x, x == 2)", True),
        ("[1, 2, 2].exists_one(x, x == 2)", False),
        ("'a.b'.matches('^a[.]b$')", True),
        ("matches('xaby', 'ab')", True),
    ],
)
def test_expressions(text: str, value: Any) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("self.b", "no such key: b"),
        ("self.a.b", "no such overload"),
        ("self.missing.b", "no such key: missing"),
        ("has(self.a.b)", "no such overload"),
        ("[1][1]", "index out of bounds"),
        ("[1][-1]", "index out of bounds"),
        ("{'a': 1}['b']", "no such key"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("9223372036854775807 + 1", "overflow"),
        ("'a' + 1", "no such overload"),
        ("'a' < 1", "no such overload"),
        ("true < 1", "no such overload"),
        ("!1", "no such overload"),
        ("-'a'", "no such overload"),
        ("1 in 2", "no such overload"),
        ("size(1)", "no such overload"),
        ("'a'.contains(1.5)", "no such overload"),
        ("duration('1 hour')", "invalid duration"),
        ("timestamp('yesterday')", "invalid timestamp"),
        ("int('x')", "cannot convert"),
        ("'a'.substring(2, 1)", "out of range"),
        ("'a'.matches('(')", "invalid regular expression"),
        ("[1, 'a'].max()", "no such overload"),
        ("[self.a].exists_one(x, x.y)", "no such overload"),
        ("self.a ? 1 : 2", "no such overload"),
    ],
)
def test_expressions_without_a_value(text: str, reason: str) -> None:
    with pytest.raises(CelError, match=re.escape(reason)):
        value_of(text, self={"a": 1})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.missing == 1 || true", True),
        ("true || self.missing == 1", True),
        ("self.missing == 1 && false", False),
        ("[1, 2].all(x, x == 1 && self.missing)", False),
        ("[1, 2].exists(x, x == 2 || self.missing)", True),
    ],
)
def test_a_deciding_side_wins_over_an_error(text: str, value: bool) -> None:
    assert value_of(text, self={}) is value


def test_an_error_is_kept_where_nothing_decides() -> None:
    with pytest.raises(CelError):
        value_of("[1, 2].all(x, x > 0 && self.missing == 1)", self={})


def test_reserved_names_are_escaped() -> None:
    assert value_of("self.__namespace__", self={"namespace": "a"}) == "a"
    assert value_of("has(self.a__dot__b)", self={"a.b": 1})


def test_the_variables_of_macros_do_not_leak() -> None:
    program = compile_expression("self.all(x, x > 0) && x == 1")
    assert program.names == {"self", "x"}


@pytest.mark.parametrize(
    "text",
    [
        "1 +",
        "url('http://a')",
        "self.isURL()",
        "quantity('1')",
        "Msg{a: 1}",
        "has(self)",
        "self.all(x.y, true)",
        "f()",
        ".a",
    ],
)
def test_what_is_not_known_does_not_compile(text: str) -> None:
    with pytest.raises(Unsupported):
        compile_expression(text)


# --- rules on schemas ------------------------------------------------------------------------------------------


def schema_with(*found: dict[str, Any], **more: Any) -> Schema:
    return Schema({"type": "object", "x-kubernetes-validations": list(found), **more})


def broken(schema: Schema, value: Any, old: Any = None) -> list[str]:
    return [str(one) for one in rules.violations(schema, value, old, "spec")]


def test_a_broken_rule_says_its_message() -> None:
    schema = schema_with({"rule": "self.a > 1", "message": "a must be large"})
    assert broken(schema, {"a": 1}) == ["spec: Invalid value: a must be large"]
    assert broken(schema, {"a": 2}) == []


def test_a_rule_without_a_message_is_quoted() -> None:
    assert broken(schema_with({"rule": "false"}), {}) == ["spec: Invalid value: failed rule: false"]


def test_a_message_can_be_computed() -> None:
    rule = {"rule": "false", "message": "plain", "messageExpression": "'is ' + string(self.a)"}
    assert broken(schema_with(rule), {"a": 3}) == ["spec: Invalid value: is 3"]
    assert broken(schema_with(rule), {}) == ["spec: Invalid value: plain"]


def test_a_rule_may_name_a_field_and_a_reason() -> None:
    rule = {"rule": "false", "message": "no", "fieldPath": ".a", "reason": "FieldValueForbidden"}
    (found,) = rules.violations(schema_with(rule), {}, None, "spec")
    assert (found.field, found.reason) == ("spec.a", "FieldValueForbidden")


def test_a_rule_that_fails_is_broken() -> None:
    (found,) = broken(schema_with({"rule": "self.a == 1", "message": "m"}), {})
    assert "no such key: a evaluating rule: m" in found


def test_a_rule_that_cannot_be_compiled_refuses_every_value() -> None:
    (found,) = broken(schema_with({"rule": "quantity(self.a).isInteger()"}), {"a": "1"})
    assert "rule compile error" in found


def test_transition_rules_are_asked_only_about_changes() -> None:
    schema = schema_with({"rule": "self.a == oldSelf.a", "message": "immutable"})
    assert broken(schema, {"a": 1}) == []
    assert broken(schema, {"a": 1}, {"a": 1}) == []
    assert broken(schema, {"a": 1}, {"a": 2}) == ["spec: Invalid value: immutable"]


def test_what_did_not_change_is_not_asked_again() -> None:
    schema = schema_with({"rule": "self.a > 1"})
    assert broken(schema, {"a": 1}, {"a": 1}) == []
    assert broken(schema, {"a": 1}, {"a": 0}) != []


def test_rules_reach_lists_and_maps() -> None:
    text = {"type": "string", "x-kubernetes-validations": [{"rule": "self != 'x'", "message": "m"}]}
    schema = Schema(
        {"properties": {"l": {"items": text}, "m": {"additionalProperties": text}, "both": {"allOf": [text]}}}
    )
    assert broken(schema, {"l": ["a", "x"], "m": {"k": "x"}, "both": "x"}) == [
        'spec.l[1]: Invalid value: "x": m',
        'spec.m[k]: Invalid value: "x": m',
        'spec.both: Invalid value: "x": m',
    ]


def test_elements_of_map_lists_are_compared_with_their_former_selves() -> None:
    item = {"x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "m"}]}
    schema = Schema({"items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]})
    old = [{"n": "a", "v": 5}, {"n": "b", "v": 1}]
    assert broken(schema, [{"n": "b", "v": 2}, {"n": "a", "v": 4}], old) == ["spec[1]: Invalid value: m"]


def test_formats_become_types() -> None:
    schema = schema_with(
        {"rule": "self.d > duration('1m') && self.t > timestamp('2020-01-01T00:00:00Z') && self.b == b'hi'"},
        properties={"d": {"format": "duration"}, "t": {"format": "date-time"}, "b": {"format": "byte"}},
    )
    assert broken(schema, {"d": "2m", "t": "2026-01-01T00:00:00Z", "b": "aGk="}) == []


def test_rules_that_cannot_be_evaluated_are_listed_with_their_place() -> None:
    raw = {"properties": {"a": {"items": {"x-kubernetes-validations": [{"rule": "isURL(self)"}]}}}}
    (found,) = rules.unsupported(raw)
    assert found.startswith("a[]: ")
    assert "isURL" in found
    raw = {"x-kubernetes-validations": [{"rule": "true", "optionalOldSelf": True}, {"rule": "other == 1"}]}
    assert len(list(rules.unsupported(raw))) == 2


# --- against another implementation ----------------------------------------------------------------------------


def published_rules() -> list[str]:
    found: dict[str, None] = {}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            for rule in node.get("x-kubernetes-validations") or ():
                found[rule["rule"]] = None
            for below in node.values():
                walk(below)
        elif isinstance(node, list):
            for below in node:
                walk(below)

    for path in sorted(DEFINITIONS.glob("*.yaml")):
        walk(list(yaml.load_all(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))))
    return list(found)


@pytest.mark.skipif(not DEFINITIONS.is_dir(), reason="the published definitions are not here")
def test_we_agree_with_cel_python_on_every_published_rule() -> None:
    """cel-python's interpreter is slow, and right: the same rules, over random values made of their own words."""
    chance = random.Random(7)
    environment = celpy.Environment()
    compared = 0
    for text in published_rules():
        program = compile_expression(text)
        if re.search(r"\.(lowerAscii|upperAscii|split)\(", text) or text.count("size()") > 8:
            continue  # not there in cel-python, or takes it seconds
        other = environment.program(environment.compile(text))
        for _ in range(6):
            value = random_value(text, chance)
            try:
                theirs = bool(other.evaluate({name: celpy.json_to_cel(value) for name in ("self", "oldSelf")}))
                ours = program.evaluate({"self": value, "oldSelf": value})
            except (celpy.CELEvalError, CelError, ValueError, TypeError, KeyError):
                continue  # a value whose types do not fit, which the schema would have refused
            assert ours is theirs, (text, value)
            compared += 1
    assert compared > 500


def random_value(text: str, chance: random.Random, depth: int = 0) -> Any:
    """A value of the fields and the literals that a rule names."""
    fields = sorted(set(re.findall(r"\.([a-z]\w*)(?![\w(])", text)))
    literals = re.findall(r"'([^']*)'", text) or ["x"]
    listy = bool(re.search(r"self\.(all|exists|exists_one|filter)\(|self\[|in self", text))

    def scalar() -> Any:
        return chance.choice([*literals, "1s", "", True, False, 0, 1, 3])

    def some_object(level: int) -> Any:
        made = {}
        for name in fields:
            if chance.random() < 0.6:
                roll = chance.random()
                if level < 2 and roll < 0.45:
                    made[name] = some_object(level + 1)
                elif level < 2 and roll < 0.6:
                    made[name] = [some_object(level + 1) for _ in range(chance.randrange(3))]
                else:
                    made[name] = scalar()
        return made

    if listy:
        return [some_object(0) if fields else str(scalar()) for _ in range(chance.randrange(4))]
    return some_object(0) if fields else scalar()
