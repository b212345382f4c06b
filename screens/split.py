"""A list at the left and its details at the right; below it where the screen is narrow."""

from __future__ import annotations

from textual.containers import Container
from textual.widget import Widget


class Split(Container):
    """Two widgets. The border is what tells them apart on a narrow screen."""

    SCOPED_CSS = False
    DEFAULT_CSS = """
    Split { layout: horizontal; height: 1fr; }
    Split > .split--list { width: 3fr; height: 1fr; }
    Split > .split--details { width: 2fr; height: 1fr; padding: 0 0 0 2; }
    .-narrow Split { layout: vertical; }
    .-narrow Split > .split--list { width: 100%; height: 3fr; }
    .-narrow Split > .split--details {
        width: 100%; height: 2fr; padding: 0; border-top: solid $foreground 30%;
    }
    """

    def __init__(self, main: Widget, details: Widget) -> None:
        main.add_class("split--list")
        details.add_class("split--details")
        super().__init__(main, details)
