"""Several at once by keys: what is marked is published, changed or unpublished together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.outcome import Ending, Item, Outcome
from tests.support import world
from tests.support.console import Play, scripted, settled, shows
from tests.support.waiting import until
from tests.support.world.publications import REMOVAL

NAMES = tuple(sorted(row["name"] for row in world.PUBLISHED))
PARTLY = Outcome(
    Ending.PARTIAL,
    "1 of 3 unpublished",
    items=(Item(NAMES[0], "done"), *(Item(name, "failed", "the network is down") for name in NAMES[1:])),
)


def unpublishing(values: Mapping[str, Any]) -> Outcome:
    return Outcome(Ending.DONE, REMOVAL.title, data=REMOVAL) if values.get("plan") else PARTLY


async def test_the_marked_ones_are_unpublished_after_a_look_at_the_plan() -> None:
    script = world.world()
    script.answers["publications.unpublish"] = unpublishing
    app = scripted(script)
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(app)
        await pilot.press("4")
        await shows(app, NAMES[0])
        await pilot.press("A", "D")
        await shows(app, REMOVAL.title)
        await settled(app)
        await pilot.press("ctrl+s")
        await shows(app, "Unpublish several models")
        await settled(app)
        await pilot.press("y")
        await shows(app, "1 of 3 unpublished")
        assert app.screen.marked == NAMES[1:]  # type: ignore[attr-defined]
        await pilot.press("grave_accent", "enter")
        await shows(app, "partial: 1 of 3 unpublished", f"failed     {NAMES[1]}", "the network is down")
    job = app.bridge.jobs[-1]
    assert (job.action.id, job.values["name"]) == ("publications.unpublish", NAMES)


async def test_what_was_published_together_is_marked_no_more() -> None:
    outcome = Outcome(
        Ending.PARTIAL,
        "1 of 2 published (1 done, 1 refused)",
        items=(Item(world.MODELS[0].native_id.rpartition("/")[2], "done"), Item("another", "refused", "no")),
    )
    app = scripted(world.world(plays={"publications.publish": Play(outcome=outcome)}))
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(app)
        await pilot.press("2")
        await shows(app, "models")
        app.screen.table.set_marks([world.MODELS[0].id, world.MODELS[1].id])  # type: ignore[attr-defined]
        await pilot.press("p")
        await shows(app, "Publish several models: 2: ")
        await settled(app)
        await pilot.press("ctrl+s")
        await shows(app, "tenant is needed")
        await pilot.press(*"acme", "enter", "ctrl+s")
        await shows(app, "1 of 2 published")
        assert app.screen.table.marks == frozenset([world.MODELS[1].id])  # type: ignore[attr-defined]
    job = app.bridge.jobs[-1]
    references = sorted(f"{row.provider}/{row.native_id}" for row in world.MODELS[:2])
    assert (job.action.id, list(job.values["model"])) == ("publications.publish", references)
    assert job.values["tenant"] == "acme"


async def test_a_look_at_a_plan_that_takes_long_leaves_the_jobs_when_it_is_over() -> None:
    """Nobody hears of its end but the clock."""
    app = scripted(world.world(plays={"publications.repair": Play()}))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app)
        await pilot.press("4", "d")
        await until(lambda: app.bridge.jobs)
        (job,) = app.bridge.jobs
        app._tick()
        assert app.job_book.running == 1
        assert job.title.endswith(": the plan")
        job.end(Outcome(Ending.FAILED, "Redis does not answer"))
        app._tick()
        assert app.job_book.running == 0
