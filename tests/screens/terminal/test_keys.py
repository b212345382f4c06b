"""Keys that arrive in one burst are acted on one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input

from console.terminal.keys import OrderedKeys


class _Window(ModalScreen[str]):
    def compose(self) -> ComposeResult:
        yield Input(id="inside")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)


class _Form(OrderedKeys[None]):
    BINDINGS = [Binding("f2", "window", "window")]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[str | None] = []

    def compose(self) -> ComposeResult:
        yield Input(id="first", select_on_focus=False)
        yield Input(id="second", select_on_focus=False)

    def on_mount(self) -> None:
        self.query_one("#first").focus()

    def on_input_submitted(self) -> None:
        self.query_one("#second").focus()

    def action_window(self) -> None:
        self.push_screen(_Window(), self.answers.append)


def burst(app: App[Any], *keys: str) -> None:
    """All of these keys at once, as they come over a slow line."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def settled(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Until the condition holds; the assertion that follows says what was wrong where it never does."""
    for _ in range(200):
        if condition():
            return
        await pilot.pause(0.02)


def typed(app: App[Any], selector: str) -> str:
    return app.query_one(selector, Input).value


async def test_what_is_typed_after_tab_goes_into_the_next_field() -> None:
    app = _Form()
    async with app.run_test() as pilot:
        burst(app, *"one", "tab", *"two", "shift+tab", "!")
        await settled(pilot, lambda: typed(app, "#first").endswith("!"))
        assert (typed(app, "#first"), typed(app, "#second")) == ("one!", "two")


async def test_what_is_typed_after_enter_goes_where_enter_leads() -> None:
    app = _Form()
    async with app.run_test() as pilot:
        burst(app, *"one", "enter", *"two")
        await settled(pilot, lambda: len(typed(app, "#first") + typed(app, "#second")) == 6)
        assert (typed(app, "#first"), typed(app, "#second")) == ("one", "two")


async def test_what_is_typed_after_a_key_that_opens_a_window_goes_into_the_window() -> None:
    app = _Form()
    async with app.run_test() as pilot:
        burst(app, "a", "f2", *"name", "enter", "b")
        await settled(pilot, lambda: "b" in typed(app, "#first"))
        assert app.answers == ["name"]
        assert typed(app, "#first") == "ab"


async def test_a_paste_keeps_its_place_between_keys() -> None:
    app = _Form()
    async with app.run_test() as pilot:
        burst(app, "a", "tab")
        app.post_message(events.Paste("pasted"))
        burst(app, "b")
        await settled(pilot, lambda: typed(app, "#second").endswith("b"))
        assert (typed(app, "#first"), typed(app, "#second")) == ("a", "pastedb")


async def test_a_widget_that_goes_away_with_its_key_does_not_lock_the_keyboard() -> None:
    class Vanishing(Input):
        async def _on_key(self, event: events.Key) -> None:
            if event.key == "f3":
                self.remove()
            else:
                await super()._on_key(event)

    class Vanish(OrderedKeys[None]):
        def compose(self) -> ComposeResult:
            yield Vanishing(id="first")
            yield Input(id="second", select_on_focus=False)

    app = Vanish()
    async with app.run_test() as pilot:
        burst(app, "f3", "tab", *"still")
        await settled(pilot, lambda: typed(app, "#second").endswith("l"))
        assert "still".endswith(typed(app, "#second"))
        assert typed(app, "#second")
