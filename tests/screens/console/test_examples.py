"""The window of examples: what came of the check, and each example with one key."""

from __future__ import annotations

from console.outcome import Ending, Outcome
from tests.support import world
from tests.support.console import scripted, settled, shows


async def test_each_example_is_copied_with_one_key() -> None:
    app = scripted(world.world())
    async with app.run_test(size=(100, 40)) as pilot:
        await settled(app)
        await pilot.press("4", "e")
        await shows(app, "was answered 200", "--fail-with-body", "Authorization: Bearer $API_KEY")
        copied: list[str] = []
        app.copy_text = lambda text, what: copied.append(text)  # type: ignore[method-assign,assignment]
        await pilot.press("c", "p", "x", "s", "o", "m")
        for text, sign in zip(
            copied, ("curl ", "import OpenAI", "httpx.request", "await fetch", "package main", "# "), strict=True
        ):
            assert sign in text


async def test_a_page_that_cannot_be_had_is_told() -> None:
    refused = Outcome(Ending.REFUSED, "nothing is published as llama", code="NOT_PUBLISHED")
    script = world.world()
    script.answers["publications.docs"] = refused
    app = scripted(script)
    async with app.run_test(size=(100, 40)) as pilot:
        await settled(app)
        await pilot.press("4", "e")
        await shows(app, "nothing is published as llama")
