"""Whether a cluster encrypts Secrets at rest, as far as its API server says.

There is no API for it. The API server counts what it encrypts on the way to its storage, by the provider's prefix
(``apiserver_storage_transformation_operations_total{transformation_type="to_storage",transformer_prefix="k8s:enc:…"}``);
without an EncryptionConfiguration it counts nothing. Reading its metrics takes a right that few have.
"""

from __future__ import annotations

import asyncio
import re
from enum import StrEnum

from console.k8s.cluster import Cluster
from console.outcome import ModeldeckError

_SECONDS = 3.0
_COUNT = "apiserver_storage_transformation_operations_total{"
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_API_SERVER = "apiserver_request_total"


class AtRest(StrEnum):
    """What is known of it; `sentence` is for people."""

    ENCRYPTED = "encrypted"
    PLAIN = "not encrypted"
    UNKNOWN = "unknown"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    AtRest.ENCRYPTED: "the cluster encrypts Secrets at rest",
    AtRest.PLAIN: "the cluster does not encrypt Secrets at rest: they lie in its storage as they are",
    AtRest.UNKNOWN: "whether the cluster encrypts Secrets at rest is not known: it does not let its metrics be read",
}


async def secrets_at_rest(cluster: Cluster) -> AtRest:
    """Ask the API server's metrics; at most three seconds, and never an error."""
    encrypted, is_api_server = False, False
    try:
        async with asyncio.timeout(_SECONDS), cluster.metrics() as lines:
            async for line in lines:
                text = line.decode("utf-8", "replace")
                is_api_server = is_api_server or text.startswith(_API_SERVER)
                encrypted = encrypted or _encrypts_secrets(text)
    except (ModeldeckError, TimeoutError):
        return AtRest.ENCRYPTED if encrypted else AtRest.UNKNOWN
    if encrypted:
        return AtRest.ENCRYPTED
    return AtRest.PLAIN if is_api_server else AtRest.UNKNOWN


def _encrypts_secrets(line: str) -> bool:
    """Whether a line of the metrics counts a Secret, or something that is not told, that was encrypted."""
    if not line.startswith(_COUNT):
        return False
    labels = dict(_LABEL.findall(line))
    about = labels.get("resource", "secrets")  # an older API server does not tell them apart
    written = labels.get("transformation_type") == "to_storage" and labels.get("status", "OK") == "OK"
    return about == "secrets" and written and labels.get("transformer_prefix", "").startswith("k8s:enc:")
