"""What a handler is given: one action, permitted, with checked values and the services to do it with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from console.guard import Permit, Principal
from console.outcome import Outcome

if TYPE_CHECKING:
    from console.services import Services


def _nobody(_: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Call:
    """One action being performed.

    values   the parameters by name, checked and converted (console/actions/parameters.py)
    emit     takes progress and, for an action that streams, its events; any face may listen
    """

    services: Services
    permit: Permit
    values: Mapping[str, Any]
    emit: Callable[[Any], None] = field(default=_nobody)

    @property
    def principal(self) -> Principal:
        return self.permit.principal

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


Handler = Callable[[Call], Awaitable[Outcome]]
