"""Whether a query asks for what there can be: a provider that nobody has heard of finds no model, and never will."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import sqlalchemy as sa

from console.catalog.provider_names import ALIASES, SLUGS
from console.catalog.query import Choice, Query
from console.outcome import Refusal, not_found
from console.store.engine import Store
from console.store.tables import catalog as t

KINDS = ("chat", "completion", "embedding", "image", "speech", "transcription", "video", "rerank", "moderation")
"""As `console.catalog.types.Listing` has them."""
MODALITIES = ("text", "image", "audio", "video", "file")
_DECLARED: dict[str, tuple[str, ...]] = {"provider": SLUGS, "kind": KINDS, "input": MODALITIES, "output": MODALITIES}


async def refuse_unknown(store: Store, query: Query) -> None:
    """Refuse a provider, a kind or a modality that is neither declared nor in the catalog.

    Authors, families and keys are not looked at: providers make new ones every day.

    Raises:
        Refusal: BAD_QUERY (400), with the nearest names.
    """
    for term in query.terms:
        if isinstance(term, Choice) and (wrong := await _unknown(store, term.field, term.values)):
            names = _names(term.field, await _held(store, term.field))
            raise Refusal(
                f"there is no {_WORDS[term.field]} {wrong[:80]!r}{_near(wrong, names)}",
                code="BAD_QUERY",
                status=400,
                then="modeldeck sync providers" if term.field == "provider" else "quotes make plain words of anything",
            )


async def refuse_unknown_provider(store: Store, slug: str) -> None:
    """Refuse a slug that is neither declared nor in the catalog.

    Raises:
        Refusal: UNKNOWN_PROVIDER (404), with the nearest names.
    """
    if await _unknown(store, "provider", (slug,)):
        names = _names("provider", await _held(store, "provider"))
        raise not_found(
            f"there is no provider {slug[:80]!r}{_near(slug, names)}; nothing was changed",
            code="UNKNOWN_PROVIDER",
            then="modeldeck sync providers",
        )


_WORDS = {"provider": "provider", "kind": "kind of model", "input": "kind of input", "output": "kind of output"}


async def _unknown(store: Store, field: str, values: Iterable[str]) -> str:
    """The first value that nobody knows, "" where all are known; the catalog is only asked for what is not declared."""
    odd = [value for value in values if field in _DECLARED and value not in _DECLARED[field]]
    held = await _held(store, field) if odd else set()
    return next((value for value in odd if value not in held), "")


async def _held(store: Store, field: str) -> set[str]:
    """The values that the catalog has."""
    c = t.models.c
    async with store.reading() as connection:
        if field in ("provider", "kind"):
            return {value for value in await connection.scalars(sa.select(c[field]).distinct()) if value}
        column = c.input_modalities if field == "input" else c.output_modalities
        return {name for side in await connection.scalars(sa.select(column).distinct()) for name in side or ()}


def _names(field: str, held: set[str]) -> list[str]:
    """What may be meant, the declared ones first."""
    declared = [*_DECLARED[field], *(ALIASES if field == "provider" else ())]
    return [*declared, *sorted(held - set(declared))]


def _near(word: str, names: list[str]) -> str:
    near = difflib.get_close_matches(word, names, n=3)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f": it is one of {', '.join(name for name in names if name not in ALIASES)}"
