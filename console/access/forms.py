"""What the text of a key looks like: the two forms of a budgateway, and our own with a checksum.

    bud_client_<43>        32 random bytes in base64url; bud_admin_ likewise (originals.md §1.1)
    mdk_client_<43>_<6>    32 random bytes and their checksum in base62; mdk_admin_ likewise

The checksum is the CRC-32 of all that stands before it, so a typing error is told without a look-up, and a scanner for
secrets finds our keys, and nothing else, by `PATTERN` and the checksum. It proves nothing: only the digest lets in.
"""

from __future__ import annotations

import re
import zlib

from console.terminal.redaction import OF_PROVIDERS

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BYTES_DIGITS = 43
"""As many as 32 bytes need: 62⁴³ is more than 2²⁵⁶."""
_CHECKSUM_DIGITS = 6
OURS = "mdk_"
PATTERN = rf"{OURS}(?:client|admin)_[0-9A-Za-z]{{{_BYTES_DIGITS}}}_[0-9A-Za-z]{{{_CHECKSUM_DIGITS}}}"
"""A text of our form, for scanners of secrets; `mistyped` says whether its checksum is right too."""
_BUD_PATTERN = r"bud_(?:client|admin)_[A-Za-z0-9_-]{20,}"
_SHORTEST = len(f"{OURS}admin_") + _BYTES_DIGITS + 1 + _CHECKSUM_DIGITS
_OURS = re.compile(PATTERN)
_KEY = re.compile(rf"{PATTERN}|{_BUD_PATTERN}")
_BETWEEN = re.compile(r"[^0-9A-Za-z_-]+")

GET_PUBLISHED = ("bud_client", "mdk_client_")
"""Texts that begin so get every published model beside their own: the first in the seed's words (seed 001)."""
MISTYPED = "mistyped: its checksum is wrong"


def with_checksum(beginning: str, secret: bytes) -> str:
    """A text of our form: ``mdk_client_`` and 32 random bytes."""
    text = beginning + _base62(int.from_bytes(secret), _BYTES_DIGITS)
    return f"{text}_{_checksum(text)}"


def mistyped(text: str) -> bool:
    """Whether a text is meant to be of our form and is not: a letter is wrong, or some are missing."""
    if not text.startswith(OURS):
        return False
    before, _, checksum = text.rpartition("_")
    return _OURS.fullmatch(text) is None or _checksum(before) != checksum


def is_whole(text: str) -> bool:
    """Whether a text has the length of our form, give or take a letter or two: who types one has ended."""
    return len(text) >= _SHORTEST - 2


def is_key_text(text: str) -> bool:
    """Whether this is the text of a key, or was meant to be, rather than its id or digest."""
    return _KEY.fullmatch(text) is not None or mistyped(text)


def is_surely_key_text(text: str) -> bool:
    """As `is_key_text`, where a name that merely begins as a key's text is possible too."""
    return _KEY.fullmatch(text) is not None or (mistyped(text) and is_whole(text))


def holds_key(text: str) -> bool:
    """Whether a key's text, or a provider's, stands in it."""
    if re.search(f"{_BUD_PATTERN}|{OF_PROVIDERS}", text) is not None:  # also with something before it
        return True
    words = _BETWEEN.split(text)
    return any(is_surely_key_text(word[at:]) for word in words if (at := word.find(OURS)) >= 0)


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_DIGITS)


def _base62(number: int, digits: int) -> str:
    found = []
    for _ in range(digits):
        number, digit = divmod(number, 62)
        found.append(_BASE62[digit])
    return "".join(reversed(found))
