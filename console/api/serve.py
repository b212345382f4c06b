"""``modeldeck api``: the HTTP API beside a real gateway, with the schedule and recovery that belong to it."""

from __future__ import annotations

import asyncio
import signal

from console.api.app import create_app
from console.config import Profile
from console.operations.recovery import recover_forever
from console.publishing.following import follow
from console.services import Services
from console.serving import Serving
from console.sync.service import look_after
from console.terminal.text import narrate


async def serve_forever(profile: Profile, *, host: str, port: int) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Raises:
        OSError: the address cannot be had.
        Unavailable: the database cannot be opened.
    """
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with Services(profile) as services:
        journal, runner = await services.journal(), await services.runner()
        serving = Serving(create_app(services), host=host, port=port)
        await serving.start()
        duties = [
            asyncio.create_task(duty)
            for duty in (recover_forever(journal, runner), look_after(services), follow(services))
        ]
        narrate(f"profile {profile.name}: listening on {serving.url}")
        try:
            await stopping.wait()
        finally:
            await serving.stop()
            for duty in duties:
                duty.cancel()
            await asyncio.gather(*duties, return_exceptions=True)
    return 0
