"""The ``:`` command line at the bottom: completion, history, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from widgets.fit import shown
from widgets.prompt import Prompt, Refuse, Suggest

_KEPT = 200


class CommandLine(Prompt):
    """A `Prompt` for commands. Up and down go through the history while no suggestion is chosen.

    ``remember`` is called by whoever ran the command, so that what was refused as nonsense is not kept.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+p", "history(-1)", "former command", show=False, id="command.former"),
        Binding("ctrl+n", "history(1)", "next command", show=False, id="command.next"),
    ]
    HELP_TITLE = "Command line"
    ABOVE = True

    def __init__(
        self,
        *,
        suggest: Suggest | None = None,
        refuse: Refuse | None = None,
        history: Sequence[str] = (),
        placeholder: str = "",
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(lead=":", placeholder=placeholder, suggest=suggest, refuse=refuse, id=id, classes=classes)
        self._history = list(history)[-_KEPT:]
        self._at: int | None = None
        self._draft = ""

    @property
    def history(self) -> tuple[str, ...]:
        """What was entered, the oldest first."""
        return tuple(self._history)

    def remember(self, command: str) -> None:
        """Keep a command; the same one again is kept once, as the newest."""
        if command.strip():
            self._history = [*(kept for kept in self._history if kept != command), command][-_KEPT:]

    def open(self, text: str = "") -> None:
        """Begin anew, with this text, and take the focus."""
        self._at, self._draft = None, ""
        self.say()
        self.set_text(text)
        self.focus()

    def show_error(self, sentence: str) -> None:
        self.say([(shown(sentence), "bad")])

    def text_changed(self, text: str) -> None:
        if self._at is not None and text != self._history[self._at]:
            self._at = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "history":
            return bool(self._history)
        if action == "choose":
            return bool(self.suggestions or self._history)
        return super().check_action(action, parameters)

    def action_choose(self, step: int) -> None:
        if self.suggestions and (step > 0 or self._list.chosen is not None):
            super().action_choose(step)
        else:
            self.action_history(step)

    def action_history(self, step: int) -> None:
        """The former or the next command; past the newest is what was being typed."""
        if self._at is None:
            if step > 0:
                return
            self._draft, self._at = self.text, len(self._history)
        self._at += step
        if self._at >= len(self._history):
            self._at = None
            self.set_text(self._draft)
        else:
            self._at = max(0, self._at)
            self.set_text(self._history[self._at])
        self._list.show(())
