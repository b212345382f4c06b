"""A line to type in, and the list of what the word at the cursor can become."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from widgets.fit import cells, shown
from widgets.note import Note
from widgets.paint import Painted, Part
from widgets.theme import sign

_MOST_SHOWN = 8


class Suggestion(Protocol):
    """``text`` in place of what stands from ``start`` to ``end``; ``hint`` says what it means."""

    @property
    def text(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def hint(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Suggested:
    """A plain `Suggestion`."""

    text: str
    start: int
    end: int
    hint: str = ""


Refuse = Callable[[str], str]
"""From a text to why it must not stand here; empty where it may. For secrets: what is refused is nowhere kept."""
Suggest = Callable[[str, int], Sequence[Suggestion]]
"""From the text and the place of the cursor to suggestions, the likeliest first. It must not wait for anything."""


class SuggestionList(Painted):
    """Suggestions over what lies below. The input keeps the focus; this only shows."""

    DEFAULT_CSS = """
    SuggestionList {
        display: none;
        overlay: screen;
        constrain: inside inflect;
        width: auto;
        max-width: 100%;
        height: auto;
        background: $panel;
    }
    SuggestionList.-open { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.suggestions: tuple[Suggestion, ...] = ()
        self._chosen: int | None = None

    @property
    def chosen(self) -> Suggestion | None:
        return None if self._chosen is None else self.suggestions[self._chosen]

    def show(self, suggestions: Iterable[Suggestion], *, above: bool = False) -> None:
        self.suggestions, self._chosen = tuple(suggestions), None
        self.set_class(bool(self.suggestions), "-open")
        if above:  # the line, which is one high
            self.styles.offset = (0, -1 - self._rows)
        self.refresh(layout=True)

    def choose(self, step: int) -> None:
        """The next or the former one, around the end."""
        if self.suggestions:
            start = -1 if self._chosen is None and step > 0 else self._chosen or 0
            self._chosen = (start + step) % len(self.suggestions)
            self.refresh()

    @property
    def _rows(self) -> int:
        return min(_MOST_SHOWN, len(self.suggestions))

    def get_content_width(self, container: Size, viewport: Size) -> int:
        widest = max((cells(suggestion.text) for suggestion in self.suggestions), default=0)
        hint = max((cells(suggestion.hint) for suggestion in self.suggestions), default=0)
        return widest + (hint + 2 if hint else 0) + 2

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return self._rows

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        number = max(0, (self._chosen or 0) - self._rows + 1) + y
        if number >= len(self.suggestions):
            return self.strip((), width)
        suggestion, at_cursor = self.suggestions[number], number == self._chosen
        widest = max(cells(each.text) for each in self.suggestions)
        text = shown(suggestion.text)
        parts: list[Part] = [(sign("cursor") if at_cursor else " ", "accent"), (text, "")]
        if suggestion.hint:
            parts.append((" " * (widest - cells(text) + 2) + shown(suggestion.hint), "muted"))
        return self.strip(parts, width, ground="cursor" if at_cursor else "quiet")


class PromptInput(Input):
    """An input of one line that does not blink."""

    DEFAULT_CSS = """
    PromptInput {
        width: 1fr;
        height: 1;
        padding: 0;
        border: none;
        background: $background;
        background-tint: transparent;
        &:focus { border: none; background: $background; background-tint: transparent; }
    }
    """

    def __init__(self, *, placeholder: str = "", pasted: Callable[[str], bool] = lambda _: True) -> None:
        super().__init__(placeholder=placeholder, compact=True, select_on_focus=False)
        self.cursor_blink = False
        self._pasted = pasted

    def on_paste(self, event: events.Paste) -> None:
        if not self._pasted(event.text):
            event.stop()
            event.prevent_default()


class Prompt(Widget):
    """One line of input with suggestions: what `FilterBar`, `CommandLine` and the fields of forms are made of."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "take", "complete", id="prompt.complete"),
        Binding("down", "choose(1)", "next suggestion", show=False, id="prompt.next"),
        Binding("up", "choose(-1)", "former suggestion", show=False, id="prompt.former"),
        Binding("escape", "leave", "leave", id="prompt.leave"),
    ]
    HELP_TITLE = "Typing"
    ABOVE: ClassVar[bool] = False
    """Whether suggestions stand above the line."""
    DEFAULT_CSS = """
    Prompt { height: auto; layout: vertical; }
    Prompt > Horizontal { height: 1; }
    Prompt > Horizontal > Note { width: auto; }
    Prompt > .prompt--note { display: none; }
    Prompt > .prompt--note.-said { display: block; }
    """

    @dataclass
    class Changed(Message):
        """Another text stands in the line. Of many keys that come at once, only the last is told."""

        prompt: Prompt
        text: str

        @property
        def control(self) -> Prompt:
            return self.prompt

    @dataclass
    class Submitted(Message):
        """Enter."""

        prompt: Prompt
        text: str

        @property
        def control(self) -> Prompt:
            return self.prompt

    @dataclass
    class Left(Message):
        """Escape, while no suggestions were open."""

        prompt: Prompt

        @property
        def control(self) -> Prompt:
            return self.prompt

    def __init__(
        self,
        *,
        lead: str = "",
        value: str = "",
        placeholder: str = "",
        suggest: Suggest | None = None,
        refuse: Refuse | None = None,
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._suggest = suggest
        self._refuse = refuse
        self._refusal = ""
        self._lead = Note([(lead, "key")])
        self._input = PromptInput(placeholder=placeholder, pasted=self._may_stand)
        self._side = Note([])
        self._note = Note(classes="prompt--note")
        self._list = SuggestionList()
        self._initial = self._told = value
        self._waiting = False
        self._ready = False

    def on_mount(self) -> None:
        self._ready = True
        self.set_text(self._initial)

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self._lead
            yield self._input
            yield self._side
        yield self._list
        yield self._note

    @property
    def text(self) -> str:
        """What stands in the line."""
        return self._input.value if self._ready else self._initial

    @property
    def suggestions(self) -> tuple[Suggestion, ...]:
        return self._list.suggestions

    def set_text(self, text: str) -> None:
        """Put this in the line, the cursor at its end; is told as `Changed` too."""
        if not self._ready:
            self._initial = text
            return
        self._input.value = text
        self._input.cursor_position = len(text)

    def set_suggest(self, suggest: Suggest | None) -> None:
        self._suggest = suggest

    def say(self, *lines: Sequence[Part]) -> None:
        """What stands below the line: an error, a hint; nothing closes it, or leaves what was refused."""
        if not lines and self._refusal:
            lines = ([(f" {shown(self._refusal)}", "bad")],)
        self._note.show(*lines)
        self._note.set_class(bool(lines), "-said")

    def say_beside(self, *parts: Part) -> None:
        """What stands at the right of the line."""
        self._side.show(parts)

    @property
    def said(self) -> str:
        return self._note.plain

    def focus(self, scroll_visible: bool = True) -> Prompt:
        self._input.focus(scroll_visible)
        return self

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if not self._may_stand(self.text):  # typed, or put in by a terminal that does not tell what is pasted
            self._input.value = ""
            return
        if self.text and self._refusal:
            self._refusal = ""
            self.say()
        if not self._waiting:
            # Behind the keys that have come already: the last text wins.
            self._waiting = True
            self.call_later(self._tell)

    def _may_stand(self, text: str) -> bool:
        sentence = self._refuse(text) if self._refuse is not None else ""
        if sentence:
            self._refusal = sentence
            self.say()
        return not sentence

    def _tell(self) -> None:
        self._waiting = False
        if self._suggest is not None and self._input.has_focus:
            found = self._suggest(self.text, self._input.cursor_position)
            fresh = (each for each in found if each.text != self.text[each.start : each.end])
            self._list.show(fresh, above=self.ABOVE)
        if self.text != self._told:
            self._told = self.text
            self.text_changed(self.text)
            self.post_message(self.Changed(self, self.text))

    def text_changed(self, text: str) -> None:
        """For subclasses: the text is another."""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._list.chosen is not None:
            self.action_take()
            return
        self._list.show(())
        if self.text != self._told:
            self._tell()
        self.submitted(self.text)

    def submitted(self, text: str) -> None:
        self.post_message(self.Submitted(self, text))

    def on_descendant_blur(self, _event: events.DescendantBlur) -> None:
        self._list.show(())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self._list.suggestions) if action in ("take", "choose") else True

    def action_choose(self, step: int) -> None:
        self._list.choose(step)

    def action_take(self) -> None:
        """Put the chosen suggestion, or the first, in its place."""
        suggestion = self._list.chosen or self._list.suggestions[0]
        text = self.text
        end = suggestion.start + len(suggestion.text)
        self._input.value = text[: suggestion.start] + suggestion.text + text[suggestion.end :]
        self._input.cursor_position = end
        self._list.show(())

    def action_leave(self) -> None:
        if self._list.suggestions:
            self._list.show(())
        else:
            if self._refusal:
                self._refusal = ""
                self.say()
            self.post_message(self.Left(self))
