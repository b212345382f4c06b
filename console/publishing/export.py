"""A publication as text: the manifests for GitOps, or the declaration that it could have come from."""

from __future__ import annotations

from console.call import Call
from console.catalog.types import Document
from console.outcome import Ending, Outcome, counted
from console.publishing import book
from console.publishing.as_yaml import manifests_of, yaml_of
from console.publishing.declaration import as_declaration


async def export(call: Call) -> Outcome:
    """The objects in the order of their application, or with ``declaration`` the file for ``publications apply``.

    What is exported is what the publication should be, not what somebody has made of its objects. It is the same text
    every time, and has no credential in it.
    """
    publication, _, _ = await book.read(await call.services.store(), call["name"])
    call.permit.covers(publication.tenant)
    if call["declaration"]:
        declaration = as_declaration(publication)
        text = Document(yaml_of(declaration), [declaration])
        return Outcome(Ending.DONE, f"{publication.name} as declared", data=text)
    document = manifests_of(publication, call.services.profile)
    return Outcome(Ending.DONE, counted(len(document.rows), "object"), data=document)
