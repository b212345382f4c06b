"""The sample providers beside the tests, on a loop of their own: starting a server takes longer than most tests."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

from console.local.samples.providers import SampleProviders


@contextlib.contextmanager
def samples_in_a_thread(token: str) -> Iterator[SampleProviders]:
    """Sample providers while the block lasts. Faults, edits and `seen` may be used from the test's thread."""
    started: Future[tuple[SampleProviders, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        ended = asyncio.Event()
        servers = SampleProviders(token=token)
        await servers.start()
        started.set_result((servers, asyncio.get_running_loop(), ended))
        await ended.wait()
        await servers.stop()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as problem:
            if not started.done():
                started.set_exception(problem)
            raise

    thread = threading.Thread(target=run, name="sample providers", daemon=True)
    thread.start()
    servers, loop, ended = started.result(timeout=30)
    try:
        yield servers
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(timeout=30)
