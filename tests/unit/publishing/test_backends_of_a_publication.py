"""Who takes which share behind one public name."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from console.config import GatewayLink
from console.outcome import Refusal
from console.publishing import backends
from console.publishing.manifests import backend_name, credential_of, manifests
from console.publishing.origins import Found, named
from console.publishing.types import Endpoint, Origin, Publication, PublicationKind


async def find(target: str) -> Found:
    """Anything is a model of the catalog; what begins with ``isvc/`` an InferenceService, iris a traditional one."""
    source = "inferenceservice" if target.startswith("isvc/") else "catalog"
    origin = Origin(source, target.removeprefix("isvc/"), target, Endpoint("h.example.com", 443, tls=True), "p")
    kind = PublicationKind.TRADITIONAL if target.endswith("iris") else PublicationKind.OPENAI
    return Found(origin, kind, "so it is", ("beware",) if target == "p/odd" else ())


async def a_publication(kind: PublicationKind = PublicationKind.OPENAI, **changes: Any) -> Publication:
    publication = Publication("id", "m", "acme", kind, (await find("p/first")).origin)
    return (await backends.changed(publication, find, **changes))[0] if changes else publication


def shares(publication: Publication) -> list[tuple[str, int, int]]:
    return [(named(one.origin), one.weight, one.priority) for one in publication.backends]


async def test_weights_and_fallbacks_in_the_order_of_their_turn() -> None:
    publication = await a_publication(also=["p/b=3", "isvc/acme/x"], fallback=["p/c", "p/d"])
    assert shares(publication) == [
        ("p/first", 1, 0),
        ("p/b", 3, 0),
        ("isvc/acme/x", 1, 0),
        ("p/c", 1, 1),
        ("p/d", 1, 2),
    ]


async def test_a_backend_moves_and_keeps_its_objects() -> None:
    before = await a_publication(also=["p/b=3"], fallback=["p/c"])
    names = {one.origin: backend_name(before, one) for one in before.backends}
    assert len(set(names.values())) == 3
    after, _ = await backends.changed(before, find, also=["p/c=9"], fallback=["p/b"], drop=["p/first"])
    assert shares(after) == [("p/c", 9, 0), ("p/b", 1, 1)]
    assert {one.origin: backend_name(after, one) for one in after.backends}.items() <= names.items()
    again, _ = await backends.changed(after, find, also=["p/first"])
    assert len({backend_name(again, one) for one in again.backends}) == 3


async def test_the_first_fallback_comes_to_the_front_where_all_others_go() -> None:
    before = await a_publication(fallback=["p/b", "p/c"])
    after, _ = await backends.changed(before, find, drop=["p/first"])
    assert shares(after) == [("p/b", 1, 0), ("p/c", 1, 1)]


async def test_the_route_names_every_backend_with_its_weight_its_turn_and_its_own_name_for_the_model() -> None:
    publication = await a_publication(also=["p/b=3"], fallback=["p/c"])
    made = manifests(publication, GatewayLink())
    route = next(one for one in made if one["kind"] == "AIGatewayRoute")
    suffixes = [one.suffix for one in publication.others]
    assert route["spec"]["rules"][0]["backendRefs"] == [
        {"name": "pub-m", "modelNameOverride": "p/first"},
        {"name": f"pub-m-{suffixes[0]}", "modelNameOverride": "p/b", "weight": 3},
        {"name": f"pub-m-{suffixes[1]}", "modelNameOverride": "p/c", "priority": 1},
    ]
    of_backends = Counter(one["kind"] for one in made)
    for kind in ("Secret", "Backend", "BackendTLSPolicy", "AIServiceBackend", "BackendSecurityPolicy"):
        assert of_backends[kind] == 3
    assert [credential_of(publication, one) for one in made if one["kind"] == "Secret"] == ["p", "p", "p"]


async def test_what_is_to_be_known_of_a_new_backend_is_told() -> None:
    _, told = await backends.changed(await a_publication(), find, also=["p/odd"])
    assert told == ("p/odd: beware",)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"also": ["p/b=x"]}, "no weight"),
        ({"also": ["p/b=-1"]}, "no weight"),
        ({"also": ["p/b=1000001"]}, "no weight"),
        ({"also": ["p/b", "p/b=2"]}, "named twice"),
        ({"also": ["p/b"], "fallback": ["p/b"]}, "named twice"),
        ({"drop": ["p/none"]}, "has no backend p/none"),
        ({"drop": ["p/first"]}, "would have no backend"),
        ({"also": ["p/first=0"]}, "every weight is 0"),
        ({"also": [f"p/{number}" for number in range(16)]}, "16 are possible"),
        ({"also": ["isvc/acme/iris"]}, "predict protocol"),
        ({"also": ["p/b"], "kind": PublicationKind.TRADITIONAL}, "predict protocol"),
        ({"also": ["isvc/globex/x"]}, "belongs to tenant globex"),
    ],
)
async def test_what_cannot_be_behind_one_name_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal, match=sentence):
        await a_publication(**changes)
