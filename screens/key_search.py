"""Which key is this? Its text is pasted, turned into its digest here, and dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from screens.commanding import ResultWindow
from widgets.dialog import Dialog, box_width
from widgets.fit import wrapped
from widgets.key_footer import KeyFooter
from widgets.note import Note
from widgets.secret_line import SecretLine


class KeySearch(Dialog[str | None]):
    """Answers the digest of the key that was pasted or typed; None where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave it", id="key_search.leave")]
    HELP_TITLE = "Find a key"
    DEFAULT_CSS = "KeySearch SecretLine { margin: 1 0; }"

    def __init__(self, digest: Callable[[str], str]) -> None:
        super().__init__()
        self._digest = digest

    def compose(self) -> ComposeResult:
        what = "Only the digest of the text is looked up. The text is not shown, and dropped at once."
        with Vertical(classes="dialog--box"):
            yield Note([("Whose is this key? Paste it, or type it and press enter", "strong")])
            yield SecretLine(self._digest, classes="dialog--focus")
            yield Note(*[[(line, "muted")] for line in wrapped(what, box_width(self.app.size.width))])
            yield KeyFooter()

    def on_secret_line_given(self, event: SecretLine.Given) -> None:
        event.stop()
        self.dismiss(event.made)

    def action_leave(self) -> None:
        self.dismiss(None)


class _Offer(ResultWindow):
    """What there is, and a key that asks for something to be done about it."""

    wanted = False
    """Whether the operator wants it done."""

    def action_want(self) -> None:
        self.wanted = True
        self.dismiss(None)


class InClear(_Offer):
    """The keys that stand in clear in Redis, by their digests."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "want", "take them over", id="keys_in_clear.take_over"),
    ]


class Lost(_Offer):
    """What is missing of keys, and would be written again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "want", "write it again", id="keys_lost.restore"),
    ]
