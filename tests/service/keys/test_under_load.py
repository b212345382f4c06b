"""A rotation every second while clients go on asking through Envoy: no key that works is refused, none that does not
is let through for longer than a second.

A few seconds in the suite; ten minutes with the mark ``soak`` (SOAK_SECONDS says otherwise).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from console.outcome import Ending
from tests.support.stack import TWO_PROVIDERS, Running, running_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENTS = 4
STILL_SECONDS = 1.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_stack(tmp_path_factory.mktemp("load"), synced=TWO_PROVIDERS) as running:
        yield running


@dataclass
class Texts:
    """What clients present: the texts that work, and those that ended, with when (seconds of the monotonic clock).

    steady  a key that nothing happens to, for the time in which the other one is between two texts
    """

    steady: str
    working: list[str] = field(default_factory=list)
    ended: list[tuple[str, float]] = field(default_factory=list)
    refused_late: int = 0
    false_refusals: list[int] = field(default_factory=list)
    accepted_late: list[float] = field(default_factory=list)
    slowest_end: float = 0.0


async def client(stack: Running, texts: Texts, stop: asyncio.Event) -> None:
    turn = 0
    while not stop.is_set():
        turn += 1
        if turn % 3 == 0 and texts.ended:
            text, ended = texts.ended[turn % len(texts.ended)]
            begun = time.monotonic()
            status = await ask(stack, text)
            if status == 200:
                texts.slowest_end = max(texts.slowest_end, begun - ended)
                if begun - ended > STILL_SECONDS:
                    texts.accepted_late.append(begun - ended)
            else:
                texts.refused_late += 1
            continue
        text = texts.working[turn % len(texts.working)]
        status = await ask(stack, text)
        # It may have ended while it was asked: what counts is what is still said to work.
        if status != 200 and text in texts.working:
            texts.false_refusals.append(status)


async def ask(stack: Running, text: str) -> int:
    answer = await stack.client.get("/v1/models", headers={"authorization": f"Bearer {text}"})
    return answer.status_code


async def rotate_once(stack: Running, texts: Texts, *, at_once: bool) -> None:
    """Rotate; the old text ends at once, or with the grace, which is ended by hand half a second later."""
    (old,) = texts.working
    if at_once:
        # From the moment that it is asked for, nobody may count on the old text; afterwards nobody may use it.
        texts.working[:] = [texts.steady]
    outcome = await stack.do("keys.rotate", key="chat", grace="0" if at_once else "60s")
    assert outcome.ending is Ending.DONE, outcome
    assert outcome.revealed is not None
    new = outcome.revealed.take() or ""
    texts.working[:] = [new] if at_once else [old, new]
    if not at_once:
        await asyncio.sleep(0.4)
        texts.working.remove(old)
        assert (await stack.do("keys.finish", key="chat")).ending is Ending.DONE
    texts.ended.append((old, time.monotonic()))
    del texts.ended[:-20]


@pytest.mark.parametrize(
    "seconds", [4, pytest.param(int(os.environ.get("SOAK_SECONDS", "600")), marks=pytest.mark.soak)]
)
async def test_no_false_refusal_and_no_late_acceptance_while_keys_rotate(
    stack: Running, seconds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    texts, stop = Texts(await stack.key(f"steady-{seconds}")), asyncio.Event()
    texts.working.append(await stack.key("chat"))
    clients = [asyncio.create_task(client(stack, texts, stop)) for _ in range(CLIENTS)]

    async def counted() -> None:
        while not stop.is_set():
            before = len(texts.false_refusals)
            await asyncio.sleep(0.05)
            assert len(texts.false_refusals) == before, texts.false_refusals[-3:]

    watcher = asyncio.create_task(counted())
    began, rotations = time.monotonic(), 0
    try:
        while time.monotonic() - began < seconds:
            begun = time.monotonic()
            await rotate_once(stack, texts, at_once=rotations % 2 == 1)
            rotations += 1
            assert not watcher.done(), "a key that works was refused"
            await asyncio.sleep(max(0.0, 1 - (time.monotonic() - begun)))
    finally:
        stop.set()
        ended = await asyncio.gather(*clients, return_exceptions=True)
        watcher.cancel()
    assert [problem for problem in ended if problem is not None] == []
    assert texts.false_refusals == []
    assert texts.accepted_late == []
    assert texts.refused_late > 0
    await stack.do("keys.revoke", key="chat")
    with capsys.disabled():
        late = f"{texts.slowest_end * 1000:.0f} ms" if texts.slowest_end else "at no time"
        print(
            f"\n{rotations} rotations in {seconds} s under load: no false refusal; {texts.refused_late} requests with "
            f"ended texts refused; the latest one accepted {late} after its end"
        )
