"""The form in which a provider is declared: where its list is, how to ask, and what each field means.

A provider is one module of some 30 lines with one `ProviderSpec` called ``SPEC`` (docs/providers.md). What cannot be
declared is its `odd` hook: a function that gets the record and the `Draft` made of it, and sets right what is special
about this provider, or raises `RecordRefused`.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from console.catalog.prices import PriceUnit
from console.catalog.types import Price, PriceKind

if TYPE_CHECKING:
    import httpx

Record = dict[str, Any]
# From a credential that is not sent itself to the headers that it is worth (console/sync/google.py).
Exchange = Callable[["httpx.AsyncClient", str, datetime], Awaitable[dict[str, str]]]


class Tier(StrEnum):
    """How often a list is worth asking for (reference/originals.md §3.1). Unlisted providers are `LOW`."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def interval(self) -> timedelta:
        return {Tier.HIGH: timedelta(minutes=15), Tier.MEDIUM: timedelta(hours=1)}.get(self, timedelta(hours=4))


@dataclass(frozen=True, slots=True)
class Auth:
    """How a list is asked for.

    env       environment variable that holds the credential; the one source of this name
    required  whether the list is refused without it; where it is not, it is sent when there is one
    header, prefix  ``Authorization: Bearer <credential>`` unless said otherwise
    headers   what else every request carries, and is no secret (an API version)
    exchange  for a credential that is not sent but exchanged for headers
    """

    env: str
    required: bool = True
    header: str = "Authorization"
    prefix: str = "Bearer "
    headers: Mapping[str, str] = field(default_factory=dict)
    exchange: Exchange | None = field(default=None, repr=False)  # a function's repr differs from process to process


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, as far as the next one depends on it.

    envelope  what stands beside the list
    link      the URL that its ``Link`` header calls next, "" where there is none
    """

    number: int
    records: int
    envelope: Mapping[str, Any]
    link: str = ""


@dataclass(frozen=True, slots=True)
class SinglePage:
    """The whole list in one answer. Only such a list can be asked for conditionally."""

    def first(self) -> dict[str, str]:
        return {}

    def after(self, page: Page) -> dict[str, str] | None:
        return None


@dataclass(frozen=True, slots=True)
class NumberedPages:
    """``?page=1&per_page=100``, until a page holds fewer records than it may."""

    number: str = "page"
    size: str = "per_page"
    records: int = 100

    def first(self) -> dict[str, str]:
        return {self.number: "1", self.size: str(self.records)}

    def after(self, page: Page) -> dict[str, str] | None:
        if page.records < self.records:
            return None
        return {self.number: str(page.number + 1), self.size: str(self.records)}


@dataclass(frozen=True, slots=True)
class CursorPages:
    """``?limit=100&after_id=<last_id>`` while the answer says ``has_more`` (Anthropic's form).

    more_at  where the answer says whether there is more; "" where a cursor alone says so
    """

    cursor: str = "after_id"
    cursor_at: str = "last_id"
    more_at: str = "has_more"
    size: str = "limit"
    records: int = 100

    def first(self) -> dict[str, str]:
        return {self.size: str(self.records)}

    def after(self, page: Page) -> dict[str, str] | None:
        cursor = page.envelope.get(self.cursor_at)
        if self.more_at and page.envelope.get(self.more_at) is not True:
            return None
        if not isinstance(cursor, str) or not cursor:
            return None
        return {self.size: str(self.records), self.cursor: cursor}


@dataclass(frozen=True, slots=True)
class LinkPages:
    """``?limit=1000``, then what the ``Link`` header calls next (RFC 8288; Hugging Face).

    Of the link only its parameters are taken: where the list is asked for is ours to say, and so is who gets the
    credential.
    """

    size: str = "limit"
    records: int = 1_000

    def first(self) -> dict[str, str]:
        return {self.size: str(self.records)}

    def after(self, page: Page) -> dict[str, str] | None:
        try:
            return dict(parse_qsl(urlsplit(page.link).query)) or None
        except ValueError:
            return None


Pagination = SinglePage | NumberedPages | CursorPages | LinkPages


@dataclass(frozen=True, slots=True)
class PriceField:
    """Where a price is, and in which unit. The unit belongs to the field, never to the size of the number."""

    at: str
    unit: PriceUnit


@dataclass(frozen=True, slots=True)
class Listed:
    """A capability that is true where a list in the record, or a text with commas, names one of ``names``.

    complete  whether the list is: then a name that is not in it means false, else it means unknown
    """

    at: str
    names: tuple[str, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Stated:
    """A capability that the record states as true or false."""

    at: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What a provider's word for a kind of model means; a side that the word leaves open is None."""

    kind: str
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Fields:
    """Where things are in a record: paths with dots; the first that holds something counts.

    modality  both sides in one text: ``text+image->text``
    """

    id: tuple[str, ...]
    name: tuple[str, ...] = ()
    author: tuple[str, ...] = ()
    description: tuple[str, ...] = ()
    context_tokens: tuple[str, ...] = ()
    max_output_tokens: tuple[str, ...] = ()
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    released_at: tuple[str, ...] = ()
    retires_at: tuple[str, ...] = ()
    replaced_by: tuple[str, ...] = ()


@dataclass(slots=True)
class Draft:
    """A listing in the making; the fields are those of `console.catalog.types.Listing`.

    flaws  what could not be read, in words; the record is taken over without it
    named  what the canonical key and the family follow from, where the id is not that
    """

    native_id: str
    name: str
    named: str = ""
    author: str | None = None
    family: str | None = None
    kind: str | None = None
    description: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] | None = None
    output_modalities: tuple[str, ...] | None = None
    capabilities: dict[str, bool | None] = field(default_factory=dict)
    deprecated: bool | None = None
    retires_at: datetime | None = None
    replaced_by: str | None = None
    released_at: datetime | None = None
    facts: dict[str, str] = field(default_factory=dict)
    prices: dict[PriceKind, Price] = field(default_factory=dict)
    flaws: list[str] = field(default_factory=list)


class RecordRefused(ValueError):
    """This record is no model; the text is the reason that an operator reads."""


def nothing_odd(record: Record, draft: Draft) -> None:
    """The hook of a provider that its declaration describes in full."""


_KIND_OF_OUTPUT = (
    ("text", "chat"),
    ("embedding", "embedding"),
    ("image", "image"),
    ("video", "video"),
    ("audio", "speech"),
)


def kind_by_what_comes_out(record: Record, draft: Draft) -> None:
    """The hook of a provider that has no word for the kind of a model: what it gives out tells."""
    if draft.kind is None and draft.output_modalities:
        draft.kind = next((kind for name, kind in _KIND_OF_OUTPUT if name in draft.output_modalities), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """A provider.

    list_path     of its list of models, below ``base_url``; None: it publishes none, and a run says so
    list_at       where the array is in the answer; a bare array is always accepted
    free_suffixes what an id ends with where the provider marks a model as free; without it a price of 0 is unknown
    capabilities  what this provider can do at all, for the list of providers
    author        who made every model of the list, where the provider lists only its own
    api_url       base of its OpenAI-compatible API, "" where it has none
    """

    slug: str
    name: str
    description: str
    base_url: str
    list_path: str | None
    api_url: str
    site_url: str
    auth: Auth
    fields: Fields
    list_at: tuple[str, ...] = ("data",)
    pagination: Pagination = SinglePage()
    tier: Tier = Tier.LOW
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    prices: Mapping[PriceKind, PriceField] = field(default_factory=dict)
    free_suffixes: tuple[str, ...] = ()
    model_capabilities: Mapping[str, Listed | Stated] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ("streaming",)
    author: str = ""
    odd: Callable[[Record, Draft], None] = nothing_odd

    @property
    def credential_env(self) -> str:
        """The environment variable that holds the credential."""
        return self.auth.env

    def list_url(self, base_url: str | None = None) -> str:
        """The address of the list, at the provider's own host or below ``base_url``; "" where there is none."""
        return "" if self.list_path is None else (base_url or self.base_url).rstrip("/") + self.list_path


@functools.cache
def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def value_at(record: object, path: str) -> Any:
    """What is at a path such as ``architecture.input_modalities``; None where there is nothing."""
    value: Any = record
    for part in _parts(path):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def first_at(record: object, paths: tuple[str, ...]) -> Any:
    """The first of several places that holds something."""
    for path in paths:
        value = value_at(record, path)
        if value is not None and value != "":
            return value
    return None
