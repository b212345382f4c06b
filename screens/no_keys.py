"""Where the text of a key does not belong: lines that show what is typed, and keep it."""

from __future__ import annotations

from console.access.forms import holds_key


def refuse_key(text: str) -> str:
    """Why a line does not take this; empty where it does. To be handed to a `Prompt`."""
    return "a key's text is not kept here: in the Keys view (5), paste it, and it is found" if holds_key(text) else ""
