"""The terminal driver of the console: Textual's for Linux and macOS, with the manners that SSH asks for.

- Nobody who writes waits for the terminal; how far it is behind can be asked (`TerminalDriver.behind`).
- The mouse is off over SSH unless asked for, and by default reports clicks without motion.
- A hang-up ends the console within a second, also where a parent made it ignore SIGHUP.
- The terminal is put back when the process ends in any way that can still be noticed.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import signal
import sys
import termios
import threading
from codecs import getincrementaldecoder
from collections.abc import Callable
from typing import Any

from textual import constants
from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

from console.terminal.ending import at_end, end_now, not_at_end
from console.terminal.environment import MouseMode, Terminal
from console.terminal.meter import LinkMeter
from console.terminal.output import Output

HANG_UP_CODE = 128 + signal.SIGHUP
HANG_UP_SECONDS = 0.7
"""How long the app may tidy up when its terminal is gone."""
TERMINATE_SECONDS = 5.0
_ENDING_SIGNALS: dict[int, float] = {
    signal.SIGHUP: HANG_UP_SECONDS,
    signal.SIGTERM: TERMINATE_SECONDS,
    signal.SIGINT: TERMINATE_SECONDS,  # from outside: as a key, ctrl+c is no signal here
}
CLOSE_SECONDS = 1.0
"""How long the last bytes may take on their way to a slow terminal."""

_RESET_DRAWING = "\x1b[?2026l\x1b[r\x1b[0m"
_RESTORE = (
    "\x18\x1b[?2026l\x1b[r\x1b[0m\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?2048l\x1b[?7h"
    "\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"
)


def driver_class() -> type[Driver] | None:
    """The driver for the console; None, Textual's own choice, where something else was asked for (textual-serve)."""
    return None if constants.DRIVER is not None or sys.platform == "win32" else TerminalDriver


class TerminalDriver(LinuxDriver):
    """The driver of a `TerminalApp`; for another app it goes by the environment.

    generation   counts how often the terminal was taken over; a new one shows nothing of what was drawn before
    meter        what was sent
    """

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        terminal: Terminal = getattr(app, "terminal", None) or Terminal.found(os.environ)
        self._mouse_mode = terminal.mouse
        super().__init__(app, debug=debug, mouse=mouse and self._mouse_mode is not MouseMode.OFF, size=size)
        self.generation = 0
        self.meter = LinkMeter()
        assert self._file is not None, "there is no standard error to draw on"
        self._encoding = self._file.encoding
        self._descriptor = self._file.fileno()
        self._output: Output | None = None
        self._holds_terminal = False
        self._ends_within = math.inf
        self._handlers: dict[int, Any] = {}
        self._signals = self._signals_in = self._wakeup_before = -1

    @property
    def behind(self) -> bool:
        """The terminal has not taken what was sent: hold screen updates back."""
        return self._output is not None and self._output.behind

    def when_caught_up(self, callback: Callable[[], None]) -> bool:
        """Call back, from another thread, when the terminal is no longer behind; False where it is not behind."""
        return self._output is not None and self._output.when_caught_up(callback)

    def write(self, data: str) -> None:
        if (output := self._output) is not None:
            encoded = data.encode(self._encoding, "modeldeck-ascii-cells")
            self.meter.sent(len(encoded))
            output.write(encoded)

    def start_application_mode(self) -> None:
        self._output = Output(self._descriptor, on_gone=self._hung_up)
        self._output.start()
        self._holds_terminal = True
        self.generation += 1
        at_end(self.restore_terminal)
        self._take_signals()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._writer_thread is not None:
            # Textual's own writer blocks whoever writes to a slow terminal. Nothing goes through it.
            self._writer_thread.stop()
            self._writer_thread = None

    def stop_application_mode(self) -> None:
        # A frame may have left a style behind, or been cut off in a scroll region.
        self.write(_RESET_DRAWING)
        super().stop_application_mode()

    def resume_application_mode(self) -> None:
        if self._holds_terminal:
            # SIGCONT after a SIGSTOP that nobody announced: the shell has used the terminal meanwhile.
            self.suspend_application_mode()
            self._must_signal_resume = True
        super().resume_application_mode()

    def close(self) -> None:
        super().close()
        if self._output is not None:
            # A terminal that did not take the last bytes in time gets them once more, past those that wait.
            self._holds_terminal = not self._output.close(within=CLOSE_SECONDS)
            self._output = None
        self.restore_terminal()
        not_at_end(self.restore_terminal)
        self._give_signals_back()

    def restore_terminal(self) -> None:
        """Give the terminal back in a usable state, without the help of any thread; does nothing the second time."""
        if not self._holds_terminal:
            return
        self._holds_terminal = False
        try:
            if self.attrs_before is not None:
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
            # A terminal that takes nothing must not keep the process.
            if select.select([], [self._descriptor], [], 0.2)[1]:
                os.write(self._descriptor, _RESTORE.encode())
        except (OSError, termios.error):
            pass  # it is gone

    def run_input_thread(self) -> None:
        """Read keys until told to stop. Textual's own loop spins where the terminal is gone."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            selector.register(self._signals, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                ready = {key.fd for key, _ in selector.select(0.1)}
                if self._signals in ready:
                    for number in os.read(self._signals, 64):
                        self._signalled(number)
                if self.fileno in ready:
                    data = self._read()
                    if not data:
                        self._hung_up()
                        break
                    for message in parser.feed(decode(data)):
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)
        try:
            for _ in parser.feed(""):
                pass
        except (EOFError, ParseError):
            pass

    def _read(self) -> bytes:
        """What was typed; empty where the terminal is gone."""
        try:
            return os.read(self.fileno, 4096)
        except OSError:
            return b""

    def _enable_mouse_support(self) -> None:
        if self._mouse_mode is MouseMode.MOTION:
            super()._enable_mouse_support()
        elif self._mouse:
            # 1000 and 1002: buttons and drags. Without 1003, moving the mouse sends nothing.
            self.write("\x1b[?1000h\x1b[?1002h\x1b[?1006h")

    def _disable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l")

    def _enable_mouse_pixels(self) -> None:
        """Not wanted: a report for each pixel that the mouse is dragged over."""

    def _hung_up(self) -> None:
        """From any thread: the terminal is gone."""
        self._end(HANG_UP_CODE, within=HANG_UP_SECONDS)

    def _take_signals(self) -> None:
        """Hear of signals in the main thread, and at once in the thread of the keys: the main one may be stuck in a
        call that no signal ends."""
        for number in _ENDING_SIGNALS:
            self._handlers[number] = signal.signal(number, lambda number, _frame: self._signalled(number))
        self._signals, self._signals_in = os.pipe()
        os.set_blocking(self._signals_in, False)
        self._wakeup_before = signal.set_wakeup_fd(self._signals_in, warn_on_full_buffer=False)

    def _give_signals_back(self) -> None:
        if not self._handlers:
            return
        signal.set_wakeup_fd(self._wakeup_before)
        while self._handlers:
            signal.signal(*self._handlers.popitem())
        os.close(self._signals)
        os.close(self._signals_in)

    def _signalled(self, number: int) -> None:
        if (seconds := _ENDING_SIGNALS.get(number)) is not None:
            self._end(128 + number, within=seconds)

    def _end(self, code: int, *, within: float) -> None:
        """Ask the app to exit; where it has not done so in time (a loop that waits, an editor), end the process.

        An operation that is cut off is finished or undone by recovery, as after any other kill.
        """
        if within >= self._ends_within:
            return
        self._ends_within = within  # a lost line cuts short what SIGTERM allows
        watchdog = threading.Timer(within, end_now, (code,))
        watchdog.daemon = True
        watchdog.start()
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(lambda: self._app.exit(return_code=code))
