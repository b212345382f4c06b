"""Ports of the embedded stack, all on loopback."""

from __future__ import annotations

import contextlib
import socket

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on. They are held all at once while being found, so that they differ."""
    held = []
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            listening = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listening.bind((LOOPBACK, 0))
            held.append(listening.getsockname()[1])
    return held


def is_free(port: int) -> bool:
    """Whether we could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
