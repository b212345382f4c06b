"""Several backends behind one public name: who takes which share, who stands in for whom.

An operator names a backend as it is named for publishing (console/publishing/origins.py). Those of priority 0 share
the requests by weight; each fallback has a priority of its own, in the order in which they were named.
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from console.catalog import read as catalog
from console.catalog.types import Model, PriceKind
from console.outcome import Refusal
from console.publishing.origins import Found, named, own_tenant
from console.publishing.types import Backend, Origin, Publication, PublicationKind
from console.store.engine import Store

MOST_BACKENDS = 16
"""Of one rule of the HTTPRoute that the AI gateway makes of its route."""
_HOST = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_HOST = 253
_HEAVIEST = 1_000_000
_A_LOT = 2
"""So many times another's price or context is worth a warning."""

Find = Callable[[str], Awaitable[Found]]


async def changed(
    publication: Publication,
    find: Find,
    *,
    also: Iterable[str] = (),
    fallback: Iterable[str] = (),
    drop: Sequence[str] = (),
) -> tuple[Publication, tuple[str, ...]]:
    """A publication with other backends, and what an operator should know of the new ones.

    Args:
        also: ``BACKEND`` or ``BACKEND=WEIGHT``: added, or moved to that weight
        fallback: added behind all others, or moved there
        drop: taken out

    Raises:
        Refusal: one is unknown, named twice, cannot stand behind this name, or none would be left that is asked.
    """
    backends = list(publication.backends)
    warnings: list[str] = []
    weighted = [_weighted(text) for text in also]
    wanted = [(target, weight, 0) for target, weight in weighted]
    last = max(one.priority for one in backends)
    wanted += [(target, 1, last + number) for number, target in enumerate(fallback, start=1)]
    _refuse_twice([*(target for target, _, _ in wanted), *drop])
    for target in drop:
        backends.remove(_one(backends, target, publication))
    for target, weight, priority in wanted:
        there = next((one for one in backends if named(one.origin) == target), None)
        if there is not None:
            backends[backends.index(there)] = replace(there, weight=weight, priority=priority)
            continue
        found = await find(target)
        _refuse_unfit(publication, target, found)
        warnings += [f"{target}: {said}" for said in found.warnings]
        backends.append(Backend(found.origin, weight, priority, _suffix(found.origin)))
    if not backends:
        raise _refusal(f"{publication.name} would have no backend", then=f"modeldeck unpublish {publication.name}")
    after = publication.with_backends(_in_order(backends))
    check(after)
    return after, tuple(warnings)


def check(publication: Publication) -> None:
    """Whether a gateway can ask these backends: what it would take, and then not serve, is refused here.

    Raises:
        Refusal: INVALID_BACKENDS.
    """
    backends = publication.backends
    if len(backends) > MOST_BACKENDS:
        raise _refusal(f"{publication.name} would have {len(backends)} backends, and {MOST_BACKENDS} are possible")
    if not any(one.weight for one in backends if one.priority == 0):
        raise _refusal("no backend would get a request: every weight is 0")
    for one in backends:
        endpoint = one.origin.endpoint
        address = _is_address(endpoint.host)
        if not address and (len(endpoint.host) > _LONGEST_HOST or not _HOST.fullmatch(endpoint.host)):
            raise _refusal(f"{named(one.origin)} answers at {endpoint.host[:80]!r}, which is no hostname")
        if address and endpoint.tls:
            raise _refusal(
                f"{named(one.origin)} answers over TLS at the address {endpoint.host}: "
                "there is no name that its certificate could be checked against",
                then="name its host in the provider's inference_url",
            )


def same(one: Publication, other: Publication) -> bool:
    """Whether two publications ask the same backends in the same way."""

    def asked(publication: Publication) -> set[tuple[Origin, int, int]]:
        return {(backend.origin, backend.weight, backend.priority) for backend in publication.backends}

    return asked(one) == asked(other)


async def differences(store: Store, publication: Publication) -> tuple[str, ...]:
    """Warnings where prices or contexts of the backends are far apart: a client cannot tell which of them answers."""
    models = []
    for backend in publication.backends:
        if backend.origin.source == "catalog":
            provider, _, native_id = backend.origin.name.partition("/")
            model = await catalog.get_model(store, provider, native_id)
            models += [] if model is None else [model]
    said = []
    for what, values in (
        ("the price of input", [_price(model, PriceKind.INPUT) for model in models]),
        ("the price of output", [_price(model, PriceKind.OUTPUT) for model in models]),
        ("the context", [model.context_tokens for model in models]),
    ):
        pairs = zip(values, models, strict=True)
        known = sorted((Decimal(value), model.reference) for value, model in pairs if value is not None)
        if len(known) > 1 and known[-1][0] >= _A_LOT * known[0][0] and known[-1][0] > known[0][0]:
            (low, cheap), (high, dear) = known[0], known[-1]
            times = f"{high / low:.1f} times" if low else "not free, as"
            said.append(f"{what} differs a lot: {dear} has {times} that of {cheap}")
    return tuple(said)


def _price(model: Model, kind: PriceKind) -> Decimal | None:
    price = model.price(kind)
    return price.usd if price is not None else None


def _weighted(text: str) -> tuple[str, int]:
    target, equals, weight = text.rpartition("=")
    if not equals:
        return text, 1
    if not (weight.isdecimal() and weight.isascii() and len(weight) < 9 and int(weight) <= _HEAVIEST):
        raise _refusal(f"{weight[:40]!r} is no weight: it is a whole number from 0 to {_HEAVIEST}")
    return target, int(weight)


def _refuse_twice(targets: Sequence[str]) -> None:
    for target in targets:
        if targets.count(target) > 1:
            raise _refusal(f"{target} is named twice")


def _one(backends: Sequence[Backend], target: str, publication: Publication) -> Backend:
    for one in backends:
        if named(one.origin) == target:
            return one
    there = ", ".join(named(one.origin) for one in backends)
    raise _refusal(f"{publication.name} has no backend {target}", then=f"it has {there}")


def _refuse_unfit(publication: Publication, target: str, found: Found) -> None:
    if publication.kind is PublicationKind.TRADITIONAL or found.kind is PublicationKind.TRADITIONAL:
        which = publication.name if publication.kind is PublicationKind.TRADITIONAL else target
        raise _refusal(f"{which} speaks KServe's predict protocol: only OpenAI's can have several backends")
    own = own_tenant(found.origin)
    if own not in (None, publication.tenant):
        raise Refusal(
            f"{target} belongs to tenant {own}, not {publication.tenant}; nothing was changed",
            code="INVALID_TENANT",
        )


def _in_order(backends: Sequence[Backend]) -> list[Backend]:
    """By priority, and the priorities without a gap."""
    ordered = sorted(backends, key=lambda one: one.priority)
    return [
        replace(one, priority=rank)
        for rank, (_, group) in enumerate(itertools.groupby(ordered, key=lambda one: one.priority))
        for one in group
    ]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _suffix(origin: Origin) -> str:
    return hashlib.sha256(f"{origin.source} {origin.name}".encode()).hexdigest()[:8]


def _refusal(message: str, *, then: str = "") -> Refusal:
    return Refusal(f"{message}; nothing was changed", code="INVALID_BACKENDS", then=then)
