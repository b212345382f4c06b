"""New keys and new ids."""

from __future__ import annotations

import secrets

from console.access.forms import with_checksum
from console.keys.types import KeyForm, KeyKind

_ID_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
KEY_BYTES = 32


def new_key_text(kind: KeyKind, form: KeyForm = KeyForm.BUD) -> str:
    """32 random bytes behind the beginning that says form and kind (console/access/forms.py)."""
    if form is KeyForm.MDK:
        return with_checksum(form.beginning(kind), secrets.token_bytes(KEY_BYTES))
    return form.beginning(kind) + secrets.token_urlsafe(KEY_BYTES)


def new_key_id() -> str:
    """Six characters that are read over a telephone without trouble; stays the same through every rotation."""
    return "k" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(5))
