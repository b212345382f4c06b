"""How much a tenant may have, by annotations on its namespace:

    modeldeck.dev/max-keys: "20"
    modeldeck.dev/max-publications: "5"
    modeldeck.dev/max-requests-per-minute: "600"     of each key, on each publication

An annotation that is not there sets no limit. One that cannot be read is refused: it was meant to be one.
"""

from __future__ import annotations

from dataclasses import dataclass

from console.k8s.types import Object
from console.outcome import Refusal

MAX_KEYS = "modeldeck.dev/max-keys"
MAX_PUBLICATIONS = "modeldeck.dev/max-publications"
MAX_RPM = "modeldeck.dev/max-requests-per-minute"
_LONGEST = 9


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that a tenant may have; None is no limit. ``rpm``: requests per minute of a key."""

    keys: int | None = None
    publications: int | None = None
    rpm: int | None = None


def quota_of(namespace: Object) -> Quota:
    """What a namespace's annotations say.

    Raises:
        Refusal: one of them is no number.
    """
    annotations = namespace["metadata"].get("annotations") or {}
    name = namespace["metadata"]["name"]
    return Quota(
        _number(name, annotations, MAX_KEYS),
        _number(name, annotations, MAX_PUBLICATIONS),
        _number(name, annotations, MAX_RPM),
    )


def _number(tenant: str, annotations: dict[str, str], name: str) -> int | None:
    text = annotations.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST):
        raise Refusal(
            f"the namespace {tenant} has {name}: {text[:40]!r}, which is no number; until it is mended nothing is "
            "added, and nothing was changed",
            code="BAD_QUOTA",
            status=422,
            then=f"kubectl annotate --overwrite namespace {tenant} {name}=NUMBER",
        )
    return int(text)


def check(tenant: str, what: str, annotation: str, *, used: int, most: int | None) -> None:
    """Refuse one more of something.

    Raises:
        Refusal: the tenant has as many as it may.
    """
    if most is not None and used >= most:
        raise Refusal(
            f"tenant {tenant} has {used} {what} and may have {most}; nothing was changed",
            code="QUOTA_EXCEEDED",
            status=409,
            then=f"remove one, or raise {annotation} on the namespace {tenant}",
        )
