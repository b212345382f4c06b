"""The local gateway: a controller that turns the objects of the cluster into Envoy's configuration.

    controller.py   watches, translates, applies, reports
    translate/      objects in, configuration and statuses out; pure
    xds.py          files for Envoy, and what Envoy says of them
    kserve.py       plays KServe for servers that run on this machine already

docs/local-gateway.md says which fields are honoured, and what is said of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from console.local.gateway.controller import Controller
    from console.local.gateway.kserve import KServe
    from console.local.gateway.translate.settings import Settings

__all__ = ["Controller", "KServe", "Settings"]


def __getattr__(name: str) -> Any:
    # The translation alone needs no Kubernetes client.
    if name == "Controller":
        from console.local.gateway.controller import Controller

        return Controller
    if name == "KServe":
        from console.local.gateway.kserve import KServe

        return KServe
    if name == "Settings":
        from console.local.gateway.translate.settings import Settings

        return Settings
    raise AttributeError(name)
