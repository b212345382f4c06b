"""Bytes that gestures cost on a pty: the thin display beside Textual's own, over the sample app."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support.terminal import Pty

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "e2e" / "terminal" / "sample_app.py"
SIZE = (120, 40)
GESTURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("one changed cell", ("u",)),
    ("cursor down a row", ("down",)),
    ("a page down", ("pagedown",)),
    ("a dialog opens", ("m",)),
    ("a dialog closes", ("escape",)),
    ("a toast", ("t",)),
    ("another screen", ("o",)),
    ("cursor down in a list", ("down",)),
    ("the list's end", ("end",)),
    ("a row up that scrolls", ("pageup", "up")),
    ("a character typed", ("shift+tab", "a")),
    ("the first screen again", ("escape",)),
    ("the palette", ("ctrl+p",)),
    ("a letter in the palette", ("t",)),
)


def main() -> None:
    thin, stock = measured("thin"), measured("stock")
    print(f"{'at ' + 'x'.join(map(str, SIZE)):<26}{'stock':>10}{'thin':>10}{'factor':>9}")
    for (name, _), few, many in zip((("the start", ()), *GESTURES), thin, stock, strict=True):
        print(f"{name:<26}{many:>10,}{few:>10,}{many / max(few, 1):>8.0f}x")


def measured(render: str) -> list[int]:
    """Bytes until the first screen stands, then for each gesture."""
    environ = {
        **os.environ,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "PYTHONPATH": str(ROOT),
        "SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22",
        "MODELDECK_RENDER": render,
    }
    found: list[int] = []
    with Pty([sys.executable, str(SAMPLE)], size=SIZE, environ=environ, cwd=ROOT) as program:
        program.wait_for("model-020").quiet()
        found.append(len(program.received))
        for _, keys in GESTURES:
            mark = program.mark()
            for key in keys:
                program.press(key).quiet(silence=0.4)
            found.append(len(program.since(mark)))
    return found
