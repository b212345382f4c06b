"""Reading specs that nobody may have checked: every field by its path, and none passed over.

Each function that reads a part of a spec begins with `Node.only`, which refuses what it does not honour by its name.
That is how the rule is kept that nothing which is accepted is ignored.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

_DURATION = re.compile(r"([0-9]{1,5})(h|ms|m|s)")
_DURATION_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(k|Ki|[MGTP]i?)?")
_QUANTITY_BASES = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_HOSTNAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_HOSTNAME = 253
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_|~]{1,256}")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_MISSING: Any = object()


class Unfit(Exception):
    """A part of an object that cannot be honoured; the message names the field."""


class Unsupported(Unfit):
    """A field that is meant for gateways that can do more."""


class Node:
    """A mapping in a spec, and the path to it. A field that is null counts as absent, as in the API itself."""

    __slots__ = ("_fields", "path")

    def __init__(self, fields: object, path: str = "spec") -> None:
        if fields is None:
            fields = {}
        if not isinstance(fields, Mapping):
            raise Unfit(f"{path} is not an object")
        self._fields = fields
        self.path = path

    def only(self, *honoured: str) -> None:
        """Refuse any field but these."""
        for name, value in self._fields.items():
            if name not in honoured and value is not None:
                raise Unsupported(f"{self.at(str(name))} is not supported by the local gateway")

    def at(self, name: str) -> str:
        return f"{self.path}.{name}"

    def has(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def raw(self, name: str) -> Any:
        return self._fields.get(name)

    def node(self, name: str) -> Node:
        """The mapping below, empty where it is absent."""
        return Node(self._fields.get(name), self.at(name))

    def nodes(self, name: str) -> list[Node]:
        return [Node(value, f"{self.at(name)}[{index}]") for index, value in enumerate(self._list(name))]

    def text(self, name: str, default: str = _MISSING) -> str:
        value = self._value(name, default)
        if not isinstance(value, str) or not _is_unicode(value):
            raise Unfit(f"{self.at(name)} is not a text")
        return value

    def maybe_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def texts(self, name: str) -> list[str]:
        values = self._list(name)
        if not all(isinstance(value, str) and _is_unicode(value) for value in values):
            raise Unfit(f"{self.at(name)} is not a list of texts")
        return [str(value) for value in values]

    def flag(self, name: str, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise Unfit(f"{self.at(name)} is neither true nor false")
        return value

    def number(self, name: str, default: int = _MISSING, *, least: int = 0, most: int = 2**32 - 1) -> int:
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unfit(f"{self.at(name)} is not a whole number")
        if not least <= value <= most:
            raise Unfit(f"{self.at(name)} is {value}, which is not between {least} and {most}")
        return value

    def maybe_number(self, name: str, *, least: int = 0, most: int = 2**32 - 1) -> int | None:
        return self.number(name, least=least, most=most) if self.has(name) else None

    def numbers(self, name: str, *, least: int, most: int) -> list[int]:
        return [
            Node({"item": value}, f"{self.at(name)}[{index}]").number("item", least=least, most=most)
            for index, value in enumerate(self._list(name))
        ]

    def port(self, name: str) -> int:
        return self.number(name, least=1, most=65535)

    def choice(self, name: str, honoured: Sequence[str], default: str = _MISSING) -> str:
        """One of the values that are honoured; any other is refused by its name."""
        value = self.text(name, default)
        if value not in honoured:
            raise Unsupported(
                f"{self.at(name)} {value!r} is not supported by the local gateway; {' or '.join(honoured)} is"
            )
        return value

    def seconds(self, name: str) -> float | None:
        """A duration of the Gateway API (GEP-2257: ``1h30m``, ``500ms``), in seconds; None where it is absent."""
        if not self.has(name):
            return None
        value = self.text(name)
        parts = _DURATION.findall(value)
        if not parts or "".join(count + unit for count, unit in parts) != value or len(parts) > 4:
            raise Unfit(f"{self.at(name)} {value!r} is not a duration such as 30s or 1m30s")
        return sum(int(count) * _DURATION_SECONDS[unit] for count, unit in parts)

    def bytes(self, name: str) -> int | None:
        """A quantity of bytes (``32768``, ``50Mi``); None where it is absent."""
        if not self.has(name):
            return None
        value = str(self.raw(name))
        found = _QUANTITY.fullmatch(value)
        if found is None:
            raise Unfit(f"{self.at(name)} {value!r} is not a quantity such as 50Mi")
        unit = found[2] or ""
        size = int(float(found[1]) * float(1024 if unit.endswith("i") else 1000) ** _QUANTITY_BASES[unit[:1]])
        if not 0 < size < 2**32:
            raise Unfit(f"{self.at(name)} {value!r} is out of range")
        return size

    def hostname(self, name: str, *, wildcard: bool = False) -> str:
        """The name of a host, in small letters; with ``wildcard`` it may begin with ``*.``."""
        return checked_hostname(self.text(name), self.at(name), wildcard=wildcard)

    def header_name(self, name: str = "name") -> str:
        """A header's name, in small letters: HTTP does not tell them from capitals."""
        value = self.text(name)
        if not _HEADER_NAME.fullmatch(value):
            raise Unfit(f"{self.at(name)} {value!r} is not the name of a header")
        return value.lower()

    def header_names(self, name: str) -> list[str]:
        """A list of headers' names, in small letters."""
        return [
            Node({"item": value}, f"{self.at(name)}[{at}]").header_name("item")
            for at, value in enumerate(self.texts(name))
        ]

    def header_value(self, name: str = "value") -> str:
        value = self.text(name)
        if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
            raise Unfit(f"{self.at(name)} holds what cannot be in a header")
        return value

    def regex(self, name: str) -> str:
        """A regular expression in RE2's syntax, which is Envoy's. One that Envoy refused would hold up every update."""
        value = self.text(name)
        if not value:
            raise Unfit(f"{self.at(name)} is empty")
        try:
            import re2
        except ImportError:
            raise Unsupported(
                f"{self.at(name)}: regular expressions need the package google-re2 (pip install 'modeldeck[local]')"
            ) from None
        options = re2.Options()
        options.log_errors = False
        try:
            re2.compile(value, options)
        except re2.error as problem:
            reason = problem.args[0] if problem.args else ""
            reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise Unfit(f"{self.at(name)} {value!r} is not a regular expression of RE2: {reason}") from None
        return value

    def _value(self, name: str, default: Any) -> Any:
        value = self._fields.get(name)
        if value is None:
            if default is _MISSING:
                raise Unfit(f"{self.at(name)} is missing")
            return default
        return value

    def _list(self, name: str) -> Sequence[Any]:
        value = self._fields.get(name)
        if value is None:
            return ()
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise Unfit(f"{self.at(name)} is not a list")
        return value


@contextmanager
def readable() -> Iterator[None]:
    """What a broken object does to whoever reads it is a sentence too."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise Unfit(f"an object that it refers to cannot be read ({type(problem).__name__}: {problem})") from None


def envoy_duration(seconds: float) -> str:
    """google.protobuf.Duration as JSON."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def checked_hostname(value: str, where: str, *, wildcard: bool = False) -> str:
    """A name that a Host header could have: anything else would make Envoy refuse all routes."""
    text = value.lower()
    if not _HOSTNAME.fullmatch(text.removeprefix("*.") if wildcard else text) or len(text) > _LONGEST_HOSTNAME:
        raise Unfit(f"{where} {value!r} is not the name of a host")
    return text


def _is_unicode(text: str) -> bool:
    """JSON can spell halves of characters; nothing that is written as UTF-8 can hold them."""
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def spec_of(one: Mapping[str, Any]) -> Node:
    return Node(one.get("spec"))


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 65535


def selects(selector: Node, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches (meta/v1: all conditions hold; an empty one matches everything)."""
    wanted = selector.raw("matchLabels") or {}
    if not isinstance(wanted, Mapping):
        raise Unfit(f"{selector.at('matchLabels')} is not an object")
    if any(labels.get(str(name)) != value for name, value in wanted.items()):
        return False
    for expression in selector.nodes("matchExpressions"):
        expression.only("key", "operator", "values")
        label = labels.get(expression.text("key"))
        operator = expression.choice("operator", ("In", "NotIn", "Exists", "DoesNotExist"))
        values = expression.texts("values")
        holds = {
            "In": label is not None and label in values,
            "NotIn": label is None or label not in values,
            "Exists": label is not None,
            "DoesNotExist": label is None,
        }[operator]
        if not holds:
            return False
    return True
