"""The lines that one types in: a key's text never stands there, and what finds nothing says so."""

from __future__ import annotations

import pytest
from textual import events

from console.access.forms import with_checksum
from tests.support import world
from tests.support.console import picture_of, scripted, settled, shows

BUD = "bud_client_" + "x" * 43
OURS = with_checksum("mdk_admin_", b"7" * 32)


@pytest.mark.parametrize("keys", [("colon",), ("2", "slash"), ("8", "slash")])
async def test_a_line_refuses_the_text_of_a_key(keys: tuple[str, ...]) -> None:
    app = scripted(world.world())
    async with app.run_test(size=(120, 30)) as pilot:
        await settled(app)
        await pilot.press(*keys)
        for pasted in (BUD, f"keys explain --key {OURS}"):
            app.post_message(events.Paste(pasted))
            await shows(app, "a key's text is not kept here")
            assert pasted[-20:] not in picture_of(app)
        await pilot.press(*BUD, "enter")
        await settled(app)
        await pilot.press("escape")
        await pilot.press("colon", "up")
        await settled(app)
        assert "bud_client" not in picture_of(app)


async def test_a_line_takes_what_only_begins_as_a_key() -> None:
    app = scripted(world.world())
    async with app.run_test(size=(120, 30)) as pilot:
        await settled(app)
        await pilot.press("8", "slash")
        app.post_message(events.Paste(BUD))
        await shows(app, "a key's text is not kept here")
        app.post_message(events.Paste("bud_client"))
        await shows(app, "no row has all of these words")
        assert "a key's text" not in picture_of(app)
        assert "nothing was done yet" not in picture_of(app)


async def test_the_bar_of_errors_shows_what_to_do_next() -> None:
    app = scripted(world.world())
    async with app.run_test(size=(160, 30)) as pilot:
        await settled(app)
        await pilot.press("colon")
        app.post_message(events.Paste("keys rotat chat"))
        await pilot.press("enter")
        await shows(app, "1 error")
        assert "nothing was changed" in picture_of(app)
        assert "guard, validation" not in picture_of(app)
