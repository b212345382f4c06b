"""The thin display and Textual's own leave the same picture on a terminal, step by step through a busy app."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import pytest
from rich.color import ColorSystem
from rich.console import Console
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import (
    Button,
    DataTable,
    Footer,
    Header,
    Input,
    Label,
    Log,
    ProgressBar,
    Static,
    TabbedContent,
    TabPane,
    TextArea,
    Tree,
)

from console.terminal.display import ThinRenderer
from console.terminal.painter import Painter
from tests.support.terminal import Terminal, differences

WIDE = (
    "模型 llama — 日本語テキスト, 한국어, e\u0301cole, naïve, 🙂 שלום مرحبا, ▁▂▃▄▅▆▇█ ✓ ✖ ◐ ● "
    "[b]bold[/b] [i]italic[/i] [u]under[/u] [strike]gone[/] [reverse]back[/] [link='https://example.com/']link[/]"
)


class BothWays(App[None]):
    """Shows every update on two terminals: as Textual would send it, and thin."""

    ENABLE_COMMAND_PALETTE = True

    def __init__(self, colours: ColorSystem, *, erases_with_background: bool = True) -> None:
        super().__init__()
        self._colours = colours
        self._erases_with_background = erases_with_background
        self.console = Console(
            color_system=colours.name.lower().replace("eight_bit", "256"), file=io.StringIO(), force_terminal=True
        )
        self.frames = self.stock_bytes = self.thin_bytes = 0
        self._take_size(0, 0)

    def _take_size(self, width: int, height: int) -> None:
        self.stock = Terminal(max(width, 1), max(height, 1))
        self.thin = Terminal(max(width, 1), max(height, 1))
        self.renderer = ThinRenderer(Painter(erases_with_background=self._erases_with_background), self._colours)

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if isinstance(renderable, LayoutUpdate | ChopsUpdate) and not self._batch_count:
            size = screen._compositor.size
            if (self.stock.screen.columns, self.stock.screen.lines) != (size.width, size.height):
                self._take_size(size.width, size.height)
            stock = renderable.render_segments(self.console)
            self.stock.feed(stock)
            if not self.renderer.apply(renderable):
                screen.refresh()
            thin = self.renderer.painter.frame()
            self.thin.feed(thin)
            self.frames += 1
            self.stock_bytes += len(stock)
            self.thin_bytes += len(thin)
        super()._display(screen, renderable)

    def check(self, what: str) -> None:
        found = differences(self.stock.picture(), self.thin.picture())
        assert not found, f"after {what}: {found[:6]}"


class Question(ModalScreen[bool]):
    CSS = (
        "Question { align: center middle; } #box { width: 40; height: 9; border: thick $error; background: $surface; }"
    )
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(False)", "Close")]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="box"):
            yield Label(f"Really? {WIDE}")
            yield Button("Yes", variant="error")


class Busy(BothWays):
    CSS = """
    Screen { layers: below above; }
    DataTable { width: 2fr; } Log { width: 1fr; } #wide { height: auto; } ProgressBar { width: 100%; }
    #over { layer: above; width: 30; height: 5; offset: 20 4; border: round $accent; display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("m", "push_screen('question')", "Ask"), ("t", "toast", "Toast")]
    SCREENS: ClassVar = {"question": Question}

    def compose(self) -> ComposeResult:
        yield Header(show_clock=False)
        with TabbedContent():
            with TabPane("Table", id="one"), Horizontal():
                yield DataTable(cursor_type="row", zebra_stripes=True)
                yield Log()
            with TabPane("模型", id="two"):
                yield Static(WIDE, id="wide")
                yield Input(value="日本 text", select_on_focus=False)
                yield ProgressBar(total=50, show_eta=False)
                yield TextArea("def f():\n    return '你好'\n" * 4)
            with TabPane("Tree", id="three"):
                yield Tree("root")
        yield Footer()
        with VerticalScroll(id="over"):
            yield Static("\n".join(f"{n} over 模型 the rest" for n in range(9)))

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns(*(f"column {n}" for n in range(6)))
        for row in range(80):
            table.add_row(*(f"{row}.{n} {'模型' * (n % 2)}" for n in range(6)), key=str(row))
        tree = self.query_one(Tree)
        for n in range(30):
            tree.root.add(f"branch {n} ●", expand=False).add_leaf("葉")
        table.focus()

    def action_toast(self) -> None:
        self.notify(f"Something happened: {WIDE}", severity="warning", timeout=60)


@pytest.mark.parametrize(
    ("theme", "colours"),
    [
        ("textual-dark", ColorSystem.TRUECOLOR),
        ("ansi-dark", ColorSystem.STANDARD),
    ],
)
async def test_both_ways_show_the_same(theme: str, colours: ColorSystem) -> None:
    app = Busy(colours, erases_with_background=theme == "textual-dark")
    checks = 0

    async def step(what: str, *keys: str) -> None:
        nonlocal checks
        await pilot.press(*keys)
        await pilot.pause()
        app.check(what)
        checks += 1

    async with app.run_test(size=(90, 20), notifications=True) as pilot:
        app.theme = theme
        await step("the start")
        table = app.query_one(DataTable)
        for n in range(3):
            await step("moving down", *["down"] * 4)
            table.update_cell_at((n, n % 5), f"new {n} 値")
            await step("an updated cell")
        await step("page down", "pagedown")
        await step("page up", "pageup")
        await step("scrolling sideways", "right", "right", "right")
        await step("the end", "ctrl+end")
        log = app.query_one(Log)
        for n in range(5):
            log.write_line(f"{n} event 模型 {'x' * n}")
            await step("a line in the log")
        over = app.query_one("#over")
        over.display = True
        await step("a layer above")
        for offset in ((21, 4), (21, 5), (3, 9)):
            over.styles.offset = offset
            await step("the layer moved")
        over.scroll_end(animate=False)
        await step("scrolled in the layer")
        over.display = False
        await step("the layer gone")
        await step("a toast", "t")
        await step("a dialog over the toasts", "m")
        await step("the dialog's button", "tab")
        await step("the dialog closed", "escape")
        app.clear_notifications()
        await step("toasts gone")
        app.query_one(TabbedContent).active = "two"
        await step("another tab")
        app.query_one(Input).focus()
        await step("typing", *"h 12")
        await step("deleting", "backspace", "home", "delete")
        app.query_one(ProgressBar).advance(17)
        await step("progress")
        app.query_one(TextArea).focus()
        await step("editing", "down", "end", "enter", "p")
        await step("selecting", "shift+up", "shift+up")
        await step("a dialog over text", "ctrl+p")
        await step("searching in it", *"th")
        await step("leaving it", "escape", "escape")
        app.query_one(TabbedContent).active = "three"
        app.query_one(Tree).focus()
        await step("the tree", "down", "down", "space", "down")
        await pilot.resize_terminal(72, 18)
        await step("a smaller terminal")
        await pilot.resize_terminal(110, 24)
        await step("a larger terminal", "down")
        app.renderer.painter.forget()
        app.screen.refresh()
        await step("a repaint")
    assert checks > 25
    assert app.thin_bytes * 4 < app.stock_bytes


async def test_a_segment_with_control_codes_is_refused() -> None:
    """So that the app goes on with Textual's own display."""
    from rich.segment import ControlType, Segment
    from textual.geometry import Region
    from textual.strip import Strip

    strip = Strip([Segment("\x1b[2J", None, [(ControlType.CLEAR,)])], 4)
    renderer = ThinRenderer(Painter(), ColorSystem.TRUECOLOR)
    with pytest.raises(ValueError, match="control codes"):
        renderer.apply(LayoutUpdate([[strip]], Region(0, 0, 4, 1)))
