"""The Usage screen by its keys: what it asks for, and where it leads."""

from __future__ import annotations

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
