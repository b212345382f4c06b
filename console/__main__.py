"""``modeldeck`` and ``python -m console``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_OPTIONS = ("--config", "--profile")


def main() -> None:
    """Run the command line and exit with the outcome's code (docs/outcomes.md)."""
    arguments = sys.argv[1:]
    options = console_options(arguments)
    if options is not None and (arguments or _on_a_terminal()):
        # What most people start, and wait for: without the other commands, which it does not need.
        from console.opening import open_console

        sys.exit(open_console(config=options.get("--config"), profile=options.get("--profile")))
    from console.cli import run

    sys.exit(run(arguments))


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
