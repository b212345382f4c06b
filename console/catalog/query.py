"""The filter language: what an operator types to find models.

    provider:groq,google  author:qwen  family:llama  kind:embedding  price:dynamic
    input:image  output:audio    what goes in and comes out;  key:gpt-4o  the same model at every provider
    ctx>=128k  maxout>8k         tokens; k is 1,000 and m 1,000,000
    in<0.5  out<=1               USD per 1M tokens; a free model costs 0, one without a known price matches no bound
    image<0.05                   USD per image
    vision tools json reasoning streaming      the provider says that it can; vision:no, vision:unknown
    free deprecated missing retired hidden pinned any
    llama "exact words"          in the id, the name or the author, whatever the case
    about:"long context"         words, or the beginning of the last one, of names and descriptions
    -preview -provider:groq      not that one; what is unknown does not match, so it is kept

All terms must hold. Hidden and retired models are left out unless a term asks for them (``hidden``, ``retired``,
``any``).
This module parses; `console.catalog.query_sql` makes SQL of it, `console.catalog.completion` helps while typing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from console.catalog.provider_names import slug_of
from console.catalog.types import PriceState
from console.outcome import Refusal

TEXT_LIMIT = 1_000

CAPABILITY_WORDS = {
    "vision": "vision",
    "tools": "tools",
    "json": "json_mode",
    "reasoning": "reasoning",
    "streaming": "streaming",
}
FLAGS = {
    "free": "every price that it has is 0, and marked so",
    "deprecated": "the provider says that it will go",
    "missing": "in the catalog, and not in the provider's last list",
    "retired": "missing from three lists in a row",
    "hidden": "hidden by an operator",
    "pinned": "pinned by an operator",
    "any": "hidden and retired ones too",
}
CHOICES = {
    "provider": "who offers it",
    "author": "who made it",
    "family": "the line that it belongs to",
    "kind": "chat, embedding, image, …",
    "price": "known, free, dynamic or unknown",
    "input": "what goes in: text, image, audio, video, file",
    "output": "what comes out",
    "key": "the same model at every provider",
    "about": "words of names and descriptions",
}
NUMBERS = {
    "ctx": "context in tokens, as in ctx>=128k",
    "maxout": "output in tokens, as in maxout>8k",
    "in": "USD per 1M input tokens, as in in<0.5",
    "out": "USD per 1M output tokens, as in out<1",
    "image": "USD per image, as in image<0.05",
}
_SYNONYMS = {"context": "ctx", "max_output": "maxout", "modality": "input"}
_TRUTHS = {"yes": True, "true": True, "no": False, "false": False, "unknown": None}

_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r'-?"[^"]*"?|[^\s"]+(?:"[^"]*"?)?')
_COMPARISON = re.compile(r"([a-z_]+)(<=|>=|<|>|=)(.*)", re.IGNORECASE | re.DOTALL)
_CHOICE = re.compile(r"([a-z_]+):(.*)", re.IGNORECASE | re.DOTALL)
_QUANTITY = re.compile(r"\$?([0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})([km]?)", re.IGNORECASE)
_TOO_LARGE = re.compile(r"\$?[0-9]{13,}(?:\.[0-9]*)?[km]?", re.IGNORECASE)


class BadTerm(Refusal):
    """A term that means nothing. ``start`` and ``end`` are where it stands in what was typed."""

    code = "BAD_QUERY"
    status = 400

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message, then="quotes make plain words of anything")
        self.start = start
        self.end = end


@dataclass(frozen=True, slots=True)
class Words:
    """Text that must be in the id, the name or the author."""

    text: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class About(Words):
    """Words, one behind the other, of the names and the description; the last one may only be begun.

    Where no descriptions are at hand it is what it is made from: text in the id, the name or the author.
    """


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values of a field; ``values`` are in lower case."""

    field: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """A comparison. ``value``: tokens, or USD per 1M tokens, or USD per image, by the field."""

    field: str
    operator: str
    value: Decimal
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Capability:
    """What the provider says of a capability; ``stated`` None: that it says nothing."""

    name: str
    stated: bool | None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """One of `FLAGS`."""

    name: str
    negated: bool = False


Term = Words | Choice | Bound | Capability | Flag


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked for; all terms must hold."""

    terms: tuple[Term, ...] = ()

    def asks_for(self, *flags: str) -> bool:
        return any(isinstance(term, Flag) and term.name in flags and not term.negated for term in self.terms)

    def chooses(self, *fields: str) -> bool:
        """Whether it names values of one of these fields."""
        return any(isinstance(term, Choice) and term.field in fields and not term.negated for term in self.terms)

    @property
    def has_words(self) -> bool:
        """Whether there are words that must be there."""
        return any(isinstance(term, Words) and not term.negated for term in self.terms)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of what was typed, and where it stands."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def tokens(text: str) -> Iterator[Token]:
    """The pieces between spaces; quotes hold a piece together, to the end where they are not closed yet."""
    for found in _TOKEN.finditer(text):
        yield Token(found[0], found.start())


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        BadTerm: the first term that means nothing, with its place and, where there is one, the nearest word.
    """
    if len(text) > TEXT_LIMIT:
        raise BadTerm(f"a query has at most {TEXT_LIMIT} characters", TEXT_LIMIT, len(text))
    return Query(tuple(_term(token) for token in tokens(text)))


def _term(token: Token) -> Term:
    body = token.text.removeprefix("-")
    negated = body != token.text
    if not body:
        raise _bad(token, "a - alone excludes nothing: write -word")
    if body.count('"') % 2:
        raise _bad(token, f'this quote is not closed: write {body}"')
    if body.startswith('"'):
        return Words(_unquoted(body, token), negated)
    if found := _COMPARISON.fullmatch(body):
        return _bound(token, found[1].lower(), found[2], found[3], negated)
    if found := _CHOICE.fullmatch(body):
        return _choice(token, found[1].lower(), found[2], negated)
    word = body.lower()
    if word in CAPABILITY_WORDS:
        return Capability(CAPABILITY_WORDS[word], True, negated)
    if word in FLAGS:
        return Flag(word, negated)
    return Words(body.replace('"', ""), negated)


def _unquoted(body: str, token: Token) -> str:
    words = body.strip('"')
    if not words.strip():
        raise _bad(token, "there is nothing between the quotes")
    return words


def _bound(token: Token, name: str, operator: str, written: str, negated: bool) -> Bound:
    name = _SYNONYMS.get(name, name)
    if name not in NUMBERS:
        if name in CHOICES:
            raise _bad(token, f"{name} is not a number: write {name}:{written or '…'}")
        raise _bad(token, f"nothing is called {name}{_nearest(name, NUMBERS)}")
    found = _QUANTITY.fullmatch(written.strip('"'))
    if found is None:
        example = NUMBERS[name].rpartition(" ")[2]
        what = "a number of tokens" if name in ("ctx", "maxout") else "an amount in USD"
        if not written:
            raise _bad(token, f"behind {name}{operator} {what} is missing, as in {example}")
        if _TOO_LARGE.fullmatch(written):
            raise _bad(token, f"{written[:40]} is too large: {name} has at most 12 digits, as in {example}")
        most = "" if name in ("ctx", "maxout") else ", with at most 9 decimals"
        raise _bad(token, f"{written} is not {what}{most}, as in {example}")
    factor = {"": 1, "k": 1_000, "m": 1_000_000}[found[2].lower()]
    if factor != 1 and name not in ("ctx", "maxout"):
        raise _bad(token, f"k and m are for tokens; {name} is in USD")
    return Bound(name, operator, Decimal(found[1]) * factor, negated)


def _choice(token: Token, name: str, written: str, negated: bool) -> Term:
    name = _SYNONYMS.get(name, name)
    if name == "about":
        if not (words := " ".join(words_in(written.lower()))):
            raise _bad(token, f"about: needs letters or digits, as in about:summaries ({CHOICES[name]})")
        return About(words, negated)
    values = tuple(value for value in written.replace('"', "").lower().split(",") if value)
    if name in CAPABILITY_WORDS:
        if len(values) != 1 or values[0] not in _TRUTHS:
            raise _bad(token, f"{name} is yes, no or unknown, as in {name}:unknown")
        return Capability(CAPABILITY_WORDS[name], _TRUTHS[values[0]], negated)
    if name in NUMBERS:
        raise _bad(token, f"{name} is a number: {NUMBERS[name].rpartition(' as in ')[2]}")
    if name not in CHOICES:
        if "/" in token.text:  # an id such as author/model:free
            return Words(token.text.removeprefix("-").replace('"', ""), negated)
        raise _bad(token, f"nothing is called {name}{_nearest(name, [*CHOICES, *CAPABILITY_WORDS])}")
    if not values:
        raise _bad(token, f"{name}: needs a value ({CHOICES[name]})")
    if name == "provider":
        values = tuple(dict.fromkeys(map(slug_of, values)))
    if name == "price" and (wrong := set(values) - {state.value for state in PriceState}):
        raise _bad(token, f"a price is known, free, dynamic or unknown, not {min(wrong)}")
    return Choice(name, values, negated)


def words_in(text: str) -> list[str]:
    """The words of a text as a full-text search counts them: runs of letters and digits."""
    return _WORD.findall(text)


def _nearest(name: str, names: object) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)  # type: ignore[call-overload]
    return f"; did you mean {near[0]}?" if near else f" (there are {', '.join(names)})"  # type: ignore[arg-type]


def _bad(token: Token, message: str) -> BadTerm:
    return BadTerm(message, token.start, token.end)
