"""What the scripted console is told has the shape of what the services say."""

from __future__ import annotations

from typing import Any

import pytest

from console.outcome import Outcome
from tests.support import world
from tests.support.stack import MODEL, Running
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


_FREE = ("facts", "detail", "items", "denials")
"""Whose names are not fixed."""


def shape(data: Any) -> Any:
    """Names, without the values; of a list, those of its first row."""
    if isinstance(data, dict):
        return {name: ... if name in _FREE else shape(value) for name, value in data.items()}
    if isinstance(data, list | tuple) and data and isinstance(data[0], dict):
        return [shape(data[0])]
    return ...


async def test_the_script_has_the_shapes_of_the_services(stack: Running) -> None:
    await stack.publish()
    await stack.key("chat")

    async def counted() -> bool:
        return bool((await stack.do("usage")).data["rows"])

    await until(counted, within=15, what="the probe of the publication is counted")
    asked: dict[str, dict[str, Any]] = {
        "overview": {},
        "status": {},
        "published": {},
        "tenants.list": {},
        "keys.list": {},
        "keys.show": {"key": "chat"},
        "sync.status": {},
        "sync.schedule": {},
        "sync.providers": {},
        "audit": {},
        "models.show": {"model": MODEL},
        "models.compare": {"model": MODEL},
        "access.status": {},
        "usage": {},
    }
    script = world.world().answers
    for action, values in asked.items():
        real = (await stack.do(action, **values)).data
        answer = script[action]
        scripted = answer if isinstance(answer, Outcome) else answer({"key": "chat", "model": MODEL})  # type: ignore[operator]
        assert shape(scripted.data) == shape(real), action
