"""How to call a publication: examples whose request was sent first, with a place for the key and never a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from screens.commanding import Lines
from screens.details import Line, Title
from screens.frame import Deck, begin
from widgets.fit import wrapped
from widgets.key_footer import KeyFooter


class ExamplesWindow(ModalScreen[None]):
    """The examples of one publication."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy('curl')", "copy curl", id="examples.copy_curl"),
        Binding("p", "copy('openai')", "copy Python", id="examples.copy_python"),
        Binding("x", "copy('httpx')", "copy httpx", id="examples.copy_httpx"),
        Binding("s", "copy('javascript')", "copy JavaScript", id="examples.copy_javascript"),
        Binding("o", "copy('go')", "copy Go", id="examples.copy_go"),
        Binding("m", "copy('markdown')", "copy the page", id="examples.copy_page"),
        Binding("escape,q", "dismiss", "back", id="examples.back"),
    ]
    DEFAULT_CSS = """
    ExamplesWindow { align: center middle; background: $background 60%; }
    ExamplesWindow > Vertical {
        width: 96%; max-width: 110; height: 90%; border: round $accent; padding: 0 1;
        background: $background;
    }
    ExamplesWindow Lines { height: 1fr; }
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__()
        self._row = row
        self._texts: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = f"calling {self._row['name']}"
            yield Lines(id="text")
            yield KeyFooter()

    def on_mount(self) -> None:
        shown = self.query_one(Lines)
        shown.show([Line(("sending the examples' request through the gateway …", "muted"))])
        shown.focus()
        begin(self, self._read, "examples", "examples")

    async def _read(self) -> None:
        deck = cast("Deck", self.app)
        outcome = await deck.bridge.ask("publications.docs", {"name": self._row["name"]})
        page = outcome.as_json().get("data")
        if not isinstance(page, Mapping):
            deck.tell(outcome)
            self.dismiss()
            return
        self._texts = {example["id"]: example["text"] for example in page["examples"]}
        self._texts["markdown"] = page["markdown"]
        self.query_one(Lines).show(self._lines(page))
        self.refresh_bindings()

    def _lines(self, page: Mapping[str, Any]) -> list[Line]:
        checked = page["checked"]
        lines: list[Line] = [
            *self._wrapped(checked["sentence"], "good" if checked["good"] else "warn"),
            *self._wrapped("the key is read from $API_KEY; keep it out of your shell's history", "muted"),
            Line(""),
        ]
        for example in page["examples"]:
            lines.append(Title(example["title"]))
            lines += self._wrapped(f"needs {example['needs']}", "muted")
            for line in example["text"].expandtabs(4).splitlines():
                lines += self._wrapped("  " + line, "accent")
            lines.append(Line(""))
        return lines

    def _wrapped(self, text: str, paint: str) -> list[Line]:
        return [Line((piece, paint)) for piece in wrapped(text, self.app.size.width - 10) or [""]]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "copy" or parameters[0] in self._texts

    def action_copy(self, name: str) -> None:
        what = "page" if name == "markdown" else f"{name} example"
        cast("Deck", self.app).copy_text(self._texts[name], what)
