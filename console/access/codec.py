"""Redis values to grants and back: the two forms of ``api_key:*``, and ``published_model_info`` (DESIGN.md §4).

Reading is strict and bounded: what is malformed is refused with a `Fault`, never half understood. A value that
JSON allows but that two readers could understand differently (a name twice) counts as malformed.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from console.access.forms import GET_PUBLISHED
from console.access.types import (
    CLIENT_PREFIX,
    KEY_PREFIX,
    METADATA,
    Fault,
    Grant,
    KeyEntry,
    Network,
    Restrictions,
    digest_of,
    is_digest,
    shown_key,
)

MAX_VALUE_BYTES = 4 * 1024 * 1024
_OURS = "modeldeck"
_LONG_ENOUGH = 16
"""Of a shorter key not even four characters are told."""


@dataclass(frozen=True, slots=True)
class ClearEntry:
    """A key that a value of the seed's form names in clear; its text is not in here.

    beginning  ``bud_client`` where its text is a client's, else nothing
    last_four  the end of its text; empty where that would be too much of it
    seen       digest of what the value says of it, to tell whether somebody has changed it since
    """

    entry: KeyEntry
    beginning: str
    last_four: str
    seen: str


class Malformed(ValueError):
    """A value that cannot be used; the text says why and quotes nothing of the value."""


@dataclass(frozen=True, slots=True)
class ParsedKeys:
    """What one ``api_key:*`` value holds: the entries that can be used, and what could not."""

    entries: tuple[KeyEntry, ...]
    faults: tuple[Fault, ...]


def parse_published(raw: bytes | str) -> dict[str, Grant]:
    """``{model: {endpoint_id, model_id, project_id}}``; one malformed entry refuses the whole value.

    Raises:
        Malformed: and the caller keeps the last good map.
    """
    return {name: _grant(name, value) for name, value in _object(raw).items()}


def parse_keys(redis_key: str, raw: bytes | str, *, salt: str = "bud-", expires_at: float | None = None) -> ParsedKeys:
    """One ``api_key:<suffix>`` value.

    A suffix of 64 hex digits is the digest of one key, and the value is its flat map of models. Any other suffix
    holds the seed's form, ``{key: {model: {…}}}``; a malformed key in it is refused alone.

    ``expires_at`` (Unix seconds) is the Redis key's own expiry.
    """
    suffix = redis_key.removeprefix(KEY_PREFIX)
    try:
        document = _object(raw)
        if is_digest(suffix):
            return ParsedKeys((_entry(suffix, document, expires_at, in_clear=False),), ())
    except Malformed as problem:
        return ParsedKeys((), (Fault(shown_key(redis_key), str(problem)),))
    where = shown_key(redis_key)
    entries, faults = [], []
    for position, (key, models) in enumerate(document.items(), 1):
        digest = digest_of(key, salt)
        try:
            if not isinstance(models, dict):
                raise Malformed("its value is not an object of models")
            entries.append(_entry(digest, models, expires_at, in_clear=True))
        except Malformed as problem:
            # The key itself is in clear here, so the fault names it by its place.
            faults.append(Fault(where, f"key no. {position}: {problem}"))
    return ParsedKeys(tuple(entries), tuple(faults))


def parse_clear(
    redis_key: str, raw: bytes | str, *, salt: str = "bud-", expires_at: float | None = None
) -> tuple[list[ClearEntry], tuple[Fault, ...]]:
    """The keys that a value of the seed's form names in clear, and what of it cannot be used (as `parse_keys`)."""
    parsed = parse_keys(redis_key, raw, salt=salt, expires_at=expires_at)
    usable = {entry.digest: entry for entry in parsed.entries}
    if not usable:
        return [], parsed.faults
    found = []
    for text, models in _object(raw).items():
        entry = usable.get(digest_of(text, salt))
        if entry is not None:
            beginning = CLIENT_PREFIX if text.startswith(GET_PUBLISHED) else ""
            last_four = text[-4:] if len(text) >= _LONG_ENOUGH else ""
            found.append(ClearEntry(entry, beginning, last_four, _seen(models)))
    return found, parsed.faults


def without_clear(raw: bytes | str, digest: str, *, salt: str, expected: str | None) -> str | None:
    """A value of the seed's form without one key, the others as they came; None where it does not name that key, or
    says something else of it than ``expected``.

    Raises:
        Malformed: it is not ours to repair.
    """
    document = _object(raw)
    for text, models in document.items():
        if digest_of(text, salt) == digest:
            if expected is not None and _seen(models) != expected:
                return None
            del document[text]
            return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return None


def _seen(models: Any) -> str:
    return hashlib.sha256(json.dumps(models, sort_keys=True).encode()).hexdigest()


def encode_entry(
    models: Mapping[str, Grant],
    *,
    key_id: str,
    user_id: str | None,
    project_id: str | None,
    tenant: str | None,
    generation: int,
    not_after: float | None = None,
    suspended: bool = False,
    networks: Sequence[str] = (),
    tenants: Collection[str] = (),
    labels: Mapping[str, str] | None = None,
) -> str:
    """The digest form as today's budgateway reads it; what is ours is in ``__metadata__.modeldeck``, which it skips."""
    ours: dict[str, Any] = {"generation": generation}
    if tenant is not None:
        ours["tenant"] = tenant
    if not_after is not None:
        ours["not_after"] = not_after
    if suspended:
        ours["suspended"] = True
    if networks:
        ours["networks"] = list(networks)
    if tenants:
        ours["tenants"] = sorted(tenants)
    if labels:
        ours["labels"] = dict(labels)
    document: dict[str, Any] = {name: grant.as_json() for name, grant in sorted(models.items())}
    document[METADATA] = {"api_key_id": key_id, "user_id": user_id, "api_key_project_id": project_id, _OURS: ours}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def encode_published(document: Mapping[str, Any]) -> str:
    """``published_model_info`` as text; other writers' entries go back as they came."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def published_document(raw: bytes | str | None) -> dict[str, Any]:
    """The whole of ``published_model_info`` as it stands, for a writer that changes one entry of it.

    Raises:
        Malformed: it is not ours to repair.
    """
    return {} if raw is None else _object(raw)


def unreadable_entry(document: Mapping[str, Any]) -> str:
    """Why gateways cannot read ``published_model_info``, "" where they can: one malformed entry freezes all of it."""
    try:
        for name, value in document.items():
            _grant(name, value)
    except Malformed as problem:
        return str(problem)
    return ""


def _entry(digest: str, document: dict[str, Any], expires_at: float | None, *, in_clear: bool) -> KeyEntry:
    metadata = document.get(METADATA) or {}
    if not isinstance(metadata, dict):
        raise Malformed(f"{METADATA} is not an object")
    ours = metadata.get(_OURS) or {}
    if not isinstance(ours, dict):
        raise Malformed(f"{METADATA}.{_OURS} is not an object")
    ends = [moment for moment in (expires_at, _moment(ours.get("not_after"))) if moment is not None]
    return KeyEntry(
        digest=digest,
        models={name: _grant(name, value) for name, value in document.items() if name != METADATA},
        key_id=_optional_text(metadata, "api_key_id"),
        user_id=_optional_text(metadata, "user_id"),
        project_id=_optional_text(metadata, "api_key_project_id"),
        tenant=_optional_text(ours, "tenant"),
        generation=ours.get("generation") if isinstance(ours.get("generation"), int) else None,
        not_after=min(ends) if ends else None,
        suspended=ours.get("suspended") is True,
        in_clear=in_clear,
        networks=_networks(ours.get("networks")),
        tenants=_tenants(ours["tenants"]) if "tenants" in ours else _NO_TENANTS,
        labels=_labels(ours["labels"]) if "labels" in ours else (),
    )


def _grant(name: str, value: Any) -> Grant:
    if not isinstance(value, dict):
        raise Malformed(f"model {name[:80]!r} does not lead to an object")
    ids = value.get("endpoint_id"), value.get("model_id"), value.get("project_id")
    for text in ids:
        if text is not None and type(text) is not str:
            raise Malformed(f"an id of model {name[:80]!r} is not text")
    return _grant_of(*ids)


# A hundred thousand keys lead to some hundred endpoints.
_grant_of = lru_cache(maxsize=65_536)(Grant)


def _networks(value: Any) -> tuple[Network, ...]:
    """A list of CIDRs. One that cannot be read refuses the entry: half of a fence is none."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Malformed("networks is not a list of texts")
    try:
        return tuple(ipaddress.ip_network(item) for item in value)
    except ValueError:
        raise Malformed("a network is not a CIDR") from None


_NO_TENANTS: frozenset[str] = frozenset()
# Keys of a tenant that may call the same tenants are many.
_set_of = lru_cache(maxsize=4096)(frozenset[str])


def _tenants(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise Malformed("tenants is not a list of names")
    return _set_of(tuple(value))


def _labels(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Malformed("labels is not an object of texts")
    return tuple(sorted(value.items()))


def parse_restrictions(raw: bytes | str | None) -> Restrictions:
    """``{"suspended_tenants": [...], "own_project": [...]}``; absent: there are none.

    Raises:
        Malformed: and the caller keeps the last good ones.
    """
    if raw is None:
        return Restrictions()
    document = _object(raw)
    return Restrictions(_names(document, "suspended_tenants"), _names(document, "own_project"))


def encode_restrictions(restrictions: Restrictions) -> str:
    return json.dumps(
        {"suspended_tenants": sorted(restrictions.suspended_tenants), "own_project": sorted(restrictions.own_project)},
        separators=(",", ":"),
    )


def _names(document: dict[str, Any], field: str) -> frozenset[str]:
    value = document.get(field, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Malformed(f"{field} is not a list of texts")
    return frozenset(value)


def _optional_text(document: Mapping[str, Any], field: str) -> str | None:
    value = document.get(field)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{field} is not text")
    return value


def _moment(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed("not_after is not a number")
    return float(value)


def _object(raw: bytes | str) -> dict[str, Any]:
    if len(raw) > MAX_VALUE_BYTES:
        raise Malformed(f"the value has {len(raw)} bytes, more than {MAX_VALUE_BYTES}")
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        document = _DECODER.decode(text)
        # Looking for repeated names costs four times the parsing: it is left out where nothing can be repeated.
        if not isinstance(document, dict) or not _all_named_once(document, text):
            document = json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise Malformed("it is nested too deeply") from None
    except Malformed:
        raise
    except ValueError:
        raise Malformed("it is not JSON") from None
    if not isinstance(document, dict):
        raise Malformed("it is not a JSON object")
    return document


_DECODER = json.JSONDecoder()
_PLACE = re.compile(r'"[ \t\n\r]*:')
"""Where a name could stand: at least once for each name that is written, more where texts hold such signs."""


def _all_named_once(document: dict[str, Any], text: str) -> bool:
    """Whether there are as many names as there are places for one in the text; False may also mean "cannot tell"."""
    names = _names_in(document)
    return names == text.count(":") or names == len(_PLACE.findall(text))


def _names_in(document: dict[str, Any]) -> int:
    """How many names there are in an object and the objects in it, at any depth."""
    count = len(document)
    for value in document.values():
        kind = type(value)
        if kind is dict:
            count += _names_in(value)
        elif kind is list:
            count += sum(_names_in(item) for item in value if isinstance(item, dict))
    return count


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Malformed("a name stands in it twice")
    return document
