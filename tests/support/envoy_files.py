"""A translation laid out as the files of an Envoy that no controller looks after."""

from __future__ import annotations

import json
from typing import Any

from console.local.envoy import CLUSTERS_FILE, LISTENERS_FILE, Envoy
from console.local.gateway.translate import Translation
from console.local.gateway.translate.limits import limits_filter
from console.local.gateway.translate.settings import LIMITS_FILE
from console.local.layout import write_private


def lay_out(envoy: Envoy, translation: Translation) -> None:
    """Before it starts."""
    put(envoy, CLUSTERS_FILE, list(translation.clusters.values()))
    put(envoy, LIMITS_FILE, [limits_filter(translation.tiers)])
    for name, routes in translation.routes.items():
        put(envoy, f"rds-{name}.json", [routes])
    put(envoy, LISTENERS_FILE, list(translation.listeners.values()))


def put(envoy: Envoy, file: str, resources: list[dict[str, Any]]) -> None:
    """One file."""
    envoy.configuration.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(envoy.configuration / file, json.dumps({"version_info": "fixed", "resources": resources}))
