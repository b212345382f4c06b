"""How large a request may be: the Gateway's own ClientTrafficPolicy says it, for all of its publications.

What finds the model of a request has to hold all of it. Envoy Gateway's default is 32 KiB (gateway.md §1.2), which a
long conversation exceeds, and then the client gets 413. One publication never changes what all of them share: its plan
says how it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from console.config import GatewayLink
from console.k8s.cluster import Cluster
from console.k8s.errors import Forbidden, NotServed
from console.k8s.types import CLIENT_TRAFFIC_POLICY, Object
from console.publishing.types import Publication, PublicationKind

DEFAULT_BYTES = 32 * 1024
ENOUGH_BYTES = 1024 * 1024
"""A prompt of some 250,000 tokens: less is worth a warning."""
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(?:([kKMG])(i?))?")
_POWERS = {None: 0, "k": 1, "K": 1, "M": 2, "G": 3}


async def check(cluster: Cluster, publication: Publication, link: GatewayLink) -> tuple[str, ...]:
    """What an operator should know of the size of requests before they are refused for it."""
    if publication.kind is not PublicationKind.OPENAI:
        return ()  # found by its path: nobody has to hold the body
    place = f"Gateway {link.namespace}/{link.name}"
    try:
        found = await of_gateway(cluster, link)
    except (Forbidden, NotServed):
        return (f"how large a request may be is not known: the ClientTrafficPolicy of {place} may not be read",)
    least, policy = min(((_bytes(one), one) for one in found), key=lambda one: one[0], default=(DEFAULT_BYTES, None))
    if least >= ENOUGH_BYTES:
        return ()
    said = f"a request of more than {least // 1024} KiB is answered 413"
    if policy is None:
        return (f"{said}: {place} has no ClientTrafficPolicy with connection.bufferLimit (modeldeck gateway buffer)",)
    name = policy["metadata"]["name"]
    return (f"{said}: that is the connection.bufferLimit of ClientTrafficPolicy {name} (modeldeck gateway buffer)",)


async def of_gateway(cluster: Cluster, link: GatewayLink) -> list[Object]:
    """The ClientTrafficPolicies of the Gateway, or of the listener that the profile names.

    Raises:
        Forbidden, NotServed: they cannot be read.
    """
    policies, _ = await cluster.list(CLIENT_TRAFFIC_POLICY, namespace=link.namespace)
    return [one for one in policies if _targets(one, link)]


def bytes_of(quantity: str) -> int | None:
    """A Kubernetes quantity of bytes (``50Mi``); None for what is none."""
    found = _QUANTITY.fullmatch(quantity)
    return None if found is None else int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2]])


def _targets(policy: Object, link: GatewayLink) -> bool:
    spec = policy.get("spec", {})
    refs: list[Mapping[str, Any]] = [*spec.get("targetRefs", []), *([spec["targetRef"]] if "targetRef" in spec else [])]
    return any(
        (one.get("kind"), one.get("name")) == ("Gateway", link.name)
        and (link.section is None or one.get("sectionName") in (None, link.section))
        for one in refs
    )


def _bytes(policy: Object) -> int:
    """The default where a policy says nothing, or nothing that can be read."""
    found = bytes_of(str((policy.get("spec", {}).get("connection") or {}).get("bufferLimit", "")))
    return DEFAULT_BYTES if found is None else found
