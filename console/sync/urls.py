"""Which addresses a list may be fetched from: HTTPS, and plain HTTP on this machine only."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host name can only mean this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def why_not(url: str) -> str | None:
    """Why a list is not fetched from here, or None."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is not a URL"
    if not host or parts.scheme not in ("https", "http"):
        return "it is not an http or https URL"
    if parts.username or parts.password:
        return "a URL is no place for a credential"
    if parts.scheme == "http" and not is_loopback(host):
        return "plain http is allowed on this machine only: anybody on the way could read the credential"
    return None
