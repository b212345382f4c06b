"""What a request has cost: its tokens at the price that its backend's provider states at the time.

A price that is not known makes the request unpriced, never free. Prices are exact; what one request has cost is rounded
to a whole pico-dollar (10⁻¹² USD), and sums of that are exact again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from console.catalog import read as catalog
from console.catalog.types import Model, Per, PriceKind, PriceState
from console.publishing.manifests import backend_name
from console.publishing.types import Publication
from console.store.engine import Store
from console.usage.records import Request

PICO_PER_USD = 10**12
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """USD for a token that goes in, for one that comes out, and for a request beside them.

    cached  for a token that goes in and that the provider has in its cache; None where that costs as any other
    """

    input: Decimal
    output: Decimal
    request: Decimal = _NOTHING
    cached: Decimal | None = None

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """In pico-dollars. ``cached_tokens`` are among those that go in."""
        fresh = input_tokens - cached_tokens
        from_cache = (self.input if self.cached is None else self.cached) * cached_tokens
        usd = self.input * fresh + from_cache + self.output * output_tokens + self.request
        return int((usd * PICO_PER_USD).to_integral_value(ROUND_HALF_EVEN))


def rates_of(model: Model) -> Rates | None:
    """The rates of a catalog's model; None where one of them is not known, or depends on the request."""
    known = {price.kind: price for price in model.prices if price.usd is not None}
    stated = {price.kind: price.state for price in model.prices}
    request = known.get(PriceKind.REQUEST)
    if request is None and stated.get(PriceKind.REQUEST) is PriceState.DYNAMIC:
        return None
    by_token = []
    for kind in (PriceKind.INPUT, PriceKind.OUTPUT):
        price = known.get(kind)
        if price is None and kind is PriceKind.OUTPUT and model.kind == "embedding":
            by_token.append(_NOTHING)  # nothing comes out that could be paid for
            continue
        if price is None or price.per is not Per.TOKEN or price.usd is None:
            return None
        by_token.append(price.usd)
    per_request = request.usd if request is not None and request.per is Per.REQUEST else None
    cached = known.get(PriceKind.CACHE_READ)
    from_cache = cached.usd if cached is not None and cached.per is Per.TOKEN else None
    return Rates(by_token[0], by_token[1], per_request or _NOTHING, from_cache)


class Prices:
    """The rates of everything that is published now.

    Args:
        rates: by ``(public name, backend's namespace/name)``; None where they are not known
        tenants: by public name
    """

    def __init__(self, rates: Mapping[tuple[str, str], Rates | None], tenants: Mapping[str, str]) -> None:
        self._rates = rates
        self._tenants = tenants
        # Gateways name their backends in ways of their own; where a model has but one, that is the one.
        backends = Counter(model for model, _ in rates)
        self._only = {model: one for (model, _), one in rates.items() if backends[model] == 1}

    @property
    def models(self) -> frozenset[str]:
        """The public names there are: what else a client names, it may have made up."""
        return frozenset(self._tenants)

    def tenant_of(self, model: str) -> str:
        """The tenant that publishes a model; "" where nobody does."""
        return self._tenants.get(model, "")

    def knows(self, request: Request) -> bool:
        """Whether it is known what a request that was answered costs, or that nobody knows it."""
        return not request.backend or (request.model, request.backend) in self._rates or request.model in self._only

    def cost(self, request: Request) -> int | None:
        """In pico-dollars; None where the tokens or their price are not known."""
        if request.input_tokens is None or request.output_tokens is None:
            return None
        rates = self._rates.get((request.model, request.backend), self._only.get(request.model))
        return None if rates is None else rates.cost(request.input_tokens, request.output_tokens, request.cached_tokens)


async def prices(store: Store, published: list[Publication]) -> Prices:
    """The rates of these publications, by the catalog as it is."""
    found: dict[tuple[str, str], Rates | None] = {}
    of_models: dict[str, Rates | None] = {}
    for publication in published:
        for backend in publication.backends:
            rates, name = None, backend.origin.name
            if backend.origin.source == "catalog":
                if name not in of_models:
                    provider, _, native_id = name.partition("/")
                    model = await catalog.get_model(store, provider, native_id)
                    of_models[name] = None if model is None else rates_of(model)
                rates = of_models[name]
            found[publication.name, f"{publication.tenant}/{backend_name(publication, backend)}"] = rates
    return Prices(found, {one.name: one.tenant for one in published})
