"""The table of keys in docs/console.md, made of the bindings themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textual.binding import Binding

from console.app import Console
from screens.commanding import ResultWindow
from screens.examples import ExamplesWindow
from screens.forms import FormWindow
from screens.frame import DeckScreen
from screens.key_search import InClear, KeySearch
from screens.plans import PlanWindow
from screens.views import VIEWS
from widgets.confirm import Confirm, TypedConfirm
from widgets.diff_view import DiffView
from widgets.error_bar import ErrorList
from widgets.feed import FeedView
from widgets.fields import Options
from widgets.form import Form
from widgets.jobs import JobsDrawer
from widgets.key_footer import key_name
from widgets.prompt import Prompt
from widgets.reveal import Reveal
from widgets.virtual_table import VirtualTable

PAGE = Path(__file__).parents[2] / "docs" / "console.md"
_BLOCK = re.compile(r"(<!-- keys: made by `make pictures` -->\n).*?(<!-- end of keys -->)", re.DOTALL)
_PARTS: dict[str, tuple[type, ...]] = {
    "In a list": (VirtualTable,),
    "In the feed's lines": (FeedView,),
    "In a plan": (DiffView,),
    "While typing": (Prompt,),
    "In a form": (Form, FormWindow, Options),
    "In the window of a plan": (PlanWindow,),
    "In a question": (Confirm, TypedConfirm),
    "In the window that shows a key once": (Reveal,),
    "In the windows that find a key and show keys in clear": (KeySearch, InClear),
    "In the windows of examples, answers and errors": (ExamplesWindow, ResultWindow, ErrorList),
    "In the drawer of jobs": (JobsDrawer,),
}


def keymap() -> str:
    """Sections of a Markdown page: first what works everywhere, then each view, then what they are made of."""
    sections = {"Everywhere": (Console, DeckScreen)}
    sections |= {f"{view.title} (`{view.key}`)": (type(view.make()),) for view in VIEWS}
    return "\n".join(_section(title, classes) for title, classes in (sections | _PARTS).items())


def kept() -> str:
    """The sections as the page has them."""
    found = _BLOCK.search(PAGE.read_text("utf-8"))
    assert found is not None
    return found.group(0).partition("\n")[2].rpartition("<!--")[0]


def write() -> None:
    PAGE.write_text(_BLOCK.sub(lambda block: f"{block[1]}{keymap()}{block[2]}", PAGE.read_text("utf-8")), "utf-8")


def _section(title: str, classes: tuple[type, ...]) -> str:
    rows = "".join(
        f"| {keys} | {does} | `{identifier}` |\n" for found in classes for keys, does, identifier in _of(found)
    )
    return f"### {title}\n| key | does | id |\n|---|---|---|\n{rows}"


def _of(found: Any) -> Iterator[tuple[str, str, str]]:
    """A class's own bindings; those without an id are Textual's."""
    for binding in vars(found)["BINDINGS"]:
        assert isinstance(binding, Binding)
        if binding.id and not binding.system:
            names = [binding.key_display] if binding.key_display else [key_name(key) for key in binding.key.split(",")]
            shown = " ".join("`` ` ``" if name == "`" else f"`{name}`" for name in names)
            yield shown, binding.description, binding.id
