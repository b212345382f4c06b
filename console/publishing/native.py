"""Where the keys of a publication are checked: by the authorizer, or by the gateway itself.

``native`` is an annotation of the publication's SecurityPolicy, whose rules stay as they are: a gateway that knows the
annotation lets pass what the authorizer has written into its table of digests, and asks about the rest. One that does
not know it asks about every request. Envoy Gateway is such a one: all that it has is ``apiKeyAuth``, for which every
key would have to be in a Secret in clear, without an expiry and without its models.
"""

from __future__ import annotations

from console.config import GatewayLink
from console.outcome import Refusal
from console.publishing.types import Access, Publication

ANNOTATION = "modeldeck.dev/access"
_WARNING = (
    "the gateway checks keys itself, by digests: no key is kept there in clear; while no authorizer runs, a key that "
    "is revoked may pass for three seconds"
)


def usual(gateway: GatewayLink) -> Access:
    """Who checks keys where nobody says: the gateway where it can, for that costs a request the least."""
    return Access.NATIVE if gateway.native_access else Access.EXT_AUTHZ


def marks(publication: Publication) -> dict[str, str]:
    """The annotations of its SecurityPolicy."""
    return {ANNOTATION: publication.access.value} if publication.access is Access.NATIVE else {}


def check(publication: Publication, gateway: GatewayLink) -> tuple[str, ...]:
    """What an operator should know before the gateway checks keys itself.

    Raises:
        Refusal: this gateway cannot.
    """
    if publication.access is not Access.NATIVE:
        return ()
    if not gateway.native_access:
        raise Refusal(
            "this profile's gateway cannot check keys by itself: Envoy Gateway's apiKeyAuth would need every key in "
            "clear in a Secret, and Modeldeck keeps no key in clear; nothing was changed",
            code="NATIVE_ACCESS_UNAVAILABLE",
            then="leave out --access native: the authorizer is asked then",
        )
    return (_WARNING,)
