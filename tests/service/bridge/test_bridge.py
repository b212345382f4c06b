"""The bridge, with a real Valkey and a real database: asked from one loop, served on another."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from console.bridge import Bridge
from console.bridge.threading import LoopThread
from console.config import Profile
from console.local.valkey import Valkey
from console.outcome import Ending, Refusal
from tests.support.profiles import profile_for
from tests.support.waiting import until


@dataclass
class Watched:
    bridge: Bridge
    knocks: list[str] = field(default_factory=list)


@pytest.fixture
async def watched(valkey: Valkey, tmp_path: Path) -> AsyncIterator[Watched]:
    profile = profile_for(tmp_path, valkey)
    found = Watched(Bridge(lambda: profile, lambda: found.knocks.append(threading.current_thread().name)))
    await found.bridge.open()
    yield found
    await asyncio.to_thread(found.bridge.close)


async def test_services_work_in_a_thread_of_their_own_and_knock_on_the_loop_that_asked(watched: Watched) -> None:
    outcome = await watched.bridge.ask("keys.list")
    assert outcome.ending is Ending.DONE
    await until(lambda: watched.knocks)
    assert set(watched.knocks) == {threading.current_thread().name}


async def test_a_job_tells_its_progress_and_its_end(watched: Watched) -> None:
    heard: list[bool] = []
    job = watched.bridge.begin(
        "keys.create", {"name": "chat", "tenant": "acme"}, heard=lambda job: heard.append(job.running)
    )
    assert job.running
    outcome = await job.wait()
    # No gateway worker reports to this Valkey: nothing is called proven.
    assert outcome.ending is Ending.PENDING
    assert outcome.revealed is not None
    assert job.progress
    assert heard[-1] is False
    assert watched.bridge.running == []
    assert "Issue a key chat" in job.title


async def test_the_feed_is_followed_from_the_start(watched: Watched) -> None:
    live = watched.bridge.live
    await until(lambda: live.link is not None and live.link.state == "live")
    await watched.bridge.begin("keys.create", {"name": "chat", "tenant": "acme"}).wait()
    event = await until(lambda: next((item for _, item in live.events.since(0) if item.prefix == "api_key"), None))
    assert event.actor is not None
    assert sum(sum(counts.values()) for counts in live.rates(time.time() + 2)) >= 1


async def test_a_refusal_is_an_outcome_and_not_an_error(watched: Watched) -> None:
    outcome = await watched.bridge.ask("keys.show", {"key": "nothing"})
    assert outcome.ending is Ending.REFUSED


async def test_a_lost_server_is_an_outcome_too(watched: Watched, valkey: Valkey) -> None:
    await until(lambda: watched.bridge.live.link is not None and watched.bridge.live.link.state == "live")
    await valkey.stop()
    await until(lambda: watched.bridge.live.link is not None and watched.bridge.live.link.state == "lost")
    outcome = await watched.bridge.begin("keys.create", {"name": "chat", "tenant": "acme"}).wait()
    assert outcome.ending is Ending.FAILED
    assert "Redis" in outcome.summary
    await valkey.start()
    await until(lambda: watched.bridge.live.link is not None and watched.bridge.live.link.state == "live")


async def test_a_server_that_comes_late_is_waited_for(valkey: Valkey, tmp_path: Path) -> None:
    profile = profile_for(tmp_path, valkey)
    await valkey.stop()
    bridge = Bridge(lambda: profile, lambda: None)
    await bridge.open()
    await until(lambda: "Redis" in bridge.live.problem)
    await valkey.start()
    await until(lambda: bridge.live.link is not None and bridge.live.link.state == "live")
    assert bridge.live.problem == ""
    await asyncio.to_thread(bridge.close)


async def test_a_protected_profile_writes_only_while_armed(valkey: Valkey, tmp_path: Path) -> None:
    profile = profile_for(tmp_path, valkey).model_copy(update={"protected": True, "name": "prod"})
    bridge = Bridge(lambda: profile, lambda: None)
    await bridge.open()
    try:
        assert bridge.armed_seconds == 0
        why = await bridge.why_not("keys.create")
        assert why is not None
        assert "armed" in why
        refused = await bridge.begin("keys.create", {"name": "chat", "tenant": "acme"}).wait()
        assert (refused.ending, refused.code) == (Ending.REFUSED, "FORBIDDEN")
        bridge.arm()
        assert bridge.armed_seconds
        assert await bridge.why_not("keys.create") is None
        done = await bridge.begin("keys.create", {"name": "chat", "tenant": "acme"}).wait()
        assert done.ending is Ending.PENDING
        bridge.disarm()
        assert await bridge.why_not("keys.create") is not None
    finally:
        await asyncio.to_thread(bridge.close)


async def test_a_job_that_is_cancelled_ends_as_cancelled(watched: Watched) -> None:
    job = watched.bridge.begin("feed")
    await until(lambda: job.stoppable)
    job.cancel()
    assert job.cancelling
    outcome = await job.wait()
    assert outcome.ending is Ending.CANCELLED


async def test_closing_ends_what_runs_and_refuses_what_comes(watched: Watched) -> None:
    job = watched.bridge.begin("feed")
    await until(lambda: job.stoppable)
    assert await asyncio.to_thread(watched.bridge.close)
    await until(lambda: not job.running)
    assert (await watched.bridge.ask("status")).code == "CLOSING"
    assert (await watched.bridge.begin("status").wait()).code == "CLOSING"


async def test_a_profile_that_is_not_there_is_said_before_anything_starts() -> None:
    def missing() -> Profile:
        raise Refusal("there is no such profile", code="NO_PROFILE")

    bridge = Bridge(missing, lambda: None)
    with pytest.raises(Refusal, match="no such profile"):
        await bridge.open()
    assert (await bridge.ask("status")).code == "CLOSING"
    await asyncio.to_thread(bridge.close)


def test_stopping_cancels_what_was_asked_and_leaves_a_library_to_its_own_close() -> None:
    thread = LoopThread("stopped")
    thread.start()
    endings: list[str] = []
    closing = threading.Event()

    async def library() -> None:
        while not closing.is_set():
            await asyncio.sleep(0.001)
        endings.append("library")

    async def asked() -> None:
        asyncio.get_running_loop().kept = asyncio.create_task(library())  # type: ignore[attr-defined]
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            endings.append("asked")
            raise

    async def last() -> None:
        closing.set()
        await asyncio.get_running_loop().kept  # type: ignore[attr-defined]

    thread.submit(asked())
    assert thread.stop(5, last)
    assert endings == ["asked", "library"]


def test_what_does_not_end_keeps_nobody_from_leaving() -> None:
    thread = LoopThread("stubborn")
    thread.start()
    done = threading.Event()

    async def stubborn() -> None:
        while not done.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    async def last() -> None:
        done.set()
        await asyncio.sleep(0.1)

    thread.submit(stubborn())
    thread.stop(1, last)
    assert done.is_set()
