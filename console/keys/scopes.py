"""What bounds a key and what it is marked with: from what an operator wrote to what is kept, and to the journal."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from console.call import Call
from console.k8s.types import LABEL_TENANT, NAMESPACE, Ref
from console.keys.quotas import Quota, quota_of
from console.keys.types import Import, Key, KeyForm, KeyKind, moment, text_of
from console.outcome import ModeldeckError, Refusal

_MOST_LABELS = 16
_LONGEST_NAME = 120
_LABEL = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?)=([^=,\s]{1,63})")


def judge_name(name: str) -> None:
    """Whether a new key may be called so: every list of keys has to show it, and every command to take it.

    Raises:
        Refusal: it is too long, holds what cannot be printed (control and format characters), or begins or ends with
            a space.
    """
    why = ""
    if len(name) > _LONGEST_NAME:
        why = f"the name has {len(name)} characters; {_LONGEST_NAME} are the most"
    elif not name.isprintable():
        why = "the name holds characters that cannot be printed"
    elif not name.strip():
        why = "a name of spaces alone is none"
    elif name != name.strip():
        why = "the name begins or ends with a space"
    if why:
        raise Refusal(f"{why}; nothing was changed", code="INVALID_PARAMETER")


def networks_of(given: Sequence[str]) -> tuple[str, ...]:
    """CIDRs as they are kept; an address alone is a network of one.

    Raises:
        Refusal: one is neither.
    """
    found = []
    for text in given:
        try:
            found.append(str(ipaddress.ip_network(text)))
        except ValueError:
            detail = f"{text[:60]!r} is not a network such as 10.0.0.0/8"
            raise Refusal(f"{detail}; nothing was changed", code="INVALID_PARAMETER") from None
    return tuple(dict.fromkeys(found))


def labels_of(given: Sequence[str]) -> dict[str, str]:
    """``("team=search", …)`` by name.

    Raises:
        Refusal: one is no label, a name stands there twice, or they are too many.
    """
    found: dict[str, str] = {}
    for text in given:
        match = _LABEL.fullmatch(text)
        if match is None:
            detail = f"{text[:60]!r} is not a label such as team=search"
            raise Refusal(f"{detail}; nothing was changed", code="INVALID_PARAMETER")
        if found.setdefault(match[1], match[2]) != match[2]:
            raise Refusal(f"the label {match[1]} has two values; nothing was changed", code="INVALID_PARAMETER")
    if len(found) > _MOST_LABELS:
        detail = f"{len(found)} labels; {_MOST_LABELS} are the most"
        raise Refusal(f"{detail}; nothing was changed", code="INVALID_PARAMETER")
    return found


def has_labels(key: Key, wanted: Sequence[str]) -> bool:
    """Whether a key has all of some labels: ``team=search``, or ``team`` with whatever value."""
    for text in wanted:
        name, given, value = text.partition("=")
        if name not in key.labels or (given and key.labels[name] != value):
            return False
    return True


async def allowed_tenants(call: Call, given: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int | None]]:
    """The tenants whose publications a key may call, and how many keys each of them may have.

    Raises:
        Refusal: the operator has no access to one of them, or there is no such tenant.
    """
    tenants = tuple(dict.fromkeys(given))
    for tenant in tenants:
        if call.principal.tenants is not None and tenant not in call.principal.tenants:
            who = call.principal.name
            raise Refusal(
                f"{who} has no access to tenant {tenant}, so cannot let a key call it; nothing was changed",
                code="TENANT_FORBIDDEN",
                status=403,
            )
    return tenants, {tenant: (await quota_of_tenant(call, tenant)).keys for tenant in tenants}


async def quota_of_tenant(call: Call, tenant: str) -> Quota:
    """A slip of the finger must not hand out a key. Where no cluster can be asked, the operator is told.

    Raises:
        Refusal: the cluster knows no such tenant, or its quota cannot be read.
    """
    try:
        cluster = await call.services.cluster()
        namespace = await cluster.get(Ref(NAMESPACE, tenant, None))
    except ModeldeckError:
        call.emit(f"the cluster could not be asked whether there is a tenant {tenant}, and how many keys it may have")
        return Quota()
    if namespace is None or LABEL_TENANT not in namespace["metadata"].get("labels", {}):
        sentence = f"there is no tenant {tenant}; nothing was changed"
        raise Refusal(sentence, code="INVALID_TENANT", then="modeldeck tenants list")
    return quota_of(namespace)


# --- as the journal and the Secrets have it ---------------------------------------------------------------------


def fields_of(key: Key) -> dict[str, Any]:
    """What may be changed of a key in place, as JSON."""
    return {
        "models": list(key.models),
        "networks": list(key.networks),
        "labels": dict(key.labels),
        "tenants": list(key.tenants),
        "owner": key.owner,
        "expires_at": text_of(key.expires_at),
        "suspended": key.suspended,
    }


def row_of(key: Key) -> dict[str, Any]:
    """A key without its generations, as JSON."""
    return fields_of(key) | {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "kind": key.kind.value,
        "form": key.form.value,
        "imported": key.imported.as_json() if key.imported is not None else None,
        "created_at": text_of(key.created_at),
    }


def key_of(row: Mapping[str, Any]) -> Key:
    """A key of `row_of`; one that an older Modeldeck wrote down has fewer fields."""
    created = moment(row["created_at"])
    assert created is not None
    return Key(
        id=row["id"],
        name=row["name"],
        tenant=row["tenant"],
        owner=row["owner"],
        kind=KeyKind(row["kind"]),
        models=tuple(row["models"]),
        created_at=created,
        expires_at=moment(row["expires_at"]),
        suspended=row.get("suspended", False),
        networks=tuple(row.get("networks", ())),
        imported=Import.of(row.get("imported")),
        form=KeyForm(row.get("form", "bud")),
        labels=dict(row.get("labels", {})),
        tenants=tuple(row.get("tenants", ())),
    )
