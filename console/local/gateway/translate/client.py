"""ClientTrafficPolicy: how much of a request a listener holds in memory (Envoy Gateway, "ClientConnection")."""

from __future__ import annotations

from dataclasses import dataclass

from console.local.gateway.snapshot import Object
from console.local.gateway.translate.attachment import TARGET_FIELDS
from console.local.gateway.translate.reading import spec_of


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """``buffer_bytes``: a larger body is answered 413. ``accepts``: connections taken per turn of Envoy's loop."""

    buffer_bytes: int | None = None
    accepts: int | None = None


def read_client_policy(one: Object) -> ClientSettings:
    """What a policy says.

    Raises:
        Unfit: it cannot be honoured; its listeners must not serve as if it were not there.
    """
    spec = spec_of(one)
    spec.only(*TARGET_FIELDS, "connection")
    connection = spec.node("connection")
    connection.only("bufferLimit", "maxAcceptPerSocketEvent")
    accepts = connection.maybe_number("maxAcceptPerSocketEvent", least=0)
    return ClientSettings(connection.bytes("bufferLimit"), accepts or None)
