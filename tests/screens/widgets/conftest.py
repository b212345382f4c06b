"""A stage for widgets: an app with nothing of its own, in the theme of the console."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.message import Message
from textual.widget import Widget

from widgets import theme


class Stage(App[None]):
    """Shows some widgets one below the other, and keeps what they post."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[Any]] = []
    wanted_theme = theme.DARK.name

    def __init__(self, make: Callable[[], Iterable[Widget]]) -> None:
        super().__init__()
        self._make = make
        self.posted: list[Message] = []
        for each in theme.THEMES:
            self.register_theme(each)
        self.theme = self.wanted_theme

    def compose(self) -> ComposeResult:
        yield from self._make()

    def take(self, kind: type[Message]) -> list[Any]:
        """The messages of a kind since this was asked last."""
        # A message is seen once at every widget that it passes on its way up.
        found = list({id(message): message for message in self.posted if type(message) is kind}.values())
        self.posted[:] = [message for message in self.posted if type(message) is not kind]
        return found

    def lines(self) -> list[str]:
        """The screen as text."""
        strips = self.screen._compositor.render_strips(self.size)
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


@pytest.fixture
def stage() -> Callable[..., Stage]:
    """``stage(lambda: [widget, …])``; run it with ``run_test(message_hook=app.posted.append)``."""

    def build(make: Callable[[], Iterable[Widget]]) -> Stage:
        return Stage(make)

    return build


@pytest.fixture(autouse=True)
def _glyphs() -> Any:
    yield
    theme.use_plain_glyphs(False)
