"""What a form asks for, without any widget: fields, their kinds, and what is wrong with a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

Check = Callable[[str], str | None]
"""From what was typed to a sentence that says what is wrong; None where nothing is."""


class FieldKind(StrEnum):
    """What a field holds, and so how it is filled in. The words are those of console/actions (Kind), and two more."""

    TEXT = "text"
    INTEGER = "integer"
    DURATION = "duration"
    FLAG = "flag"
    CHOICE = "choice"
    FILE = "file"
    SELECT = "select"
    """One of many, found by typing."""
    SEVERAL = "several"
    """Some of a few."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field to be made.

    default   as text; for ``several`` words with commas between, for ``flag`` yes or no
    check     beyond what the kind asks for
    unit      stands behind the control: ``rpm``, ``tok/h``
    more      seldom needed: out of sight until the form is asked for more
    """

    name: str
    label: str
    kind: FieldKind = FieldKind.TEXT
    help: str = ""
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    check: Check | None = None
    placeholder: str = ""
    unit: str = ""
    more: bool = False


class ParameterLike(Protocol):
    """What is needed of a parameter of console/actions/registry.py."""

    @property
    def name(self) -> str: ...
    @property
    def help(self) -> str: ...
    @property
    def kind(self) -> Any: ...
    @property
    def required(self) -> bool: ...
    @property
    def many(self) -> bool: ...
    @property
    def default(self) -> Any: ...
    @property
    def choices(self) -> tuple[str, ...]: ...
    @property
    def minimum(self) -> int | None: ...


_FEW = 5  # choices that are shown at once; more are found by typing


def specs_of(parameters: Iterable[ParameterLike]) -> tuple[FieldSpec, ...]:
    """Fields for the parameters of an action, in their order."""
    specs = []
    for parameter in parameters:
        kind = FieldKind.FILE if str(parameter.kind) == "document" else FieldKind(str(parameter.kind))
        if kind is FieldKind.CHOICE and parameter.many:
            kind = FieldKind.SEVERAL
        elif kind is FieldKind.CHOICE and len(parameter.choices) > _FEW:
            kind = FieldKind.SELECT
        specs.append(
            FieldSpec(
                name=parameter.name,
                label=parameter.name.replace("_", " "),
                kind=kind,
                help=parameter.help,
                required=parameter.required,
                default=_as_text(parameter.default),
                choices=tuple(parameter.choices),
                minimum=parameter.minimum,
            )
        )
    return tuple(specs)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list | frozenset | set):
        return ",".join(str(item) for item in value)
    return str(value)


_DURATION = re.compile(r"(\d{1,9}[smhd])+|\d{1,9}", re.IGNORECASE)


def problem_with(spec: FieldSpec, text: str) -> str | None:
    """What is wrong with this text in this field; None where it will do."""
    text = text.strip()
    if not text:
        return f"{spec.label} is needed" if spec.required else None
    if spec.kind is FieldKind.INTEGER:
        if problem := _number_problem(spec, text):
            return problem
    elif spec.kind is FieldKind.DURATION and not _DURATION.fullmatch(text):
        return "a duration such as 90s, 15m or 7d"
    elif spec.kind in (FieldKind.CHOICE, FieldKind.SELECT) and text not in spec.choices:
        return "not one of those to choose from"
    return spec.check(text) if spec.check else None


def _number_problem(spec: FieldSpec, text: str) -> str | None:
    try:
        number = int(text)
    except ValueError:
        return "a whole number"
    if spec.minimum is not None and number < spec.minimum:
        return f"at least {spec.minimum:,}"
    if spec.maximum is not None and number > spec.maximum:
        return f"at most {spec.maximum:,}"
    return None
