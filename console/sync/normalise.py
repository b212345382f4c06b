"""One record of a list to one listing, or to the reason why it is none.

Nothing that a provider can put into a record stops here with an exception, and nothing is made up: what is missing,
malformed or out of all reason is unknown, and a flaw says so. Only a record without a usable id is rejected.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeGuard

from console.catalog import prices
from console.catalog.identity import author_of, canonical_key, family_of
from console.catalog.types import CAPABILITIES, Capabilities, Listing
from console.sync.providers.base import (
    Draft,
    Listed,
    ProviderSpec,
    Record,
    RecordRefused,
    Stated,
    first_at,
    value_at,
)
from console.sync.records import NumberText
from console.sync.types import Reject

_ID_LIMIT = 300
_NAME_LIMIT = 300
_DESCRIPTION_LIMIT = 2_000
_FACT_LIMIT = 300
_MODALITIES_LIMIT = 12
_TOKENS_LIMIT = 10**9
_RECORD_LIMIT = 2_000

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROLS_IN_PROSE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SECRET_NAMES = re.compile(r"key|token$|secret|passw|authori[sz]ation|credential|cookie", re.IGNORECASE)
_MODALITY = re.compile(r"[a-z0-9][a-z0-9 ._-]*")
# The names under which the same modality goes elsewhere.
_MODALITIES = {"pdf": "file", "document": "file", "embeddings": "embedding", "images": "image", "speech": "audio"}


def normalise(spec: ProviderSpec, record: object) -> tuple[Listing, list[str]]:
    """The listing in a record, and what of it could not be read.

    Raises:
        RecordRefused: it is no model; the text says why.
    """
    if not isinstance(record, dict):
        raise RecordRefused(f"a record must be a JSON object, this is {_json_kind(record)}")
    native_id = _native_id(first_at(record, spec.fields.id), spec)
    draft = Draft(native_id, native_id)
    _read_texts(spec, record, draft)
    _read_numbers(spec, record, draft)
    _read_kind_and_modalities(spec, record, draft)
    _read_prices(spec, record, draft)
    _read_capabilities(spec, record, draft)
    spec.odd(record, draft)
    _refuse_long(draft.native_id)  # it may have been put together
    draft.family = family_of(canonical_key(draft.named or draft.native_id))
    return _listing(draft), draft.flaws


def rejected(
    position: int, record: object, reason: str, *, costs: str = "record", secrets: tuple[str, ...] = ()
) -> Reject:
    """The reject that is kept of a record. ``secrets`` are taken out wherever they stand."""
    native_id = ""
    if isinstance(record, dict):
        found = next((record[key] for key in ("id", "model_name", "name") if isinstance(record.get(key), str)), "")
        native_id = _clean(found, _ID_LIMIT)
    text = json.dumps(_without_secrets(record, depth=0), ensure_ascii=True, default=str)
    for secret in filter(None, secrets):
        text, native_id = text.replace(secret, "…"), native_id.replace(secret, "…")
    return Reject(position, native_id, reason, _cut(text, _RECORD_LIMIT), costs)


def _native_id(value: object, spec: ProviderSpec) -> str:
    if value is None:
        raise RecordRefused(f"it has no id (looked for {', '.join(spec.fields.id)})")
    if not _is_text(value):
        raise RecordRefused(f"its id is {_json_kind(value)}, not text")
    _refuse_long(value)
    if value != value.strip() or _CONTROLS.search(value):
        # It would have to be sent to the provider exactly so, and could not be shown exactly so.
        raise RecordRefused("its id has control characters or spaces at an end")
    return value


def _refuse_long(native_id: str) -> None:
    if len(native_id) > _ID_LIMIT:
        raise RecordRefused(f"its id is {len(native_id)} characters long, more than {_ID_LIMIT}")


def _read_texts(spec: ProviderSpec, record: Record, draft: Draft) -> None:
    fields = spec.fields
    draft.name = _text(record, fields.name, _NAME_LIMIT, draft) or draft.native_id
    draft.author = spec.author or _text(record, fields.author, _NAME_LIMIT, draft) or author_of(draft.native_id)
    draft.replaced_by = _text(record, fields.replaced_by, _ID_LIMIT, draft) or None
    description = first_at(record, fields.description)
    if isinstance(description, str):
        draft.description = _cut(_CONTROLS_IN_PROSE.sub("", description).strip(), _DESCRIPTION_LIMIT)
    for name, path in spec.facts.items():
        value = value_at(record, path)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            draft.facts[name] = _clean(str(value), _FACT_LIMIT)


def _read_numbers(spec: ProviderSpec, record: Record, draft: Draft) -> None:
    draft.context_tokens = _tokens(record, spec.fields.context_tokens, draft)
    draft.max_output_tokens = _tokens(record, spec.fields.max_output_tokens, draft)
    draft.released_at = _moment(record, spec.fields.released_at, draft)
    draft.retires_at = _moment(record, spec.fields.retires_at, draft)
    if spec.fields.retires_at and draft.retires_at is not None:
        draft.deprecated = True


def _read_kind_and_modalities(spec: ProviderSpec, record: Record, draft: Draft) -> None:
    word = first_at(record, spec.fields.kind)
    if isinstance(word, str) and word:
        if known := spec.kinds.get(word):
            draft.kind, draft.input_modalities, draft.output_modalities = known.kind, known.inputs, known.outputs
        else:
            draft.facts["kind"] = _clean(word, _FACT_LIMIT)  # a word that we do not know yet: kept, not guessed
    inputs, arrow, outputs = _arrow(first_at(record, spec.fields.modality))
    if arrow:
        draft.input_modalities, draft.output_modalities = _modalities(inputs), _modalities(outputs)
    draft.input_modalities = _modalities(first_at(record, spec.fields.input_modalities)) or draft.input_modalities
    draft.output_modalities = _modalities(first_at(record, spec.fields.output_modalities)) or draft.output_modalities


def _read_prices(spec: ProviderSpec, record: Record, draft: Draft) -> None:
    free = draft.native_id.endswith(spec.free_suffixes) if spec.free_suffixes else False
    for kind, where in spec.prices.items():
        raw = value_at(record, where.at)
        if raw is None or raw == "":
            continue
        try:
            draft.prices[kind] = prices.read_price(kind, raw, where.unit, free=free)
        except prices.NotAPrice as problem:
            draft.prices[kind] = prices.unknown(kind, _as_sent(raw), where.unit)
            draft.flaws.append(f"{where.at}: {problem}")


def _read_capabilities(spec: ProviderSpec, record: Record, draft: Draft) -> None:
    for name, rule in spec.model_capabilities.items():
        draft.capabilities[name] = _listed(rule, record) if isinstance(rule, Listed) else _stated(rule, record)
    if "vision" not in draft.capabilities and draft.input_modalities is not None:
        draft.capabilities["vision"] = "image" in draft.input_modalities


def _listed(rule: Listed, record: Record) -> bool | None:
    names = value_at(record, rule.at)
    if _is_text(names):
        names = [name.strip() for name in names.split(",")]
    if not isinstance(names, list):
        return None
    if any(name in names for name in rule.names):
        return True
    return False if rule.complete else None


def _stated(rule: Stated, record: Record) -> bool | None:
    value = value_at(record, rule.at)
    return value if isinstance(value, bool) else None


def _listing(draft: Draft) -> Listing:
    return Listing(
        native_id=draft.native_id,
        canonical_key=canonical_key(draft.named or draft.native_id),
        name=draft.name,
        author=draft.author,
        family=draft.family,
        kind=draft.kind,
        description=draft.description,
        context_tokens=draft.context_tokens,
        max_output_tokens=draft.max_output_tokens,
        input_modalities=draft.input_modalities,
        output_modalities=draft.output_modalities,
        capabilities=Capabilities(**{name: draft.capabilities.get(name) for name in CAPABILITIES}),
        deprecated=draft.deprecated,
        retires_at=draft.retires_at,
        replaced_by=draft.replaced_by,
        released_at=draft.released_at,
        facts=draft.facts,
        prices=tuple(draft.prices.values()),
    )


def _text(record: Record, paths: tuple[str, ...], limit: int, draft: Draft) -> str:
    value = first_at(record, paths)
    if value is None:
        return ""
    if not _is_text(value):
        draft.flaws.append(f"{paths[0]}: {_json_kind(value)} where text belongs")
        return ""
    return _clean(value, limit)


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and not isinstance(value, NumberText)


def _tokens(record: Record, paths: tuple[str, ...], draft: Draft) -> int | None:
    """A positive whole number. 0 means "not told" in these lists, and is not a fact."""
    value = first_at(record, paths)
    if value is None:
        return None
    try:
        number = prices.amount(value)
    except prices.NotAPrice:
        number = None
    if number is None or number != number.to_integral_value() or not 0 <= number <= _TOKENS_LIMIT:
        draft.flaws.append(f"{paths[0]}: not a number of tokens")
        return None
    return int(number) or None


def _moment(record: Record, paths: tuple[str, ...], draft: Draft) -> datetime | None:
    """Unix seconds or milliseconds, or an ISO date. 0 and false mean "not told"."""
    value = first_at(record, paths)
    if value is None or value is False:
        return None
    try:
        if _is_text(value) and not value.isdecimal():
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        seconds = prices.amount(value)
        if not seconds:
            return None
        if not 0 < seconds < 10**14:
            raise ValueError("out of all calendars")
        return datetime.fromtimestamp(int(seconds / 1000 if seconds > 10**11 else seconds), UTC)
    except (ValueError, OverflowError):
        draft.flaws.append(f"{paths[0]}: not a date")
        return None


def _arrow(value: object) -> tuple[str, str, str]:
    """The two sides of ``text+image->text``, with commas for the pluses; no arrow where there is none."""
    return value.replace("+", ",").partition("->") if _is_text(value) else ("", "", "")


def _modalities(value: object) -> tuple[str, ...] | None:
    """Sorted words from a list or from text with commas, the first twelve; None where nothing is stated."""
    names: Iterable[object]
    if isinstance(value, str):
        names = value.split(",")
    elif isinstance(value, list):
        names = value
    else:
        return None
    cleaned = {_clean(name, 32).lower() for name in names if isinstance(name, str)}
    words = {sys.intern(_MODALITIES.get(name, name)) for name in cleaned if _MODALITY.fullmatch(name)}
    return tuple(sorted(words)[:_MODALITIES_LIMIT]) or None


def _clean(text: str, limit: int) -> str:
    return _cut(_CONTROLS.sub("", text).strip(), limit)


def _cut(text: str, limit: int) -> str:
    """At most so long. Dots in ASCII: one wider character would double the memory of the whole text."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _as_sent(raw: object) -> str:
    """Something that is no price, as one line of text."""
    text = raw if isinstance(raw, str) else json.dumps(raw, default=str)
    return prices.raw_text(_CONTROLS.sub("", text))


def _json_kind(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    if isinstance(value, (int, NumberText)) and not isinstance(value, bool):
        return "a number"
    return names.get(type(value), "text")


def _without_secrets(value: Any, depth: int) -> Any:
    """The same record without what its name calls a secret, and not deeper than anybody reads."""
    if depth > 6:
        return "…"
    if isinstance(value, dict):
        shown = list(value.items())[:100]
        return {str(key): _blanked(str(key), inner, depth + 1) for key, inner in shown}
    if isinstance(value, list):
        return [_without_secrets(inner, depth + 1) for inner in value[:50]]
    return value


def _blanked(name: str, value: Any, depth: int) -> Any:
    return "…" if isinstance(value, str) and _SECRET_NAMES.search(name) else _without_secrets(value, depth)
