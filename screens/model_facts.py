"""What there is to know about a model: beside the catalog's list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from screens.catalog_rows import CAPS, offered, usd
from screens.details import Fact, Line, Title
from widgets.meter_text import compact
from widgets.theme import State, sign

_OFFERS = 12
_DESCRIPTION = 600
OURS = "operator"
"""The source of a price that an operator has put in the provider's place."""


def facts_of(model: Mapping[str, Any], same: Sequence[Mapping[str, Any]]) -> Iterable[Fact]:
    """The model as ``models.show`` answers it, and its offers elsewhere as ``models.compare`` does."""
    yield Title(model["id"])
    if model["name"] != model["native_id"]:
        yield Fact("name", model["name"])
    yield from _standing(model)
    for name, value in (
        ("author", model["author"]),
        ("kind", model["kind"]),
        ("modality", model["modality"]),
        ("context", compact(model["context"]) + _output(model)),
        ("can", ", ".join(name for name, _ in CAPS if model[name]) or sign("more")),
    ):
        if value:
            yield Fact(name, value)
    for kind, known in model["prices"].items():
        if kind in ("input", "output") or known["source"] == OURS:
            yield _price(model, kind, known)
    first = datetime.fromisoformat(model["first_seen_at"]).astimezone()
    changed = datetime.fromisoformat(model["changed_at"]).astimezone()
    yield Fact("seen", f"since {first:%Y-%m-%d}, changed {changed:%Y-%m-%d %H:%M}")
    if model["note"]:
        yield Fact("note", model["note"], "accent")
    yield from _offers(model, [offer for offer in same if offer["id"] != model["id"]])
    if model["description"]:
        yield Line("")
        yield Fact("", model["description"][:_DESCRIPTION], "muted")


def _standing(model: Mapping[str, Any]) -> Iterable[Fact]:
    """Why it may not be in the list, or may leave it."""
    if model["retired_at"]:
        retired = datetime.fromisoformat(model["retired_at"]).astimezone()
        yield Fact("retired", f"{retired:%Y-%m-%d}, its provider no longer lists it", State.OFF.paint)
    elif model["missing_runs"]:
        times = model["missing_runs"]
        yield Fact("missing", f"from the last list{'s' if times > 1 else ''} ({times})", State.PENDING.paint)
    if model["deprecated"]:
        when = f" on {model['retires_at'][:10]}" if model["retires_at"] else ""
        instead = f"; {model['replaced_by']} takes its place" if model["replaced_by"] else ""
        yield Fact("leaves", f"its provider says so{when}{instead}", State.DRIFT.paint)
    if model["hidden"]:
        yield Fact("hidden", "by us: left out of lists", "accent")
    if model["pinned"]:
        yield Fact("pinned", "by us: never retired", "accent")


def _price(model: Mapping[str, Any], kind: str, known: Mapping[str, Any]) -> Fact:
    if known["source"] == OURS:
        return Fact(kind, f"{_spelled(model.get(kind), known)}   ours, in place of the provider's", "accent")
    sent = f"sent as {known['raw']} {known['raw_unit']}" if known["raw"] else "nothing sent"
    return Fact(kind, f"{_spelled(model[kind], known)}   {sent}")


def _offers(model: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> Iterable[Fact]:
    if not others:
        return
    yield Line("")
    yield Line(("the same model elsewhere, $ per million in / out", "muted"))
    for offer in others[:_OFFERS]:
        paint = "good" if _cheaper(offer, model) else ""
        amounts = f"{offered(offer, 'input'):>8} / {offered(offer, 'output'):<8}"
        yield Line(f"  {offer['provider']:<14} ", (amounts, paint), (f" {compact(offer['context'])}", "muted"))
    if len(others) > _OFFERS:
        yield Line((f"  and {len(others) - _OFFERS} more: m shows all", "muted"))


def _output(model: Mapping[str, Any]) -> str:
    return f", at most {compact(model['max_output'])} out" if model["max_output"] else ""


def _spelled(million: str | None, known: Mapping[str, Any]) -> str:
    if known["state"] != "known":
        return str(known["state"])
    return f"{million} $/M" if million is not None else f"{known['usd']} $ per {known['per']}"


def _cheaper(offer: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    theirs, ours = usd(offer, "input"), usd(model, "input")
    return theirs is not None and ours is not None and theirs < ours
