"""A small console for tests in a real pty: a list, a clock that only a key moves, and ways to fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from console.terminal.environment import prepare

terminal = prepare()

from textual.app import ComposeResult  # noqa: E402
from textual.binding import Binding, BindingType  # noqa: E402
from textual.containers import VerticalScroll  # noqa: E402
from textual.screen import ModalScreen, Screen  # noqa: E402
from textual.widgets import DataTable, Input, OptionList, Static  # noqa: E402
from textual.widgets.option_list import Option  # noqa: E402

from console.terminal.app import TerminalApp, run  # noqa: E402

KEY_TEXT = os.environ.get("KEY_TEXT", "")


class Question(ModalScreen[None]):
    """A dialog over the list."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss", "Close")]
    CSS = "Question { align: center middle; } #box { width: 40; height: 9; border: thick $error; }"

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="box"):
            yield Static("\n".join(f"line {n} of the question 質問" for n in range(20)))


class Plain(Screen[None]):
    """A list of a few segments a row, as the console's own widgets draw, and a field."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        yield Input(placeholder="the field")
        yield OptionList(*(Option(f"option {n:03d} deepinfra 131k 0.35 ● ready") for n in range(60)))

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()


class Sample(TerminalApp[None]):
    """What the tests press is in the bindings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("u", "update", "Update one cell"),
        Binding("x", "break_display", "Break the thin display"),
        Binding("X", "title", "The title again"),
        Binding("e", "edit", "Another program"),
        Binding("z", "suspend_process", "Suspend"),
        Binding("b", "block", "Block the loop"),
        Binding("f", "flood", "Repaint until updates are held"),
        Binding("m", "push_screen('question')", "Ask"),
        Binding("o", "push_screen('plain')", "Options"),
        Binding("t", "toast", "Toast"),
        Binding("c", "copy", "Copy"),
        Binding("d", "crash", "Crash"),
        Binding("full_stop", "settle", "Say when all keys before this one are on the screen"),
    ]
    SCREENS: ClassVar = {"question": Question, "plain": Plain}
    CSS = "DataTable { height: 1fr; overflow-x: hidden; }"
    count = 0

    def compose(self) -> ComposeResult:
        yield Static("ready: the sample", id="title")
        yield DataTable(cursor_type="row", show_header=True)

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("NAME", "PROVIDER", "CTX", "PRICE", "STATE")
        for row in range(60):
            table.add_row(f"model-{row:03d} 模型", "deepinfra", "131k", f"{row / 10:.2f}", "● ready", key=str(row))

    def action_update(self) -> None:
        self.count += 1
        self.query_one(DataTable).update_cell_at((2, 3), f"9.{self.count % 100:02d}")

    def action_break_display(self) -> None:
        assert self._renderer is not None

        def broken(*_: object) -> bool:
            raise ZeroDivisionError("on purpose")

        self._renderer.apply = broken  # type: ignore[method-assign]
        self.query_one("#title", Static).update("still here, without the thin display")

    def action_title(self) -> None:
        self.query_one("#title", Static).update("ready: the sample")

    def action_edit(self) -> None:
        with self.suspend():
            subprocess.run([sys.executable, "-c", "print('EDITOR'); input()"], check=True)

    def action_block(self) -> None:
        self._send("\x1b]2;blocked\x07")
        time.sleep(60)

    def action_toast(self) -> None:
        self.notify("Something happened: 模型", timeout=60)

    def action_copy(self) -> None:
        self.query_one("#title", Static).update(self.copy(KEY_TEXT).sentence)

    def action_settle(self) -> None:
        self.call_after_refresh(self.call_after_refresh, self._send, "\x1b]2;settled\x07")

    def action_crash(self) -> None:
        key = KEY_TEXT
        raise ValueError(f"the gateway answered 401 to {key}")

    def action_flood(self) -> None:
        """Change the whole list at every tick until the display has held ten updates back, then say so in a file.

        Nothing here waits for time to pass: with a terminal that takes nothing, the file appears because the loop
        goes on.
        """
        self.flooding = self.set_interval(0.01, self.flood)

    def flood(self) -> None:
        meter = self.link_meter
        assert meter is not None
        self.count += 1
        self.query_one(DataTable).display = False
        rows = (f"{self.count:06d} {(self.count * row) ** 5:x}" for row in range(1, 25))
        self.query_one("#title", Static).update("\n".join(row * 3 for row in rows))
        if meter.held >= 10:
            self.flooding.stop()
            report = {"count": self.count, "held": meter.held, "frames": meter.frames}
            half_written = Path(os.environ["REPORT"] + ".part")
            half_written.write_text(json.dumps(report))
            half_written.rename(os.environ["REPORT"])


if __name__ == "__main__":
    sys.exit(run(Sample(terminal=terminal)))
