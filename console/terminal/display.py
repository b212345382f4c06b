"""The display layer: sends the cells that changed, instead of every dirty region whole as Textual does.

It is a layer of `TerminalApp` (app.py) and works together with `TerminalDriver`, which tells when a terminal is
behind. With any other driver (headless, inline, textual-serve) Textual's own display is at work.

It stands on private names of Textual 8.2.8 (`App._display`, the compositor's updates); Textual is pinned for that.
Whatever goes wrong here makes the app go on with Textual's own display, and `ThinDisplay.display_fault` says why.
"""

from __future__ import annotations

# ruff: noqa: SLF001 - the private names are the point; see above.
from typing import Any, ClassVar

from rich.color import ColorSystem
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, ReturnType
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.screen import Screen
from textual.strip import Strip

from console.terminal.driver import TerminalDriver
from console.terminal.environment import RenderMode, Terminal
from console.terminal.meter import LinkMeter
from console.terminal.painter import Painter
from console.terminal.sgr import PLAIN, canonical

_SYNC_START, _SYNC_END = "\x1b[?2026h", "\x1b[?2026l"
_SYNC_FROM = 512
"""Shorter frames arrive in one piece anyhow; asking the terminal to wait for their end would be a quarter of them."""


class ThinRenderer:
    """Textual's updates onto a painter's wanted picture, in one colour system."""

    def __init__(self, painter: Painter, colours: ColorSystem) -> None:
        self.painter = painter
        self._colours = colours

    def apply(self, update: LayoutUpdate | ChopsUpdate) -> bool:
        """Take an update over; False where the rest of the picture is needed too, because the size is another one."""
        if isinstance(update, LayoutUpdate):
            self._apply_layout(update)
            return True
        width = update.chop_ends[0][-1] if update.chop_ends and update.chop_ends[0] else 0
        resized = self._fit(width, len(update.chops))
        self._apply_chops(update)
        return not resized

    def _fit(self, width: int, height: int) -> bool:
        wanted = self.painter.wanted
        if (wanted.width, wanted.height) == (width, height):
            return False
        self.painter.resize(width, height)
        return True

    def _apply_layout(self, update: LayoutUpdate) -> None:
        region = update.region
        self._fit(region.right, region.bottom)
        for y, strips in enumerate(update.strips, region.y):
            x = region.x
            for strip in strips:
                x = self._put(x, y, strip)

    def _apply_chops(self, update: ChopsUpdate) -> None:
        for y, start, end in update.spans:
            # The compositor takes a whole chop into a span that touches it, and cuts only on the right; so do we.
            for chop_end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if strip is not None and x <= end and chop_end > start:
                    self._put(x, y, strip, until=min(chop_end, end))

    def _put(self, x: int, y: int, strip: Strip, until: int | None = None) -> int:
        put = self.painter.wanted.put
        for text, style, control in strip:
            if control:
                raise ValueError("a segment with control codes is not a text")
            if until is not None and x >= until:
                break
            x = put(x, y, text, PLAIN if style is None else self._style(style), until=until)
        return x

    def _style(self, style: Style) -> str:
        # The parameters that Textual would write, from the cache where it keeps them.
        ansi = style._ansi
        if ansi is None:
            ansi = Strip.render_ansi(style, self._colours)
        return canonical(ansi, style._link or "")


class ThinDisplay(App[ReturnType]):
    """An app that sends only what changed, and that never waits for a slow terminal.

    display_fault   why Textual's own display took over; None while all is well
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+l", "repaint", "Repaint", id="app.repaint", show=False, priority=True),
    ]

    def __init__(self, *, terminal: Terminal, **options: Any) -> None:
        super().__init__(**options)
        self.terminal = terminal
        self.display_fault: str | None = None
        self._renderer: ThinRenderer | None = None
        self._generation = 0
        self._waiting_for_terminal = False

    @property
    def link_meter(self) -> LinkMeter | None:
        """Bytes and frames that went to the terminal; None where another driver sends them."""
        return self._driver.meter if isinstance(self._driver, TerminalDriver) else None

    @property
    def sends_thin(self) -> bool:
        """Whether only what changed is sent now."""
        return (
            self.terminal.render is RenderMode.THIN
            and self.display_fault is None
            and isinstance(self._driver, TerminalDriver)
        )

    def on_mount(self) -> None:
        # After a suspend the terminal shows what somebody else printed, and Textual draws only what changed since.
        self.app_resume_signal.subscribe(self, lambda _: self.screen.refresh())

    def action_repaint(self) -> None:
        """Clear the terminal and draw everything: after a line fault, or another program's output."""
        if not isinstance(self._driver, TerminalDriver):
            return
        self._driver.write("\x1b[r\x1b[0m\x1b[2J")
        if self._renderer is not None:
            self._renderer.painter.forget()
        self.screen.refresh()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        driver = self._driver
        nothing = renderable is None or self._batch_count or not self._running or self._closed
        if nothing or not isinstance(driver, TerminalDriver):
            super()._display(screen, renderable)
        elif self.sends_thin and isinstance(renderable, LayoutUpdate | ChopsUpdate):
            try:
                self._display_thin(driver, renderable)
            except Exception as fault:
                self._go_on_with_stock(driver, fault)
            finally:
                self.post_display_hook()
        elif self._hold(driver):
            self.post_display_hook()
        else:
            if self._renderer is not None:
                self._renderer.painter.forget()
            driver.meter.frames += 1
            super()._display(screen, renderable)

    def _display_thin(self, driver: TerminalDriver, update: LayoutUpdate | ChopsUpdate) -> None:
        if self._renderer is None:
            painter = Painter(erases_with_background=self.terminal.erases_with_background)
            self._renderer = ThinRenderer(painter, self.console._color_system or ColorSystem.TRUECOLOR)
        if not self._renderer.apply(update):
            self.screen.refresh()
        if not self._hold(driver):
            self._send_frame(driver, self._renderer.painter)

    def _send_frame(self, driver: TerminalDriver, painter: Painter) -> None:
        if driver.generation != self._generation:
            self._generation = driver.generation
            painter.forget()
        frame = painter.frame(self._wanted_cursor())
        if not frame:
            return
        if self._sync_available and len(frame) >= _SYNC_FROM:
            frame = f"{_SYNC_START}{frame}{_SYNC_END}"
        driver.meter.frames += 1
        driver.write(frame)

    def _wanted_cursor(self) -> tuple[int, int] | None:
        """Where an input method should open; None where no widget has said so."""
        cursor = self.screen.outer_size.clamp_offset(self.cursor_position)
        return None if cursor == Offset(0, 0) else (cursor.x, cursor.y)

    def _hold(self, driver: TerminalDriver) -> bool:
        """Whether this update has to wait; it is then part of the one that follows when the terminal has caught up."""
        if not self._waiting_for_terminal:
            self._waiting_for_terminal = driver.when_caught_up(self._terminal_caught_up)
        if self._waiting_for_terminal:
            driver.meter.held += 1
        return self._waiting_for_terminal

    def _terminal_caught_up(self) -> None:
        # From the output's thread.
        self.call_later(self._caught_up)

    def _caught_up(self) -> None:
        self._waiting_for_terminal = False
        driver = self._driver
        if not isinstance(driver, TerminalDriver) or not self._running or self._closed:
            return
        if self.sends_thin and self._renderer is not None:
            if not self._hold(driver):
                self._send_frame(driver, self._renderer.painter)
        else:
            # Without a picture of our own, everything that was held has to be drawn anew.
            self.screen.refresh()

    def _go_on_with_stock(self, driver: TerminalDriver, fault: Exception) -> None:
        self.display_fault = f"{type(fault).__name__}: {fault}"
        self.log.error(f"the thin display failed ({self.display_fault}); Textual's own is used from here on")
        self._renderer = None
        driver.write("\x1b[r\x1b[0m")
        self.screen.refresh()
