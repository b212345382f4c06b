"""What an operator can ask of the catalog."""

from __future__ import annotations

from console.call import Call
from console.catalog import read, tags
from console.catalog.render import model_json, model_row
from console.outcome import Ending, Outcome, counted


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
    """Void caches of the catalog by hand."""
    chosen = tags.of_kind(call["kind"], gateway=call["gateway"] or "", model=call["model"] or "")
    versions = await tags.bump(await call.services.redis(), chosen, reason=f"{call.permit.actor} by hand")
    proof = tuple(f"{tag} is at version {version}" for tag, version in versions.items())
    data = {"success": True, "invalidated": {"tags": list(chosen)}, "versions": versions}
    return Outcome(Ending.DONE, f"void: {', '.join(chosen)}", proof=proof, data=data)
