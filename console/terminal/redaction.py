"""Taking out of a text what looks like a secret, before it is kept or passed on."""

from __future__ import annotations

import re

HIDDEN = "[hidden]"

_NAMES = r"[\w-]*(?:password|passwd|secret|token|credential|authorization|api[_-]?key)s?"
# The first group introduces the secret and stays.
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"(\b(?:bearer|basic)\s+)[^\s\"'\\,}\]]+",
        r"(\w://[^\s/:@]*:)[^\s/@]+(?=@)",
        rf"({_NAMES}[\"']?\s*[:=]\s*(?:b?[\"']))(?:[^\"'\\]|\\.)+",
        rf"({_NAMES}[\"']?\s*[:=]\s*)(?![\"'\s]|b[\"'])[^\s,;)}}\]]+",
        r"(\binput_value=).+?(?=, input_type=|$)",
        r"(\[parameters: ).+",
        r"(\b)(?:sk|bud|mdk|mdt|hf|gsk|xai)[-_][\w.-]{8,}",
    )
)
# Anything long that mixes small letters, capitals and digits is more likely a key than a word.
_OPAQUE = re.compile(r"(?<![\w+-])(?=[\w+=-]*[a-z])(?=[\w+=-]*[A-Z])(?=[\w+=-]*\d)[\w+=-]{24,}")


OF_PROVIDERS = r"\b(?:sk-(?=[\w-]*\d)[\w-]{18,}|(?:gsk_|hf_|xai-)[A-Za-z0-9]{30,})"
"""Keys of providers that begin with a mark of their own. Models are called xai-grok-4-fast, but not so long at once."""
# The forms of keys and tokens that are ours, or begun as such, and the providers'.
_KEYS = re.compile(rf"(?:(?:bud|mdk)_(?:client|admin|probe)_|mdt_)(?=[\w-]*\d)[\w-]{{14,}}|{OF_PROVIDERS}")


def without_keys(text: str) -> str:
    """The text without keys and tokens, and all else as it is: for sentences that repeat what somebody typed."""
    return _KEYS.sub(HIDDEN, text)


def redacted(text: str) -> str:
    """The text with everything that looks like a credential taken out; rather too much than too little."""
    for secret in _SECRETS:
        text = secret.sub(rf"\g<1>{HIDDEN}", text)
    return _OPAQUE.sub(HIDDEN, text)
