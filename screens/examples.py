"""How to call a publication: examples to copy, with a place for the key and never a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from screens.commanding import Lines
from screens.details import Line, Title
from screens.frame import Deck
from widgets.fit import wrapped
from widgets.key_footer import KeyFooter


def examples(row: Mapping[str, Any]) -> dict[str, str]:
    """By name: curl, and Python where an OpenAI client can call it. The key comes from ``$API_KEY``."""
    url = row["url"]
    if row["kind"] == "traditional":
        body = json.dumps({"instances": [[6.8, 2.8, 4.8, 1.4]]})
        return {"curl": _curl(url, body)}
    body = json.dumps({"model": row["name"], "messages": [{"role": "user", "content": "Say hello."}]})
    base = url.removesuffix("/chat/completions")
    python = (
        "import os\n"
        "from openai import OpenAI\n"
        "\n"
        "client = OpenAI(\n"
        f"    base_url={base!r},\n"
        "    api_key=os.environ['API_KEY'],\n"
        ")\n"
        "answer = client.chat.completions.create(\n"
        f"    model={row['name']!r},\n"
        "    messages=[{'role': 'user', 'content': 'Say hello.'}],\n"
        ")\n"
        "print(answer.choices[0].message.content)\n"
    )
    return {"curl": _curl(url, body), "python": python}


def _curl(url: str, body: str) -> str:
    quoted = body.replace("'", "'\\''")
    lines = (
        f"curl {url}",
        '-H "Authorization: Bearer $API_KEY"',
        "-H 'Content-Type: application/json'",
        f"-d '{quoted}'",
    )
    return " \\\n  ".join(lines)


class ExamplesWindow(ModalScreen[None]):
    """The examples of one publication."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy('curl')", "copy curl", id="examples.copy_curl"),
        Binding("p", "copy('python')", "copy Python", id="examples.copy_python"),
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
        self._examples = examples(row)

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = f"calling {self._row['name']}"
            yield Lines(id="text")
            yield KeyFooter()

    def on_mount(self) -> None:
        lines: list[Line] = [
            Line(("the key is read from $API_KEY; keep it out of your shell's history", "muted")),
            Line(""),
        ]
        for name, text in self._examples.items():
            lines.append(Title(name))
            for line in text.splitlines():
                lines += [Line(("  " + piece, "accent")) for piece in wrapped(line, self.app.size.width - 12) or [""]]
            lines.append(Line(""))
        shown = self.query_one(Lines)
        shown.show(lines)
        shown.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "copy" or parameters[0] in self._examples

    def action_copy(self, name: str) -> None:
        cast("Deck", self.app).copy_text(self._examples[name], f"{name} example")
