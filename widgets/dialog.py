"""The frame of what is asked in between: a box. What lies behind is not dimmed, for all of it would be sent anew."""

from __future__ import annotations

from typing import TypeVar

from textual.screen import ModalScreen

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A modal screen whose content stands in a `.dialog--box`."""

    AUTO_FOCUS = ".dialog--focus"
    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: transparent;
        & > .dialog--box {
            width: 72;
            max-width: 100%;
            height: auto;
            max-height: 100%;
            padding: 1 2;
            background: $background;
            border: solid $accent;
        }
        & > .dialog--box.-danger { border: solid $error; }
        & > .dialog--box.-wide { width: 96; }
    }
    """


BOX = 66
"""Cells in which the text of a dialog is wrapped, where the screen has them."""


def box_width(screen_width: int, box: int = BOX) -> int:
    """Cells for text in a dialog on a screen of this width."""
    return max(20, min(box, screen_width - 6))
