"""New keys and new ids."""

from __future__ import annotations

import secrets

from console.keys.types import KeyKind

_ID_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
KEY_BYTES = 32


def new_key_text(kind: KeyKind) -> str:
    """``bud_client_`` or ``bud_admin_`` and 43 characters: 32 random bytes in base64url without padding
    (originals.md §1.1)."""
    return f"bud_{kind.value}_{secrets.token_urlsafe(KEY_BYTES)}"


def new_key_id() -> str:
    """Six characters that are read over a telephone without trouble; stays the same through every rotation."""
    return "k" + "".join(secrets.choice(_ID_ALPHABET) for _ in range(5))
