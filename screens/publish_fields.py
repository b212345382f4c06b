"""The fields of a publication: what they are called in a form, and which of them are always in sight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from widgets.field_specs import FieldSpec

ACTIONS = frozenset({"publish", "update", "publications.publish", "publications.update"})
ALWAYS = frozenset({"model", "name", "tenant", "type", "rpm", "timeout", "hostname"})
"""What most publications are made of; the rest is behind one key."""
_SAID: Mapping[str, tuple[str, str]] = {
    "name": ("public name", ""),
    "type": ("called as", ""),
    "rpm": ("requests/minute", "each key"),
    "timeout": ("longest request", ""),
    "hostname": ("hostname", ""),
    "burst": ("requests/second", "each key"),
    "rph": ("requests/hour", "each key"),
    "rpd": ("requests/day", "each key"),
    "tph": ("tokens/hour", "each key"),
    "tpd": ("tokens/day", "each key"),
    "tenant_rpm": ("requests/minute", "a tenant's keys"),
    "model_rpm": ("requests/minute", "everybody"),
    "retries": ("retries", "other tries"),
    "retry_on": ("retry after", ""),
    "max_connections": ("connections", "at most"),
    "max_pending": ("waiting", "at most"),
    "max_parallel": ("under way", "at most"),
    "connect_timeout": ("connecting", "at most"),
    "idle_timeout": ("silence", "at most"),
    "weight": ("weight", "its share"),
    "also": ("other backends", ""),
    "fallback": ("fallbacks", ""),
    "drop": ("without", ""),
}
"""Label, and what stands behind the field."""


def dressed(spec: FieldSpec) -> FieldSpec:
    """A field of a publication as an operator reads it; with something in it, it is in sight."""
    label, unit = _SAID.get(spec.name, (spec.label, spec.unit))
    # A form is for one model; only the command line and the HTTP API take a file instead.
    required = spec.required or spec.name == "model"
    return replace(spec, label=label, unit=unit, required=required, more=spec.name not in ALWAYS and not spec.default)
