"""What the translation is told about the machine, beside the objects."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTROLLER_NAME = "gateway.envoyproxy.io/gatewayclass-controller"
"""Envoy Gateway's own: manifests and readiness checks are the same here and in a cluster."""


@dataclass(frozen=True, slots=True)
class GlobalLimiter:
    """The rate-limit services that listeners ask (console/limits).

    addresses    host and port of each; they share one Redis, so it does not matter which is asked
    fail_closed  whether a request that nobody can count is answered 503; Envoy Gateway's ``rateLimit.failClosed``,
                 with its default: it passes
    """

    addresses: tuple[tuple[str, int], ...]
    fail_closed: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """How this machine is a gateway.

    directory           where Envoy's configuration files are (console/local/gateway/xds.py writes them)
    address             where listeners listen
    stripped_prefixes   headers that clients may not send: they are the gateway's words to upstreams and authorizers
    buffer_bytes        how much of a request is held in memory where no ClientTrafficPolicy says otherwise
                        (Envoy Gateway's 32 KiB)
    access_log          where Envoy writes one JSON line per request; None for none
    limiter             who counts what policies limit globally; None: such policies are refused
    alone               whether no other Envoy serves the same Gateways: global limits per second and minute are counted
                        in this one then, as local ones are
    ca_file             the certificates that ``wellKnownCACertificates: System`` means
    key_table           where the authorizer writes what may pass without a question; None: it is always asked
    """

    directory: Path
    controller_name: str = CONTROLLER_NAME
    address: str = "127.0.0.1"
    stripped_prefixes: tuple[str, ...] = ("x-modeldeck-", "x-tensorzero-", "x-envoy-")
    buffer_bytes: int = 32 * 1024
    access_log: Path | None = None
    ca_file: Path | None = None
    limiter: GlobalLimiter | None = None
    key_table: Path | None = None
    alone: bool = False

    def routes_file(self, name: str) -> str:
        return f"rds-{name}.json"

    def secret_file(self, name: str) -> str:
        return f"sds-{name}.json"

    def source(self, file: str) -> dict[str, Any]:
        """envoy.config.core.v3.ConfigSource: one file. Envoy sees it when it is replaced."""
        return {"resource_api_version": "V3", "path_config_source": {"path": str(self.directory / file)}}


LIMITER_CLUSTER = "modeldeck.limiter"
LIMITS_FILE = "ecds-limits.json"


def system_ca_file() -> Path | None:
    """The machine's certificate bundle, or certifi's where it has none (macOS)."""
    found = ssl.get_default_verify_paths().cafile
    candidates = [Path(found)] if found else []
    candidates.append(Path("/etc/ssl/certs/ca-certificates.crt"))
    try:
        import certifi
    except ImportError:
        pass
    else:
        candidates.append(Path(certifi.where()))
    return next((path for path in candidates if path.is_file()), None)
