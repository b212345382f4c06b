"""The words of the catalog: what a model, a price and a provider are. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class PriceState(StrEnum):
    """What is known about a price. Only `KNOWN` and `FREE` have an amount, and `FREE` alone may be zero."""

    KNOWN = "known"
    FREE = "free"
    DYNAMIC = "dynamic"  # depends on the request: a router's price
    UNKNOWN = "unknown"


class Per(StrEnum):
    """What a price buys one of. Never converted into one another."""

    TOKEN = "token"  # noqa: S105 - a unit
    IMAGE = "image"
    REQUEST = "request"
    SECOND = "second"
    CHARACTER = "character"
    HOUR = "hour"


class PriceKind(StrEnum):
    """What a price is for."""

    INPUT = "input"
    OUTPUT = "output"
    CACHE_READ = "cache_read"
    CACHE_WRITE = "cache_write"
    REASONING = "reasoning"
    IMAGE = "image"
    REQUEST = "request"
    WEB_SEARCH = "web_search"
    AUDIO_INPUT = "audio_input"
    MEDIA_INPUT = "media_input"  # seconds of sound or video that go in
    MEDIA_OUTPUT = "media_output"  # seconds of sound or video that come out
    CHARACTERS = "characters"
    COMPUTE = "compute"  # time on the machine

    @property
    def usual_per(self) -> Per:
        """What such a price is for one of, where no provider has said."""
        return _USUAL.get(self, Per.TOKEN)


_USUAL = {
    PriceKind.IMAGE: Per.IMAGE,
    PriceKind.REQUEST: Per.REQUEST,
    PriceKind.WEB_SEARCH: Per.REQUEST,
    PriceKind.MEDIA_INPUT: Per.SECOND,
    PriceKind.MEDIA_OUTPUT: Per.SECOND,
    PriceKind.CHARACTERS: Per.CHARACTER,
    PriceKind.COMPUTE: Per.SECOND,
}


@dataclass(frozen=True, slots=True)
class Price:
    """One price as it is in the catalog.

    usd       exact USD per ``per``; None where the state is dynamic or unknown
    raw       what the provider sent, as text; ``""`` where it sent nothing
    raw_unit  the unit of ``raw``, from the table in console/catalog/prices.py
    source    who says so: ``provider`` or ``operator``
    """

    kind: PriceKind
    state: PriceState
    usd: Decimal | None
    per: Per
    raw: str
    raw_unit: str
    source: str = "provider"

    def __post_init__(self) -> None:
        if (self.usd is None) != (self.state in (PriceState.DYNAMIC, PriceState.UNKNOWN)):
            raise ValueError(f"a {self.state} price with the amount {self.usd}")
        if self.usd is not None and (self.usd < 0 or (self.usd == 0) != (self.state is PriceState.FREE)):
            raise ValueError(f"a {self.state} price of {self.usd}")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Each true, false, or None where the provider does not say."""

    streaming: bool | None = None
    tools: bool | None = None
    vision: bool | None = None
    json_mode: bool | None = None
    reasoning: bool | None = None


CAPABILITIES = ("streaming", "tools", "vision", "json_mode", "reasoning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One model as its provider lists it. What is not said is None, never a guess.

    native_id          exactly as the provider writes it
    canonical_key      the same for the same model elsewhere, as far as names tell (console/catalog/identity.py)
    kind               chat, completion, embedding, image, speech, transcription, video, rerank, moderation
    context_tokens     tokens of input and output together that one request may hold
    max_output_tokens  tokens
    input_modalities   sorted names (text, image, audio, video, file); None: not stated
    retires_at         when the provider takes it down, or did
    facts              what else the provider states and somebody may look for (tokenizer, quantization)
    """

    native_id: str
    canonical_key: str
    name: str
    author: str | None = None
    family: str | None = None
    kind: str | None = None
    description: str = ""
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    input_modalities: tuple[str, ...] | None = None
    output_modalities: tuple[str, ...] | None = None
    capabilities: Capabilities = Capabilities()
    deprecated: bool | None = None
    retires_at: datetime | None = None
    replaced_by: str | None = None
    released_at: datetime | None = None
    facts: dict[str, str] = field(default_factory=dict)
    prices: tuple[Price, ...] = ()

    def price(self, kind: PriceKind) -> Price | None:
        """The price of this kind, None where the provider has no such field."""
        return next((price for price in self.prices if price.kind is kind), None)

    @property
    def price_state(self) -> PriceState:
        """The state of the model as a whole."""
        return overall(price.state for price in self.prices)

    @property
    def price_unknown(self) -> bool:
        """Whether there is no price to reckon with, not even "free" or "depends"."""
        return self.price_state is PriceState.UNKNOWN

    @property
    def modality(self) -> str:
        """``text+image->text``; ``?`` stands for a side that is not stated."""
        sides = (self.input_modalities, self.output_modalities)
        return "->".join("?" if side is None else "+".join(side) for side in sides)


def overall(states: Iterable[PriceState]) -> PriceState:
    """The state of a model by those of its prices: known where one is, free only where every one is."""
    found = set(states)
    for state in (PriceState.KNOWN, PriceState.DYNAMIC):
        if state in found:
            return state
    return PriceState.FREE if found == {PriceState.FREE} else PriceState.UNKNOWN


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator decided about a model. Survives every sync.

    prices  USD per unit by kind; each replaces the provider's
    """

    hidden: bool = False
    pinned: bool = False
    prices: dict[PriceKind, Decimal] = field(default_factory=dict)
    note: str = ""
    actor: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Listing):
    """One row of the catalog: a listing, and what Modeldeck knows beside it. Prices are the effective ones.

    last_seen_at  None while the newest list has it; else when one last had it
    missing_runs  how many lists in a row did not have it
    """

    id: int
    provider: str
    first_seen_at: datetime
    changed_at: datetime
    last_seen_at: datetime | None = None
    missing_runs: int = 0
    retired_at: datetime | None = None
    override: Override | None = None

    @property
    def reference(self) -> str:
        """How to name it in a command: ``provider/native id``."""
        return f"{self.provider}/{self.native_id}"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as the catalog knows it.

    tier          how often it is worth asking (console/sync/providers/base.py)
    models        how many it lists; ``retired`` and hidden ones are not counted
    """

    slug: str
    name: str
    description: str
    list_url: str
    api_url: str
    site_url: str
    credential_env: str
    tier: str
    capabilities: tuple[str, ...]
    models: int
    listed_at: datetime | None


class ChangeKind(StrEnum):
    """What happened to a model."""

    BASELINE = "baseline"  # the first list of a provider: nothing to compare with
    ADDED = "added"
    CHANGED = "changed"
    MISSING = "missing"
    RETURNED = "returned"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of one model, before and after, in JSON-ready form."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ModelChange:
    """One line of the history."""

    provider: str
    native_id: str
    kind: ChangeKind
    field: str = ""
    before: Any = None
    after: Any = None
    at: datetime | None = None
    run_id: int | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """Something to be written as it is. ``rows``: the same for a program, ``whole`` where it gets more than them."""

    text: str
    rows: list[dict[str, Any]]
    whole: dict[str, Any] | None = field(default=None, kw_only=True)

    def as_json(self) -> list[dict[str, Any]] | dict[str, Any]:
        return self.rows if self.whole is None else self.whole
