"""A process that takes an action and gets SIGKILL at one of its steps: ``python -m tests.support.killed …``.

Arguments: the configuration, the number of the step, ``before`` or ``after`` it, the action, its values as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from console import steps
from console.actions import REGISTRY
from console.actions.perform import perform
from console.config import load_profile
from console.services import Services
from tests.support.stack import ADMIN


async def act(config: Path, number: int, moment: str, action: str, values: dict[str, Any]) -> None:
    real = steps._Lazy.take
    begun = 0

    async def take(self: Any, arguments: Any, undo: Any, operation: str) -> str:
        nonlocal begun
        here, begun = begun == number, begun + 1
        if here and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        detail = await real(self, arguments, undo, operation)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return detail

    steps._Lazy.take = take  # type: ignore[method-assign]
    async with Services(load_profile(config=config, profile="local")) as services:
        await perform(services, REGISTRY[action], values, ADMIN, confirmed="yes")


if __name__ == "__main__":
    config, number, moment, action, values = sys.argv[1:]
    asyncio.run(act(Path(config), int(number), moment, action, json.loads(values)))
