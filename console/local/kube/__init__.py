"""A small Kubernetes API server of our own, for one machine: HTTP on loopback, bearer tokens, SQLite.

It behaves as a real server does where Modeldeck and kubectl can tell (docs/local-kubernetes.md lists what it does and
what it does not). This is its public face; the modules below it are its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from console.local.kube.access import ADMIN, CONTROLLER, PUBLISHER, VIEWER, Identity, Rule, publisher
from console.local.kube.kubeconfig import write_kubeconfig

if TYPE_CHECKING:
    from console.local.kube.server import KubeServer

__all__ = [
    "ADMIN",
    "CONTROLLER",
    "PUBLISHER",
    "VIEWER",
    "Identity",
    "KubeServer",
    "Rule",
    "publisher",
    "write_kubeconfig",
]


def __getattr__(name: str) -> Any:
    if name == "KubeServer":  # brings Starlette and uvicorn with it
        from console.local.kube.server import KubeServer

        return KubeServer
    raise AttributeError(name)
