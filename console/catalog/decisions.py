"""What an operator decides about a model: hide it, pin it, give it a price, note something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from console.call import Call
from console.catalog import overrides, prices, read, tags
from console.catalog.prices import USD_PER_1M_TOKENS, NotAPrice
from console.catalog.render import model_json
from console.catalog.types import ChangeKind, Model, ModelChange, Override, Per, PriceKind
from console.outcome import Ending, Outcome, Refusal


async def hide(call: Call) -> Outcome:
    """Leave a model out of every list, or show it again."""
    hidden = not call["undo"]
    return await _decide(call, lambda found: replace(found, hidden=hidden), "hidden" if hidden else "shown again")


async def pin(call: Call) -> Outcome:
    """Keep a model when its provider no longer lists it, or no longer keep it."""
    pinned = not call["undo"]
    return await _decide(call, lambda found: replace(found, pinned=pinned), "pinned" if pinned else "no longer pinned")


async def note(call: Call) -> Outcome:
    """Write something beside a model; no text takes the note away."""
    text = (call["text"] or "").strip()
    return await _decide(call, lambda found: replace(found, note=text), "noted" if text else "without a note")


async def price(call: Call) -> Outcome:
    """Put a price of our own in the provider's place, or give the provider's back."""
    kind = PriceKind(call["kind"])
    if (call["amount"] is None) == (not call["undo"]):
        raise Refusal("name an amount, or --undo; nothing was changed", code="BAD_OVERRIDE")
    model = await read.find_model(await call.services.store(), call["model"])
    listed = model.price(kind)
    usd = None if call["undo"] else _usd(call["amount"], listed.per if listed is not None else kind.usual_per)

    def change(found: Override) -> Override:
        kept = {name: amount for name, amount in found.prices.items() if name is not kind}
        return replace(found, prices=kept if usd is None else {**kept, kind: usd})

    told = "is the provider's again" if usd is None else "is ours now"
    return await _decide(call, change, f"its {kind.value} price {told}", model)


async def _decide(
    call: Call, amended: Callable[[Override], Override], told: str, model: Model | None = None
) -> Outcome:
    store = await call.services.store()
    before = model or await read.find_model(store, call["model"])
    after = await overrides.amend(call.permit, store, before.id, amended, now=datetime.now(UTC))
    # Who decided and when belongs to the decision, and does not make it another one.
    same, told_caches = _content(after.override) == _content(before.override), True
    if not same:
        change = ModelChange(after.provider, after.native_id, ChangeKind.CHANGED)
        redis = await tags.redis_or_none(call.services)
        reason = f"a decision of {call.permit.actor}"
        told_caches = await tags.void(redis, tags.of_changes([change]), reason=reason)
    outcome = Outcome(
        Ending.UNCHANGED if same else Ending.DONE,
        f"{after.reference}: {told}",
        proof=(f"{after.reference} read back from the catalog",),
        data=model_json(after),
    )
    return tags.untold(outcome, told_caches)


def _content(override: Override | None) -> Override | None:
    return None if override is None else replace(override, actor="", at=None)


def _usd(amount: str, per: Per) -> Decimal:
    """What an operator writes: USD per 1M tokens, or per image, request, second, as the price counts."""
    try:
        number = prices.amount(amount)
    except NotAPrice:
        number = None
    if number is None or number < 0:
        raise Refusal(f"{amount} is not an amount in USD; nothing was changed", code="BAD_OVERRIDE")
    return prices.in_usd(number, USD_PER_1M_TOKENS) if per is Per.TOKEN else number
