"""What we decide about a model: hide it, keep it, give it a price of ours, note something. No sync undoes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from console.bridge import Job
from console.catalog import prices
from console.catalog.types import Per
from screens.forms import FormWindow, Values
from screens.frame import DeckScreen, begin
from screens.model_facts import OURS
from widgets.field_specs import FieldKind, FieldSpec

_PRICE = "price."
Decision = tuple[str, dict[str, Any]]
"""An action, and its values without the model."""


def decide(screen: DeckScreen, reference: str) -> None:
    """Ask what is decided about a model, and do what is otherwise than before, one after the other."""

    async def ask() -> None:
        shown = await screen.bridge.ask("models.show", {"model": reference})
        if not isinstance(shown.data, Mapping):
            screen.deck.tell(shown, read=True)
            return
        specs = specs_for(shown.data)

        def answered(values: Values | None) -> None:
            if values is not None:
                _carry_out(screen, reference, list(decisions(specs, values)))

        note = "What is left as it is stays so. No sync undoes what is decided here; an empty price is the provider's."
        screen.app.push_screen(FormWindow(f"What we decide about {reference}", specs, note), answered)

    begin(screen, ask, "form", "form")


def specs_for(model: Mapping[str, Any]) -> list[FieldSpec]:
    """The fields, filled with what is decided now. Every price that it has can be ours, and the usual two."""
    flags = {"hide": ("hidden", "left out of every list that does not ask"), "pin": ("pinned", "never retired")}
    specs = [
        FieldSpec(name, name, FieldKind.FLAG, text, default="yes" if model[field] else "no")
        for name, (field, text) in flags.items()
    ]
    for kind in dict.fromkeys(("input", "output", *model["prices"])):
        known = model["prices"].get(kind)
        specs.append(_price_field(kind, known))
    return [*specs, FieldSpec("note", "note", default=model["note"], help="stands beside the model")]


def decisions(specs: Iterable[FieldSpec], values: Mapping[str, Any]) -> Iterable[Decision]:
    """What is otherwise in the form than it was."""
    for spec in specs:
        if spec.kind is FieldKind.FLAG:
            if bool(values.get(spec.name)) != (spec.default == "yes"):
                yield f"models.{spec.name}", {"undo": not values.get(spec.name)}
            continue
        text = str(values.get(spec.name, "")).strip()
        if text == spec.default:
            continue
        if spec.name.startswith(_PRICE):
            kind = spec.name.removeprefix(_PRICE)
            yield "models.price", {"kind": kind, "amount": text} if text else {"kind": kind, "undo": True}
        else:
            yield "models.note", {"text": text}


def _carry_out(screen: DeckScreen, reference: str, left: list[Decision]) -> None:
    if not left:
        screen.notify("nothing is otherwise than before; nothing was changed", markup=False)
        return
    (action, values), *rest = left

    def heard(job: Job) -> None:
        # What was refused is told; what comes after it is not done behind the operator's back.
        if job.outcome is not None and job.outcome.ending.good and rest:
            _carry_out(screen, reference, rest)

    screen.deck.act(action, {"model": reference, **values}, heard)


def _price_field(kind: str, known: Mapping[str, Any] | None) -> FieldSpec:
    per = known["per"] if known is not None else Per.TOKEN.value
    unit = "$ per 1M tokens" if per == Per.TOKEN else f"$ per {per}"
    ours = known is not None and known["source"] == OURS
    said = _amount(known) if known is not None else ""
    listed = "" if ours else f"the provider says {said}" if said else "the provider says nothing"
    return FieldSpec(
        f"{_PRICE}{kind}",
        kind.replace("_", " "),
        default=said if ours else "",
        placeholder=listed,
        unit=unit,
        check=_problem,
    )


def _amount(known: Mapping[str, Any]) -> str:
    """The price as it is typed: USD per 1M tokens, or per what it counts."""
    if known["state"] == "free":
        return "0"
    if known["state"] != "known" or known.get("usd") is None:
        return ""
    usd = Decimal(known["usd"])
    return prices.plain(prices.per_million(usd) if known["per"] == Per.TOKEN else usd)


def _problem(text: str) -> str | None:
    try:
        amount = prices.amount(text)
    except prices.NotAPrice:
        amount = None
    return None if amount is not None and amount >= 0 else "an amount in USD, as in 0.59; 0 says that it is free"
