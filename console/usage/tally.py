"""Adds requests up, by series and minute, hour and day."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from console.store.tables.usage import LATENCY_BOUNDS, MEASURES
from console.usage.pricing import Prices
from console.usage.records import Ending, Request

GRAINS = (60, 3600, 86_400)
"""Seconds: a minute, an hour and a day, of UTC."""
_AT = {name: number for number, name in enumerate(MEASURES)}
_ENDINGS = {Ending.REFUSED: _AT["refused"], Ending.FAILED: _AT["failed"], Ending.ABORTED: _AT["aborted"]}
_REQUESTS, _MILLISECONDS, _LATENCY = _AT["requests"], _AT["milliseconds"], _AT["latency_0"]
_INPUT, _OUTPUT = _AT["input_tokens"], _AT["output_tokens"]
_METERED, _UNMETERED, _UNPRICED, _COST = _AT["metered"], _AT["unmetered"], _AT["unpriced"], _AT["cost"]


@dataclass(frozen=True, slots=True)
class Series:
    """What is counted together; each "" where it is not known."""

    tenant: str
    key: str
    model: str


@dataclass(frozen=True, slots=True)
class Settled:
    """One request that was counted: a budget need hold no place for it any more."""

    identifier: str
    tenant: str
    key: str
    unmetered: bool


class Tally:
    """Sums of the requests of one piece of a log.

    rows      (grain, start) → series → the measures, in the order of `MEASURES`
    totals    series → the same, of all times
    denials   (grain, start) → (series, reason) → requests
    settled   each request that was let through, in its order
    """

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], dict[Series, list[int]]] = {}
        self.totals: dict[Series, list[int]] = {}
        self.denials: dict[tuple[int, int], Counter[tuple[Series, str]]] = {}
        self.settled: list[Settled] = []

    def add(self, requests: Iterable[Request], prices: Prices) -> None:
        for request in requests:
            if not request.look:
                self._add(request, prices)

    def _add(self, request: Request, prices: Prices) -> None:
        series = series_of(request, prices)
        cost = prices.cost(request)
        moments = [(grain, int(request.at) // grain * grain) for grain in GRAINS]
        for sums in (
            self._of(self.totals, series),
            *(self._of(self.rows.setdefault(at, {}), series) for at in moments),
        ):
            _count(sums, request, cost)
        if request.denial:
            for moment in moments:
                self.denials.setdefault(moment, Counter())[series, request.denial] += 1
        if request.key:
            self.settled.append(Settled(request.identifier, request.tenant, request.key, request.unmetered))

    @staticmethod
    def _of(sums: dict[Series, list[int]], series: Series) -> list[int]:
        found = sums.get(series)
        if found is None:
            found = sums[series] = [0] * len(MEASURES)
        return found


def series_of(request: Request, prices: Prices) -> Series:
    """Where a request is counted. Names that a client may have made up are not kept: there is no end of them."""
    accepted = bool(request.key) and not request.denial
    model = request.model if accepted or request.model in prices.models else ""
    # Whose key it was, else whose model: a stranger's attempts concern whoever publishes it.
    return Series(request.tenant or prices.tenant_of(model), request.key, model)


def _count(sums: list[int], request: Request, cost: int | None) -> None:
    sums[_REQUESTS] += 1
    ending = _ENDINGS.get(request.ending)
    if ending is not None:
        sums[ending] += 1
    sums[_MILLISECONDS] += request.milliseconds
    sums[_LATENCY + bisect_left(LATENCY_BOUNDS, request.milliseconds)] += 1
    if request.unmetered:
        sums[_UNMETERED] += 1
    if request.input_tokens is None or request.output_tokens is None:
        return
    sums[_METERED] += 1
    sums[_INPUT] += request.input_tokens
    sums[_OUTPUT] += request.output_tokens
    if cost is None:
        sums[_UNPRICED] += 1
    else:
        sums[_COST] += cost
