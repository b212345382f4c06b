"""Names: which models are the same model, and how an operator writes one.

Nothing here decides what a provider is sent: that is always the native id, untouched.
"""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[^a-z0-9]+")
_FAMILY = re.compile(r"[a-z]+")


def canonical_key(native_id: str) -> str:
    """A key that the same model has at every provider, as far as its names tell.

    The last part of the id, in lower case, with one kind of separator and without what a router appends behind a
    colon: ``meta-llama/Llama-3.3-70B-Instruct:free`` and ``llama-3.3-70b-instruct`` are both
    ``llama-3-3-70b-instruct``. A quantised variant with a name of its own (``…-Turbo``, ``…-FP8``) stays apart: it
    is another product. An id without any letter or digit keeps its text.
    """
    last = native_id.rsplit("/", 1)[-1].split(":", 1)[0]
    return _SEPARATORS.sub("-", last.lower()).strip("-") or native_id


def author_of(native_id: str) -> str | None:
    """Who made it, where the id is written ``author/model``."""
    author, slash, _ = native_id.partition("/")
    return author.lstrip("~@") or None if slash else None


def family_of(key: str) -> str | None:
    """The line that a model belongs to, by the first word of its key: ``llama``, ``qwen``, ``gpt``.

    None for a single letter (``o3-mini``), which would throw unlike models together.
    """
    found = _FAMILY.search(key)
    return found[0] if found and len(found[0]) > 1 else None
