"""What an operator can ask of the catalog."""

from __future__ import annotations

from console.call import Call
from console.catalog import read, tags
from console.catalog.known import refuse_unknown_provider
from console.catalog.provider_names import slug_of
from console.catalog.render import model_json, model_row
from console.outcome import Ending, Outcome, Refusal, counted
from console.store.engine import Store


async def search(call: Call) -> Outcome:
    """One page of the models that a query finds; ``total`` says how many there are in all."""
    page = await read.search(
        await call.services.store(),
        call["query"] or "",
        sort=read.Sort(call["sort"]),
        descending=call["descending"],
        limit=call["limit"],
        offset=call["offset"],
    )
    rows = [model_row(model) for model in page.models]
    shown = f"{len(rows)} of {page.total} models"
    then = f"add --offset {page.offset + len(rows)}" if page.offset + len(rows) < page.total else ""
    return Outcome(Ending.DONE, shown, data={"total": page.total, "offset": page.offset, "rows": rows}, then=then)


async def show(call: Call) -> Outcome:
    """Everything about one model."""
    model = await read.find_model(await call.services.store(), call["model"])
    return Outcome(Ending.DONE, model.reference, data=model_json(model))


async def compare(call: Call) -> Outcome:
    """The same model at every provider, the cheapest first."""
    models = await read.compare(await call.services.store(), call["model"])
    return Outcome(Ending.DONE, counted(len(models), "offer"), data=[model_row(model) for model in models])


async def invalidate(call: Call) -> Outcome:
    """Void caches of the catalog by hand.

    Raises:
        Refusal: BAD_REQUEST, UNKNOWN_PROVIDER or MODEL_NOT_FOUND: what nothing is tagged with cannot be void.
    """
    kind, gateway, model = call["kind"], call["gateway"] or "", call["model"] or ""
    if (gateway and kind != "models") or (model and kind != "model-detail"):
        raise Refusal(
            "a gateway goes with --kind models, a model with --kind model-detail; nothing was voided",
            code="BAD_REQUEST",
            status=422,
        )
    store = await call.services.store()
    if gateway:
        gateway = slug_of(gateway)
        await refuse_unknown_provider(store, gateway)
    if model:
        model = await _reference(store, model)
    redis = await call.services.redis()
    every = kind == "all"
    if every:
        chosen = await tags.everything(redis, await read.references(store))
    else:
        chosen = tags.of_kind(kind, gateway=gateway, model=model)
    versions = await tags.bump(redis, chosen, reason=f"{call.permit.actor} by hand")
    proof = tuple(f"{tag} is at version {version}" for tag, version in versions.items())
    data = {"success": True, "invalidated": {"tags": list(chosen)}, "versions": versions}
    if every:
        what = counted(len(chosen), "tag")
        return Outcome(Ending.DONE, f"void: all caches, by {what}", proof=(f"{what} counted up",), data=data)
    return Outcome(Ending.DONE, f"void: {', '.join(chosen)}", proof=proof, data=data)


async def _reference(store: Store, model: str) -> str:
    """``provider/native id`` of a model, by whatever name of its provider."""
    provider, slash, native_id = model.partition("/")
    if slash and await read.get_model(store, slug_of(provider), native_id):
        return f"{slug_of(provider)}/{native_id}"
    return (await read.find_model(store, model)).reference
