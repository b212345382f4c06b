"""Asking an operator at a terminal: whatever stops the program ends a question at once, as nothing is done yet."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import click

from console.terminal.text import narrate

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PRESS_AGAIN_SECONDS = 0.05


class Left(BaseException):
    """The operator would not answer: Ctrl-C, Ctrl-D, or a signal. No error, so nothing on its way out takes it for one.

    ``exit_code``: 130, as for everything that is cancelled, or 128 and the number of the signal
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__("cancelled; nothing was changed")
        self.exit_code = 128 + number


def confirm(question: str) -> bool:
    """Yes or no; no where only Enter is pressed."""
    return bool(_asked(lambda: click.confirm(question, default=False, err=True)))


def typed(question: str) -> str:
    """What is typed; empty where only Enter is pressed."""
    return str(_asked(lambda: click.prompt(question, default="", show_default=False, err=True)))


def hidden(loop: asyncio.AbstractEventLoop, question: str) -> str:
    """What is typed without an echo. For another thread than the loop's: only the main one can be interrupted."""
    answer: concurrent.futures.Future[str] = concurrent.futures.Future()

    def ask() -> None:
        try:
            given = _asked(lambda: click.prompt(question, hide_input=True, default="", show_default=False, err=True))
        except Left as left:
            answer.set_exception(left)
        else:
            answer.set_result(str(given))

    loop.call_soon_threadsafe(ask)
    return answer.result()


def _asked(ask: Callable[[], Any]) -> Any:
    with stoppable():
        try:
            return ask()
        except click.exceptions.Abort:
            narrate("")
            raise Left from None
        except Left:
            narrate("")
            raise


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """While it lasts, what would stop the program raises `Left`, whatever the main thread waits for."""
    # A loop takes signals between two of its steps, and there is none while somebody is asked: it is not told of them.
    over = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        if not over.is_set():
            raise Left(number)

    heard, told = socket.socketpair()
    told.setblocking(False)
    again = threading.Thread(target=_press, args=(heard, threading.get_ident(), over), daemon=True)
    former = {number: signal.signal(number, stop) for number in _STOPS}
    loops = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    again.start()
    try:
        try:
            yield
        finally:
            over.set()
    finally:
        over.set()  # where another signal came between
        signal.set_wakeup_fd(loops)
        told.close()
        again.join()
        heard.close()
        for number, handler in former.items():
            signal.signal(number, handler)


def _press(heard: socket.socket, asking: int, over: threading.Event) -> None:
    """Repeat a signal until the question is over.

    One that comes just before the terminal is read does not end that read; and `input` flushes stderr first, and
    forgets whatever is raised meanwhile.
    """
    while number := heard.recv(1):  # nothing once the question is over
        while number[0] in _STOPS and not over.wait(_PRESS_AGAIN_SECONDS):
            signal.pthread_kill(asking, number[0])
