"""Whom our HTTP clients trust."""

from __future__ import annotations

import functools
import ssl

import httpx


@functools.cache
def trusted() -> ssl.SSLContext:
    """The certificates that this machine trusts, for every client of this process: reading them takes 20 ms."""
    return httpx.create_ssl_context()
