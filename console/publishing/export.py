"""A publication as text: the manifests for GitOps, or the declaration that it could have come from."""

from __future__ import annotations

from typing import Any

import yaml

from console.call import Call
from console.catalog.types import Document
from console.outcome import Ending, Outcome
from console.publishing import book
from console.publishing.declaration import as_declaration
from console.publishing.manifests import Manifest, credential_of, grant_for_authorizer, manifests
from console.publishing.types import Publication


async def export(call: Call) -> Outcome:
    """The objects in the order of their application, or with ``declaration`` the file for ``publications apply``.

    What is exported is what the publication should be, not what somebody has made of its objects. It is the same text
    every time, and has no credential in it.
    """
    publication, _, _ = await book.read(await call.services.store(), call["name"])
    call.permit.covers(publication.tenant)
    if call["declaration"]:
        declaration = as_declaration(publication)
        return Outcome(Ending.DONE, f"{publication.name} as declared", data=Document(_text(declaration), [declaration]))
    profile = call.services.profile
    objects = [
        grant_for_authorizer(publication.tenant, profile.gateway),
        *manifests(publication, profile.gateway, header_prefix=profile.access.header_prefix),
    ]
    shown = [_without_data(one) for one in objects]
    parts = [_commented(publication, one) for one in shown]
    return Outcome(Ending.DONE, f"{len(shown)} objects", data=Document("---\n".join(parts), shown))


def _without_data(manifest: Manifest) -> Manifest:
    return {name: value for name, value in manifest.items() if manifest["kind"] != "Secret" or name != "data"}


def _commented(publication: Publication, manifest: Manifest) -> str:
    if manifest["kind"] != "Secret":
        return _text(manifest)
    provider = credential_of(publication, manifest)
    comment = (
        f"# To be completed: stringData.apiKey is the credential for {provider}. It is not exported;\n"
        "# keep it out of git in clear (SealedSecret, External Secrets, SOPS).\n"
    )
    return comment + _text(manifest)


def _text(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
