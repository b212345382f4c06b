"""Where the text of a key does not belong: lines that show what is typed, and keep it."""

from __future__ import annotations

import re

from console.access.forms import is_surely_key_text

_BETWEEN = re.compile(r"[^0-9A-Za-z_-]+")


def refuse_key(text: str) -> str:
    """Why a line does not take this; empty where it does. To be handed to a `Prompt`."""
    if any(is_surely_key_text(word) for word in _BETWEEN.split(text)):
        return "a key's text is not kept here: in the Keys view (5), paste it, and it is found"
    return ""
