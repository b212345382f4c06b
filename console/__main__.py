"""``modeldeck`` and ``python -m console``.

Until `main` is reached a Ctrl-C is Python's own to tell, in many lines: so little is imported here, and nothing that
an interpreter has not loaded by itself.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

_OPTIONS = ("--config", "--profile")
_CANCELLED = 130
"""`console.outcome.Ending.CANCELLED`'s; here before anything is loaded."""


def main() -> None:
    """Run the command line and exit with the outcome's code (docs/outcomes.md)."""
    former = signal.getsignal(signal.SIGINT)
    if former is not signal.default_int_handler:  # it is ignored, as for what runs in a shell's background
        sys.exit(_loaded()())
    # While modules load, KeyboardInterrupt would come out of any of their lines, and some make another error of it.
    signal.signal(signal.SIGINT, lambda *_: _cancel())
    work = _loaded()
    signal.signal(signal.SIGINT, former)
    try:
        code = work()
    except KeyboardInterrupt:
        _cancel()
    # All is done and told, and stays the answer: what a Ctrl-C ends now is only the interpreter.
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _loaded() -> Callable[[], int]:
    """What the arguments ask for."""
    arguments = sys.argv[1:]
    options = console_options(arguments)
    if options is not None and (arguments or _on_a_terminal()):
        # What most people start, and wait for: without the other commands, which it does not need.
        from console.opening import open_console

        return lambda: open_console(config=options.get("--config"), profile=options.get("--profile"))
    from console.cli import run

    return lambda: run(arguments)


def _cancel() -> NoReturn:
    try:
        os.write(2, b"cancelled\n")
    finally:  # also where nobody reads that any more
        os._exit(_CANCELLED)


def console_options(arguments: Sequence[str]) -> dict[str, str] | None:
    """The options where the arguments plainly ask for the console; None where the command line has to read them."""
    rest = list(arguments)
    if rest and rest.pop(0) != "console":
        return None
    options: dict[str, str] = {}
    while rest:
        if rest[0] not in _OPTIONS or len(rest) < 2 or rest[1].startswith("-"):
            return None
        options[rest[0]], rest = rest[1], rest[2:]
    return options


def _on_a_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


if __name__ == "__main__":
    main()
