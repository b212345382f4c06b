"""A rotation's two valid states, whatever happens at whichever step; its timeline; no third generation."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest

from console.access.decision import Allowed, Denied
from console.operations.journal import LEASE, Journal
from console.operations.recovery import recover_once
from console.operations.runner import Runner
from console.outcome import Ending, Failure
from console.steps import StepKinds
from tests.service.keys.test_keys import Bench, bench, text_of
from tests.support.stack import Killed, fault_at

__all__ = ["bench"]

STEPS = {"rotate with a grace": 5, "rotate at once": 5, "finish": 3, "extend": 3, "withdraw": 5}
ACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "rotate with a grace": ("keys.rotate", {"grace": "300s"}),
    "rotate at once": ("keys.rotate", {"grace": "0"}),
    "finish": ("keys.finish", {}),
    "extend": ("keys.extend", {"grace": "1h"}),
    "withdraw": ("keys.withdraw", {}),
}


async def recover(bench: Bench) -> None:
    journal = Journal(await bench.services.store(), clock=lambda: datetime.now(UTC) + LEASE * 2)
    await recover_once(journal, Runner(journal, StepKinds(bench.services)))


async def works(bench: Bench, name: str, texts: list[str]) -> tuple[list[bool], int]:
    """Which texts the gateway takes once its view is as new as Redis, and how many generations the book says live."""
    redis = await bench.services.redis()
    epoch = int(await redis.get("modeldeck:epoch") or 0)
    async with asyncio.timeout(60):
        while bench.mirror.snapshot.epoch < epoch:
            await asyncio.sleep(0.005)
    shown = (await bench.do("keys.show", key=name)).data
    living = [one for one in shown["generations"] if one["revoked_at"] is None]
    return [isinstance(bench.decide(text), Allowed) for text in texts], len(living)


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["one fault", "each fault"])
async def test_every_crash_point_recovers_to_one_of_two_valid_states(
    bench: Bench, capsys: pytest.CaptureFixture[str], every: bool
) -> None:
    """At each point the one fault or the other in turn, or both."""
    cases, faults = 0, (Failure("the network is down", code="NETWORK"), Killed())
    for what, steps in STEPS.items():
        action, values = ACTIONS[what]
        for number in range(steps):
            for moment in ("before", "after"):
                for fault in faults if every else (faults[(number + (moment == "after")) % 2],):
                    name = f"k{cases}"
                    texts = [await bench.create(name)]
                    if not what.startswith("rotate"):
                        texts.append(text_of(await bench.do("keys.rotate", key=name)))
                    with fault_at(number, moment, fault) as begun, contextlib.suppress(Killed):
                        outcome = await bench.do(action, key=name, **values)
                        assert outcome.revealed is None, "a text that may not work is not shown"
                    assert len(begun) > number
                    await recover(bench)
                    found = await works(bench, name, texts)
                    # Rotations and extensions are undone, ends are finished: never anything between.
                    valid = {
                        "rotate with a grace": ([True], 1),
                        "rotate at once": ([True], 1),
                        "finish": ([False, True], 1),
                        "extend": ([True, True], 2),
                        "withdraw": ([True, False], 1),
                    }[what]
                    assert found == valid, (what, number, moment, fault)
                    await bench.do("keys.revoke", key=name)
                    cases += 1
        with fault_at(-1, "before", None) as begun:
            name = f"whole-{what}".replace(" ", "-")
            await bench.create(name)
            if not what.startswith("rotate"):
                await bench.do("keys.rotate", key=name)
            begun.clear()
            assert (await bench.do(action, key=name, **values)).ending is Ending.DONE
        assert len(begun) == steps, what
    with capsys.disabled():
        print(f"\n{cases} crash points of key operations, each recovered to a valid state")


async def test_a_rotation_tells_its_timeline(bench: Bench) -> None:
    await bench.create()
    outcome = await bench.do("keys.rotate", key="chat", grace="300s")
    assert "generation 1 still accepted by its entry" in outcome.proof
    told = (await bench.do("keys.show", key="chat")).data["timeline"]
    rotated = [event["detail"] for event in told if event["what"] == "rotate"]
    assert rotated[0].startswith("in effect at 1 of 1 gateway workers after")
    assert "gateway did not answer" in rotated[1], "there is none here, and that is said"
    (draining,) = [event["detail"] for event in told if event["what"] == "draining"]
    assert draining.startswith("generation 1 for ")
    assert draining.endswith("never used")
    outcome = await bench.do("keys.finish", key="chat")
    assert "generation 1 refused by its entry (401)" in outcome.proof
    told = (await bench.do("keys.show", key="chat")).data["timeline"]
    assert [event["what"] for event in told if event["detail"] == "generation 1"] == ["issued", "ended"]
    assert [event for event in told if event["what"] == "draining"] == []
    assert {event["by"] for event in told if event["what"] == "finish"} == {"op@10.0.0.1"}
    assert [event["at"] for event in told] == sorted(event["at"] for event in told)


async def test_a_repeated_rotation_never_makes_a_third_text(bench: Bench) -> None:
    await bench.create()
    outcomes = await asyncio.gather(*(bench.do("keys.rotate", key="chat") for _ in range(4)))
    assert [one.ending for one in outcomes].count(Ending.DONE) == 1
    again = await bench.do("keys.rotate", key="chat")
    assert (again.code, again.revealed) == ("ROTATION_UNDER_WAY", None)
    assert "keys finish" in again.then
    assert "keys extend" in again.then
    await recover(bench)
    shown = (await bench.do("keys.show", key="chat")).data
    assert [one["generation"] for one in shown["generations"]] == [1, 2]


async def test_a_grace_is_extended_and_shortened(bench: Bench) -> None:
    old = await bench.create()
    assert (await bench.do("keys.extend", key="chat", grace="1h")).code == "KEY_NOT_ROTATING"
    await bench.do("keys.rotate", key="chat", grace="60s")
    assert (await bench.do("keys.extend", key="chat", grace="1h")).ending is Ending.DONE
    now = datetime.now(UTC).timestamp()
    assert isinstance(bench.decide(old, now=now + 3500), Allowed)
    assert (await bench.do("keys.extend", key="chat", grace="0")).code == "INVALID_PARAMETER"
    await bench.do("keys.extend", key="chat", grace="10s")
    assert isinstance(bench.decide(old, now=now + 60), Denied)
