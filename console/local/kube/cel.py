"""The Common Expression Language, as far as CustomResourceDefinitions use it: text in, a Python function out.

cel-python parses; the tree becomes closures over plain JSON values. Its own evaluators are not used: the
interpreter takes 85 ms for "each of 15 names is unique" (measured; an AIGatewayRoute has several such rules), and
the transpiler of 0.5.0 answers ``!has(self.a)`` with an error where ``a`` is missing. A test holds this
evaluator against that interpreter for every published rule.

What is not known here (a function of a Kubernetes library that none of the published rules calls, message
literals) raises `Unsupported` when the expression is compiled, so that it can be reported at install time and is
never taken for true. Unsigned integers are treated as integers.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from console.local.kube.cel_functions import FUNCTIONS, METHODS, CelError, add, divide, equal, multiply, remainder

Evaluate = Callable[[dict[str, Any]], Any]
_parsing = threading.Lock()


class Unsupported(Exception):
    """The expression cannot be compiled: a syntax error, or something that this evaluator does not know."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression; ``names`` are the variables that it reads (``self``, ``oldSelf``)."""

    text: str
    names: frozenset[str]
    _run: Evaluate

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value; raises `CelError` as CEL would (no such key, no such overload, …)."""
        try:
            return self._run(dict(variables))
        except RecursionError:
            raise CelError("expression nested too deeply") from None


@functools.lru_cache(maxsize=8192)
def compile_expression(text: str) -> Program:
    """Compile once; raises `Unsupported`."""
    from celpy.celparser import CELParseError, CELParser

    try:
        with _parsing:
            tree = CELParser().parse(text)
    except (CELParseError, AttributeError) as problem:
        raise Unsupported(f"syntax error: {str(problem).splitlines()[0]}") from problem
    compiler = _Compiler()
    run = compiler.compile(tree, frozenset())
    return Program(text, frozenset(compiler.names), run)


class _Compiler:
    """One method per construct of the grammar (celpy/cel.lark); ``bound`` are the variables of macros around it."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def compile(self, tree: Any, bound: frozenset[str]) -> Evaluate:
        while len(tree.children) == 1 and hasattr(tree.children[0], "children") and tree.data in _PASSED_THROUGH:
            tree = tree.children[0]
        handler = getattr(self, f"_{tree.data}", None)
        if handler is None:
            raise Unsupported(f"{tree.data} is not supported")
        compiled: Evaluate = handler(tree.children, bound)
        return compiled

    def _expr(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        condition, yes, no = (self.compile(part, bound) for part in parts)

        def choose(env: dict[str, Any]) -> Any:
            return yes(env) if _truth(condition(env)) else no(env)

        return choose

    def _conditionalor(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        return _absorbing(*(self.compile(part, bound) for part in parts), decisive=True)

    def _conditionaland(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        return _absorbing(*(self.compile(part, bound) for part in parts), decisive=False)

    def _relation(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        return self._binary(parts, bound)

    def _addition(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        return self._binary(parts, bound)

    def _multiplication(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        return self._binary(parts, bound)

    def _binary(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        operation, right = parts
        operator = _OPERATORS[operation.data]
        one = self.compile(operation.children[0], bound)
        other = self.compile(right, bound)
        return lambda env: operator(one(env), other(env))

    def _unary(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        operand = self.compile(parts[1], bound)
        if parts[0].data == "unary_not":
            return lambda env: not _truth(operand(env))
        return lambda env: _negative(operand(env))

    def _member_dot(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        target, key = self.compile(parts[0], bound), _unescaped(str(parts[1]))
        return lambda env: _select(target(env), key)

    def _member_index(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        target, index = self.compile(parts[0], bound), self.compile(parts[1], bound)
        return lambda env: _at(target(env), index(env))

    def _member_dot_arg(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        name = str(parts[1])
        arguments = _arguments(parts[2:])
        target = self.compile(parts[0], bound)
        if name in _MACROS and len(arguments) in (2, 3):
            return self._macro(name, target, arguments, bound)
        method = METHODS.get(name)
        if method is None:
            raise Unsupported(f"the function {name}() is not supported")
        return _call(name, method, [target, *(self.compile(one, bound) for one in arguments)])

    def _macro(self, name: str, target: Evaluate, arguments: list[Any], bound: frozenset[str]) -> Evaluate:
        variable = _sole_identifier(arguments[0])
        if variable is None or (len(arguments) == 3 and name != "map"):
            raise Unsupported(f"{name}() needs a variable and an expression")
        bodies = [self.compile(one, bound | {variable}) for one in arguments[1:]]
        return _MACROS[name](target, variable, bodies)

    def _ident(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        name = str(parts[0])
        if name == "null":
            return lambda _env: None
        if name not in bound:
            self.names.add(name)
        return lambda env: env[name]

    def _ident_arg(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        name = str(parts[0])
        arguments = _arguments(parts[1:])
        if name == "has":
            return self._has(arguments, bound)
        function = FUNCTIONS.get(name)
        if function is None:
            raise Unsupported(f"the function {name}() is not supported")
        return _call(name, function, [self.compile(one, bound) for one in arguments])

    def _has(self, arguments: list[Any], bound: frozenset[str]) -> Evaluate:
        tree = arguments[0] if len(arguments) == 1 else None
        while tree is not None and tree.data != "member_dot":
            tree = tree.children[0] if len(tree.children) == 1 and hasattr(tree.children[0], "children") else None
        if tree is None:
            raise Unsupported("has() needs the selection of a field")
        target, key = self.compile(tree.children[0], bound), _unescaped(str(tree.children[1]))

        def present(env: dict[str, Any]) -> bool:
            value = target(env)
            if not isinstance(value, dict):
                raise CelError("no such overload")
            return key in value

        return present

    def _list_lit(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        items = [self.compile(one, bound) for one in _arguments(parts)]
        return lambda env: [item(env) for item in items]

    def _map_lit(self, parts: list[Any], bound: frozenset[str]) -> Evaluate:
        flat = [self.compile(one, bound) for one in _arguments(parts)]
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        return lambda env: {key(env): value(env) for key, value in pairs}

    def _literal(self, parts: list[Any], _bound: frozenset[str]) -> Evaluate:
        value = _literal_value(parts[0])
        return lambda _env: value


_PASSED_THROUGH = {
    "expr",
    "conditionalor",
    "conditionaland",
    "relation",
    "addition",
    "multiplication",
    "unary",
    "member",
    "primary",
    "paren_expr",
}


def _arguments(parts: list[Any]) -> list[Any]:
    return list(parts[0].children) if parts else []


def _sole_identifier(tree: Any) -> str | None:
    while len(tree.children) == 1 and hasattr(tree.children[0], "children"):
        tree = tree.children[0]
    return str(tree.children[0]) if tree.data == "ident" else None


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CelError("no such overload")
    return value


def _absorbing(one: Evaluate, other: Evaluate, *, decisive: bool) -> Evaluate:
    """``||`` and ``&&``: the decisive value on either side wins, even over an error on the other."""

    def evaluate(env: dict[str, Any]) -> bool:
        try:
            if _truth(one(env)) is decisive:
                return decisive
        except CelError:
            if _truth(other(env)) is decisive:
                return decisive
            raise
        return _truth(other(env))

    return evaluate


def _all(target: Evaluate, name: str, bodies: list[Evaluate]) -> Evaluate:
    return _quantifier(target, name, bodies[0], decisive=False)


def _exists(target: Evaluate, name: str, bodies: list[Evaluate]) -> Evaluate:
    return _quantifier(target, name, bodies[0], decisive=True)


def _quantifier(target: Evaluate, name: str, body: Evaluate, *, decisive: bool) -> Evaluate:
    def evaluate(env: dict[str, Any]) -> bool:
        inner = dict(env)
        failure: CelError | None = None
        for inner[name] in _range(target(env)):
            try:
                if _truth(body(inner)) is decisive:
                    return decisive
            except CelError as problem:
                failure = problem
        if failure is not None:
            raise failure
        return not decisive

    return evaluate


def _exists_one(target: Evaluate, name: str, bodies: list[Evaluate]) -> Evaluate:
    def evaluate(env: dict[str, Any]) -> bool:
        inner = dict(env)
        found = 0
        for inner[name] in _range(target(env)):
            found += _truth(bodies[0](inner))
        return found == 1

    return evaluate


def _filter(target: Evaluate, name: str, bodies: list[Evaluate]) -> Evaluate:
    def evaluate(env: dict[str, Any]) -> list[Any]:
        inner = dict(env)
        kept = []
        for inner[name] in _range(target(env)):
            if _truth(bodies[0](inner)):
                kept.append(inner[name])
        return kept

    return evaluate


def _map(target: Evaluate, name: str, bodies: list[Evaluate]) -> Evaluate:
    *condition, result = bodies

    def evaluate(env: dict[str, Any]) -> list[Any]:
        inner = dict(env)
        made = []
        for inner[name] in _range(target(env)):
            if not condition or _truth(condition[0](inner)):
                made.append(result(inner))
        return made

    return evaluate


_MACROS = {"all": _all, "exists": _exists, "exists_one": _exists_one, "filter": _filter, "map": _map}


def _range(value: Any) -> list[Any]:
    """What a macro runs over: the elements of a list, the keys of a map."""
    if isinstance(value, list | dict):
        return list(value)
    raise CelError("no such overload")


def _call(name: str, function: Callable[..., Any], arguments: list[Evaluate]) -> Evaluate:
    def evaluate(env: dict[str, Any]) -> Any:
        values = [argument(env) for argument in arguments]
        try:
            return function(*values)
        except (TypeError, AttributeError):
            raise CelError(f"no such overload: {name}") from None

    return evaluate


def _select(value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        raise CelError("no such overload")
    try:
        return value[key]
    except KeyError:
        raise CelError(f"no such key: {key}") from None


def _at(value: Any, index: Any) -> Any:
    if isinstance(value, list):
        if not isinstance(index, int) or isinstance(index, bool):
            raise CelError("no such overload")
        if not 0 <= index < len(value):
            raise CelError(f"index out of bounds: {index}")
        return value[index]
    if isinstance(value, dict) and not isinstance(index, list | dict):
        if index in value:
            return value[index]
        raise CelError(f"no such key: {index}")
    raise CelError("no such overload")


def _contains(item: Any, value: Any) -> bool:
    if isinstance(value, dict):
        return not isinstance(item, list | dict) and item in value
    if isinstance(value, list):
        return any(equal(item, one) for one in value)
    raise CelError("no such overload")


def _negative(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise CelError("no such overload")
    return -value


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def operate(one: Any, other: Any) -> bool:
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        if isinstance(one, bool) is not isinstance(other, bool) or (not numbers and type(one) is not type(other)):
            raise CelError("no such overload")
        try:
            return compare(one, other)
        except TypeError:
            raise CelError("no such overload") from None

    return operate


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "relation_eq": equal,
    "relation_ne": lambda one, other: not equal(one, other),
    "relation_lt": _ordered(lambda one, other: one < other),
    "relation_le": _ordered(lambda one, other: one <= other),
    "relation_gt": _ordered(lambda one, other: one > other),
    "relation_ge": _ordered(lambda one, other: one >= other),
    "relation_in": _contains,
    "addition_add": add,
    "addition_sub": lambda one, other: add(one, _negative(other)),
    "multiplication_mul": multiply,
    "multiplication_div": divide,
    "multiplication_mod": remainder,
}

_RESERVED = re.compile(r"__([a-z]+)__")
_ESCAPES = {"__underscores__": "__", "__dot__": ".", "__dash__": "-", "__slash__": "/"}


def _unescaped(name: str) -> str:
    """The property that an identifier of CEL stands for: ``__namespace__`` is ``namespace``.

    https://kubernetes.io/docs/reference/using-api/cel/#escaping
    """
    return _RESERVED.sub(lambda found: _ESCAPES.get(found[0], found[1]), name)


_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL)


def _literal_value(token: Any) -> Any:
    text = str(token)
    match token.type:
        case "BOOL_LIT":
            return text == "true"
        case "NULL_LIT":
            return None
        case "INT_LIT" | "UINT_LIT":
            return int(text.rstrip("uU"), 0 if "x" in text.lower() else 10)
        case "FLOAT_LIT":
            return float(text)
        case "BYTES_LIT":
            return _text(text[1:]).encode()
        case _:
            return _text(text)


def _text(literal: str) -> str:
    raw = literal[0] in "rR"
    if raw:
        literal = literal[1:]
    quotes = 3 if literal[:3] in ('"""', "'''") else 1
    content = literal[quotes:-quotes]
    return content if raw else _ESCAPE.sub(_unescape, content)


def _unescape(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] in "xuU" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "0123" and len(code) == 3:
        return chr(int(code, 8))
    return _SIMPLE.get(code, code)
