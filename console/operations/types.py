"""What an operation is: steps that are written down before they are taken, each with its undo."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

RUN = "run"
"""In the arguments of an operation's first step: the id of the run of several that began it."""
UNDOES = "undoes"
"""In the same place: the id of the run that it takes back."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Rows to be written as JSON lines, one to a line; for a program that asks for JSON, the rows."""

    rows: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return "\n".join(json.dumps(row, default=str) for row in self.rows)

    def as_json(self) -> list[dict[str, Any]]:
        return self.rows


class OperationState(StrEnum):
    RUNNING = "running"
    UNDOING = "undoing"
    DONE = "done"
    FAILED = "failed"
    """Tried and undone: nothing is left."""
    CANCELLED = "cancelled"
    STUCK = "stuck"
    """What had to be undone, or finished, could not be; recovery keeps trying."""

    @property
    def over(self) -> bool:
        return self in (OperationState.DONE, OperationState.FAILED, OperationState.CANCELLED)


class StepState(StrEnum):
    WAITING = "waiting"
    TAKING = "taking"
    TAKEN = "taken"
    LEFT = "left"
    """Tried and not done, and that holds nothing up: it is made good later."""
    UNDONE = "undone"
    FAILED = "failed"


class Left(str):
    """What `StepKind.take` returns of a step that it left undone: why, as an operator reads it."""


class Recovery(StrEnum):
    """What becomes of an operation that lost its owner."""

    UNDO = "undo"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Step:
    """One step to take: what kind (a `StepKind` by name), with which arguments (JSON, never a secret)."""

    kind: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NewOperation:
    """An operation to begin. ``kind`` is the action's id; ``target`` what it is done to."""

    kind: str
    target: str
    tenant: str | None
    actor: str
    steps: tuple[Step, ...]
    recovery: Recovery = Recovery.UNDO
    still: Callable[[Any], Awaitable[None]] | None = None
    """Asked with the connection of the transaction that begins it, when nobody else is at work on the target: raises a
    Refusal where what the steps were planned on has changed since."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step as the journal has it. ``undo`` is what was there before; None until the step is prepared."""

    seq: int
    kind: str
    name: str
    arguments: Mapping[str, Any]
    undo: Mapping[str, Any] | None
    state: StepState
    detail: str
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """An operation as the journal has it. It is interrupted when it is not over and its lease has run out."""

    id: str
    kind: str
    target: str
    tenant: str | None
    actor: str
    state: OperationState
    recovery: Recovery
    owner: str | None
    lease_until: datetime | None
    created_at: datetime
    ended_at: datetime | None
    summary: str
    steps: tuple[StepRecord, ...] = ()

    def noted(self, name: str) -> str | None:
        """`RUN` or `UNDOES`; None where the operation is part of no run."""
        return self.steps[0].arguments.get(name) if self.steps else None

    def interrupted(self, now: datetime) -> bool:
        return not self.state.over and (self.lease_until is None or self.lease_until <= now)

    def shown_state(self, now: datetime) -> str:
        return "interrupted" if self.interrupted(now) else self.state.value


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running operation reports: a step began, ended, failed or was undone. ``seconds`` since it began."""

    operation: str
    seq: int
    total: int
    name: str
    state: StepState
    seconds: float
    detail: str = ""


class StepKind(Protocol):
    """How one kind of step is taken and undone. All three must be safe to repeat.

    `prepare` reads what is there now and returns what `undo` will need (JSON, never a secret); it changes nothing.
    `take` does it, and returns what was observed, or `Left`. `undo` puts back what `prepare` found, as far as it is
    still ours.
    """

    async def prepare(self, arguments: Mapping[str, Any], operation: str) -> dict[str, Any]: ...
    async def take(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str: ...
    async def undo(self, arguments: Mapping[str, Any], undo: Mapping[str, Any], operation: str) -> str: ...
