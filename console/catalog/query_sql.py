"""A `Query` as SQL conditions on ``models``, the same for SQLite and PostgreSQL."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from console.catalog.query import About, Bound, Capability, Choice, Flag, Query, Term, Words
from console.catalog.types import PriceState
from console.store.tables.catalog import WORDS, models

Condition = sa.ColumnElement[bool]
_c = models.c

# USD as typed to femto-dollars per unit as stored (console/catalog/prices.py): per 1M tokens, and per image.
_SCALES: dict[str, tuple[sa.Column[int | None], Decimal]] = {
    "ctx": (_c.context_tokens, Decimal(1)),
    "maxout": (_c.max_output_tokens, Decimal(1)),
    "in": (_c.price_in, Decimal("1e9")),
    "out": (_c.price_out, Decimal("1e9")),
    "image": (_c.price_image, Decimal("1e15")),
}
_OPERATORS: dict[str, Callable[[Any, Any], Condition]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}


WORD_ROWS = sa.table(WORDS, sa.column("rowid", sa.BigInteger), sa.column(WORDS, sa.Text))
_WORD_VECTOR: sa.ColumnElement[Any] = sa.literal_column("models.words")


def conditions(query: Query, dialect: str = "sqlite") -> list[Condition]:
    """What a row must fulfil, all of it. ``dialect``: sqlite or postgresql, which have their own ways with words."""
    found = [_condition(term, dialect) for term in query.terms]
    if not query.asks_for("retired", "any"):
        found.append(_c.retired_at.is_(None))
    if not query.asks_for("hidden", "any"):
        found.append(_c.hidden == sa.false())
    return found


def conditions_in_order(query: Query) -> list[Condition]:
    """The same for SQLite, so that it walks along the order that is asked for, and stops when the page is full.

    It would rather take an index by conditions that nearly every row fulfils, and sort what it finds; it takes none by
    a condition on an expression.
    """
    found = [_condition(term, "sqlite", in_order=True) for term in query.terms]
    if not query.asks_for("retired", "any"):
        found.append(sa.func.coalesce(_c.retired_at, sa.null()).is_(None))
    if not query.asks_for("hidden", "any"):
        found.append(sa.func.coalesce(_c.hidden, sa.null()) == sa.false())
    return found


def words_alone(query: Query) -> Condition | None:
    """For a query of one term `About` and nothing else: what a row of `WORD_ROWS` must fulfil. SQLite only.

    The index of words tells this without a look at ``models`` but at the few that are left out.
    """
    match query.terms:
        case (About(text, negated=False),):
            # Two ranges of one index; an OR of them would read every row.
            hidden = sa.select(_c.id).where(_c.hidden == sa.true())
            retired = sa.select(_c.id).where(_c.hidden == sa.false(), _c.retired_at.is_not(None))
            left_out = sa.union_all(hidden, retired)
            return sa.and_(_matches(text.split()), _each(WORD_ROWS.c.rowid).not_in(left_out))
        case _:
            return None


def _each(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The column, to be compared in every row: SQLite must not look the rows up by it, one by one."""
    return sa.func.coalesce(column, sa.null(), type_=column.type)


def _condition(term: Term, dialect: str, *, in_order: bool = False) -> Condition:
    match term:
        case About(text):
            positive = _about(text.split(), dialect, in_order=in_order)
        case Choice("provider", values) if in_order:
            positive = _each(_c.provider).in_(values)
        case Choice(field, values):
            positive = _choice(field, values, dialect)
        case _:
            positive = _positive(term)
    # NULL is "not known to hold": excluding what holds must keep it.
    return sa.not_(sa.func.coalesce(positive, sa.false())) if term.negated else positive


def _positive(term: Words | Bound | Capability | Flag) -> Condition:
    match term:
        case Words(text):
            return _c.haystack.contains(text.casefold(), autoescape=True)
        case Bound(field, sign, value):
            column, scale = _SCALES[field]
            # More than a column can hold is more than every price, and more than every number of tokens.
            return _OPERATORS[sign](column, min(int(value * scale), 2**63 - 1))
        case Capability(name, stated):
            return _c[name].is_(None) if stated is None else _c[name] == sa.literal(stated)
        case Flag(name):
            return _flag(name)


def _choice(field: str, values: tuple[str, ...], dialect: str) -> Condition:
    if field in ("input", "output"):
        column = _c.input_modalities if field == "input" else _c.output_modalities
        text = sa.type_coerce(column, sa.Text)
        return sa.or_(*(text.contains(f'"{value}"', autoescape=True) for value in values))
    if field in ("author", "family"):
        column = _c.author if field == "author" else _c.family
        if dialect == "sqlite":  # folds the case of A to Z as `lower` does, and an index has it
            return sa.collate(column, "NOCASE").in_(values)
        folded = sa.func.lower(column)
        begins: sa.ColumnElement[str] = sa.func.left(folded, sa.literal_column("100"))  # as its index has it
        return sa.and_(begins.in_([value[:100] for value in values]), folded.in_(values))
    return {"provider": _c.provider, "kind": _c.kind, "price": _c.price_state, "key": _c.canonical_key}[field].in_(
        values
    )


def _about(words: list[str], dialect: str, *, in_order: bool) -> Condition:
    """These words one behind the other, the last one perhaps only begun: letters and digits, and nothing else."""
    if dialect == "sqlite":
        id_ = _each(_c.id) if in_order else _c.id
        return id_.in_(sa.select(WORD_ROWS.c.rowid).where(_matches(words)))
    phrase = " <-> ".join(words) + ":*"
    return _WORD_VECTOR.op("@@")(sa.func.to_tsquery("simple", phrase))


def _matches(words: list[str]) -> Condition:
    phrase = f'"{" ".join(words)}"*'
    return WORD_ROWS.c[WORDS].op("MATCH", is_comparison=True)(phrase)


def _flag(name: str) -> Condition:
    match name:
        case "free":
            return _c.price_state == PriceState.FREE.value
        case "deprecated":
            return _c.deprecated == sa.true()
        case "missing":
            return _c.missing_runs > 0
        case "retired":
            return _c.retired_at.is_not(None)
        case "hidden":
            return _c.hidden == sa.true()
        case "pinned":
            return _c.pinned == sa.true()
        case _:
            return sa.true()  # any: only lifts what is left out otherwise
