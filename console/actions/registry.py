"""Everything that an operator can do, declared once.

The CLI, the HTTP API, the command palette, the help and the key bindings all read this registry; the handler is an
import string, so that reading it costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from console.call import Handler
from console.guard import Danger, Principal, Role

if TYPE_CHECKING:
    from console.services import Services


class Kind(StrEnum):
    """What a parameter's text means."""

    TEXT = "text"
    INTEGER = "integer"
    DURATION = "duration"
    FLAG = "flag"
    CHOICE = "choice"
    FILE = "file"
    DOCUMENT = "document"
    """The text in a file: the command line and a form name the file, the HTTP API takes the text."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an action.

    positional   given by place on the command line; else as ``--name``
    short        one letter that the command line takes as well: ``-f``
    many         may be given several times; its value is a tuple
    """

    name: str
    help: str
    kind: Kind = Kind.TEXT
    positional: bool = False
    required: bool = False
    many: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    short: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an action's result, for people: heading, and the field of each row.

    priority  on a narrow terminal the columns with the lowest are left out; equal ones from the right
    """

    heading: str
    field: str
    right: bool = False
    priority: int = 1


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done.

    id        ``keys.rotate``: the command ``modeldeck keys rotate``, and the id of its key binding
    handler   ``package.module:function``
    target    the parameter that names what it is done to
    streams   it emits events until it is stopped
    tenant_of ``package.module:function`` that finds the tenant of the target, where no parameter names one
    called    ``package.module:function`` that says what the target is called, for a question: its name and its id
    """

    id: str
    title: str
    handler: str
    parameters: tuple[Parameter, ...] = ()
    role: Role = Role.VIEWER
    danger: Danger = Danger.READ
    target: str | None = None
    columns: tuple[Column, ...] = ()
    streams: bool = False
    details: str = ""
    tenant_of: str | None = None
    called: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.id.split("."))

    def load(self) -> Handler:
        return cast("Handler", _imported(self.handler))

    def load_tenant_of(self) -> OfTarget | None:
        return cast("OfTarget", _imported(self.tenant_of)) if self.tenant_of is not None else None

    def load_called(self) -> OfTarget | None:
        return cast("OfTarget", _imported(self.called)) if self.called is not None else None


OfTarget = Callable[["Services", Principal, str], Awaitable[str | None]]
"""From the target that an operator named to its tenant, or to what it is called; None where that is not known."""


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Registry:
    """The actions by id, in the order of their declaration."""

    def __init__(self, *groups: tuple[Action, ...]) -> None:
        self._actions: dict[str, Action] = {}
        for group in groups:
            for action in group:
                if action.id in self._actions:
                    raise ValueError(f"two actions are called {action.id}")
                self._actions[action.id] = action

    def __getitem__(self, identifier: str) -> Action:
        return self._actions[identifier]

    def __iter__(self) -> Iterator[Action]:
        return iter(self._actions.values())

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._actions
