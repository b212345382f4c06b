"""The Usage screen by its keys: what it asks for, and where it leads."""

from __future__ import annotations

import re
from typing import Any

from tests.support import world
from tests.support.console import picture_of, scripted, settled, shows


async def test_rows_lead_to_their_parts_and_back() -> None:
    asked: list[dict[str, Any]] = []
    script = world.world()

    def usage(values: dict[str, Any]) -> Any:
        asked.append(dict(values))
        return world.usage(values)

    script.answers["usage"] = usage
    app = scripted(script)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(app, "Health")
        await pilot.press("0")
        await shows(app, "claude-sonnet", "requests, last 24h")
        await pilot.press("down", "enter")
        await shows(app, "batch 9b2k1x", "model claude-sonnet")
        assert {"by": "key", "since": "24h", "model": "claude-sonnet"} in asked
        await pilot.press("enter")  # the models of that key, still of this model
        await settled(app)
        assert {"by": "model", "since": "24h", "model": "claude-sonnet", "key": "k7f3aa"} in asked
        await pilot.press("escape", "escape")
        await settled(app)
        assert app.screen.row["name"] == "claude-sonnet"  # type: ignore[attr-defined]
        for key, told in (("x", "tokens, last 24h"), ("x", "cost, last 24h"), ("w", "cost, last 7d")):
            await pilot.press(key)
            await shows(app, told)
        await pilot.press("b")
        await shows(app, "globex")
        assert {"by": "tenant", "since": "7d"} in asked
        assert "esc all" not in picture_of(app)


async def test_the_list_stays_where_reading_fails() -> None:
    script = world.world()
    app = scripted(script)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(app, "Health")
        await pilot.press("0")
        await shows(app, "claude-sonnet")
        script.answers["usage"] = world.LOST
        await pilot.press("b")
        await shows(app, "Redis does not answer")
        assert "claude-sonnet" in picture_of(app)


async def test_rows_come_before_the_plot_where_there_is_room_for_one_of_them() -> None:
    for size, plotted in (((40, 12), False), ((160, 12), False), ((80, 24), True)):
        app = scripted(world.world())
        async with app.run_test(size=size) as pilot:
            await settled(app)
            await pilot.press("0")
            await shows(app, "claude-sonnet")
            assert ("requests, last 24h" in picture_of(app)) is plotted


async def test_the_plot_says_what_it_sums_up_and_of_which_days() -> None:
    app = scripted(world.world())
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(app, "Health")
        await pilot.press("0")
        await shows(app, "requests, last 24h")
        assert re.search(r"[A-Z][a-z][a-z] \d\d:\d\d +[A-Z][a-z][a-z] \d\d:\d\d", picture_of(app))
        await pilot.press("x")
        await shows(app, "tokens, last 24h")
        assert re.search(r"tokens, last 24h +[\d,]+ in, [\d,]+ out", picture_of(app))
        await pilot.press("x", "x")
        await shows(app, "refused, last 24h")
        assert re.search(r"refused, last 24h +[\d,]+ of [\d,]+ requests", picture_of(app))
