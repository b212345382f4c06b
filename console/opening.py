"""How the console begins: the terminal first, Textual next, the configuration after the first paint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from console.outcome import Refusal
from console.terminal.environment import prepare, refuse_without_screen
from console.terminal.text import have_streams, let_output_go, narrate, safe, speak_any_encoding, speaks_unicode

if TYPE_CHECKING:
    from console.config import Profile


def open_console(*, config: str | None, profile: str | None) -> int:
    """Open the console on this terminal; returns the exit code when it is left."""
    have_streams()
    speak_any_encoding()
    terminal = prepare()
    try:
        refuse_without_screen(terminal)
    except Refusal as problem:
        narrate(f"✗ refused: {safe(str(problem))}")
        narrate(f"  next: {safe(problem.then)}")
        return problem.ending.exit_code
    from console.app import main
    from widgets.theme import use_plain_glyphs

    if not speaks_unicode(os.environ):
        use_plain_glyphs()

    def open_profile() -> Profile:
        from pathlib import Path

        from console.config import load_profile

        return load_profile(config=Path(config) if config else None, profile=profile)

    code = main(open_profile, terminal=terminal)
    let_output_go()  # after a hang-up
    return code
