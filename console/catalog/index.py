"""The catalog in memory, column by column, for filtering at every key: the same answers as the database's, sooner.

`find` means exactly what `console.catalog.query_sql` means on the same rows; the database stays the truth.
`console.catalog.indexing` reads the rows. Nothing here waits, and nothing is safe to change from another thread while
`find` runs: one thread owns an index.

How it is fast: a column with few different values is a byte per row, and `bytes.translate` makes a mask of it in no
time; masks are combined as big integers; the mask of each term is kept, so that a key more costs one term; and a word
that contains a former one is only looked for where that one was found. Orders are kept, too.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from decimal import Decimal
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple

from console.catalog.columns import Codes, Mask, Numbers, as_mask, count
from console.catalog.query import Bound, Capability, Choice, Flag, Query, Term, Words
from console.catalog.types import CAPABILITIES, PriceState


class Row(NamedTuple):
    """What the index keeps of a model: columns of ``models`` as they are stored.

    ``…_modalities`` are JSON texts; prices are femto-dollars; ``changed_at`` is microseconds since 1970; ``retired``
    is whether there is a ``retired_at``.
    """

    id: int
    provider: str
    native_id: str
    canonical_key: str
    name: str
    author: str | None
    family: str | None
    kind: str | None
    context_tokens: int | None
    max_output_tokens: int | None
    input_modalities: str | None
    output_modalities: str | None
    streaming: bool | None
    tools: bool | None
    vision: bool | None
    json_mode: bool | None
    reasoning: bool | None
    deprecated: bool | None
    price_state: str
    price_in: int | None
    price_out: int | None
    price_image: int | None
    changed_at: int
    missing: bool
    retired: bool
    hidden: bool
    pinned: bool


SORTS = ("name", "provider", "context", "input", "output", "changed")
"""The values of `console.catalog.read.Sort`."""

_NUMBERS = ("context_tokens", "max_output_tokens", "price_in", "price_out", "price_image")
_CODED = (
    "provider",
    "author",
    "family",
    "kind",
    "canonical_key",
    "input_modalities",
    "output_modalities",
    *CAPABILITIES,
    "deprecated",
    "price_state",
    "missing",
    "retired",
    "hidden",
    "pinned",
)
_BOUNDS: dict[str, tuple[str, Decimal]] = {
    "ctx": ("context_tokens", Decimal(1)),
    "maxout": ("max_output_tokens", Decimal(1)),
    "in": ("price_in", Decimal("1e9")),
    "out": ("price_out", Decimal("1e9")),
    "image": ("price_image", Decimal("1e15")),
}
_BIGGEST = 2**63 - 1
_SORT_NUMBERS = {"context": "context_tokens", "input": "price_in", "output": "price_out"}
_KEPT_MASKS = 24
_KEPT_ORDERS = 4


class Found:
    """What a query found, in order; a few questions where something stands cost a look, many cost a map once."""

    _LOOKS = 4

    def __init__(self, positions: list[int]) -> None:
        self.positions = positions
        self._asked = 0
        self._places: dict[int, int] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, place: int) -> int:
        return self.positions[place]

    def place_of(self, position: int) -> int | None:
        """Where a position of the index stands among what was found; None where it was not found."""
        if self._places is not None:
            return self._places.get(position)
        self._asked += 1
        if self._asked > self._LOOKS:
            self._places = {at: place for place, at in enumerate(self.positions)}
            return self._places.get(position)
        try:
            return self.positions.index(position)
        except ValueError:
            return None


class CatalogIndex:
    """Rows at positions that stay the same as long as the row is there; a position that is free is used again."""

    def __init__(self) -> None:
        self._positions: list[int] = []  # one object per number, for every order and result to share
        self._by_id: dict[int, int] = {}
        self._free: list[int] = []
        self._ids: list[int] = []
        self._native_ids: list[str] = []
        self._names: list[str] = []
        self._haystacks: list[str] = []
        self._changed = array("q")
        self._coded = {name: Codes() for name in _CODED}
        self._numbers = {name: Numbers() for name in _NUMBERS}
        self._alive = bytearray()
        self._published: frozenset[int] = frozenset()
        self._masks: OrderedDict[Hashable, Mask] = OrderedDict()
        self._orders: OrderedDict[tuple[str, bool], tuple[list[int], Callable[[Any], Any]]] = OrderedDict()

    def __len__(self) -> int:
        """All models, hidden and retired ones too."""
        return len(self._by_id)

    @property
    def listed(self) -> int:
        """The models that an empty query finds: neither hidden nor retired."""
        return count(self._visible(Query()), len(self._ids))

    def row(self, position: int) -> Row:
        columns: dict[str, Codes | Numbers] = {**self._coded, **self._numbers}
        values: dict[str, Any] = {name: column[position] for name, column in columns.items()}
        return Row(
            id=self._ids[position],
            native_id=self._native_ids[position],
            name=self._names[position],
            changed_at=self._changed[position],
            **values,
        )

    def id_at(self, position: int) -> int:
        return self._ids[position]

    def position_of(self, identifier: int) -> int | None:
        """Where the model with this row id is; None where it is not in the index."""
        return self._by_id.get(identifier)

    def published(self, identifier: int) -> bool:
        """Whether the model with this row id is among the published ones (`set_published`)."""
        return identifier in self._published

    def set_published(self, identifiers: Iterable[int]) -> None:
        """Which models are published; the catalog does not know, so whoever does says so here."""
        self._published = frozenset(identifiers)

    def news(self, before: CatalogIndex) -> list[int]:
        """The row ids of models that are not in another index, or are there as they were at another time."""
        former, then, changed = before._by_id, before._changed, self._changed
        return [
            number
            for number, at in self._by_id.items()
            if (place := former.get(number)) is None or then[place] != changed[at]
        ]

    def update(self, rows: Iterable[Row]) -> None:
        """Take these rows in: new ones, and others in place of those with the same id."""
        for row in rows:
            position = self._by_id.get(row.id)
            if position is None:
                position = self._free.pop() if self._free else self._grow()
                self._by_id[row.id] = position
            self._put(position, row)
        self._masks.clear()
        self._orders.clear()

    def remove(self, identifiers: Collection[int]) -> None:
        """Forget these models; ids that are not there are left out."""
        for identifier in identifiers:
            position = self._by_id.pop(identifier, None)
            if position is not None:
                self._alive[position] = 0
                self._native_ids[position] = self._names[position] = self._haystacks[position] = ""
                self._free.append(position)
        self._masks.clear()
        self._orders.clear()

    def find(self, query: Query, sort: str = "name", *, descending: bool = False) -> list[int]:
        """The positions of the models that a query finds, in order.

        Args:
            sort: one of `SORTS`; what has no value comes last, in either direction
        """
        mask = self._visible(query)
        for term in query.terms:
            if not isinstance(term, Words):
                mask &= self._kept(term)
        for term in query.terms:
            if isinstance(term, Words):
                mask &= self._words_within(term, mask)
        order, in_order = self._order(sort, descending=descending)
        found = mask.to_bytes(len(self._ids), "little")
        if len(order) < 2:  # of one position `in_order` makes no tuple
            return [position for position in order if found[position]]
        return list(compress(order, in_order(found)))

    # Masks

    def _visible(self, query: Query) -> Mask:
        """All that are there, without what is left out unless it is asked for."""
        mask = self._kept("alive")
        for name in ("retired", "hidden"):
            if not query.asks_for(name, "any"):
                mask &= ~self._kept(Flag(name))
        return mask

    def _kept(self, what: Term | str) -> Mask:
        mask = self._masks.get(what)
        if mask is None:
            mask = self._masks[what] = self._mask(what)
            if len(self._masks) > _KEPT_MASKS:
                self._masks.popitem(last=False)
        else:
            self._masks.move_to_end(what)
        return mask

    def _mask(self, what: Term | str) -> Mask:
        if isinstance(what, str):
            return as_mask(self._alive)
        positive = self._positive(what)
        # What is not known to hold is kept when what holds is left out.
        return self._kept("alive") & ~positive if what.negated else positive

    def _positive(self, term: Term) -> Mask:
        match term:
            case Words(text):
                return self._words(text.casefold())
            case Choice(field, values):
                return self._choice(field, values)
            case Bound(field, sign, value):
                name, scale = _BOUNDS[field]
                return self._numbers[name].mask(sign, min(int(value * scale), _BIGGEST))
            case Capability(name, stated):
                return self._coded[name].mask(lambda value: value is stated)
            case Flag("any"):
                return self._kept("alive")
            case Flag("free"):
                return self._coded["price_state"].mask(lambda value: value == PriceState.FREE.value)
            case Flag(name):
                return self._coded[name].mask(lambda value: value is True)

    def _words_within(self, term: Words, mask: Mask) -> Mask:
        """The mask of a word; where little is left to look through, nothing but that is looked through."""
        length = len(self._haystacks)
        if term in self._masks or term.negated or count(mask, length) > length // 4:
            return self._kept(term)
        return self._looked(term.text.casefold(), mask)

    def _words(self, text: str) -> Mask:
        broader = self._broader(text)
        if broader is None:
            return as_mask(bytes([text in haystack for haystack in self._haystacks]))
        return self._looked(text, broader)

    def _looked(self, text: str, within: Mask) -> Mask:
        """Where the text is, of these positions."""
        haystacks = self._haystacks
        found = bytearray(len(haystacks))
        for position in compress(self._positions, within.to_bytes(len(haystacks), "little")):
            if text in haystacks[position]:
                found[position] = 1
        return as_mask(found)

    def _broader(self, text: str) -> Mask | None:
        """Where a part of this text was found: nowhere else can the whole be."""
        longest, best = 0, None
        for term, mask in self._masks.items():
            if isinstance(term, Words) and not term.negated and longest < len(term.text):
                folded = term.text.casefold()
                if folded in text:
                    longest, best = len(folded), mask
        return best

    def _choice(self, field: str, values: tuple[str, ...]) -> Mask:
        if field in ("input", "output"):
            quoted = [f'"{value}"' for value in values]
            return self._coded[f"{field}_modalities"].mask(
                lambda text: text is not None and any(value in text for value in quoted)
            )
        if field in ("author", "family"):
            return self._coded[field].mask(lambda text: text is not None and text.lower() in values)
        name = {"provider": "provider", "kind": "kind", "price": "price_state", "key": "canonical_key"}[field]
        return self._coded[name].mask_of(values)

    # Orders

    def _order(self, sort: str, *, descending: bool) -> tuple[list[int], Callable[[Any], Any]]:
        key = (sort, descending)
        if key not in self._orders:
            with_value, without = self._sorted(sort)
            if descending:
                with_value.reverse()
                without.reverse()
            order = with_value + without
            self._orders[key] = order, itemgetter(*order) if order else tuple
            if len(self._orders) > _KEPT_ORDERS:
                self._orders.popitem(last=False)
        else:
            self._orders.move_to_end(key)
        return self._orders[key]

    def _sorted(self, sort: str) -> tuple[list[int], list[int]]:
        """All positions in ascending order, those without a value apart; between equals by id."""
        everywhere = list(compress(self._positions, self._alive))
        second: list[Any] = self._native_ids if sort == "provider" else self._ids
        everywhere.sort(key=second.__getitem__)
        if sort == "provider":
            provider = self._coded["provider"]
            keys: Sequence[Any] = [provider[position] for position in self._positions]
        elif sort == "name":
            keys = [name.casefold() for name in self._names]
        elif sort == "changed":
            keys = self._changed
        else:
            numbers = self._numbers[_SORT_NUMBERS[sort]]
            without = [position for position in everywhere if not numbers.known[position]]
            with_value = [position for position in everywhere if numbers.known[position]]
            with_value.sort(key=numbers.values.__getitem__)
            return with_value, without
        everywhere.sort(key=keys.__getitem__)
        return everywhere, []

    # Rows

    def _grow(self) -> int:
        position = len(self._ids)
        self._positions.append(position)
        self._ids.append(0)
        self._native_ids.append("")
        self._names.append("")
        self._haystacks.append("")
        self._changed.append(0)
        self._alive.append(0)
        for codes in self._coded.values():
            codes.grow()
        for numbers in self._numbers.values():
            numbers.grow()
        return position

    def _put(self, position: int, row: Row) -> None:
        self._alive[position] = 1
        self._ids[position] = row.id
        self._native_ids[position] = row.native_id
        self._names[position] = row.native_id if row.name == row.native_id else row.name
        # As console/catalog/rows.py makes it.
        self._haystacks[position] = "\n".join((row.native_id, row.name, row.author or "")).casefold()
        self._changed[position] = row.changed_at
        for name, codes in self._coded.items():
            codes.put(position, getattr(row, name))
        for name, numbers in self._numbers.items():
            numbers.put(position, getattr(row, name))
