"""Help while a query is being typed: what the word at the cursor can become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.catalog.query import CAPABILITY_WORDS, CHOICES, FLAGS, NUMBERS, tokens
from console.catalog.types import PriceState


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The values that the catalog holds (`console.catalog.read.vocabulary`)."""

    providers: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """``text`` in place of what stands from ``start`` to ``end``; ``hint`` says what it means."""

    text: str
    start: int
    end: int
    hint: str = ""


def complete(text: str, cursor: int, vocabulary: Vocabulary, *, limit: int = 12) -> list[Completion]:
    """What the word at the cursor can become, the likeliest first; nothing inside of quotes."""
    token = next((token for token in tokens(text) if token.start < cursor <= token.end), None)
    start, end = (token.start, token.end) if token else (cursor, cursor)
    typed = text[start:cursor]
    minus = "-" if typed.startswith("-") else ""
    body = typed.removeprefix("-").lower()
    if body.startswith('"'):
        return []
    if ":" in body:
        found = _values(body, vocabulary)
    else:
        found = [(word, hint) for word, hint in _words() if word.startswith(body)]
    return [Completion(minus + word, start, end, hint) for word, hint in found[:limit]]


def _words() -> list[tuple[str, str]]:
    words = [(f"{name}:", hint) for name, hint in CHOICES.items()]
    words += [(f"{name}<" if name in ("in", "out", "image") else f"{name}>=", hint) for name, hint in NUMBERS.items()]
    words += [(name, "the provider says that it can") for name in CAPABILITY_WORDS]
    return words + list(FLAGS.items())


def _values(body: str, vocabulary: Vocabulary) -> list[tuple[str, str]]:
    name, _, written = body.partition(":")
    chosen, comma, begun = written.rpartition(",")
    values: dict[str, Sequence[str]] = {
        "provider": vocabulary.providers,
        "author": vocabulary.authors,
        "family": vocabulary.families,
        "kind": vocabulary.kinds,
        "input": vocabulary.modalities,
        "output": vocabulary.modalities,
        "price": [state.value for state in PriceState],
        **dict.fromkeys(CAPABILITY_WORDS, ("yes", "no", "unknown")),
    }
    fitting = [value for value in values.get(name, ()) if value.lower().startswith(begun)]
    return [(f"{name}:{chosen}{comma}{_quoted(value)}", CHOICES.get(name, "")) for value in fitting]


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
