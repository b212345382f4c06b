"""Profiles for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from console.config import GatewayLink, KubernetesLink, Profile, RedisLink
from console.local.valkey import Valkey
from tests.support.valkey import OPERATOR


def profile_for(directory: Path, valkey: Valkey, **changes: Any) -> Profile:
    """A profile with its own database below ``directory``, on this Valkey."""
    secret = directory / "redis-password"
    secret.write_text(OPERATOR.get_secret_value())
    values: dict[str, Any] = {
        "name": "test",
        "database": f"sqlite:///{directory / 'modeldeck.db'}",
        "redis": RedisLink(url=valkey.link.url, password=f"file:{secret}"),
        "kubernetes": KubernetesLink(),
        "gateway": GatewayLink(),
    }
    return Profile(**(values | changes))
