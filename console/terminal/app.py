"""The base of the console's app: everything that a terminal at the end of an SSH line asks of a Textual app.

    terminal = prepare(profile.terminal)        # console.terminal.environment; before the first Textual import
    refuse_without_screen(terminal)             # TERM=dumb, a pipe: a Refusal that says what to do instead

    from console.app import Console             # class Console(TerminalApp[None]): ...
    code = run(Console(terminal=terminal))      # console.terminal.app

What a subclass gets:

- the thin display and the driver that ends with its line (display.py, driver.py); ctrl+l repaints
- ``self.terminal``, what the terminal is; where it has ``few_colours`` the theme is "ansi-dark" at the start, and
  without colours (NO_COLOR) none is sent: show what has the focus by bold, reverse or a glyph (``:nocolor`` in CSS)
- ``self.copy(text)``, which returns what became of it (`console.terminal.clipboard.Copied`, with a ``sentence``);
  ctrl+c in Textual's own widgets goes the same way
- no cursor blinks and nothing spins
- a crash is written to a file without variables; override `state_after_crash` to say more than the default does
- ``self.link_meter`` (bytes per second, frames, held updates) and ``self.display_fault`` for the header
"""

from __future__ import annotations

# ruff: noqa: SLF001 - private names of the Textual that is pinned; each override says why.
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import ReturnType
from textual.widget import Widget
from textual.widgets import Static
from textual.worker import WorkerFailed

from console.terminal.clipboard import Clipboard, Copied
from console.terminal.display import ThinDisplay
from console.terminal.driver import TerminalDriver, driver_class
from console.terminal.environment import MouseMode, Terminal
from console.terminal.keys import OrderedKeys
from console.terminal.text import narrate

CRASH_CODE = 70
"""EX_SOFTWARE of sysexits.h: none of the outcomes' exit codes."""
INTERRUPT_CODE = 130

if TYPE_CHECKING:
    from console.terminal.crash import CrashReport


class TerminalApp(OrderedKeys[ReturnType], ThinDisplay[ReturnType]):
    """An app for one terminal; see above.

    reports   where crash reports go
    """

    def __init__(self, *, terminal: Terminal, reports: Path | None = None, **options: Any) -> None:
        options.setdefault("driver_class", driver_class())
        # With ANSI colours, NO_COLOR takes every colour out; without, Textual would send greys.
        options.setdefault("ansi_color", True if terminal.few_colours else None)
        super().__init__(terminal=terminal, **options)
        if terminal.few_colours:
            self.theme = "ansi-dark"
        self.clipboard_link = Clipboard(terminal, self._send)
        self.crash_report: CrashReport | None = None
        self._crash_told = False
        self._reports = reports

    def copy(self, text: str) -> Copied:
        """Hand a text to the operator's clipboard. It is not kept: pasting inside the console does not know it."""
        return self.clipboard_link.copy(text)

    def copy_to_clipboard(self, text: str) -> None:
        """What Textual's own widgets call; the result is told in a toast."""
        self._clipboard = text
        self.notify(self.copy(text).sentence, markup=False)

    def get_loading_widget(self) -> Widget:
        """A word in place of Textual's indicator, which repaints sixteen times a second."""
        return Static("… loading", classes="-textual-loading-indicator")

    def state_after_crash(self) -> str:
        """What an operator has to know about the state of things after a crash, in a sentence."""
        return (
            "What was reported as done stands; an operation that was under way is finished or undone by recovery "
            "(modeldeck operations list)."
        )

    def _send(self, data: str) -> None:
        if self._driver is not None:
            self._driver.write(data)

    def _start_widget(self, parent: Widget, widget: Widget) -> None:
        # Here, for a widget starts its blinking when it is mounted, and Textual has no setting for all of them.
        if hasattr(widget, "cursor_blink"):
            widget.cursor_blink = False
        super()._start_widget(parent, widget)

    def _handle_exception(self, error: Exception) -> None:
        if isinstance(error, WorkerFailed) and isinstance(error.error, Exception):
            error = error.error  # what happened, in place of that it did
        if self.is_headless:
            super()._handle_exception(error)
            return
        self._return_code = CRASH_CODE
        self.write_crash(error)
        # Not Textual's `_fatal_error`: it prints the variables.
        self._close_messages_no_wait()

    def _print_error_renderables(self) -> None:
        # The last thing that Textual does, when the screen is the operator's again.
        self.tell_crash()
        super()._print_error_renderables()

    def write_crash(self, error: BaseException) -> None:
        """Write the report that `tell_crash` tells of; only the first crash counts."""
        if self.crash_report is None:
            from console.terminal.crash import report_crash

            facts = {
                "terminal": f"{self.terminal.name}, {self.size.width}x{self.size.height}, {self.terminal.colours}",
                "display": self.display_fault or self.terminal.render,
            }
            self.crash_report = report_crash(error, self.reports, state=self.state_after_crash(), facts=facts)

    @property
    def reports(self) -> Path:
        """Where crash reports go."""
        from platformdirs import user_state_path

        return self._reports or user_state_path("modeldeck") / "crashes"

    def tell_crash(self) -> None:
        """Say on standard error, once, what happened and where the report is."""
        if self.crash_report is not None and not self._crash_told:
            self._crash_told = True
            narrate(self.crash_report.message)


def run(app: TerminalApp[Any]) -> int:
    """Run an app on the process's terminal until it ends, in whatever way; returns the process's exit code.

    The app's own return code, 70 after a crash, 129 after a hang-up, 143 after SIGTERM, 130 after SIGINT.
    """
    try:
        app.run(mouse=app.terminal.mouse is not MouseMode.OFF)
    except KeyboardInterrupt:
        return INTERRUPT_CODE
    except Exception as fault:
        app.write_crash(fault)
        if isinstance(app._driver, TerminalDriver):
            app._driver.restore_terminal()
        app.tell_crash()
        return CRASH_CODE
    return app.return_code or 0
