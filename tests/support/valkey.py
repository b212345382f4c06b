"""A real Valkey for tests, and what is needed to talk to it."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from console.local.ports import free_ports
from console.local.valkey import Valkey

OPERATOR = SecretStr("operator-for-tests")
GATEWAY = SecretStr("gateway-for-tests")


def valkey_in(directory: Path, *, port: int | None = None, durable: bool = False) -> Valkey:
    return Valkey(
        directory / "valkey", port=port or free_ports(1)[0], operator=OPERATOR, gateway=GATEWAY, durable=durable
    )
